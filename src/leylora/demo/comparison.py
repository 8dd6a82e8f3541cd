"""The demo's closing table: what each adapter is worth on held-out rows of both kinds."""

from pathlib import Path

from pydantic import BaseModel
from rich import box
from rich.table import Table

from leylora import console
from leylora.evaluation.held_out import RowLosses, Variant, compare, interval, retention, retention_interval
from leylora.models.families import family_of
from leylora.models.loading import load_base, load_config, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.rows import load_conversations, tokenize

LABELS = {
    "base": "base",
    "instructions": "instructions",
    "law": "law",
    "plain-merge": "plain merge of the two",
    "combined": "law on top, with replay",
}
COMBINED = ("plain-merge", "combined")
MAX_LENGTH = 512


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


def compare_variants(base: Path, adapters: dict[str, Path], datasets: dict[str, Path]) -> list[Cell]:
    """Losses of the base and its adapters on the validation and test rows of each dataset.

    Args:
        adapters: folders by name; ``instructions`` and ``law`` are what the combined ones are measured against.
        datasets: dataset folders by the name of the skill, which is also the name of its own adapter.
    """
    import torch

    from leylora.training.quiet import hush

    hush()
    name = str(base)
    tokenizer = load_tokenizer(name)
    template = training_template(instruction_template(family_of(load_config(name)).instruction_template))
    sets = {
        skill: tokenize(
            [row for split in ("validation", "test") for row in load_conversations(str(folder), split)],
            tokenizer, template, MAX_LENGTH,
        )
        for skill, folder in datasets.items()
    }  # fmt: skip
    model = load_base(name, compute_dtype=torch.float32, attn_implementation="sdpa")
    variants = [Variant("base", None), *(Variant(adapter, folder) for adapter, folder in adapters.items())]
    losses = compare(model, variants, sets)
    return [_cell(losses, variant.name, skill) for variant in variants for skill in sets]


def _cell(losses: dict[str, dict[str, RowLosses]], variant: str, skill: str) -> Cell:
    measured = losses[variant][skill]
    low, high = interval(measured)
    cell = Cell(variant=variant, held_out=skill, rows=len(measured.nll), loss=measured.mean, low=low, high=high)
    if variant in COMBINED:
        parents = (losses["base"][skill], losses[skill][skill])
        cell.kept = retention(*parents, measured)
        cell.kept_low, cell.kept_high = retention_interval(*parents, measured)
    return cell


def print_table(cells: list[Cell]) -> None:
    """The cells as a table of 80 columns: a line a variant, loss and kept gain for each skill."""
    skills = list(dict.fromkeys(cell.held_out for cell in cells))
    by = {(cell.variant, cell.held_out): cell for cell in cells}
    table = Table(title="Loss on held-out rows, nats per answer token; less is better", box=box.SIMPLE_HEAD)
    table.add_column("adapter", no_wrap=True)
    for skill in skills:
        table.add_column(f"{skill}\n{by['base', skill].rows} rows", justify="right")
        table.add_column("gain kept", justify="right")
    for variant in dict.fromkeys(cell.variant for cell in cells):
        line = [LABELS[variant]]
        for skill in skills:
            cell = by[variant, skill]
            line.append(f"{cell.loss:.2f} ±{(cell.high - cell.low) / 2:.2f}")
            kept = "" if cell.kept is None else f"{cell.kept:.0%}"
            line.append(kept and f"{kept} ±{((cell.kept_high or 0) - (cell.kept_low or 0)) / 2:.0%}")
        table.add_row(*line)
    console.out.print(table)
    console.say("± is half the 95 % bootstrap interval over rows; gain kept: share of the single adapter's gain.")
