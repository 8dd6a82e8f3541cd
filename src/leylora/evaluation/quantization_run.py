"""`scripts/quantization.py`: which questions are asked, where the result goes, how it is shown."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.quantization import (
    PRECISIONS,
    QUANTIZATION_FILE,
    Precision,
    QuantizationReport,
    QuantizationRow,
    measure,
)
from leylora.evaluation.results import Item
from leylora.evaluation.suites import Sources, questions, spread
from leylora.evaluation.variants import find_variants
from leylora.files import write_json
from leylora.models.families import family_of
from leylora.models.load import load_config
from leylora.models.templates import instruction_template

OUT = Path("data/build/evaluation/quantization")


def run(
    model: str, adapter: str | None, precisions: Sequence[str], limit: int, out: Path | None, seed: int
) -> tuple[QuantizationReport, Path]:
    """Measure, and write ``quantization.json``.

    Raises:
        UsageError: an unknown precision or adapter.
        LeyloraError: the base cannot be loaded, or the adapter is of another.
    """
    wanted = _precisions(precisions)
    folder = None
    if adapter is not None:
        folder = Path(find_variants(model, adapter)[0][1].adapter)
    template = instruction_template(family_of(load_config(model)).instruction_template)
    report = measure(model, template, _items(limit, seed), folder, precisions=wanted, seed=seed)
    path = (out or OUT / Path(model).name) / QUANTIZATION_FILE
    write_json(path, report.model_dump(mode="json"))
    return report, path


def _precisions(names: Sequence[str]) -> list[Precision]:
    for name in names:
        if name not in PRECISIONS:
            raise UsageError(f"There is no precision '{name}'; there are {', '.join(PRECISIONS)}.")
    return [one for one in PRECISIONS if not names or one in names]


def _items(limit: int, seed: int) -> list[Item]:
    """Multiple choice from the law benchmark, and the Spanish tasks, whose references are ours."""
    found = questions(["law", "spanish"], Sources(), seed=seed)
    choices = [item for item in found.items["law"] if item.ask == "choose"]
    if not choices:
        raise LeyloraError("The benchmark has no multiple-choice questions; see data/benchmark.")
    return [*spread(choices, limit, seed), *spread(found.items["spanish"], limit, seed)]


def table(report: QuantizationReport) -> Table:
    """The report as a table of 80 columns."""
    title = f"{report.model} on {report.device}; tokens written and read per second"
    shown = Table(title=title, box=box.SIMPLE_HEAD)
    for column in ("precision", "adapter"):
        shown.add_column(column, no_wrap=True)
    for column in ("size\nGiB", "load\ns", "written\nper s", "read\nper s", "bits\nper byte", "right\noptions"):
        shown.add_column(column, justify="right")
    for row in report.rows:
        shown.add_row(row.load, "yes" if row.adapter else "no", *_numbers(row))
    return shown


def _numbers(row: QuantizationRow) -> list[str]:
    if row.problem:
        return ["not here"]
    numbers = ((row.size_gib, ".3f"), (row.load_seconds, ".1f"), (row.generated_per_second, ".1f"),
               (row.scored_per_second, ".0f"), (row.bits_per_byte, ".3f"), (row.accuracy, ".1%"))  # fmt: skip
    return ["" if value is None else format(value, form) for value, form in numbers]
