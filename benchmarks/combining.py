"""Ways from two adapters to one: how much of each skill is kept, on the three small families, by three seeds.

    python benchmarks/combining.py                  # about an hour of one core; goes on where it was stopped
    python benchmarks/combining.py --minutes 4      # as much as fits, then stops between two cells

Every run has the same number of steps of the same number of packed rows unless its row says otherwise: real NF4
QLoRA at rank 16 with loss on the answers. A seed draws the order of the rows and the start of the adapters. Kept is
the share of the single adapter's gain over the base, on the test rows; searched weights come from the validation
rows. Cells that were measured are stored and never measured again; rows without all cells are marked.
"""

import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.adapters.merge import Parent, merge
from leylora.combining import HEAL_WEIGHTS, Merging, Training, do, in_this_process
from leylora.files import read_json, write_json
from leylora.models.bases import TINY_BASES

if TYPE_CHECKING:
    from leylora.adapters.adapted import AdaptedModel
    from leylora.training.data import TokenizedDataset

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

FAMILIES, SEEDS = ("tiny-mistral", "tiny-llama-2", "tiny-falcon"), (1, 2, 3)
STEPS, ROWS_A_STEP = 40, 2
RESULTS = Path(__file__).with_name("combining.json")
WORK = Path("data/build/combining")
SKILLS = ("instructions", "law")


@dataclass(frozen=True)
class Row:
    """One row of the table: a way, what it trains beyond the two adapters (in runs), and the way of combine.py it is.

    The default of combine.py is the best of the rows that have a ``way``.
    """

    key: str
    label: str
    extra: str
    way: str | None = None


ROWS = (
    Row("sum", "sum of two adapters trained apart, weights 1 / 1", "none", "sum"),
    Row("sum-0.7", "same, 0.7 / 0.7", "none"),
    Row("search", "same, weights searched", "none", "search"),
    Row("activations", "each layer nearest to both adapters on their rows, shares searched", "none", "activations"),
    Row("activations-16", "same, at rank 16", "none"),
    Row("sum-replay", "law adapter trained with 30 % instruction rows, sum 1 / 1", "none"),
    Row("search-replay", "same, weights searched", "none"),
    Row("on-top-0", "law over the frozen instructions adapter, no replay", "the law run itself"),
    Row("on-top-30", "same, 30 % replay", "the law run itself"),
    Row("on-top", "same, 50 % replay", "the law run itself"),
    Row("on-top-cut", "same, cut back to rank 16", "the law run itself"),
    Row(
        "on-top-double", "same, 50 % replay, twice the steps: as many law rows as alone", "twice the law run", "on-top"
    ),
    Row("heal-quarter", "merge to rank 16 (0.5 / 0.7), then healed on both kinds of rows", "1/4 run"),
    Row("heal", "same, longer", "1/2 run", "heal"),
    Row("heal-full", "same, longer still", "1 run"),
    Row("mixture", "one adapter from scratch on both kinds of rows", "1 run in all"),
    Row("mixture-double", "same, twice as long", "2 runs in all"),
)


