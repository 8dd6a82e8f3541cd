"""The heat strips of a merge: one cell a module, layers from left to right, as ``merge_report.png`` and ``.svg``."""

from collections.abc import Callable, Iterable
from math import log2, nan
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.adapters.report import MergeReport, ModuleReport
from leylora.adapters.weights import layer_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_FILES = ("merge_report.png", "merge_report.svg")


def draw(report: MergeReport, folder: Path) -> None:
    """Draw the strips into ``folder``, as `PICTURE_FILES`; the same report gives the same bytes."""
    import matplotlib

    figure = heat_strips(report)
    with matplotlib.rc_context({"svg.hashsalt": "leylora"}):
        for name in PICTURE_FILES:
            figure.savefig(folder / name, dpi=130, metadata={"Date": None} if name.endswith(".svg") else None)


def heat_strips(report: MergeReport) -> "Figure":
    """Three strips: what the cut to a rank lost, the angle between the parents, and which parent is louder."""
    from matplotlib.figure import Figure

    first, second = (parent.name for parent in report.parents[:2])
    top = _scale(module.sum_error for module in report.modules)
    turn = _scale(module.cosine for module in report.modules)
    strips: list[tuple[str, str, float, float, Callable[[ModuleReport], float]]] = [
        ("relative error against the exact sum", "YlOrRd", 0, top, lambda m: nan_if_none(m.sum_error)),
        (f"cosine between {first} and {second}", "RdBu_r", -turn, turn, lambda m: nan_if_none(m.cosine)),
        (f"log2 of |{second}| / |{first}|, weighted (red: {second} is louder)", "RdBu_r", -4, 4, _loudness),
    ]
    leaves = list(dict.fromkeys(module.module.rpartition(".")[2] for module in report.modules))
    layers = sorted({layer_of(module.module) or 0 for module in report.modules})
    column, row = ({value: at for at, value in enumerate(values)} for values in (layers, leaves))
    figure = Figure(
        figsize=(max(6.5, 0.24 * len(layers) + 3), 3 * (0.22 * len(leaves) + 0.75) + 0.4), layout="constrained"
    )
    figure.suptitle(f"{report.method}: {' + '.join(f'{p.weight:g} x {p.name}' for p in report.parents)}", fontsize=10)
    for axis, (title, colours, low, high, value) in zip(figure.subplots(len(strips), 1), strips, strict=True):
        grid = [[nan] * len(layers) for _ in leaves]
        for module in report.modules:
            grid[row[module.module.rpartition(".")[2]]][column[layer_of(module.module) or 0]] = value(module)
        image = axis.imshow(grid, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set_facecolor("0.85")  # a module only one parent has, or none
        axis.set_title(title, fontsize=8, loc="left")
        axis.set_yticks(range(len(leaves)), leaves, fontsize=7)
        step = max(1, len(layers) // 16)
        axis.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]], fontsize=7)
        figure.colorbar(image, ax=axis, pad=0.01).ax.tick_params(labelsize=7)
    axis.set_xlabel("layer", fontsize=8)
    return figure


def nan_if_none(value: float | None) -> float:
    """What a grid holds where a report has no value."""
    return nan if value is None else value


def _scale(values: Iterable[float | None]) -> float:
    """The end of a colour scale: the largest size, and at least a tenth so that next to nothing stays pale."""
    return max([0.1, *(abs(value) for value in values if value is not None)])


def _loudness(module: ModuleReport) -> float:
    first, second = (
        (norm or 0.0) * abs(weight or 0.0) for norm, weight in zip(module.norms[:2], module.weights[:2], strict=True)
    )
    return log2(second / first) if first > 0 and second > 0 else nan
