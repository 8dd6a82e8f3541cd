"""Which exception? Clauses of salvo, excepto, a menos que, sin perjuicio de."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.data.law_text import exceptions
from leylora.laws.law import Article, Law

BY_NUMBER = (
    "¿Qué excepción o salvedad prevé el artículo {number} {of_law}?",
    "¿Cuál es la salvedad del Art. {number} {of_law}?",
    "Indique la excepción que contiene el artículo {number} {of_law}.",
    "¿Hay alguna salvedad en el artículo {number} {of_law}?",
    "Dime qué deja a salvo el art. {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿en qué caso la regla no se aplica sin más?",
)
BY_TOPIC = (
    "¿Qué excepción o salvedad hay en «{topic}» según {the_law}?",
    "Sobre «{topic}», ¿qué salvedad hace {the_law}?",
    "¿La regla de «{topic}» tiene excepciones o salvedades?",
    "Indique la salvedad aplicable a «{topic}».",
    "¿Qué queda a salvo en materia de «{topic}»?",
    "Dime la excepción prevista para «{topic}» en {the_law}.",
)
MAX_SENTENCE = 500


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """Articles with exactly one such clause, by number and by topic."""
    found = exceptions(article.body) if article.in_force else []
    if len(found) != 1 or len(found[0][0]) > MAX_SENTENCE:
        return
    sentence, clause = found[0]
    answer = f"La salvedad es «{clause}». El texto: «{sentence}»"
    yield Item("exception", "grounded", article, BY_NUMBER, answer)
    topic = library.topic(law, article)
    if topic:
        yield Item("exception", "grounded", article, BY_TOPIC, answer, {"topic": topic})
