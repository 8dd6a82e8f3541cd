"""Mixture files: the shipped ones load, and a wrong one says which key and what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.data.mixture import Mixture
from leylora.errors import LeyloraError, UsageError
from leylora.project import MIXTURES

SHIPPED = sorted(MIXTURES.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_mixture_loads_and_its_local_files_are_there(path: Path) -> None:
    mixture = Mixture.load(path)
    assert mixture.name == path.stem
    admitted, refused = mixture.admitted()
    assert refused == {}
    for source in admitted:
        source.check()
    assert all(file.exists() for file in mixture.benchmark)
    assert f"--mixture data/mixtures/{path.name}" in path.read_text("utf-8")


def test_the_promised_mixtures_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {
        "instructions",
        "law",
        "combined",
        "tiny",
        "tiny-instructions",
        "tiny-law",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nlawz: {}\n", "lawz: unknown key"),
        ("name: x\nlaws: {tasks: {distractor: [1, 2]}}\n", "laws.tasks.distractor: unknown key"),
        ("name: x\nlaws: {}\nseed: siete\n", "seed: Input should be a valid integer"),
        ("name: x\n", "a mixture needs `laws:`, `instructions:` or both"),
        ("name: 'a b'\nlaws: {}\n", "name: String should match pattern"),
        ("name: x\ninstructions: {sources: []}\n", "instructions.sources: List should have at least 1 item"),
        ("name: x\ninstructions: {sources: [{name: a, license: mit}]}\n", "exactly one of `path` and `hub`"),
        ("name: x\ninstructions: {fraction: 0.3, sources: [{name: a, license: mit, hub: a/b}]}\n", "needs `laws:`"),
        ("name: x\nlaws: {}\nsplits: {test: 0.9}\n", "splits.test: Input should be less than 0.5"),
        ("nme: x\nlaws: {}\n", "name: Field required; nme: unknown key."),
        (
            "name: x\nlaws: {}\ninstructions: {sources: [{name: a, license: mit, hub: a/b, format: xml}]}\n",
            "instructions.sources.0.format: Input should be 'messages'",
        ),
    ],
)
def test_a_wrong_mixture_names_the_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mezcla.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"mezcla\.yaml") as raised:
        Mixture.load(path)
    assert message in str(raised.value)


def test_what_is_not_a_mapping_or_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mezcla.yaml"
    for text, message in [
        ("- a\n", "expected a mapping .*, found list"),
        ("a: [", r"not YAML \(line 1: .*\); mend or delete the file"),
        ("", "is empty"),
        ("a: !!python/object:os.system {}\n", "not YAML"),
    ]:
        path.write_text(text, encoding="utf-8")
        with pytest.raises(LeyloraError, match=message):
            Mixture.load(path)


def test_refused_licences_are_named_and_can_be_asked_for(mixture_of: Callable[..., Mixture], sayings: dict) -> None:
    keys = {"instructions": {"sources": [{**sayings, "license": "cc-by-nc-4.0"}]}}
    assert mixture_of(**keys).admitted()[1] == {"dichos": "its licence cc-by-nc-4.0 forbids commercial use"}
    assert mixture_of(**keys, allow_licenses=["CC BY-NC 4.0"]).admitted()[1] == {}
