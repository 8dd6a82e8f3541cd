"""Steps are done once for the same inputs and never over what a person made; all four ways on a small model."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from leylora.adapters.config import BASE_DEFAULTS, CONFIG_FILE
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256, tensor_names
from leylora.adapters.merge import Parent
from leylora.combining import (
    LABELS,
    STAMPS,
    TRAININGS,
    WAYS,
    Cell,
    Combination,
    Merging,
    State,
    Training,
    best_of,
    do,
    in_this_process,
    print_table,
    state_of,
)
from leylora.demo import Demo
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, write_json, write_text

RECIPE = """
model_name_or_path: base
dataset_name: rows
learning_rate: 1e-3
output_dir: LORA/x
use_cpu: true
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(Path("model.yaml"), "model_name_or_path: base\n")
    write_text(Path("skill.yaml"), RECIPE)
    write_text(Path("base/config.json"), "{}")
    write_text(Path("base/model.safetensors"), "weights")
    write_text(Path("rows/train.jsonl"), "{}\n")


def adapter(folder: Path, value: float) -> None:
    config = {**BASE_DEFAULTS, "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"], "base_model_name_or_path": "base"}
    key_a, key_b = tensor_names("model.layers.0.self_attn.q_proj")
    tensors = {key_a: torch.full((1, 4), value), key_b: torch.full((4, 1), value)}
    shutil.rmtree(folder, ignore_errors=True)
    write_json(folder / CONFIG_FILE, config)
    save_file(tensors, folder / WEIGHTS_FILE)


class Trainer:
    """Stands for train/sft.py: notes its command lines and writes an adapter of ever another value."""

    def __init__(self) -> None:
        self.calls: list[dict[str, str]] = []

    def __call__(self, words: list[str]) -> None:
        asked = dict(word.removeprefix("--").split("=", 1) for word in words)
        self.calls.append(asked)
        adapter(Path(asked["output_dir"]), float(len(self.calls)))


def step(**changes: str) -> Training:
    return Training("model.yaml", "skill.yaml", Path("LORA/x"), changes)


def test_a_training_is_kept_until_its_inputs_change() -> None:
    trainer = Trainer()
    assert state_of(step()) is State.MISSING
    assert do(step(), launch=trainer)
    assert state_of(step()) is State.CURRENT
    assert not do(step(), launch=trainer)
    write_text(Path("skill.yaml"), f"# a comment\n{RECIPE}\nlogging_steps: 3\n")
    assert state_of(step()) is State.CURRENT  # neither changes the weights
    for change in (
        lambda: write_text(Path("skill.yaml"), RECIPE.replace("1e-3", "2e-3")),
        lambda: write_text(Path("rows/train.jsonl"), '{"messages": []}\n'),
        lambda: write_text(Path("base/model.safetensors"), "other weights"),
    ):
        change()
        assert state_of(step()) is State.OUTDATED
        assert do(step(), launch=trainer)
    assert state_of(step(seed="2")) is State.OUTDATED
    assert len(trainer.calls) == 4
    assert trainer.calls[0] == {
        "model": "model.yaml",
        "adapter": "skill.yaml",
        "output_dir": "LORA/x",
        "overwrite": "true",
    }


@pytest.mark.parametrize("key", ["frozen_adapter", "resume_adapter"])
def test_another_adapter_below_means_training_again(key: str) -> None:
    trainer = Trainer()
    adapter(Path("LORA/below"), 0.5)
    do(step(**{key: "LORA/below"}), launch=trainer)
    assert state_of(step(**{key: "LORA/below"})) is State.CURRENT
    adapter(Path("LORA/below"), 0.6)
    assert state_of(step(**{key: "LORA/below"})) is State.OUTDATED


def test_what_a_person_made_is_kept() -> None:
    trainer = Trainer()
    adapter(Path("LORA/x"), 7.0)
    mine = adapter_sha256(Path("LORA/x"))
    assert state_of(step()) is State.FOREIGN
    assert not do(step(), launch=trainer)
    assert adapter_sha256(Path("LORA/x")) == mine
    assert do(step(), launch=trainer, overwrite=True)
    adapter(Path("LORA/x"), 8.0)  # trained by hand under the same name after ours
    assert state_of(step()) is State.FOREIGN


def test_an_interrupted_training_goes_on_from_its_checkpoint() -> None:
    trainer = Trainer()

    def killed(words: list[str]) -> None:
        Path("LORA/.x.run/checkpoint-100").mkdir(parents=True)
        raise LeyloraError("The training stopped")

    do(step(), launch=trainer)
    with pytest.raises(LeyloraError):
        do(step(seed="2"), launch=killed)
    assert state_of(step(seed="2")) is State.OUTDATED  # the older adapter is still ours
    do(step(seed="3"), launch=trainer)
    assert "resume_from_checkpoint" not in trainer.calls[-1]  # those checkpoints are of other inputs
    with pytest.raises(LeyloraError):
        do(step(seed="4"), launch=lambda words: killed_again())
    do(step(seed="4"), launch=trainer)
    assert trainer.calls[-1]["resume_from_checkpoint"] == "true"


def killed_again() -> None:
    raise LeyloraError("The training stopped")


