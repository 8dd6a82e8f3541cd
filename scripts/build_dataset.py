"""Build a dataset from a mixture: Spanish instructions, questions on parsed laws, or both."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    mixture: Annotated[Path, typer.Option(help="YAML file that says what the dataset is made of.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist unless --overwrite.")],
    laws: Annotated[Path | None, typer.Option(help="Folder of parsed laws, or of one law.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing dataset in --out.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Count only; write nothing.")] = False,
    offline: Annotated[bool, typer.Option(help="Read Hub datasets from the local cache only.")] = False,
) -> None:
    """Write train, validation and test rows with their report and data card."""
    from leylora.data.build import build
    from leylora.data.card import show
    from leylora.data.mixture import Mixture
    from leylora.laws.law import load_laws
    from leylora.project import shipped

    plan, parsed = Mixture.load(shipped(mixture)), load_laws(laws) if laws else []
    with console.progress() as progress:
        bars: dict[str, int] = {}

        def tick(stage: str, total: int | None, done: int) -> None:
            if stage not in bars:
                bars[stage] = progress.add_task(stage, total=total)
            progress.update(bars[stage], completed=done, total=total)  # type: ignore[arg-type]

        report = build(plan, parsed, out, overwrite=overwrite, dry_run=dry_run, offline=offline, tick=tick)
    show(report, None if dry_run else out)


if __name__ == "__main__":
    console.run(app)
