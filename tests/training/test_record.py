"""A finished run on paper."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import leylora
from leylora.training.record import PICTURE_FILES, LossPoint, RunRecord, draw, installed_versions


def test_curves_are_the_same_files_for_the_same_log(tmp_path: Path) -> None:
    points = [LossPoint(step=n, loss=2 / n, learning_rate=1e-4, grad_norm=0.5) for n in range(1, 9)]
    points.append(LossPoint(step=8, eval_loss=0.4))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw(points, "mistral-7b-law", tmp_path / name)
    for file in PICTURE_FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    draw([], "no step was logged", tmp_path / "a")


def test_versions_are_known_where_leylora_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(package: str) -> str:
        if package == "leylora":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr("leylora.training.record.version", known)
    assert installed_versions()["leylora"] == leylora.__version__


def test_records_of_older_runs_are_read() -> None:
    old = {"on_top_of": "LORA/a", "on_top_of_sha256": "0" * 64, "init_from": None, "init_from_sha256": None}
    numbers = dict.fromkeys(("seed", "processes", "rows", "rows_too_long", "eval_rows", "tokens", "steps"), 1)
    numbers |= dict.fromkeys(("trainable_parameters", "tokens_per_second", "peak_memory_gib", "train_loss"), 1)
    texts = ("name", "base_model", "revision", "recipe", "instruction_template", "device", "dataset", "dataset_sha256")
    record = RunRecord.model_validate(
        old
        | numbers
        | dict.fromkeys((*texts, "adapter_sha256"), "x")
        | dict.fromkeys(("replay_dataset", "replay_fraction", "packing_efficiency", "eval_loss"))
        | {"overrides": [], "versions": {}, "log": [], "quantized_fraction": 1.0, "wall_seconds": 1.0}
    )
    assert (record.frozen_adapter, record.frozen_adapter_sha256, record.resume_adapter) == ("LORA/a", "0" * 64, None)
    assert RunRecord.model_validate(record.model_dump()) == record
