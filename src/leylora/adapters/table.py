"""A merge as a short table for the terminal: one row for each kind of module."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import fmean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora.adapters.logits import Comparison
from leylora.adapters.report import MergeReport, ModuleReport


def report_table(report: MergeReport) -> Table:
    """Modules of one name (``q_proj``) share a row: how many, their ranks, the parents' norms, angle, losses."""
    table = Table(title=_title(report), title_justify="left", caption_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("module", no_wrap=True)
    norms = [f"|{_short(parent.name)}|" for parent in report.parents]
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
        errors = [module.sum_error for module in modules if module.sum_error is not None]
        table.add_row(
            leaf,
            str(len(modules)),
            _span([module.rank for module in modules]),
            *(_mean([module.norms[at] for module in modules], ".3g") for at in range(len(report.parents))),
            _mean([module.cosine for module in modules], "+.3f"),
            _mean([module.energy_kept for module in modules], ".3f"),
            _mean(errors, ".2g"),
            f"{max(errors):.2g}" if errors else "",
        )
    table.caption = (
        "| | norm of the delta before its weight; kept: share of energy kept by the cut to the rank; "
        "error: distance to the exact weighted sum, mean and worst"
    )
    return table


def comparison_table(columns: Mapping[str, Comparison]) -> Table:
    """Logit comparisons side by side, one named column each; see `logits.Comparison`."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("logits, over every position", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    rows: dict[str, Callable[[Comparison], str]] = {
        "effect of the adapter, root mean square": lambda c: "" if c.effect is None else f"{c.effect:.3g}",
        "gap between the two, root mean square": lambda c: f"{c.gap:.3g}",
        "gap / effect": lambda c: f"{c.gap / c.effect:.2%}" if c.effect else "",
        "worst gap": lambda c: f"{c.worst:.3g}",
        "KL divergence, nats a token": lambda c: f"{c.divergence:.2e}",
        "same most likely token": lambda c: f"{c.agreement:.2%}",
    }
    for title, value in rows.items():
        table.add_row(title, *(value(comparison) for comparison in columns.values()))
    return table


def _title(report: MergeReport) -> str:
    parts = " + ".join(f"{parent.weight:g} x {parent.name}" for parent in report.parents)
    return f"{report.method}: {parts}, {report.dtype}, {report.seconds:.2f} s"


def _short(name: str) -> str:
    return name if len(name) <= 8 else f"{name[:7]}…"


def _span(ranks: list[int]) -> str:
    return str(ranks[0]) if min(ranks) == max(ranks) else f"{min(ranks)}-{max(ranks)}"


def _mean(values: list[float] | list[float | None], style: str) -> str:
    known = [value for value in values if value is not None]
    return format(fmean(known), style) if known else ""
