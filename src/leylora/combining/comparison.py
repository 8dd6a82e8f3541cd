"""What each adapter of a pair, and each way to one, is worth on held-out rows: losses, and the gain that is kept."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel
from rich import box
from rich.table import Table

from leylora import console
from leylora.evaluation.loss import (
    RowLosses,
    Variant,
    compare,
    held_out_rows,
    interval,
    load_for_scoring,
    retention,
    retention_interval,
)


class Cell(BaseModel):
    """One variant on one held-out set: loss per answer token with a 95 % interval, and the share of gain kept."""

    variant: str
    held_out: str
    rows: int
    loss: float
    low: float
    high: float
    kept: float | None = None
    kept_low: float | None = None
    kept_high: float | None = None


def compare_variants(
    base: str,
    adapters: Mapping[str, Path],
    datasets: Mapping[str, Path],
    combined: Collection[str],
    splits: Sequence[str],
    *,
    revision: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
    load_in_4bit: bool = True,
) -> list[Cell]:
    """Losses of the base and its adapters on the held-out rows of each dataset, the base loaded once.

    Args:
        adapters: folders by name; those named like a dataset are the single adapters.
        datasets: dataset folders by the name of the skill, which is also the name of its own adapter.
        combined: the adapters whose share of the single adapters' gain is asked for; it stays None for a skill
            whose own adapter is not among ``adapters`` or gained nothing.
        splits: which rows, such as ``["test"]``.
    """
    from leylora.training.quiet import hush

    hush()
    sets = held_out_rows(base, datasets, splits, revision=revision, template=template, max_length=max_length)
    model = load_for_scoring(base, revision, load_in_4bit=load_in_4bit)
    variants = [Variant("base", None), *(Variant(name, folder) for name, folder in adapters.items())]
    losses = compare(model, variants, sets)
    return [_cell(losses, variant.name, skill, combined) for variant in variants for skill in sets]


def _cell(losses: dict[str, dict[str, RowLosses]], variant: str, skill: str, combined: Collection[str]) -> Cell:
    measured = losses[variant][skill]
    low, high = interval(measured)
    cell = Cell(variant=variant, held_out=skill, rows=len(measured.nll), loss=measured.mean, low=low, high=high)
    base, single = losses["base"][skill], losses.get(skill, {}).get(skill)
    if variant in combined and single is not None and single.mean < base.mean:
        cell.kept = retention(base, single, measured)
        cell.kept_low, cell.kept_high = retention_interval(base, single, measured)
    return cell


def best_of(cells: Sequence[Cell]) -> str | None:
    """The combined variant whose worse skill keeps most of its gain; None where a share is missing."""
    kept: dict[str, list[float]] = {}
    for cell in cells:
        if cell.kept is not None:
            kept.setdefault(cell.variant, []).append(cell.kept)
    skills = len({cell.held_out for cell in cells})
    whole = {variant: min(shares) for variant, shares in kept.items() if len(shares) == skills}
    return max(whole, key=lambda variant: whole[variant]) if whole else None


def print_table(cells: Sequence[Cell], labels: Mapping[str, str]) -> None:
    """The cells as a table of 80 columns: a line a variant, loss and kept gain for each skill."""
    skills = list(dict.fromkeys(cell.held_out for cell in cells))
    by = {(cell.variant, cell.held_out): cell for cell in cells}
    table = Table(title="Loss on held-out rows, nats per answer token; less is better", box=box.SIMPLE_HEAD)
    table.add_column("adapter", no_wrap=True)
    for skill in skills:
        table.add_column(f"{skill}\n{by['base', skill].rows} rows", justify="right")
        table.add_column("gain kept", justify="right")
    for variant in dict.fromkeys(cell.variant for cell in cells):
        line = [labels.get(variant, variant)]
        for skill in skills:
            cell = by[variant, skill]
            line.append(f"{cell.loss:.2f} ±{(cell.high - cell.low) / 2:.2f}")
            kept = "" if cell.kept is None else f"{cell.kept:.0%}"
            line.append(kept and f"{kept} ±{((cell.kept_high or 0) - (cell.kept_low or 0)) / 2:.0%}")
        table.add_row(*line)
    console.out.print(table)
    console.say("± is half the 95 % bootstrap interval over rows; gain kept: share of the single adapter's gain.")
