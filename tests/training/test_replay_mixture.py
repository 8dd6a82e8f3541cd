"""A mixture named for replay is the dataset that was built from it, or an error with the command that builds it."""

import shutil
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.files import write_json, write_text
from leylora.project import MIXTURES, RECIPES
from leylora.training.arguments import parse

LAW = ["--config", str(RECIPES / "tiny-mistral" / "law.yaml")]
MIXTURE = MIXTURES / "tiny-instructions.yaml"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def built(name: str) -> Path:
    folder = Path("data/build/tiny-instructions")
    write_text(folder / "train.jsonl", "{}\n")
    write_json(folder / "report.json", {"name": name})
    return folder


def test_a_mixture_stands_for_its_built_dataset() -> None:
    folder = built("tiny-instructions")
    parsed = parse([*LAW, f"--replay_mixture={MIXTURE}", "--replay_fraction=0.3"])
    assert parsed.run.replay_dataset == str(folder)
    assert parsed.run.replay_fraction == 0.3


def test_a_mixture_not_built_yet_gives_the_command() -> None:
    with pytest.raises(LeyloraError, match=r"build_dataset.py --mixture \S+ --out data/build/tiny-instructions$"):
        parse([*LAW, f"--replay_mixture={MIXTURE}"])
    with pytest.raises(LeyloraError, match=r"--laws data/build/laws --out data/build/tiny-law$"):
        parse([*LAW, f"--replay_mixture={MIXTURES / 'tiny-law.yaml'}"])


def test_another_mixtures_dataset_is_not_taken() -> None:
    folder = built("something-else")
    with pytest.raises(LeyloraError, match=r"holds the dataset something-else, not tiny-instructions.*--overwrite"):
        parse([*LAW, f"--replay_mixture={MIXTURE}"])
    shutil.rmtree(folder)


def test_dataset_and_mixture_exclude_each_other() -> None:
    built("tiny-instructions")
    with pytest.raises(UsageError, match="give one of them"):
        parse([*LAW, f"--replay_mixture={MIXTURE}", "--replay_dataset=data/build/tiny-instructions"])
