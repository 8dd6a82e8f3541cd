"""What a merge did, in numbers: the report written as ``merge_report.json``, and its table, picture and model card."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from math import log2, nan
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora.console import without_common_start
from leylora.files import save_figure

if TYPE_CHECKING:  # light: `merge_adapters.py --help` draws nothing
    from matplotlib.figure import Figure

Method = Literal["concat", "svd", "ties", "activations"]

REPORT_FILE, CARD_FILE = "merge_report.json", "README.md"
PICTURE_FILES = ("merge_report.png", "merge_report.svg")
SHARED, OPPOSED = 0.5, -0.1  # cosines of two whole deltas; adapters trained apart have some 0.02 to 0.04
OUTWEIGHS = 5.0  # a parent whose delta is this many times larger decides the merge alone

_METHODS = {
    "concat": "the exact weighted sum of the parents, their ranks added",
    "svd": "the weighted sum of the parents, cut to the best adapter of the rank (Eckart–Young)",
    "activations": "each layer the nearest of its rank to both parents on their own rows (RegMean, arXiv 2212.09849)",
    "ties": "TIES (arXiv 2306.01708) in core space (arXiv 2509.17786)",
}


class ParentReport(BaseModel):
    name: str
    path: str  # of its folder, seen from the merged folder
    sha256: str
    weight: float
    overrides: list[tuple[str, float]]
    scaled_norm: float  # Frobenius norm over all modules of weight * delta


class ModuleReport(BaseModel):
    """One merged module; ``weights`` and ``norms`` have one entry a parent, null where it has no part."""

    module: str
    rank: int
    d_out: int
    d_in: int
    weights: list[float | None]
    norms: list[float | None]  # Frobenius norm of the parent's delta, before its weight
    cosine: float | None  # between the deltas of the first two parents
    energy_kept: float  # share of the squared norm kept by cutting the method's result to ``rank``
    truncation_error: float  # relative error of that cut
    sum_error: (
        float | None
    )  # relative Frobenius distance to the exact weighted sum; null if that is 0, or by activations
    row_errors: list[float | None] = []  # activations: relative distance to each parent's output on its own rows
    rounding: float  # relative error of storing the two factors in ``dtype``, root of the sum of squares

    @property
    def error(self) -> float | None:
        """Distance to the exact sum, or with activations to the parent whose output is missed most."""
        return max((error for error in self.row_errors if error is not None), default=self.sum_error)


class MergeReport(BaseModel):
    method: Method
    rank: int | None
    energy: float | None
    density: float | None
    dtype: str
    base_model: str | None
    leylora: str
    parents: list[ParentReport]
    modules: list[ModuleReport]
    seconds: float
    output_sha256: str | None = None
    carried_files: list[str] = []
    picture: bool = False
    warnings: list[str] = []

    def mean(self, field: str) -> float:
        """The mean of a `ModuleReport` field over the modules that have it, 0 where none has."""
        values = [value for module in self.modules if (value := getattr(module, field)) is not None]
        return fmean(values) if values else 0.0


def merge_warnings(
    names: list[str], norms: list[float], ranks: set[int], cosine: float | None, method: Method
) -> list[str]:
    """Warnings of parents that add next to nothing, of two that share or undo each other's delta, of unlike ranks.

    ``norms`` are the Frobenius norms of weight * delta over all modules, one a parent; ``cosine`` is that of the first
    two parents' deltas over all modules. A cosine near 0 says nothing: how much a sum loses depends on what each delta
    does to the other's inputs, which only rows can show.
    """
    largest = max(norms)
    heaviest = names[norms.index(largest)]
    warnings = []
    for name, norm in zip(names, norms, strict=True):
        if norm == 0:
            warnings.append(f"{name} adds nothing: its weight or all its deltas are 0; was it trained?")
        elif norm * OUTWEIGHS < largest:
            warnings.append(
                f"{heaviest} outweighs {name}: its weighted delta is {largest / norm:.1f} times as large; lower its "
                "weight or check how both were trained."
            )
    if cosine is not None and method != "activations":
        pair = " and ".join(names[:2])
        if cosine > SHARED:
            warnings.append(
                f"The deltas of {pair} point the same way (cosine {cosine:+.2f}), so a sum counts what they share "
                "twice; lower the weights, such as 0.5 each, or use --method activations."
            )
        elif cosine < OPPOSED:
            warnings.append(
                f"The deltas of {pair} point against each other (cosine {cosine:+.2f}), so a sum undoes part of both; "
                "use --method activations, or train one over the other."
            )
    if len(ranks) > 1:  # not every program that loads LoRA knows patterns
        warnings.append(
            f"The modules have ranks from {min(ranks)} to {max(ranks)}, so the config holds rank_pattern: PEFT since "
            "0.6 and vLLM load it exactly; llama.cpp's LoRA converter would scale the smaller ranks up, so fold it "
            "with --into-base for GGUF."
        )
    return warnings


def layer_of(module: str) -> int | None:
    """The layer number in a module's path: the first part that is a number."""
    return next((int(part) for part in module.split(".") if part.isascii() and part.isdecimal()), None)


