"""The end of a build, on the terminal."""

from pathlib import Path

from rich.table import Table

from leylora import console
from leylora.data.build import BuildReport
from leylora.data.split import SPLITS


def show(report: BuildReport, folder: Path | None) -> None:
    """Print rows by task and split, what was refused or dropped and why, and where the files are."""
    table = Table(title=f"{report.name}: rows by task")
    table.add_column("task")
    for name in SPLITS:
        table.add_column(name, justify="right")
    tasks = sorted({task for part in report.by_task.values() for task in part})
    for task in tasks:
        table.add_row(task, *(f"{report.by_task[name].get(task, 0):,}" for name in SPLITS))
    table.add_section()
    table.add_row("all", *(f"{report.rows[name]:,}" for name in SPLITS), style="bold")
    console.out.print(table)
    for source, reason in {**report.refused_sources, **report.skipped_sources}.items():
        console.note(f"Left out: {source}: {reason}")
    for gate in report.gates.values():
        schema = gate.step("schema")
        for sample in schema.samples:
            console.note(f"Left out: {sample.place}: {sample.reason}")
        if schema.dropped > len(schema.samples):
            console.note(f"... and {schema.dropped - len(schema.samples):,} more rows that cannot be read.")
    dropped = report.dropped()
    if dropped:
        losses = Table(title="dropped rows")
        for heading in ("where", "why", "rows"):
            losses.add_column(heading, justify="right" if heading == "rows" else "left")
        for place, reason, count in dropped:
            losses.add_row(place, reason, f"{count:,}")
        console.out.print(losses)
    if folder is None:
        console.out.print("Dry run: nothing was written.")
    else:
        console.out.print(f"Written: {folder}/ (train, validation, test, report.json, README.md)")
