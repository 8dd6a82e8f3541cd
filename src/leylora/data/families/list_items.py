"""Requisites, causes, powers: the items an article numbers, all of them or one of them."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.laws.law import Article, Law

ALL = (
    "¿Qué enumera el artículo {number} {of_law}?",
    "Enumere los puntos del artículo {number} {of_law}.",
    "Haga la lista que contiene el Art. {number} {of_law}.",
    "¿Cuáles son los casos o requisitos del artículo {number} {of_law}?",
    "Lístame lo que señala el art. {number} {of_law}.",
    "Dime todos los elementos de la lista del artículo {number} {of_law}.",
    "{law}, art. {number}: ¿cuál es la enumeración?",
)
ONE = (
    "¿Qué dice el numeral {label} del artículo {number} {of_law}?",
    "Transcriba el numeral {label} del Art. {number} {of_law}.",
    "¿Qué establece el número {label} del artículo {number} {of_law}?",
    "Dime el numeral {label} del art. {number} {of_law}.",
    "Necesito el texto del numeral {label}, artículo {number}, {of_law}.",
    "Art. {number}, num. {label}, {of_law}: ¿qué dice?",
    "¿Cuál es el contenido del numeral {label} del artículo {number} {of_law}?",
)
MAX_ANSWER = 1_200


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """The whole list when it is short enough, and up to two single items, grounded."""
    labels = [item.label for item in article.numerals]
    if not article.in_force or len(labels) < 2 or len(set(labels)) < len(labels):  # two lists: "numeral 2" is unclear
        return
    listing = "\n".join(f"{item.label}. «{item.text}»" for item in article.numerals)
    if len(listing) <= MAX_ANSWER:
        count = len(article.numerals)
        yield Item("list-items", "grounded", article, ALL, f"Son {count}:\n{listing}")
    chance = library.random(article.law_id, article.number, "list-items")
    numbered = [item for item in article.numerals if item.label.isdigit() and 20 <= len(item.text) <= MAX_ANSWER]
    for item in chance.sample(numbered, min(2, len(numbered))):
        yield Item("list-items", "grounded", article, ONE, f"«{item.text}»", {"label": item.label})
