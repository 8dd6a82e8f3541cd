"""What does article N say? The answer is the body in force, word for word."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.laws.law import Article, Law

MAX_BODY = 1_500  # characters; a longer article is asked for by its parts

PHRASINGS = (
    "¿Qué dice el artículo {number} {of_law}?",
    "¿Qué establece el Art. {number} {of_law}?",
    "Transcriba el artículo {number} {of_law}.",
    "Dime el texto del artículo {number} {of_law}.",
    "Necesito el texto exacto del art. {number} {of_law}.",
    "¿Puede citar textualmente el artículo {number} {of_law}?",
    "Cítame el artículo {number} {of_law}, por favor.",
    "¿Cuál es el contenido del artículo {number} {of_law}?",
    "Lea el Art. {number} {of_law}.",
    "{law}, artículo {number}: ¿qué dispone?",
)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """One grounded and one closed-book item for an article in force of readable length."""
    if article.in_force and len(article.body) <= MAX_BODY:
        for kind in ("grounded", "closed"):
            yield Item("verbatim", kind, article, PHRASINGS, f"«{article.body}»")
