"""How much of each of two adapters: a coarse-to-fine grid of weights, scored on development rows.

The base is loaded once, in 4 bits, with both adapters on it; a point of the grid only changes two numbers in every
layer (PEFT's ``scaling``), so that nothing is merged or loaded again. With both active a layer gives
W x + w1 s1 B1 A1 x + w2 s2 B2 A2 x, which is what their exact merge (``concat``) at these weights gives.

Rows are those of the validation split, never of test: never measure a result on the rows that it was searched on.
`searched` is the search as scripts/merge_adapters.py takes it; `surface_table` and `save_surface` show it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import nan
from pathlib import Path
from typing import Any, Literal, cast, get_args

from matplotlib.figure import Figure
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import Variant, common_template, read_variant
from leylora.adapters.files import adapter_sha256, open_adapter
from leylora.adapters.merge import Parent, check_mergeable
from leylora.adapters.report import Method
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.loss import held_out_rows, row_losses
from leylora.files import read_json_object, save_figure, write_json
from leylora.models.bases import Load, base_sha256
from leylora.models.load import silence_libraries

Criterion = Literal["minimum", "mean"]
Weights = tuple[float, float]

SPLIT = "validation"
COARSE = (0.25, 0.5, 0.75, 1.0, 1.25)
FINER = (0.125, 0.0625)  # the steps of the refinements: the eight neighbours of the best point at each
NEITHER, FIRST, SECOND = (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)  # base and single adapters, which retention is measured by
MOST_POINTS = 3 + len(COARSE) ** 2 + 8 * len(FINER)
ROWS = 200
SURFACE_FILE = "weight_search.json"
PICTURES = ("weight_search.png", "weight_search.svg")
CRITERIA = {"minimum": "the least share of gain kept over the skills", "mean": "the mean share of gain kept"}


class Point(BaseModel):
    """A pair of weights, scored."""

    weights: Weights
    loss: dict[str, float]  # nats per answer token, by development set
    kept: dict[str, float]  # share of gain kept on each
    score: float  # the least or the mean of the shares, as the surface's criterion says


class Surface(BaseModel):
    """A whole search; what is by name is by development set."""

    adapters: tuple[str, str]
    adapters_sha256: tuple[str, str]
    base_model: str
    criterion: Criterion
    rows: dict[str, int]  # how many development rows there were
    rows_sha256: dict[str, str]  # and which
    base_loss: dict[str, float] = {}
    single_loss: dict[str, tuple[float, float]] = {}  # of the two adapters alone, each with weight 1
    points: list[Point] = []  # in the order in which they were scored

    @property
    def best(self) -> Point:
        """The point of the best score; of equal ones the one with the higher mean, then the first."""
        return max(self.points, key=lambda point: (point.score, sum(point.kept.values())))


def search_weights(
    first: Path,
    second: Path,
    development: Mapping[str, Path],
    store: Path,
    *,
    criterion: Criterion = "minimum",
    base: str | None = None,
    same_base: bool = False,
    load: Load = "4bit",
    most_rows: int | None = ROWS,
) -> Surface:
    """Score weights of two adapters on the validation rows of each dataset, with a progress bar, and give the surface.

    The share of gain kept on a set is (base - loss) / (base - the better single adapter): 1 is all that one of the
    two gains by itself. ``minimum`` looks for the weights whose worse skill keeps most, ``mean`` for the best mean.

    Args:
        development: dataset folders by the name of the skill.
        store: file that keeps every score as it comes, so that an interrupted search goes on; scores of other
            adapters, base or rows in it are dropped.
        base: by default the base that the adapters name.
        most_rows: of each set; None takes all.

    Raises:
        UsageError: no development set, or an unknown criterion.
        LeyloraError: the adapters cannot be merged, a file is missing, or no adapter is better than the base on a set.
    """
    if criterion not in get_args(Criterion):
        raise UsageError(f"There is no criterion {criterion!r}; there are {' and '.join(get_args(Criterion))}.")
    if not development:
        raise UsageError("Name the datasets to search on, such as: --development law=data/build/law")
    adapters = [open_adapter(folder) for folder in (first, second)]
    check_mergeable([Parent(first), Parent(second)], adapters, same_base=same_base)
    if whole := [adapter for adapter in adapters if adapter.full_tensors]:
        raise LeyloraError(
            f"{whole[0].folder} holds whole weights, which cannot be rescaled together with another adapter."
        )
    name, revision = adapters[0].base(base), adapters[0].config.revision
    template = common_template([read_variant(folder) for folder in (first, second)])
    sets = held_out_rows(name, development, [SPLIT], revision=revision, template=template, most=most_rows)
    hashes = (adapter_sha256(first), adapter_sha256(second))
    found = {skill: rows.sha256 for skill, rows in sets.items()}
    identity = {"adapters": hashes, "base": base_sha256(name, revision), "load": load, "rows": found}
    scores = Scores(store, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())
    pair = Variant(name="pair", adapter=str(first), frozen_adapter=str(second))  # both active at once

    @cache
    def model() -> AdaptedModel:  # loaded at the first point that is not stored: a finished search needs no model
        silence_libraries()
        return AdaptedModel(name, load, revision=revision)

    def loss_at(weights: Weights) -> dict[str, float]:
        return {skill: row_losses(model(), pair, rows, weights).mean for skill, rows in sets.items()}

    surface = Surface(
        adapters=(adapters[0].name, adapters[1].name),
        adapters_sha256=hashes,
        base_model=name,
        criterion=criterion,
        rows={skill: len(rows.dataset) for skill, rows in sets.items()},
        rows_sha256=found,
    )
    with console.progress() as bar:
        task = bar.add_task("weights", total=MOST_POINTS)

        def scored(weights: Weights) -> dict[str, float]:
            loss = scores.get(weights, loss_at)
            bar.advance(task)
            return loss

        walk(surface, scored)
        done = len(surface.points) + 3
        bar.update(task, completed=done, total=done)
    return surface


def walk(surface: Surface, loss_at: Callable[[Weights], dict[str, float]]) -> None:
    """Fill ``surface`` with the coarse grid's points and, around the best of all so far, those of each finer step."""
    surface.base_loss = loss_at(NEITHER)
    first, second = loss_at(FIRST), loss_at(SECOND)
    surface.single_loss = {skill: (first[skill], second[skill]) for skill in surface.base_loss}
    for skill, losses in surface.single_loss.items():
        if min(losses) >= surface.base_loss[skill]:
            raise LeyloraError(
                f"Neither adapter is better than the base on the rows of {skill} ({min(losses):.3f} against "
                f"{surface.base_loss[skill]:.3f}); check that these are its rows, or train longer."
            )
    for weights in ((w1, w2) for w1 in COARSE for w2 in COARSE):
        surface.points.append(_point(surface, weights, loss_at(weights)))
    for step in FINER:
        known, centre = {point.weights for point in surface.points}, surface.best.weights
        moves = (-step, 0.0, step)
        for weights in ((centre[0] + x, centre[1] + y) for x in moves for y in moves if x or y):
            if weights not in known:
                surface.points.append(_point(surface, weights, loss_at(weights)))