def report_table(report: MergeReport) -> Table:
    """Modules of one name (``q_proj``) share a row: how many, their ranks, the parents' norms, angle, losses."""
    title = f"{_title(report)}, {report.dtype}, {report.seconds:.2f} s"
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("module", no_wrap=True)
    names = [parent.name for parent in report.parents]
    norms = [f"|{name if len(name) <= 8 else f'{name[:7]}…'}|" for name in without_common_start(names)]
    for title in ("count", "rank", *norms, "cosine", "kept", "error", "worst"):
        table.add_column(title, justify="right")
    rows: dict[str, list[ModuleReport]] = defaultdict(list)
    for module in report.modules:
        rows[module.module.rpartition(".")[2]].append(module)
    if len(rows) > 1:
        rows["all"] = report.modules
    for leaf, modules in rows.items():
        if leaf == "all":
            table.add_section()
        errors = [error for module in modules if (error := module.error) is not None]
        low, high = min(module.rank for module in modules), max(module.rank for module in modules)
        table.add_row(
            leaf,
            str(len(modules)),
            str(low) if low == high else f"{low}-{high}",
            *(_mean([module.norms[at] for module in modules], ".3g") for at in range(len(names))),
            _mean([module.cosine for module in modules], "+.3f"),
            _mean([module.energy_kept for module in modules], ".3f"),
            _mean(errors, ".2g"),
            f"{max(errors):.2g}" if errors else "",
        )
    table.caption = "| | norm of the delta before its weight; kept: share of energy kept by the cut to the rank; " + (
        "error: distance to the output of the parent it is furthest from, on that parent's rows, mean and worst"
        if report.method == "activations"
        else "error: distance to the exact weighted sum, mean and worst"
    )
    return table


def _title(report: MergeReport) -> str:
    return f"{report.method}: {' + '.join(f'{parent.weight:g} x {parent.name}' for parent in report.parents)}"


def _mean(values: list[float] | list[float | None], style: str) -> str:
    known = [value for value in values if value is not None]
    return format(fmean(known), style) if known else ""


def draw(report: MergeReport, folder: Path) -> None:
    """Draw the heat strips into ``folder``, as `PICTURE_FILES`; the same report gives the same bytes."""
    save_figure(heat_strips(report), *(folder / name for name in PICTURE_FILES))


