"""The benchmark runs, at shapes 32 times smaller, and what it says of accuracy holds there too."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "merging.py"


def test_the_small_benchmark(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    done = subprocess.run([sys.executable, SCRIPT, "--small", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert set(results["families"]) == {"Mistral-7B", "Llama-2-7B", "Falcon-7B"}
    for entry in results["families"].values():
        assert entry["accuracy"]["svd_to_dense_optimum"] < 1e-5
        assert entry["accuracy"]["concat_to_exact_sum"] < 1e-6
        assert entry["concat"]["error_against_sum"] == 0


def test_published_results_are_of_the_full_size_and_reach_the_mark() -> None:
    results = json.loads(SCRIPT.with_suffix(".json").read_text())
    assert not results["small"]
    for entry in results["families"].values():
        assert entry["svd"]["peak_gib"] < 0.7
        assert entry["svd_times_faster_than_peft"] > 1000
        assert entry["accuracy"]["svd_to_dense_optimum"] < 1e-5
        assert entry["accuracy"]["concat_to_exact_sum"] < 1e-6
