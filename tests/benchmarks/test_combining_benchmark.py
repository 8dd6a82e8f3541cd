"""What the table of ways counts, who wins by it, and that the published one says what was measured."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from leylora import demo
from leylora.combining import DEFAULT_WAY, LABELS, WAYS
from leylora.files import read_json
from leylora.project import ROOT

RESULTS = ROOT / "benchmarks" / "combining.json"


@pytest.fixture(scope="module")
def bench(program: Callable[[Path], ModuleType]) -> ModuleType:
    return program(RESULTS.with_suffix(".py"))


def test_kept_is_the_share_of_the_single_adapters_gain(bench: ModuleType) -> None:
    cells = {}
    for seed, found in ((1, 6.0), (2, 5.5)):
        for key, losses in (
            ("base", (8.0, 4.0)),
            ("instructions", (4.0, 5.0)),
            ("law", (9.0, 2.0)),
            ("sum", (found, 3.0)),
        ):
            cells[f"tiny-mistral/{seed}/{key}"] = dict(zip(bench.SKILLS, losses, strict=True))
    cells["tiny-falcon/1/sum"] = {"instructions": 1.0, "law": 1.0}  # without its base: not counted
    (line,) = bench.summary(cells)
    assert (line["row"], line["cells"]) == ("sum", 2)
    assert line["instructions"] == {"mean": 0.5625, "low": 0.5, "high": 0.625}
    assert line["law"] == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert line["worse_skill"] == 0.5


def test_ways_are_compared_where_all_were_measured(bench: ModuleType) -> None:
    keys = {row.way: row.key for row in bench.ROWS if row.way}
    assert set(keys) == set(WAYS)
    cells = {}
    for seed in (1, 2):
        for key, loss in (
            ("base", 8.0),
            ("instructions", 4.0),
            ("law", 4.0),
            ("mixture", 3.0),
            *zip(keys.values(), (7.0, 6.0, 5.75, 5.5, 5.0), strict=True),
        ):
            cells[f"tiny-falcon/{seed}/{key}"] = dict.fromkeys(bench.SKILLS, loss)
    assert bench.winner(cells) == {
        "way": "heal",
        "pairs": 2,
        "means": {"sum": 0.25, "search": 0.5, "activations": 0.5625, "on-top": 0.625, "heal": 0.75},
    }
    cells["tiny-falcon/2/sum"] = dict.fromkeys(bench.SKILLS, 1.0)  # would win by far, but a way lacks its pair
    del cells[f"tiny-falcon/2/{keys['heal']}"]
    assert (bench.winner(cells)["way"], bench.winner(cells)["pairs"]) == ("heal", 1)
    assert bench.winner({})["way"] is None


def test_every_cell_is_measured_once_and_the_ways_first(bench: ModuleType) -> None:
    cells = list(bench.cells_to_measure())
    assert len(cells) == len(set(cells)) == len(bench.FAMILIES) * len(bench.SEEDS) * (len(bench.ROWS) + 3)
    assert cells.index(("tiny-falcon", 3, "heal")) < cells.index(("tiny-mistral", 1, "mixture"))


def test_the_default_way_is_the_measured_winner(bench: ModuleType) -> None:
    """The way whose lesser-kept skill keeps most, on the mean over families and seeds; the demo takes it too."""
    measured = read_json(RESULTS)
    assert measured["table"] == bench.summary(measured["cells"])
    assert measured["default"] == bench.winner(measured["cells"])
    assert measured["default"]["way"] == DEFAULT_WAY
    assert measured["default"]["pairs"] >= 3
    assert demo.LABELS["combined"] == LABELS[DEFAULT_WAY]
    assert f"| `{DEFAULT_WAY}` (" in (ROOT / "docs" / "merging.md").read_text("utf-8")


def test_the_readme_shows_the_published_figures() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8").replace("**", "")
    for line in read_json(RESULTS)["table"]:
        shares = [
            f"{line[s]['mean']:.2f} [{line[s]['low']:.2f}, {line[s]['high']:.2f}]" for s in ("instructions", "law")
        ]
        row = f"| {line['label']} | {line['cells']} | {' | '.join(shares)} | {line['worse_skill']:.2f} |"
        assert row.replace("-", "−") in text.replace("-", "−")