def heat_strips(report: MergeReport) -> "Figure":
    """Three strips: what the cut to a rank lost, the angle between the parents, and which parent is larger."""
    from matplotlib.figure import Figure

    def end(values: Iterable[float | None]) -> float:  # of a colour scale; next to nothing stays pale
        return max([0.1, *(abs(value) for value in values if value is not None)])

    def log_ratio(module: ModuleReport) -> float | None:
        pairs = zip(module.norms[:2], module.weights[:2], strict=True)
        one, two = ((norm or 0.0) * abs(weight or 0.0) for norm, weight in pairs)
        return log2(two / one) if one > 0 and two > 0 else None

    first, second = (parent.name for parent in report.parents[:2])
    top, turn = end(module.error for module in report.modules), end(module.cosine for module in report.modules)
    strips: list[tuple[str, str, float, float, Callable[[ModuleReport], float | None]]] = [
        (
            "relative error against the parent missed most, on its rows"
            if report.method == "activations"
            else "relative error against the exact sum",
            "YlOrRd",
            0,
            top,
            lambda module: module.error,
        ),
        (f"cosine between {first} and {second}", "RdBu_r", -turn, turn, lambda module: module.cosine),
        (f"log2 of |{second}| / |{first}|, weighted (red: {second} is larger)", "RdBu_r", -4, 4, log_ratio),
    ]
    leaves = list(dict.fromkeys(module.module.rpartition(".")[2] for module in report.modules))
    layers = sorted({layer_of(module.module) or 0 for module in report.modules})
    size = (max(6.5, 0.24 * len(layers) + 3), 3 * (0.22 * len(leaves) + 0.75) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(_title(report), fontsize=10)
    for axis, (title, colours, low, high, value) in zip(figure.subplots(len(strips), 1), strips, strict=True):
        grid = [[nan] * len(layers) for _ in leaves]
        for module in report.modules:
            row, column = leaves.index(module.module.rpartition(".")[2]), layers.index(layer_of(module.module) or 0)
            grid[row][column] = nan if (found := value(module)) is None else found
        image = axis.imshow(grid, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set_facecolor("0.85")  # a module only one parent has, or none
        axis.set_title(title, fontsize=8, loc="left")
        axis.set_yticks(range(len(leaves)), leaves, fontsize=7)
        step = max(1, len(layers) // 16)
        axis.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]], fontsize=7)
        figure.colorbar(image, ax=axis, pad=0.01).ax.tick_params(labelsize=7)
    axis.set_xlabel("layer", fontsize=8)
    return figure


def merged_card(name: str, report: MergeReport, config: Mapping[str, Any]) -> str:
    """The Markdown of the card, with the metadata the Hugging Face Hub reads."""
    head = {
        "base_model": report.base_model,
        "base_model_relation": "adapter",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["lora", "merge", "leylora"],
    }
    rows = []
    for parent in report.parents:
        overrides = ", ".join(f"`{pattern}` {weight:g}" for pattern, weight in parent.overrides) or "-"
        norm, sha256 = f"{parent.scaled_norm:.4g}", parent.sha256[:16]
        rows.append(f"| `{parent.name}` | {parent.weight:g} | {overrides} | {norm} | `{sha256}` |")
    table = "\n".join(rows)
    patterns = "" if "rank_pattern" not in config else f" (other ranks for {len(config['rank_pattern'])} patterns)"
    exact = all(module.sum_error == 0 for module in report.modules)
    cost = (
        "Nothing was cut: apart from rounding, the merged delta is the weighted sum."
        if exact
        else f"Against the exact weighted sum the merged deltas differ by {report.mean('sum_error'):.2%} on average."
    )
    if report.method == "activations":
        cost = f"On its own rows each parent's output is missed by at most {report.mean('error'):.2%} on average."
    if report.mean("truncation_error") > 0:
        cost += f" The cut to the rank kept {report.mean('energy_kept'):.2%} of their energy."
    if report.mean("rounding") > 0:
        cost += f" Rounding to {report.dtype} moved the factors by {report.mean('rounding'):.1e}."
    base = f"`{report.base_model}`" if report.base_model else "a base model its parents do not name"
    picture = f"![Heat strips of the merge]({PICTURE_FILES[0]})\n\n" if report.picture else ""
    warnings = "\n".join(["## Warnings", "", *(f"- {warning}" for warning in report.warnings), "", ""])
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip()}
---

# {name}

A LoRA adapter for {base}, merged from {len(report.parents)} adapters without the base model: {_METHODS[report.method]}.

| parent | weight | by layer or module | norm of its part | SHA-256 |
|---|---|---|---|---|
{table}

Rank {config["r"]}{patterns}, lora_alpha = r, {report.dtype}. {cost} Every figure, by module, is in `{REPORT_FILE}`.

{picture}{warnings if report.warnings else ""}## Use

```python
from peft import PeftModel

model = PeftModel.from_pretrained(base_model, "{name}")
```

In text-generation-webui copy the folder into the LoRA folder and load it from the Model tab. \
A merge is not a training: measure both skills before relying on it. \
The licences and limits of the parents and of the base model apply.
"""