def test_a_merge_is_done_once_and_never_over_a_persons() -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        adapter(Path("LORA") / name, value)
    merging = Merging(Path("LORA/c"), (Parent(Path("LORA/a")), Parent(Path("LORA/b"), 0.5)), picture=False)
    assert do(merging)
    assert not do(merging)
    adapter(Path("LORA/b"), 3.0)
    assert state_of(merging) is State.OUTDATED
    assert do(merging)
    adapter(Path("LORA/c"), 9.0)
    with pytest.raises(
        UsageError, match=r"LORA/c was not made by this command; move it, or replace it with --overwrite"
    ):
        do(merging)
    assert do(merging, overwrite=True)
    assert set(read_json(STAMPS / "c.json")) == {"inputs", "output"}


@pytest.mark.parametrize(
    "family", ["mistral-7b", "llama-2-7b", "falcon-7b", "tiny-mistral", "tiny-llama-2", "tiny-falcon"]
)
def test_every_family_has_every_way(family: str) -> None:
    pair = Combination(family)
    assert set(TRAININGS) == set(WAYS)
    for way in WAYS:
        runs = pair.trainings(way)
        assert [(run.model, run.adapter) for run in runs] == [(family, adapter) for adapter in TRAININGS[way]]
    assert pair.trainings("on-top")[1].settings["frozen_adapter"] == f"LORA/{family}-instructions"
    heal = pair.trainings("heal")[2]
    assert heal.output == pair.result("heal") == Path(f"LORA/{family}-combined-heal")
    assert str(heal.settings["output_dir"]) == str(heal.output)
    law = pair.trainings("heal")[1].settings
    if "max_steps" in law:
        assert heal.settings["max_steps"] == law["max_steps"] / 2
    else:
        assert 2 * heal.settings["num_train_epochs"] == law["num_train_epochs"] / 2  # of twice the rows
    assert heal.settings["replay_fraction"] == 0.5


def test_unknown_families_and_a_model_of_ones_own() -> None:
    with pytest.raises(UsageError, match=r"no model 'mistral'.*mistral-7b"):
        Combination("mistral")
    write_text(Path("mine.yaml"), "model_name_or_path: base\nadapters: {law: {num_train_epochs: 1}}\n")
    pair = Combination("mine.yaml")
    assert pair.result("sum") == Path("LORA/mine-combined-sum")
    assert [run.output.name for run in pair.trainings("sum")] == ["mine-instructions", "mine-law"]
    assert pair.trainings("sum")[1].settings["num_train_epochs"] == 1
    assert pair.trainings("heal")[2].output == Path("LORA/mine-combined-heal")


@pytest.mark.slow
@pytest.mark.usefixtures("few_rows")
def test_every_way_leads_to_one_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("leylora.evaluation.weight_search.COARSE", (0.5, 1.0))
    monkeypatch.setattr("leylora.evaluation.weight_search.FINER", ())
    Demo("tiny-mistral", quick=True).prepare()
    pair = Combination("tiny-mistral", changes={"max_steps": "4", "eval_strategy": "no"}, launch=in_this_process)
    for way in WAYS:
        assert pair.run(way) == Path(f"LORA/tiny-mistral-combined-{way}")
    ranks = {way: read_json(pair.result(way) / "adapter_config.json")["r"] for way in WAYS}
    assert ranks == {"sum": 32, "search": 32, "activations": 32, "on-top": 32, "heal": 16}
    weights = [parent["weight"] for parent in read_json(pair.result("search") / "merge_report.json")["parents"]]
    assert weights == read_json(pair.result("search") / "weight_search.json")["best"]["weights"]
    healed = read_json(pair.result("heal") / "run.json")
    assert healed["resume_adapter"] == "LORA/tiny-mistral-merged"
    assert healed["resume_adapter_sha256"]
    assert read_json(Path("LORA/tiny-mistral-law-on-top/run.json"))["frozen_adapter_sha256"]

    cells = pair.compare(WAYS)
    print_table(cells, LABELS)
    assert best_of(cells) in WAYS
    kept = {(cell.variant, cell.held_out) for cell in cells if cell.kept is not None}
    assert kept == {(way, skill) for way in WAYS for skill in ("law", "instructions")}
    capsys.readouterr()
    for way in WAYS:
        pair.run(way)
    printed = capsys.readouterr().out
    assert printed.count("kept from the last time") == 11
    assert printed.count("unchanged") == 5
    pair.tell("heal")
    assert "train" not in capsys.readouterr().out


def test_the_best_way_is_the_one_whose_worse_skill_keeps_most() -> None:
    def cell(variant: str, skill: str, kept: float | None) -> Cell:
        return Cell(variant=variant, held_out=skill, rows=1, loss=1, low=1, high=1, kept=kept)

    cells = [
        cell("a", "law", 1.2),
        cell("a", "instructions", 0.4),
        cell("b", "law", 0.7),
        cell("b", "instructions", 0.6),
    ]
    assert best_of(cells) == "b"
    assert best_of([*cells[:3], cell("b", "instructions", None)]) == "a"
    assert best_of([cell("base", "law", None)]) is None
