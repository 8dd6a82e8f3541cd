"""A merge as a short table for the terminal: one row for each kind of module."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean

from rich.table import Table

from leylora.adapters.logits import Comparison
from leylora.adapters.report import MergeReport, ModuleReport


def report_table(report: MergeReport) -> Table:
    """Modules of one name (``q_proj``) share a row: how many, their ranks, the parents' norms, angle, losses."""
    table = Table(title=_title(report), title_justify="left", caption_justify="left")
    table.add_column("module")
    norms = [f"|{parent.name}|" for parent in report.parents]
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
            _mean([module.energy_kept for module in modules], ".2%"),
            _mean(errors, ".3g"),
            f"{max(errors):.3g}" if errors else "",
        )
    table.caption = (
        "| | norm of the delta before its weight; kept: energy kept by the cut to the rank; "
        "error: distance to the exact weighted sum, mean and worst"
    )
    return table


def comparison_table(rows: Mapping[str, Comparison]) -> Table:
    """Logit comparisons, one named row each; see `logits.Comparison` for the columns."""
    table = Table(caption="logits: root mean square and worst difference; KL: nats a token", caption_justify="left")
    table.add_column("compared")
    for title in ("effect", "gap", "gap / effect", "worst", "KL", "same top token"):
        table.add_column(title, justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            "" if row.effect is None else f"{row.effect:.3g}",
            f"{row.gap:.3g}",
            f"{row.gap / row.effect:.2%}" if row.effect else "",
            f"{row.worst:.3g}",
            f"{row.divergence:.2e}",
            f"{row.agreement:.2%}",
        )
    return table


def _title(report: MergeReport) -> str:
    parts = " + ".join(f"{parent.weight:g} x {parent.name}" for parent in report.parents)
    return f"{report.method}: {parts}, {report.dtype}, {report.seconds:.2f} s"


def _span(ranks: list[int]) -> str:
    return str(ranks[0]) if min(ranks) == max(ranks) else f"{min(ranks)}-{max(ranks)}"


def _mean(values: list[float] | list[float | None], style: str) -> str:
    known = [value for value in values if value is not None]
    return format(fmean(known), style) if known else ""
