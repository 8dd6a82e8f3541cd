"""Parse laws from PDF, HTML, Markdown or text into audited articles."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    inputs: Annotated[list[Path] | None, typer.Argument(help="Files to parse.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each law.")] = Path("data/build/laws"),
    law_id: Annotated[str | None, typer.Option(help="Folder name and id, for a single file.")] = None,
    min_coverage: Annotated[float, typer.Option(min=0, max=1, help="Share of numbers that must be there.")] = 0.98,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as processors by default.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the catalogue and what is on disk, and stop.")] = False,
) -> None:
    """Write articles.jsonl, law.json and audit.json for each law, and say what could not be read.

    Exits with 1 when a file fails or a law stays below --min-coverage (it is written all the same, to be looked at).
    """
    from leylora.errors import LeyloraError, UsageError
    from leylora.laws import report
    from leylora.laws.catalog import catalog
    from leylora.laws.law import Law
    from leylora.laws.parse import parse_files, parsed_editions, save_law

    if list_:
        console.out.print(report.catalog_table(catalog(), parsed_editions(out)))
        console.note("Texts of laws are free; publishers' notes and layouts are not: see docs/laws.md.")
        return
    if not inputs:
        raise UsageError("Name at least one file to parse, or use --list to see which laws are worth having.")
    parsed: dict[Path, Law] = {}
    faults = []
    with console.progress() as progress:
        results = parse_files(inputs, law_id, workers)
        for file, result in progress.track(results, total=len(inputs), description="parsing"):
            try:
                if isinstance(result, LeyloraError):
                    raise result
                save_law(result, out)
                parsed[file] = result
            except LeyloraError as error:
                faults.append(str(error))
    laws = [parsed[file] for file in inputs if file in parsed]
    if laws:
        console.out.print(report.laws_table(laws))
    for law in laws:
        for remark in report.remarks(law):
            console.out.print(f"{law.id}: {remark}", markup=False, soft_wrap=True)
        if law.audit["coverage"] < min_coverage:
            coverage = f"{law.audit['coverage']:.2%}"
            faults.append(f"{law.id}: coverage {coverage} is below {min_coverage:.0%}; see audit.json.")
    for fault in faults[:-1]:
        console.note(f"error: {fault}")
    if faults:
        raise LeyloraError(faults[-1])


if __name__ == "__main__":
    console.run(app)
