"""Turn an official multiple-choice bank (CSV, JSON, Parquet) into benchmark items."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    bank: Annotated[Path, typer.Argument(help="The bank: question, options, answer, and if known law, article, year.")],
    source: Annotated[str, typer.Option(help="Who published it and when, e.g. 'Consejo de la Judicatura 2022'.")],
    out: Annotated[Path, typer.Option(help="JSON Lines file to write; must not exist.")],
) -> None:
    """Write the items, and name every row that is no question with a key."""
    from leylora.dataset.question_banks import read_bank
    from leylora.errors import LeyloraError, UsageError
    from leylora.files import write_jsonl

    if out.exists():
        raise UsageError(f"{out} already exists; choose another name.")
    items, faults = read_bank(bank, source)
    for fault in faults:
        console.note(f"Left out: {fault.place}: {fault.reason}")
    if not items:
        raise LeyloraError(f"{bank} holds no question with options and a key; see docs/data.md for the columns.")
    write_jsonl(out, (item.model_dump() for item in items))
    console.out.print(f"Written: {out}, {len(items):,} questions; {len(faults):,} rows left out.")


if __name__ == "__main__":
    console.run(app)
