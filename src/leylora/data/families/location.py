"""Where in the law does article N stand? Libro, Título, Capítulo, Sección, as printed. Closed-book only."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.laws.law import Article, Law

PHRASINGS = (
    "¿En qué parte {of_law} está el artículo {number}?",
    "¿En qué título o capítulo {of_law} se ubica el Art. {number}?",
    "Ubique el artículo {number} dentro {of_law}.",
    "¿A qué sección {of_law} pertenece el artículo {number}?",
    "Dime dónde está el art. {number} en la estructura {of_law}.",
    "¿Cuál es la ubicación del artículo {number} {of_law}?",
    "{law}: ¿en qué división se halla el artículo {number}?",
)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """One item for every article that stands under a heading."""
    if article.in_force and article.path:
        answer = "Está en " + ", ".join(f"«{division}»" for division in article.path) + "."
        yield Item("location", "closed", article, PHRASINGS, answer)
