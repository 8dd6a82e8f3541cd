"""From two skills to one adapter, by one way or all, and what each keeps: combine.py --model mistral-7b --way all"""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    model: Annotated[str, typer.Option(help="A model of train/recipes, such as mistral-7b, or the file of your own.")],
    way: Annotated[
        str, typer.Option(help="sum, search, activations, on-top, heal or all; docs/merging.md says which when.")
    ] = "",
    criterion: Annotated[
        str, typer.Option(help="What search looks for: minimum or mean of the kept shares.")
    ] = "minimum",
    max_steps: Annotated[int, typer.Option(help="Steps of every training in place of the recipes'; 0: theirs.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Figures; by default data/build/combining/MODEL.json.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace adapters that you made by hand.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the steps and what is there; do nothing.")] = False,
) -> None:
    """Train what is missing, merge, and compare on the test rows; what exists and is unchanged is kept.

    Results: LORA/MODEL-combined-WAY. Without --way the one that keeps most in benchmarks/README.md.
    """
    from leylora.errors import UsageError

    if way not in ("", "all", "sum", "search", "activations", "on-top", "heal"):
        raise UsageError(f"There is no way {way!r}; there are sum, search, activations, on-top, heal and all.")
    if criterion not in ("minimum", "mean"):
        raise UsageError(f"There is no criterion {criterion!r}; there are minimum and mean.")

    from leylora.combining import DEFAULT_WAY, LABELS, SKILLS, WAYS, Combination

    changes = {"max_steps": str(max_steps)} if max_steps else {}
    pair = Combination(model, changes, criterion, overwrite)  # type: ignore[arg-type]  # checked above
    ways = list(WAYS) if way == "all" else [known for known in WAYS if known == (way or DEFAULT_WAY)]
    for chosen in ways:
        pair.trainings(chosen)  # a recipe that is missing is said before anything is trained
    if dry_run:
        for chosen in ways:
            pair.tell(chosen)
        return

    from leylora.combining import best_of, print_table
    from leylora.files import write_json

    for chosen in ways:
        console.out.rule(LABELS[chosen])
        pair.run(chosen)
    cells = pair.compare(ways)
    print_table(cells, LABELS)
    figures = out or Path("data/build/combining") / f"{pair.name}.json"
    best = best_of(cells)
    write_json(figures, {"family": pair.name, "best": best, "cells": [cell.model_dump() for cell in cells]})
    for skill in SKILLS:
        if not pair.adapter(skill).is_dir():
            console.note(f"No share of {skill} kept: {pair.adapter(skill)}, which it is measured by, was not trained.")
    if best is not None and len(ways) > 1:
        console.say(f"Its worse skill keeps most: {pair.result(best)}")
    for chosen in ways:
        console.say(f"{chosen:<13} {pair.result(chosen)}")
    console.say(f"{'figures':<13} {figures}")


if __name__ == "__main__":
    console.run(app)
