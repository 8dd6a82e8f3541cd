"""Compare two editions of a law, word by word."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
STYLES = {"same": "", "removed": "red strike", "added": "green"}
MARKS = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}


@app.command()
def main(
    old: Annotated[Path, typer.Argument(help="The earlier edition: a parsed folder, or a file to parse.")],
    new: Annotated[Path, typer.Argument(help="The later edition.")],
    summary: Annotated[bool, typer.Option(help="Numbers of articles only, without their words.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the page Qué cambió.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """List the articles added, repealed and reformed; removed words are [-red-], added ones {+green+}."""
    from rich.text import Text

    from leylora.errors import UsageError
    from leylora.files import write_text
    from leylora.laws.diff import compare, page, shortened, word_diff
    from leylora.laws.law import Law
    from leylora.laws.parse import parse_file

    for path in (old, new):
        if path.is_dir() and not (path / "law.json").is_file():
            raise UsageError(f"{path} is not the folder of one parsed law; name one inside it, or a law's file.")
    if html is not None and (html.is_dir() or (html.exists() and not overwrite)):
        raise UsageError(f"{html} is there already; name another file, or add --overwrite for a file.")
    before, after = (Law.load(path) if path.is_dir() else parse_file(path) for path in (old, new))
    if html is not None:
        write_text(html, page(before, after))
        console.note(f"Wrote {html}.")
        return
    changes = compare(before, after)
    console.out.print(f"{before.name}: {before.edition or 'undated'} -> {after.edition or 'undated'}", markup=False)
    for title, articles in (
        ("added", changes.added),
        ("repealed", changes.repealed),
        ("doubtful in the later edition", changes.doubtful),
    ):
        numbers = ", ".join(article.number for article in articles) or "none"
        console.out.print(f"{title} ({len(articles)}): {numbers}", markup=False, soft_wrap=True)
    numbers = ", ".join(article.number for article, _ in changes.reformed) or "none"
    console.out.print(f"reformed ({len(changes.reformed)}): {numbers}", markup=False, soft_wrap=True)
    console.out.print(f"unchanged: {changes.unchanged} (repealed articles are not compared)")
    if summary:
        return
    for one, other in changes.reformed:
        text = Text(f"\nArt. {one.number}. ", style="bold")
        for run in shortened(word_diff(one.text, other.text)):
            text.append(MARKS[run.kind].format(run.text) + " ", style=STYLES[run.kind] or "not bold")
        console.out.print(text, soft_wrap=True)


if __name__ == "__main__":
    console.run(app)
