"""Hold any text against the laws: which citations exist, and whether the law says what the text says."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console
from leylora.errors import LeyloraError, UsageError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Text, Markdown, .docx or .pdf; - is the input.")],
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws. Default: data/build/laws, else the demo's.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a page to read and print.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line for each file.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """Mark each claim: ✓ the law says so, ✗ it does not, ⚠ that cannot be told here.

    Ends with 0 when nothing is wrong, with 1 when something is, with 2 for input that cannot be read.
    """
    import json

    from leylora.chat.document import as_json, check_document, print_document, read_document, write_page
    from leylora.grounding.checker import WRONG
    from leylora.grounding.index import open_laws
    from leylora.laws.catalog import catalog

    if html is not None and html.exists() and not overwrite:
        raise UsageError(f"{html} is there already; name another file, or add --overwrite.")
    try:
        index = open_laws(laws, catalog())
        checked = [check_document(read_document(None if name == "-" else Path(name)), index) for name in files]
    except UsageError:
        raise
    except LeyloraError as error:
        raise UsageError(str(error)) from None
    for one in checked:
        if json_:
            print(json.dumps(as_json(one), ensure_ascii=False))
        elif html is None:
            print_document(one)
        else:
            console.say(f"{one.document.name}: {one.summary}")
    if html is not None:
        write_page(checked, html, overwrite=overwrite)
        console.note(f"Wrote {html}.")
    if any(claim.verdict in WRONG for one in checked for claim in one.checked.claims):
        raise typer.Exit(1)


if __name__ == "__main__":
    console.run(app)