class Bench:
    """One family and one seed: adapters are made when a row first needs them, and scored once."""

    def __init__(self, family: str, seed: int, scores: "Scores") -> None:
        self.family, self.seed, self.scores = family, seed, scores

    def train(self, name: str, recipe: str = "law", steps: int = STEPS, **changes: Any) -> Path:
        output = self.folder(name)
        common = {"max_steps": steps, "gradient_accumulation_steps": ROWS_A_STEP, "seed": self.seed}
        asked = {key: str(value) for key, value in (common | {"eval_strategy": "no"} | changes).items()}
        do(Training(self.family, recipe, output, asked), launch=in_this_process)
        return output

    def merge(self, name: str, *parents: Parent, rank: int | None = None) -> Path:
        output = self.folder(name)
        do(Merging(output, parents, "svd" if rank else "concat", rank, picture=False))
        return output

    def folder(self, name: str) -> Path:
        return WORK / f"{self.family}-{self.seed}-{name.replace('.', '_')}"

    def instructions(self) -> Path:
        return self.train("instructions", "instructions")

    def law(self) -> Path:
        return self.train("law")

    def law_with_replay(self) -> Path:
        return self.train("law-replay", **replay(0.3))

    def adapter(self, key: str) -> Path:
        """Make the adapter of a row of the table, or one of the two single ones."""
        if key in SKILLS:
            return self.instructions() if key == "instructions" else self.law()
        if key.startswith("mixture"):
            return self.train(key, steps=STEPS * (2 if key == "mixture-double" else 1), **replay(0.5))
        if key.startswith("on-top"):
            return self.on_top(key)
        if key.startswith("heal"):
            parents = zip((self.instructions(), self.law()), HEAL_WEIGHTS, strict=True)
            start = self.merge("merged", *(Parent(folder, weight) for folder, weight in parents), rank=16)
            steps = {"heal-quarter": STEPS // 4, "heal": STEPS // 2, "heal-full": STEPS}[key]
            return self.train(key, "combined-heal", steps, resume_adapter=start, replay_fraction=0.5)
        if key.startswith("activations"):
            return self.by_activations(key, 16 if key == "activations-16" else 32)
        law = self.law_with_replay() if key.endswith("replay") else self.law()
        weights = {"sum-0.7": (0.7, 0.7)}.get(key, (1.0, 1.0))
        if key.startswith("search"):
            weights = self.scores.searched(self, key, law)
        return self.merge(key, Parent(self.instructions(), weights[0]), Parent(law, weights[1]))

    def by_activations(self, key: str, rank: int) -> Path:
        """The share of the instructions' rows that keeps most on the validation rows, of `search_shares`."""
        from leylora.evaluation.activations import best_share, row_moments, search_shares

        parents, model = [self.instructions(), self.law()], self.scores.model(self.family)[0]
        rows = {skill: Path(f"data/build/tiny-{skill}") for skill in SKILLS}
        share = best_share(search_shares(parents, rows, rank=rank, model=model))
        weights = (share, round(1 - share, 4))
        self.scores.data.setdefault("weights", {})[f"{self.family}/{self.seed}/{key}"] = {"weights": weights}
        moments = row_moments(parents, list(rows.values()), model=model)
        weighted = [Parent(folder, weight) for folder, weight in zip(parents, weights, strict=True)]
        output = self.folder(key)
        merge(weighted, output, "activations", rank, moments=moments, picture=False, overwrite=output.exists())
        return output

    def on_top(self, key: str) -> Path:
        below = self.instructions()
        if key == "on-top-0":
            above = self.train("law-on-top-0", frozen_adapter=below)
        else:
            share, times = 0.3 if key == "on-top-30" else 0.5, 2 if key == "on-top-double" else 1
            name = f"law-on-top-{round(100 * share)}" + ("-double" if times == 2 else "")
            above = self.train(name, steps=times * STEPS, frozen_adapter=below, **replay(share))
        return self.merge(key, Parent(below), Parent(above), rank=16 if key == "on-top-cut" else None)


def replay(fraction: float) -> dict[str, Any]:
    """The keys that mix instruction rows into the law's."""
    return {"replay_dataset": "data/build/tiny-instructions", "replay_fraction": fraction}


class Scores:
    """Losses on the test rows by ``family/seed/row``, stored after every cell; the model of a family is loaded once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        stored: dict[str, Any] = read_json(path) if path.is_file() else {}
        setting = {"steps": STEPS, "rows_a_step": ROWS_A_STEP}
        self.data: dict[str, Any] = stored if stored.get("setting") == setting else {"setting": setting, "cells": {}}
        self.loaded: tuple[str, AdaptedModel, dict[str, TokenizedDataset]] | None = None

    @property
    def cells(self) -> dict[str, dict[str, Any]]:
        return self.data["cells"]

    def measure(self, bench: Bench, key: str) -> None:
        """Make the row's adapter and score it, unless that was done before; ``base`` is the base alone."""
        name = f"{bench.family}/{bench.seed}/{key}"
        if name in self.cells:
            return
        from leylora.adapters.discover import BASE, Variant
        from leylora.evaluation.loss import compare_losses

        variant = BASE if key == "base" else Variant(name=key, adapter=str(bench.adapter(key)))
        model, sets = self.model(bench.family)
        losses = compare_losses(model, [variant], sets)[key]
        cell = {skill: round(measured.mean, 5) for skill, measured in losses.items()}
        self.cells[name] = {**self.cells.get(name, {}), **cell, **self.data.get("weights", {}).get(name, {})}
        write_json(self.path, self.data)

    def searched(self, bench: Bench, key: str, law: Path) -> tuple[float, float]:
        """The weights that keep most of both skills on the validation rows."""
        from leylora.evaluation.weight_search import search_weights

        datasets = {skill: Path(f"data/build/tiny-{skill}") for skill in SKILLS}
        store = WORK / f"{bench.family}-{bench.seed}-{key}.json"
        best = search_weights(bench.instructions(), law, datasets, store, most_rows=30).best
        self.data.setdefault("weights", {})[f"{bench.family}/{bench.seed}/{key}"] = {"weights": best.weights}
        return best.weights

    def model(self, family: str) -> "tuple[AdaptedModel, dict[str, TokenizedDataset]]":
        if self.loaded is None or self.loaded[0] != family:
            from leylora.adapters.adapted import AdaptedModel
            from leylora.evaluation.loss import held_out_rows

            base = str(TINY_BASES / family)
            folders = {skill: Path(f"data/build/tiny-{skill}") for skill in SKILLS}
            self.loaded = (family, AdaptedModel(base), held_out_rows(base, folders, ["test"], max_length=512))
        return self.loaded[1], self.loaded[2]


def cells_to_measure() -> Iterator[tuple[str, int, str]]:
    """The ways of combine.py first, then the other rows; seed by seed, so that a table cut short has every family."""
    of_combine, others = ([row.key for row in ROWS if bool(row.way) is first] for first in (True, False))
    for keys in (["base", *SKILLS, *of_combine], others):
        for seed in SEEDS:
            for family in FAMILIES:
                yield from ((family, seed, key) for key in keys)


Kept = dict[tuple[str, int], dict[str, float]]  # by family and seed: the share of each skill's gain


def kept_by(cells: dict[str, dict[str, Any]], row: str) -> Kept:
    """The shares of a row, for each family and seed that has it, the base and both single adapters."""
    kept: Kept = {}
    for family in FAMILIES:
        for seed in SEEDS:
            at = [f"{family}/{seed}/{key}" for key in ("base", *SKILLS, row)]
            if all(name in cells for name in at):
                base, *singles, found = (cells[name] for name in at)
                kept[family, seed] = {
                    skill: (base[skill] - found[skill]) / (base[skill] - single[skill])
                    for skill, single in zip(SKILLS, singles, strict=True)
                }
    return kept


def summary(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The table: mean and range of the kept shares over families and seeds, for each row that has a cell."""
    table = []
    for row in ROWS:
        kept = list(kept_by(cells, row.key).values())
        if not kept:
            continue
        line: dict[str, Any] = {"row": row.key, "label": row.label, "extra_training": row.extra, "way": row.way}
        line |= {"cells": len(kept), "worse_skill": round(fmean(min(shares.values()) for shares in kept), 4)}
        for skill in SKILLS:
            shares = [found[skill] for found in kept]
            line[skill] = {"mean": round(fmean(shares), 4), "low": round(min(shares), 4), "high": round(max(shares), 4)}
        table.append(line)
    return table


def winner(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The way of combine.py whose lesser-kept skill keeps most, on the mean over the pairs that all measured ways have.

    Returns:
        ``way`` (None where no family and seed has all ways), ``pairs`` compared, and the mean of each way.
    """
    ways = {row.way: kept_by(cells, row.key) for row in ROWS if row.way}
    kept = {way: found for way, found in ways.items() if found}  # a way nobody measured wins nothing, and stops nothing
    shared = set.intersection(*(set(found) for found in kept.values())) if kept else set()
    if not shared:
        return {"way": None, "pairs": 0, "means": {}}
    means = {way: round(fmean(min(found[pair].values()) for pair in shared), 4) for way, found in kept.items()}
    return {"way": max(means, key=lambda way: means[way]), "pairs": len(shared), "means": means}


@app.command()
def main(
    minutes: Annotated[float, typer.Option(help="Stop between two cells after so long; 0: go on to the end.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = RESULTS,
    store: Annotated[Path, typer.Option(help="Where single cells are kept.")] = WORK / "cells.json",
) -> None:
    """Measure what is not measured yet, print the table and write the figures."""
    from leylora.demo import Demo

    begun, scores, wanted = time.monotonic(), Scores(store), list(cells_to_measure())
    for family, seed, key in wanted:
        if f"{family}/{seed}/{key}" in scores.cells:
            continue
        if minutes and time.monotonic() - begun > 60 * minutes:
            break
        if not (TINY_BASES / family).is_dir():
            Demo(family).prepare()
        console.note(f"{len(scores.cells)} of {len(wanted)} cells; now {family}, seed {seed}: {key}")
        scores.measure(Bench(family, seed, scores), key)
    publish(scores, out)
    show(summary(scores.cells))


def publish(scores: Scores, out: Path) -> None:
    """Write the table, the default it gives and all cells."""
    write_json(
        out,
        {
            "families": FAMILIES,
            "seeds": SEEDS,
            "steps": STEPS,
            "packed_rows_a_step": ROWS_A_STEP,
            "max_length": 512,
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cells_measured": len(scores.cells),
            "cells_in_all": len(list(cells_to_measure())),
            "criterion": "highest mean share of the lesser-kept skill, over the families and seeds that all ways have",
            "default": winner(scores.cells),
            "table": summary(scores.cells),
            "cells": scores.cells,
        },
    )


def show(table: list[dict[str, Any]]) -> None:
    """Print the table of kept shares."""
    printed = Table(title="Share of the single adapter's gain kept: mean [lowest, highest]", box=SIMPLE_HEAD)
    for title in ("way to one adapter", "n", *SKILLS, "extra training"):
        printed.add_column(title)
    for line in table:
        shares = [f"{line[s]['mean']:.2f} [{line[s]['low']:.2f}, {line[s]['high']:.2f}]" for s in SKILLS]
        printed.add_row(line["label"], str(line["cells"]), *shares, line["extra_training"])
    console.out.print(printed)


if __name__ == "__main__":
    console.run(app)