def _point(surface: Surface, weights: Weights, loss: dict[str, float]) -> Point:
    kept = {
        skill: (surface.base_loss[skill] - loss[skill]) / (surface.base_loss[skill] - min(surface.single_loss[skill]))
        for skill in loss
    }
    shares = list(kept.values())
    score = min(shares) if surface.criterion == "minimum" else sum(shares) / len(shares)
    return Point(weights=weights, loss=loss, kept=kept, score=score)


class Scores:
    """Losses by weights in a JSON file, rewritten whole after every new one; another ``key`` means starting over."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        stored = read_json_object(path) if path.is_file() else {}
        fits = isinstance(stored, dict) and stored.get("key") == key
        self.losses: dict[str, dict[str, float]] = stored["losses"] if fits else {}

    def get(self, weights: Weights, measure: Callable[[Weights], dict[str, float]]) -> dict[str, float]:
        """The stored losses at ``weights``, or measured ones, which are stored."""
        name = f"{weights[0]:g}, {weights[1]:g}"
        if name not in self.losses:
            self.losses[name] = measure(weights)
            write_json(self.path, {"key": self.key, "losses": self.losses})
        return self.losses[name]


# How it is shown


def searched(
    parents: Sequence[Parent], development: Sequence[str], out: Path, method: Method, *, criterion: str, **how: Any
) -> tuple[Surface, list[Parent]]:
    """Search the weights of a pair, print the surface, and give it with the weighted parents.

    Args:
        development: ``SKILL=FOLDER`` each.
        out: where the merge will go; scores are kept next to it, as ``.NAME.search.json``.
        how: as in `search_weights`.

    Raises:
        UsageError: what is asked for cannot be searched: not a pair, given weights, a rule that is not a weighted sum.
        LeyloraError: as `search_weights`.
    """
    if len(parents) != 2 or any(parent.weight != 1 or parent.overrides for parent in parents):
        raise UsageError("--search finds one weight for each of two adapters; name two, without weights.")
    if method not in ("concat", "svd"):
        raise UsageError(f"--search scores weighted sums, which {method} is not; use it with concat or svd.")
    folders = {}
    for text in development:
        skill, equals, folder = text.partition("=")
        if not (skill and equals and folder):
            raise UsageError(f"--development {text} is not SKILL=DATASET; write it like law=data/build/law.")
        folders[skill] = Path(folder)
    store, wanted = out.with_name(f".{out.name}.search.json"), cast(Criterion, criterion)
    surface = search_weights(parents[0].folder, parents[1].folder, folders, store, criterion=wanted, **how)
    console.out.print(surface_table(surface))
    weighted = zip(parents, surface.best.weights, strict=True)
    return surface, [Parent(parent.folder, weight) for parent, weight in weighted]


def surface_table(surface: Surface) -> Table:
    """The criterion at every scored pair of weights: rows the first adapter's, columns the second's; best reversed."""
    first, second = surface.adapters
    table = Table(title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.title = f"{CRITERIA[surface.criterion]}, %; down: weight of {first}, across: of {second}"
    scores = {point.weights: point.score for point in surface.points}
    across = sorted({weights[1] for weights in scores})
    table.add_column("")
    for w2 in across:
        table.add_column(f"{w2:.4g}", justify="right", min_width=4)
    best, low = surface.best, min(scores.values())
    for w1 in sorted({weights[0] for weights in scores}):
        cells = [_cell(scores.get((w1, w2), nan), low, best.score, is_best=(w1, w2) == best.weights) for w2 in across]
        table.add_row(f"{w1:.4g}", *cells)
    losses = "; ".join(
        f"{skill}: {best.kept[skill]:.0%} kept ({surface.base_loss[skill]:.3f} base, "
        f"{min(surface.single_loss[skill]):.3f} the better adapter alone, {best.loss[skill]:.3f} here)"
        for skill in best.loss
    )
    rows = ", ".join(f"{count} of {skill}" for skill, count in surface.rows.items())
    table.caption = f"best {best.weights[0]:g} / {best.weights[1]:g}. {losses}. Validation rows: {rows}"
    return table


def save_surface(surface: Surface, folder: Path) -> None:
    """Write `SURFACE_FILE` and `PICTURES` into ``folder``; the same surface gives the same bytes."""
    write_json(folder / SURFACE_FILE, {**surface.model_dump(), "best": surface.best.model_dump()})
    save_figure(heat(surface), *(folder / name for name in PICTURES))


def heat(surface: Surface) -> Figure:
    """A panel a skill and one for the criterion: each scored point in its colour, the best one circled."""
    panels = {skill: [point.kept[skill] for point in surface.points] for skill in surface.rows}
    panels[surface.criterion] = [point.score for point in surface.points]
    figure = Figure(figsize=(3.4 * len(panels), 3.4), layout="constrained")
    best = surface.best
    down, across = zip(*(point.weights for point in surface.points), strict=True)
    sizes = [260 if set(point.weights) <= set(COARSE) else 60 for point in surface.points]
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        low, high = max(-1.0, min(values)), max(values)
        # Small squares above large ones: a finer point lies on the coarse one it refines.
        look = {"cmap": "viridis", "marker": "s", "edgecolors": "white", "linewidths": 0.4}
        marks = axis.scatter(across, down, c=values, s=sizes, vmin=low, vmax=high, **look)
        axis.scatter([best.weights[1]], [best.weights[0]], s=130, facecolors="none", edgecolors="crimson", linewidths=2)
        axis.set_title(f"share of gain kept: {title}", fontsize=9)
        axis.margins(0.1)
        axis.set_xlabel(f"weight of {surface.adapters[1]}", fontsize=8)
        axis.tick_params(labelsize=7)
        figure.colorbar(marks, ax=axis, pad=0.02).ax.tick_params(labelsize=7)
    axes[0].set_ylabel(f"weight of {surface.adapters[0]}", fontsize=8)
    return figure


def _cell(score: float, low: float, high: float, *, is_best: bool) -> Text:
    if score != score:  # a pair the finer grid did not visit
        return Text("")
    share = (score - low) / (high - low) if high > low else 1.0
    red, green = round(220 * (1 - share)), round(70 + 130 * share)
    return Text(f"{100 * score:.0f}", style=f"rgb({red},{green},90)" + (" bold reverse" if is_best else ""))
