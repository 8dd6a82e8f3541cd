"""Which article governs X? Asked by rubric or, where articles have none, by words of the article itself."""

import re
from collections.abc import Iterator

from leylora.data.item import Item, Library, lowered, spelled
from leylora.data.law_text import first_sentence, is_deictic
from leylora.laws.law import Article, Law

BY_RUBRIC = (
    "¿Qué artículo {of_law} regula «{topic}»?",
    "¿En qué artículo {of_law} se trata «{topic}»?",
    "Indique el artículo {of_law} sobre «{topic}».",
    "¿Dónde encuentro «{topic}» en {the_law}?",
    "Busco el artículo {of_law} titulado «{topic}».",
    "¿Cuál es el artículo {of_law} que norma «{topic}»?",
    "Dime qué artículo {of_law} habla de «{topic}».",
    "{law}: ¿qué artículo corresponde a «{topic}»?",
)
BY_WORDS = (
    "¿Qué artículo {of_law} dice «{words}…»?",
    "¿En qué artículo {of_law} consta «{words}…»?",
    "Indique el artículo {of_law} que contiene «{words}…».",
    "¿De qué artículo {of_law} son las palabras «{words}…»?",
    "¿Dónde dice {the_law} «{words}…»?",
    "Dime en qué artículo {of_law} aparece «{words}…».",
    "Identifique el artículo {of_law} que empieza «{words}…».",
    "{law}: ¿cuál artículo expresa «{words}…»?",
)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """By rubric when it names one article only, else by the first words of a sentence that occurs once."""
    if not article.in_force:
        return
    if library.has_unique_rubric(law, article):
        rubric = article.rubric or ""
        answer = f"Lo regula el artículo {spelled(article.number)}: «{rubric}»."
        for kind in ("grounded", "closed"):
            yield Item("governing-article", kind, article, BY_RUBRIC, answer, {"topic": lowered(rubric)})
        return
    opening = first_sentence(article.body)
    words = opening.split()
    if len(words) >= 14 and not is_deictic(opening) and not re.match(r"\d|[a-z][.)]", opening):
        asked, told = " ".join(words[:9]).rstrip(",;:"), " ".join(words[:40])
        quote = f"«{told}…»" if len(words) > 40 else f"«{opening}»"
        answer = f"Consta en el artículo {spelled(article.number)}: {quote}"
        yield Item("governing-article", "grounded", article, BY_WORDS, answer, {"words": asked})
