"""What the adapters' own records tell: the losses of their runs, and what the merge cut away."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from leylora.adapters.weights import layer_of
from leylora.evaluation.report.charts import Curve, heat_strip, key_line, loss_chart
from leylora.evaluation.report.words import Words
from leylora.evaluation.results import Results, Variant


@dataclass(frozen=True)
class LossChart:
    """The runs of one model on one chart; ``key`` says which line is which, and where each ended."""

    model: str
    drawing: Markup
    key: list[tuple[Markup, str, str]]


@dataclass(frozen=True)
class Strip:
    """What a merge lost; without a drawing when it lost nothing."""

    title: str
    text: str
    drawing: Markup | None


def loss_charts(results: Results, words: Words) -> list[LossChart]:
    """One chart for each model with runs on record, all on the same axes."""
    curves = {
        model.label: [curve for variant in model.variants if (curve := _curve(variant)) is not None]
        for model in results.provenance.models
    }
    points = [point for of_model in curves.values() for curve in of_model for point in curve.all_points]
    if not points:
        return []
    last = max(1, *(step for step, _ in points))
    top = max(1e-9, *(loss for _, loss in points))
    axes = (words("chart.step"), words("chart.loss"))
    charts = []
    for model, of_model in curves.items():
        if not of_model:
            continue
        key = [(key_line(number), words.name("variant", curve.name), _ends(curve, words))
               for number, curve in enumerate(of_model)]  # fmt: skip
        title = f"{model}: " + "; ".join(f"{name}, {ends}" for _, name, ends in key)
        charts.append(LossChart(model, loss_chart(title, of_model, last, top, axes, words.tick), key))
    return charts


def _curve(variant: Variant) -> Curve | None:
    log: list[dict[str, Any]] = (variant.run or {}).get("log") or []
    train = [(int(one["step"]), float(one["loss"])) for one in log if one.get("loss") is not None]
    unseen = [(int(one["step"]), float(one["eval_loss"])) for one in log if one.get("eval_loss") is not None]
    return Curve(variant.name, train, unseen) if train or unseen else None


def _ends(curve: Curve, words: Words) -> str:
    ends = [(words("chart.train"), curve.train), (words("chart.eval"), curve.unseen)]
    return ", ".join(f"{name} {words.number(points[-1][1], 2)}" for name, points in ends if points)


def strips(results: Results, words: Words) -> list[Strip]:
    """For every merged adapter: the error of cutting it to its rank, by layer and module."""
    found = []
    for model in results.provenance.models:
        for variant in model.variants:
            if variant.merge is not None:
                found.append(_strip(f"{model.label}, {words.name('variant', variant.name)}", variant.merge, words))
    return found


def _strip(name: str, merge: dict[str, Any], words: Words) -> Strip:
    parents = " + ".join(f"{words.number(one['weight'], 2)} × {one['name']}" for one in merge.get("parents", []))
    rank = "" if merge.get("rank") is None else f", r = {merge['rank']}"
    title = f"{name}: {merge['method']}{rank} ({parents})"
    cells = {
        (one["module"].rpartition(".")[2], layer_of(one["module"]) or 0): float(one["truncation_error"])
        for one in merge["modules"]
    }
    top = max(cells.values(), default=0.0)
    if top < 1e-6:
        return Strip(title, words("merge.exact"), None)
    mean = sum(cells.values()) / len(cells)
    text = words("merge.mean", mean=words.value(mean, "share"), top=words.value(top, "share"))
    return Strip(title, text, heat_strip(f"{title}: {text}", cells, top, words("merge.axis")))
