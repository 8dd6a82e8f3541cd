"""Write the report of a comparison again, in another language or with new verdicts: report.py OUT --lang en"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder that scripts/compare.py wrote.")],
    lang: Annotated[Literal["es", "en"], typer.Option(help="Language of the report.")] = "es",
) -> None:
    """Write report.html and report.md from the results in FOLDER; no model is asked."""
    from leylora.evaluation.report import write_report

    for path in write_report(folder, lang):
        console.say(str(path))


if __name__ == "__main__":
    console.run(app)
