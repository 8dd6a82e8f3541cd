"""How the command shows what a search found: a table, each passage cut to the lines around the words sought."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .index import Hit
from .words import spans

WIDTH = 240  # characters of a passage that are shown
_STATUS = {
    "derogado": "derogado",
    "derogado_parcial": "derogado en parte",
    "inconstitucional_parcial": "inconstitucional en parte",
    "dudoso": "texto dudoso",
}


def table(hits: Sequence[Hit], sought: frozenset[str]) -> RenderableType:
    """A row for each article: law and edition, number, rubric, and where the words stand."""
    rows = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    rows.add_column("ley", no_wrap=True)
    rows.add_column("art.", no_wrap=True, justify="right")
    rows.add_column("rúbrica y texto", ratio=1)
    rows.add_column("edición", no_wrap=True)
    for hit in hits:
        article = hit.article
        what = [Text(article.rubric, "bold")] if article.rubric else []
        if article.status in _STATUS:
            what.append(Text(f"[{_STATUS[article.status]}]", "red"))
        number = Text(article.number, "bold green" if hit.direct else "")
        law = article.law.siglas or article.law.id
        rows.add_row(law, number, Group(*what, snippet(hit.passage, sought)), article.law.edition or "s. f.")
    return rows


def snippet(passage: str, sought: frozenset[str], width: int = WIDTH) -> Text:
    """About ``width`` characters of a passage, where most of the words sought stand together, these in yellow."""
    line = " ".join(passage.split())
    found = list(spans(line, sought))
    start = max(
        (first for first, _ in found), key=lambda at: sum(at <= other < at + width for other, _ in found), default=0
    )
    start = 0 if len(line) <= width else max(0, min(start - 30, len(line) - width))
    start = line.rfind(" ", 0, start) + 1
    end = len(line) if len(line) - start <= width + 10 else line.rfind(" ", 0, start + width)
    text = Text(line[start:end])
    for first, last in found:
        if start <= first and last <= end:
            text.stylize("yellow", first - start, last - start)
    return Text("… " if start else "") + text + Text(" …" if end < len(line) else "")
