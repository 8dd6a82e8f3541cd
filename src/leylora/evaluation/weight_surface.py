"""A weight search to look at: a heat table on the terminal, a picture and a JSON file beside the merged adapter."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from leylora import console
from leylora.adapters.merge import Parent
from leylora.adapters.report import Method
from leylora.errors import UsageError
from leylora.evaluation.weight_search import COARSE, Criterion, Surface, search_weights
from leylora.files import save_figure, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SURFACE_FILE = "weight_search.json"
PICTURES = ("weight_search.png", "weight_search.svg")
CRITERIA = {"minimum": "the least share of gain kept over the skills", "mean": "the mean share of gain kept"}


def searched(
    parents: Sequence[Parent], development: Sequence[str], out: Path, method: Method, *, criterion: str, **how: Any
) -> tuple[Surface, list[Parent]]:
    """Search the weights of a pair with a progress bar, print the surface, and give it with the weighted parents.

    Args:
        development: ``SKILL=FOLDER`` each.
        out: where the merge will go; scores are kept beside it, as ``.NAME.search.json``.
        how: as in `leylora.evaluation.weight_search.search_weights`.

    Raises:
        UsageError: what is asked for cannot be searched: not a pair, given weights, a rule that is no weighted sum.
        LeyloraError: as `search_weights`.
    """
    if len(parents) != 2 or any(parent.weight != 1 or parent.overrides for parent in parents):
        raise UsageError("--search finds one weight for each of two adapters; name two, without weights.")
    if method not in ("concat", "svd"):
        raise UsageError(f"--search scores weighted sums, which {method} is not; use it with concat or svd.")
    if criterion not in get_args(Criterion):
        raise UsageError(f"{criterion!r} is no criterion; there are {' and '.join(get_args(Criterion))}.")
    folders = {}
    for text in development:
        skill, equals, folder = text.partition("=")
        if not (skill and equals and folder):
            raise UsageError(f"--development {text} is no SKILL=DATASET; write it like law=data/build/law.")
        folders[skill] = Path(folder)
    with console.progress() as bar:
        task = bar.add_task("weights", total=None)
        surface = search_weights(
            parents[0].folder, parents[1].folder, folders, out.with_name(f".{out.name}.search.json"),
            criterion=cast(Criterion, criterion), **how,
            tick=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
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


def heat(surface: Surface) -> "Figure":
    """A panel a skill and one for the criterion: each scored point in its colour, the best one circled."""
    from matplotlib.figure import Figure

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
        marks = axis.scatter(across, down, c=values, s=sizes, marker="s", cmap="viridis", vmin=low, vmax=high,
                             edgecolors="white", linewidths=0.4)  # fmt: skip
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
