"""Applying a norm: norma, hechos, conclusión, for penal articles with one conduct and one penalty."""

import re
from collections.abc import Iterator

from leylora.data.families.sanction import single_penalty
from leylora.data.item import Item, Library
from leylora.data.law_text import fines, penalties, sentences
from leylora.laws.law import Article, Law

PHRASINGS = (
    "Se ha probado que una persona actuó así: «{conduct}». Razone con norma, hechos y conclusión.",
    "Caso: alguien incurre en «{conduct}». Resuelva en tres pasos: norma, hechos y conclusión.",
    "Aplica la ley a este caso: una persona responde por «{conduct}». ¿Qué se concluye?",
    "Si en el juicio se demuestra la conducta «{conduct}», ¿qué corresponde? Haga el silogismo jurídico.",
    "Construya el silogismo: los hechos probados son «{conduct}».",
    "Mi cliente está acusado de «{conduct}». ¿Qué norma se aplica y qué consecuencia tiene, si se prueba?",
    "Dime la consecuencia legal, paso a paso, de esta conducta probada: «{conduct}».",
)
CONDUCT = re.compile(
    r"^(?:La|El|Las|Los)\s+(?:personas?|servidor\w*|funcionari\w*|conductor\w*|empleador\w*)\s+que\s+(?P<conduct>[^;:]{15,400}?)"
    r",?\s+(?:será|serán)\s+(?:sancionad|reprimid|castigad)"
)


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """One grounded item; the conclusion is the penalty word for word."""
    if not article.in_force:
        return
    prison, money = penalties(article.body), fines(article.body)
    if not single_penalty(article.body, prison, money):
        return
    for sentence in sentences(article.body):
        match = CONDUCT.match(sentence)
        if match and all(piece in sentence for piece in (*prison, *money)) and len(sentence) <= 700:
            conduct = match.group("conduct")
            consequence = " y ".join(f"«{piece}»" for piece in (*prison, *money))
            answer = f"Norma: «{sentence}»\nHechos: «{conduct}».\nConclusión: corresponde {consequence}."
            yield Item("syllogism", "grounded", article, PHRASINGS, answer, {"conduct": conduct})
            return
