"""The curves of a run: loss, learning rate and gradient norm over its steps, as ``training.png`` and ``.svg``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.files import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leylora.training.record import LossPoint

PICTURE_FILES = ("training.png", "training.svg")
BLUE, ORANGE, GREY = "#1f5f8b", "#d1662b", "0.35"


def draw(log: "Sequence[LossPoint]", name: str, folder: Path) -> None:
    """Draw the curves into ``folder`` as `PICTURE_FILES`; the same log gives the same bytes."""
    save_figure(curves(log, name), *(folder / file for file in PICTURE_FILES), dpi=110)


def curves(log: "Sequence[LossPoint]", name: str) -> "Figure":
    """Three panels over the same steps; the loss on held-out rows is drawn as points."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    trained = [point for point in log if point.loss is not None]
    held_out = [(point.step, point.eval_loss) for point in log if point.eval_loss is not None]
    steps = [point.step for point in trained]
    mark = "." if len(trained) <= 60 else ""
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    loss, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    loss.plot(steps, [point.loss for point in trained], color=BLUE, marker=mark, linewidth=1.4, label="training")
    if held_out:
        loss.plot(*zip(*held_out, strict=True), "o", color=ORANGE, markersize=6, label="held out")
        loss.legend(frameon=False, fontsize=9)
    loss.set_title(name, fontsize=11, loc="left")
    loss.set_ylabel("loss (nats a token)")
    rate.plot(steps, [point.learning_rate for point in trained], color=GREY, marker=mark, linewidth=1.2)
    rate.set_ylabel("learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    norm.plot(steps, [point.grad_norm for point in trained], color=GREY, marker=mark, linewidth=1.2)
    norm.set_ylabel("gradient norm")
    norm.set_xlabel("step")
    norm.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (loss, rate, norm):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9", linewidth=0.8)
        axis.tick_params(labelsize=8)
    norm.set_ylim(bottom=0)
    return figure
