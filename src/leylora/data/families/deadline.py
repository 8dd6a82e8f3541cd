"""Which deadline? Plazos and términos with their number and unit, asked by number, topic or a sentence with a gap."""

from collections.abc import Iterator

from leylora.data.item import Item, Library, lowered
from leylora.data.law_text import deadlines
from leylora.laws.law import Article, Law

BY_NUMBER = (
    "¿Qué plazo o término fija el artículo {number} {of_law}?",
    "¿Cuál es el tiempo previsto en el Art. {number} {of_law}?",
    "Indique el plazo del artículo {number} {of_law}.",
    "Según el artículo {number} {of_law}, ¿en cuánto tiempo?",
    "¿Cuánto tiempo da el art. {number} {of_law}?",
    "Dime el plazo que establece el artículo {number} {of_law}.",
    "¿De cuánto es el término del artículo {number} {of_law}?",
    "{law}, art. {number}: ¿qué plazo hay?",
)
BY_TOPIC = (
    "¿Qué plazo o término hay en «{topic}» según {the_law}?",
    "¿Cuánto tiempo prevé {the_law} para «{topic}»?",
    "Sobre «{topic}», ¿cuál es el plazo en {the_law}?",
    "Indique el plazo que rige en «{topic}».",
    "¿En cuánto tiempo, según {the_law}, en lo relativo a «{topic}»?",
    "Dime qué plazo se aplica a «{topic}».",
    "Quiero saber el plazo de «{topic}» en {the_law}.",
    "¿Qué tiempo señala la ley para «{topic}»?",
)
GAP = (
    "Complete el plazo {of_law}: «{gapped}»",
    "¿Qué plazo falta en esta frase {of_law}? «{gapped}»",
    "Llene el espacio con el plazo legal: «{gapped}»",
    "¿Cuánto tiempo va en el espacio? «{gapped}»",
    "Completa la norma con su plazo: «{gapped}»",
    "En {the_law} se lee «{gapped}». ¿Qué plazo va en el espacio?",
)
MAX_SENTENCE = 420


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """By number and topic when the article sets one deadline; by gap for every sentence that sets one."""
    if not article.in_force:
        return
    found = [(sentence, term) for sentence, term in deadlines(article.body) if len(sentence) <= MAX_SENTENCE]
    if len(found) == 1:
        sentence, term = found[0]
        answer = f"«{term}»: «{sentence}»"
        yield Item("deadline", "grounded", article, BY_NUMBER, answer)
        if library.has_unique_rubric(law, article):
            yield Item("deadline", "grounded", article, BY_TOPIC, answer, {"topic": lowered(article.rubric or "")})
    for sentence, term in found[:2]:
        if sentence.count(term) == 1:
            yield Item("deadline", "grounded", article, GAP, f"«{term}».", {"gapped": sentence.replace(term, "____")})
