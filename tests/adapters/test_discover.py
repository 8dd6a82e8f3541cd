"""Which adapters belong to which base, what they are for, and what they were trained with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.adapters.discover import (
    BASE,
    Note,
    Variant,
    adapters_of,
    check_base,
    choose_base,
    common_template,
    find_adapter,
    find_variants,
    named_variants,
    read_variant,
    saved_template,
    template_name,
    template_of_base,
)
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256
from leylora.errors import LeyloraError, UsageError
from leylora.files import write_json
from leylora.models.bases import base_sha256
from leylora.models.templates import instruction_template, served_template


@pytest.fixture
def base(tiny_base: Callable[[str], Path]) -> str:
    return str(tiny_base("tiny-mistral"))


@pytest.fixture
def own(lora: Path, tmp_path: Path) -> Path:
    """A LORA folder that a test may change."""
    return Path(shutil.copytree(lora, tmp_path / "LORA"))


def test_only_adapters_of_the_base_are_found(base: str, lora: Path) -> None:
    found, notes = adapters_of(base, lora)
    assert not notes
    assert [one.name for one in found] == [
        "base",
        "tiny-mistral-instructions",
        "tiny-mistral-law",
        "tiny-mistral-on-top",
    ]
    assert found[0].folders == ()
    assert [folder.name for folder in found[3].folders] == ["tiny-mistral-on-top", "tiny-mistral-law"]


def test_an_adapter_without_the_one_below_it_is_refused(lora: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    shutil.copytree(lora / "tiny-mistral-on-top", upper)
    for key in ("on_top_of", "frozen_adapter"):
        write_json(upper / "run.json", {key: "LORA/gone"})
        with pytest.raises(LeyloraError, match="trained on top of LORA/gone and cannot be used without it"):
            read_variant(upper)
        shutil.copytree(lora / "tiny-mistral-law", tmp_path / "gone", dirs_exist_ok=True)
        assert read_variant(upper).folders == (upper, tmp_path / "gone")
        write_json(upper / "run.json", {key: "LORA/gone", f"{key}_sha256": "0" * 64})
        with pytest.raises(LeyloraError, match="another gone"):
            read_variant(upper)
        shutil.rmtree(tmp_path / "gone")


def test_a_comparison_takes_one_adapter_a_role(base: str, own: Path) -> None:
    shutil.copytree(own / "tiny-mistral-law", own / "my-tiny-mistral-law")
    found, notes = find_variants(base, "auto", own)
    assert [(one.name, one.role) for one in found] == [
        ("base", "base"),
        ("instructions", "instructions"),
        ("law", "law"),
    ]
    assert found[2].adapter == str(own / "tiny-mistral-law")
    assert found[2].sha256 == adapter_sha256(own / "tiny-mistral-law")
    assert notes == [Note("several", "tiny-mistral-law", "law", others=("my-tiny-mistral-law",))]
    assert find_variants(base, "none", own) == ([BASE], [])


def test_adapters_are_asked_for_by_name_folder_and_role(base: str, own: Path) -> None:
    asked = f"merged={own / 'tiny-mistral-law'},tiny-mistral-on-top,tiny-mistral-law"
    found, notes = find_variants(base, asked, own)
    assert [(one.name, one.role) for one in found[1:]] == [
        ("law", "law"),
        ("merged", "merged"),
        ("tiny-mistral-on-top", "other"),
    ]
    assert found[2].same_as == "law"
    assert not found[3].same_as
    assert len(found[3].folders) == 2
    assert notes == [Note("not a merge", str(own / "tiny-mistral-law"))]
    with pytest.raises(UsageError, match="'lawyer' is not a role"):
        find_variants(base, "lawyer=x", own)
    with pytest.raises(UsageError, match=r"There is no adapter 'nowhere' .*tiny-mistral-law"):
        find_variants(base, "nowhere", own)
    with pytest.raises(UsageError, match="Two adapters are called 'tiny-mistral-on-top'"):
        find_variants(base, "tiny-mistral-on-top,tiny-mistral-on-top", own)


def test_one_adapter_gone_stale_does_not_stop_the_others(base: str, own: Path) -> None:
    write_json(own / "tiny-mistral-law" / "run.json", {"revision": "sha256:" + "0" * 64})
    shutil.copytree(own / "tiny-mistral-law", own / "tiny-mistral-combined")
    (own / "tiny-mistral-combined" / WEIGHTS_FILE).unlink()
    found, notes = find_variants(base, "auto", own)
    assert [variant.name for variant in found] == ["base", "instructions"]
    assert [note.kind for note in notes] == ["left out", "left out"]
    assert any("was trained on other weights than" in note.detail and note.stale for note in notes)
    with pytest.raises(LeyloraError, match="was trained on other weights than"):
        find_variants(base, "tiny-mistral-law", own)


def test_a_change_in_any_weight_file_makes_another_base(base: str, own: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    shutil.copytree(base, sharded)
    whole = sharded / "model.safetensors"
    assert base_sha256(str(sharded)) == base_sha256(base)
    shutil.copyfile(whole, sharded / "model-00002-of-00002.safetensors")
    two = base_sha256(str(sharded))
    assert two != base_sha256(base)
    write_json(own / "tiny-mistral-law" / "run.json", {"revision": two})
    config = own / "tiny-mistral-law" / "adapter_config.json"
    config.write_text(config.read_text("utf-8").replace(base, str(sharded)), "utf-8")
    check_base(str(sharded), read_variant(own / "tiny-mistral-law"))
    data = bytearray(whole.read_bytes())
    data[-1] ^= 1
    (sharded / "model-00002-of-00002.safetensors").write_bytes(data)
    with pytest.raises(LeyloraError, match="was trained on other weights than"):
        check_base(str(sharded), read_variant(own / "tiny-mistral-law"))


def test_adapters_behind_an_endpoint_have_roles_too() -> None:
    found = named_variants(["law=my-law-model", "team/x-instructions", "law=second", "odd/one"])
    assert [(one.name, one.role, one.adapter) for one in found] == [
        ("base", "base", ""),
        ("instructions", "instructions", "team/x-instructions"),
        ("law", "law", "my-law-model"),
        ("second", "other", "second"),
        ("odd_one", "other", "odd/one"),
    ]


def test_the_base_to_load_is_the_given_one_the_adapters_or_the_demos(
    base: str, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_base("given", None, lora) == "given"
    assert choose_base(None, "tiny-mistral-law", lora) == base
    assert choose_base(None, None, lora) == base
    assert find_adapter("tiny-mistral-law", lora) == lora / "tiny-mistral-law"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeyloraError, match="make demo"):
        choose_base(None, None, tmp_path / "none")
    for name in ("tiny-falcon", "tiny-mistral"):
        (tmp_path / "data/build/models" / name).mkdir(parents=True)
        (tmp_path / "data/build/models" / name / "config.json").write_text("{}", "utf-8")
    assert choose_base(None, None, tmp_path / "none") == "data/build/models/tiny-mistral"


def test_the_template_an_adapter_was_trained_with(own: Path) -> None:
    folder = own / "tiny-mistral-law"
    assert saved_template(folder) == served_template(instruction_template("leylora-mistral"))
    assert template_name(folder) == "leylora-mistral"
    write_json(folder / "run.json", {"instruction_template": "leylora-falcon"})
    assert template_name(folder) == "leylora-falcon"
    (folder / "run.json").unlink()
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "mine"}), "utf-8")
    assert (saved_template(folder), template_name(folder)) == ("mine", "leylora-mistral")
    (folder / "chat_template.jinja").write_text(
        served_template(instruction_template("leylora-llama-2")) + "\n", "utf-8"
    )
    assert template_name(folder) == "leylora-llama-2"
    assert template_of_base("mistralai/Mistral-7B-Instruct-v0.3") == "leylora-mistral-instruct-v0.3"
    assert template_of_base("x/Falcon-7B") == "leylora-falcon"
    assert template_of_base("someone/else") is None


def test_adapters_of_different_templates_have_none_in_common() -> None:
    def trained(name: str, template: str | None) -> Variant:
        return Variant(name=name, adapter=name, run={"instruction_template": template})

    assert common_template([BASE, trained("a", "one"), trained("b", None)]) == "one"
    assert common_template([BASE]) is None
    with pytest.raises(LeyloraError, match=r"different templates, a with one and b with two; .*--template"):
        common_template([trained("a", "one"), trained("b", "two")])
