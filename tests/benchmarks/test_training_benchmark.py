"""The training benchmark runs at its smallest, and counts what it says it counts."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "training.py"


@pytest.fixture(scope="module")
def benchmark(program: Callable[[Path], ModuleType]) -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    yield program(SCRIPT)
    sys.path.remove(str(BENCHMARKS))


def test_the_command_times_stock_trl_in_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    words = ["--small", "--family", "mistral", "--length", "64", "--steps", "1", "--out", str(out)]
    command = [sys.executable, str(SCRIPT), *words, "--contender", "trl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "says nothing of 7B models" in done.stdout
    results = json.loads(out.read_text())
    (row,) = results["rows"]
    assert results["small"]
    assert row["error"] is None
    assert row["tokens_per_second"] > 0
    assert row["settings"]["packing"] is False
    assert 0 < row["filled"] < 0.7

    out.write_text(json.dumps(results | {"rows": [row | {"tokens_per_second": 1.0}]}))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    kept = json.loads(out.read_text())["rows"]
    assert [row["tokens_per_second"] for row in kept] == [1.0], "a row that is there is not measured again"


@pytest.mark.parametrize("family", ["mistral", "falcon"])
def test_our_recipe_is_timed_packed(benchmark: ModuleType, family: str) -> None:
    outcome = benchmark.attempt(benchmark.Job("ours", family, 64, 1, 14.0, "auto", True))
    assert outcome.error is None
    assert outcome.settings["packing"] is True
    assert outcome.filled > 0.9


def test_trl_with_packing_is_timed_packed_and_without_leaks(benchmark: ModuleType) -> None:
    outcome = benchmark.attempt(benchmark.Job("trl-packing", "llama-2", 64, 1, 14.0, "auto", True, False))
    assert outcome.error is None
    assert outcome.settings["packing"] is True
    assert outcome.settings["gradient_checkpointing"] is False
    assert outcome.filled > 0.9


def test_each_row_is_written_before_the_next_is_measured(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "results.json"

    def measured(job: object, timeout: float | None) -> object:
        if out.is_file():
            raise KeyboardInterrupt
        return benchmark.Outcome(tokens_per_second=1.0, peak_gib=1.0, filled=1.0)

    monkeypatch.setattr(benchmark, "apart", measured)
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(
            family=["falcon"],
            length=[4096],
            memory_gib=14.0,
            steps=1,
            attention="auto",
            checkpointing=True,
            timeout=None,
            contender=["ours", "trl"],
            small=True,
            out=out,
            job="",
        )
    (row,) = json.loads(out.read_text())["rows"]
    assert row["length"] == 2048, "Falcon's own longest"


def test_a_contender_that_cannot_is_a_row_that_says_why(benchmark: ModuleType) -> None:
    outcome = benchmark.attempt(benchmark.Job("ours", "mistral", 64, 1, 14.0, "no-such-kernel", True))
    assert "no-such-kernel" in outcome.error
    assert outcome.tokens_per_second is None


def test_no_figures_are_published_that_were_not_measured_on_a_gpu() -> None:
    published = SCRIPT.with_suffix(".json")
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    if published.is_file():
        results = json.loads(published.read_text())
        assert not results["small"]
        assert results["machine"]["card"] in readme
    else:
        assert "not measured yet" in readme.lower()


def test_the_readme_shows_the_measured_rows() -> None:
    text = (BENCHMARKS / "README.md").read_text("utf-8")
    measured = json.loads((BENCHMARKS / "training.json").read_text("utf-8"))
    for row in measured["rows"]:
        if row["error"] is None:
            assert (
                f"| {row['tokens_per_second']:,.0f} | {row['peak_gib']:.2f} | {row['utilization']:.0%} |".replace(
                    "%", " %"
                )
                in text
            ), row
    assert measured["machine"]["card"] in text
