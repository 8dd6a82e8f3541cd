"""The benchmark of a real model at its smallest, on a stand-in: what is done is kept, and every variant gets a row."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from leylora.files import read_json_object
from leylora.laws.parse import parse_file
from leylora.project import ROOT, SAMPLES


def test_a_run_at_its_smallest_and_again(
    tiny_base: Callable[[str], Path],
    program: Callable[[Path], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real_model = program(ROOT / "benchmarks" / "real_model.py")
    monkeypatch.chdir(tmp_path)
    law = parse_file(SAMPLES / "ley-de-muestra.pdf")
    law.save(tmp_path / "laws" / law.id)
    words = ["--base", str(tiny_base("tiny-mistral")), "--laws", "laws", "--model", "tiny-mistral", "--work", "work"]
    words += ["--steps", "1", "--seed", "1", "--limit", "4", "--out", "rows.json"]
    first = CliRunner().invoke(real_model.app, words, catch_exceptions=False)
    assert first.exit_code == 0
    found = read_json_object(tmp_path / "rows.json")
    assert [row["variant"] for row in found["rows"]] == list(real_model.VARIANTS)
    assert all("bits_per_byte" in row for row in found["rows"])
    assert found["rows"][2]["tokens"] > 0
    assert {one["metric"] for one in found["paired"]} >= {"score", "bits_per_byte"}
    weights = (tmp_path / "work" / "seed-1" / "law" / "adapter_model.safetensors").stat().st_mtime_ns
    assert CliRunner().invoke(real_model.app, words, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "work" / "seed-1" / "law" / "adapter_model.safetensors").stat().st_mtime_ns == weights
    refused = CliRunner().invoke(real_model.app, ["--base", "x"])
    assert "Name the parsed laws" in str(refused.exception)


def test_the_published_table_is_what_was_measured() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    files = [ROOT / "benchmarks" / name for name in ("real_model.json", "real_model_cpu.json")]
    for row in (row for file in files for row in read_json_object(file)["rows"]):
        score, bits = row["score"], row["bits_per_byte"]
        cells = f"{score['value'] * 100:.0f} [{score['low'] * 100:.0f}–{score['high'] * 100:.0f}]"
        assert f"| {cells} | {bits['value']:.2f} [{bits['low']:.2f}–{bits['high']:.2f}] |" in text
