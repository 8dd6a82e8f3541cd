"""Search parsed laws for the articles that answer a question: by its words, by number, by the law's name."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    query: Annotated[str, typer.Argument(help='Such as "plazo para apelar", "COIP 140", "art 76 num 7 constitución".')],
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws. Default: data/build/laws, else the demo's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most articles.")] = 5,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of the table.")] = False,
) -> None:
    """Show the best articles, an article the query names first and in green.

    The index lies beside the laws (index.sqlite) and is built again whenever they change.
    """
    import json

    from leylora.grounding.indexing import open_laws

    index = open_laws(laws)
    hits = index.search(query, limit)
    if json_:
        for hit in hits:
            print(json.dumps(hit.as_json(), ensure_ascii=False))
    elif hits:
        from leylora.grounding.results import table

        console.out.print(table(hits, index.sought(query)))
    for law in index.absent(query):
        console.note(f"{law.name} is not among these laws; scripts/parse_law.py --list says where it is published.")
    if not hits:
        names = ", ".join(f"{law.siglas or law.name} ({law.edition or 's. f.'})" for law in index.laws)
        console.note(f"Nothing found. The laws here: {names}.")


if __name__ == "__main__":
    console.run(app)
