"""Merge LoRA adapters into one without the base model: merge_adapters.py LORA/A LORA/B=0.7 --out LORA/C"""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console
from leylora.adapters.report import Method
from leylora.errors import UsageError
from leylora.models.bases import Load

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
ACTIVATIONS = "With --method activations"
SEARCH, CHECK = "First: search the weights of two adapters", "Instead: check a merge"
FOLD, CONVERT = "Instead: fold into full weights", "Instead: convert a pickle"


@app.command()
def main(
    adapters: Annotated[list[str] | None, typer.Argument(help="LORA/NAME or LORA/NAME=WEIGHT, two or more.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the merged adapter, such as LORA/C.")] = None,
    method: Annotated[Method, typer.Option(help="How to merge; docs/merging.md says which when.")] = "concat",
    rank: Annotated[str | None, typer.Option(help="Rank to cut to: a number, or energy:0.99.")] = None,
    weight: Annotated[list[str] | None, typer.Option(help="NAME:PATTERN=WEIGHT, such as law:0-15=0.5.")] = None,
    density: Annotated[float | None, typer.Option(help="Share of entries that ties keeps; 0.5.")] = None,
    rows_of: Annotated[
        list[Path] | None, typer.Option("--rows", rich_help_panel=ACTIVATIONS, help="A dataset an adapter, in order.")
    ] = None,
    ridge: Annotated[float | None, typer.Option(rich_help_panel=ACTIVATIONS, help="Of the mean square; 0.01.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16, bfloat16; by default the parents'.")] = None,
    same_base: Annotated[bool, typer.Option("--same-base", help="Different base names mean one model.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an adapter at --out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would come out; write nothing.")] = False,
    base: Annotated[str | None, typer.Option(help="Base model for --rows, --search, --check, --into-base.")] = None,
    search: Annotated[bool, typer.Option("--search", rich_help_panel=SEARCH, help="Merge with the best.")] = False,
    development: Annotated[
        list[str] | None, typer.Option(rich_help_panel=SEARCH, help="SKILL=DATASET; its validation rows, never test.")
    ] = None,
    criterion: Annotated[str, typer.Option(rich_help_panel=SEARCH, help="Best minimum or mean kept.")] = "minimum",
    most_rows: Annotated[int, typer.Option(help="Rows of each skill at most, for --search and --rows.")] = 200,
    check: Annotated[Path | None, typer.Option(rich_help_panel=CHECK, help="A merged adapter.")] = None,
    load: Annotated[Load, typer.Option(help="Base precision, for --rows, --search, --check.")] = "4bit",
    into_base: Annotated[Path | None, typer.Option(rich_help_panel=FOLD, help="New folder, base + adapter.")] = None,
    drift: Annotated[bool, typer.Option(rich_help_panel=FOLD, help="Compare with 4-bit base + adapter.")] = True,
    convert: Annotated[Path | None, typer.Option(rich_help_panel=CONVERT, help="Holds adapter_model.bin.")] = None,
) -> None:
    """Merge adapters of one base model into one adapter, exactly or optimally, in about a second."""
    if convert is not None:
        from leylora.adapters.files import convert_pickled

        console.note(f"Wrote {convert_pickled(convert)}; adapter_model.bin may be deleted.")
    elif check is not None:
        from leylora.adapters.check import check_merge, comparison_table

        compared = check_merge(check, base, load=load)
        console.out.print(comparison_table({"merge against parents": compared}))
    elif into_base is not None:
        from leylora.adapters.check import comparison_table
        from leylora.adapters.fold import fold_into_base, measure_drift

        if adapters is None or len(adapters) != 1:
            raise UsageError("Name the one adapter to fold, such as: LORA/C --into-base OUT")
        folder = Path(adapters[0])
        with console.progress() as bar:
            task = bar.add_task("folding", total=None)
            changed = fold_into_base(
                folder, into_base, base, progress=lambda done, of: bar.update(task, completed=done, total=of)
            )
        console.note(f"Changed {changed} weights; wrote {into_base}.")
        if drift:
            of_model, of_base = measure_drift(folder, into_base, base)
            columns = {"folded against live 4-bit": of_model, "bases, 16-bit against 4-bit": of_base}
            console.out.print(comparison_table(columns))
    else:
        from leylora.adapters.merge import merge, parse_parent, parse_rank, with_overrides
        from leylora.adapters.report import report_table

        if out is None:
            raise UsageError("Say where the merged adapter goes, such as: --out LORA/C")
        cut, energy = (None, None) if rank is None else parse_rank(rank)
        parents = with_overrides([parse_parent(text) for text in adapters or []], weight or [])
        surface = None
        if search:
            from leylora.evaluation.weight_search import save_surface, searched

            how = {"base": base, "same_base": same_base, "load": load, "most_rows": most_rows}
            surface, parents = searched(parents, development or [], out, method, criterion=criterion, **how)
        moments = None
        if rows_of:
            if method != "activations":
                raise UsageError(f"--rows goes with --method activations; {method} reads no rows.")
            from leylora.evaluation.activations import row_moments

            folders = [parent.folder for parent in parents]
            moments = row_moments(folders, rows_of, base=base, load=load, most_rows=most_rows)
        report = merge(
            parents,
            out,
            method,
            cut,
            energy=energy,
            density=density,
            dtype=dtype,
            same_base=same_base,
            overwrite=overwrite,
            dry_run=dry_run,
            moments=moments,
            ridge=ridge,
        )
        console.out.print(report_table(report))
        if surface is not None and not dry_run:
            save_surface(surface, out)
        for warning in report.warnings:
            console.note(f"warning: {warning}")
        console.note("Nothing was written (--dry-run)." if dry_run else f"Wrote {out}.")


if __name__ == "__main__":
    console.run(app)
