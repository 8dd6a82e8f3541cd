"""What does the law say about X? The natural question: a topic in, the ruling text and its citation out."""

from collections.abc import Iterator

from leylora.data.item import Item, Library
from leylora.data.law_text import first_sentence
from leylora.laws.law import Article, Law

PHRASINGS = (
    "¿Qué dispone {the_law} sobre «{topic}»?",
    "¿Qué dice la ley acerca de «{topic}»?",
    "Quiero saber qué establece {the_law} respecto de «{topic}».",
    "Explícame qué norma rige «{topic}».",
    "¿Cómo regula {the_law} «{topic}»?",
    "Infórmeme sobre «{topic}» según {the_law}.",
    "Tengo una duda sobre «{topic}»: ¿qué manda la ley?",
    "¿Cuál es la regla de {the_law} para «{topic}»?",
    "En el Ecuador, ¿qué se ha establecido sobre «{topic}»?",
)
WHOLE_BODY = 600  # characters; of a longer article the first sentence is quoted


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """By a rubric that names one article only; without rubrics, by the subject the article opens with."""
    if not article.in_force:
        return
    topic = library.topic(law, article)
    if topic is None:
        return
    quote = article.body if len(article.body) <= WHOLE_BODY else first_sentence(article.body)
    yield Item("topic", "grounded", article, PHRASINGS, f"«{quote}»", {"topic": topic})
