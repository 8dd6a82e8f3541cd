"""Which penalty? Prison terms and fines, for articles that set exactly one of each."""

from collections.abc import Iterator

from leylora.data.item import Item, Library, lowered
from leylora.data.law_text import fines, penalties
from leylora.grounding.quantities import TIME, quantities
from leylora.laws.law import Article, Law

BY_TOPIC = (
    "¿Qué pena tiene «{topic}» según {the_law}?",
    "¿Cómo sanciona {the_law} «{topic}»?",
    "¿Cuál es la sanción para «{topic}»?",
    "¿Con qué pena se castiga «{topic}» en el Ecuador?",
    "Indique la sanción prevista para «{topic}» en {the_law}.",
    "Dime qué sanción recibe «{topic}» según {the_law}.",
    "¿Cuánto es la pena por «{topic}»?",
    "Si alguien comete «{topic}», ¿qué sanción le corresponde?",
)
BY_NUMBER = (
    "¿Qué sanción fija el artículo {number} {of_law}?",
    "¿Cuál es la pena prevista en el Art. {number} {of_law}?",
    "Indique la pena del artículo {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿cuál es la sanción?",
    "¿Qué castigo establece el art. {number} {of_law}?",
    "Dime la sanción que impone el artículo {number} {of_law}.",
    "¿Entre qué límites está la sanción del artículo {number} {of_law}?",
    "{law}, art. {number}: ¿cuál es la sanción?",
)


def single_penalty(body: str, prison: list[str], money: list[str]) -> bool:
    """Whether the article sets one prison term, one fine or one of each, and no other range of time ("la pena será
    de cinco a siete años" for a graver case) that would make the answer half the truth."""
    if len(prison) + len(money) == 0 or len(prison) > 1 or len(money) > 1:
        return False
    ranges = {(one.low, one.high, one.unit) for one in quantities(body) if one.high is not None}
    return len({key for key in ranges if key[2].split()[0:1] and key[2].split()[0] in TIME}) <= len(prison)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """By topic and by number, grounded; by topic also closed-book."""
    if not article.in_force:
        return
    prison, money = penalties(article.body), fines(article.body)
    if not single_penalty(article.body, prison, money):
        return
    answer = "La sanción es " + " y ".join(f"«{piece}»" for piece in (*prison, *money)) + "."
    yield Item("sanction", "grounded", article, BY_NUMBER, answer)
    if library.has_unique_rubric(law, article):
        topic = {"topic": lowered(article.rubric or "")}
        yield Item("sanction", "grounded", article, BY_TOPIC, answer, topic)
        yield Item("sanction", "closed", article, BY_TOPIC, answer, topic)
