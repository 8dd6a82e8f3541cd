"""What is X? For articles that open with a definition; the answer is the defining sentence."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.data.law_text import definition, is_deictic
from leylora.laws.law import Article, Law

PHRASINGS = (
    "¿Qué es «{term}» según {the_law}?",
    "¿Cómo define {the_law} «{term}»?",
    "Defina «{term}» conforme a {the_law}.",
    "¿Qué se entiende por «{term}» en el derecho ecuatoriano?",
    "Dame la definición legal de «{term}».",
    "¿Cuál es el concepto de «{term}» en {the_law}?",
    "Explique qué significa «{term}» para {the_law}.",
    "¿A qué llama {the_law} «{term}»?",
    "Necesito la definición de «{term}» {of_law}.",
)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """Grounded and closed-book."""
    found = definition(article.body) if article.in_force else None
    if found is None or is_deictic(found[1]):
        return
    term, sentence = found
    for kind in ("grounded", "closed"):
        yield Item("definition", kind, article, PHRASINGS, f"«{sentence}»", {"term": term})
