"""Check every key of the benchmark against parsed laws, and list what cannot be checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
BENCHMARK = Path(__file__).resolve().parents[1] / "data" / "benchmark" / "ecuador.jsonl"


@app.command()
def main(
    laws: Annotated[Path, typer.Option(help="Folder of parsed laws, or of one law.")],
    benchmark: Annotated[Path, typer.Option(help="JSON Lines file of items.")] = BENCHMARK,
) -> None:
    """Exit with 1 when a key is wrong."""
    from leylora.data.benchmark import check_item, load_benchmark, position_counts
    from leylora.laws.law import load_laws

    items, parsed = load_benchmark(benchmark), load_laws(laws)
    findings = [check_item(item, parsed) for item in items]
    table = Table(title=f"{benchmark.name}: {len(items)} items")
    for heading in ("kind", "right", "wrong", "not checked"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for kind in sorted({item.kind for item in items}):
        mine = [finding.verdict for item, finding in zip(items, findings, strict=True) if item.kind == kind]
        table.add_row(kind, *(str(mine.count(verdict)) for verdict in ("right", "wrong", "unchecked")))
    console.out.print(table)
    counts = position_counts(items)
    console.out.print("right option at position: " + ", ".join(f"{at + 1}: {counts[at]}" for at in sorted(counts)))
    for finding in findings:
        if finding.verdict != "right":
            console.out.print(f"{finding.verdict}: {finding.id}: {finding.reason}", soft_wrap=True, markup=False)
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    console.run(app)
