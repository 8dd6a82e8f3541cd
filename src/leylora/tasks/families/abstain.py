"""Questions that must not be answered: no such article, repealed, not in the given articles, another country."""

import re
from collections.abc import Iterator

from leylora.laws.law import Article, Law
from leylora.tasks import abstention
from leylora.tasks.families import deadline, governing_article, sanction, verbatim
from leylora.tasks.item import Item, Library, of_law

COUNTRIES = ("Colombia", "Perú", "Chile", "España", "México", "Argentina", "Bolivia", "Venezuela", "Uruguay")
ABROAD = (
    "¿Qué dice el artículo {number} {of_law} de {country}?",
    "Según el derecho de {country}, ¿qué establece el artículo {number} {of_law}?",
    "En {country}, ¿qué dispone el Art. {number} {of_law}?",
    "Dime el artículo {number} {of_law} vigente en {country}.",
    "Necesito el art. {number} {of_law} de {country}.",
    "Transcriba el artículo {number} {of_law} de {country}.",
)
TITLE_OF_A_LAW = re.compile(r"^(Constitución|Código (?:Civil|Penal|del Trabajo|Tributario))")


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """A repealed article yields itself; one in force yields a question without its text, and invented numbers."""
    chance = library.random(article.law_id, article.number, "abstain")
    if article.status == "derogado":
        answer = f"{abstention.REPEALED} Verifique reformas posteriores."
        for kind_of_prompt in (True, False):
            yield Item("abstain-repealed", "abstain", article, verbatim.PHRASINGS, answer, supplied=kind_of_prompt)
        return
    if not article.in_force:
        return
    yield from _not_supplied(law, article, library)
    missing = _missing_number(law, chance.randrange(10**6))
    slots = {"number": missing}
    answer = f"{abstention.NO_SUCH_ARTICLE} No consta el {missing}. ({law.name}, ed. {law.edition})"
    yield Item("abstain-no-such-article", "abstain", article, verbatim.PHRASINGS, answer, slots, cites=False,
               supplied=False)  # fmt: skip
    name = TITLE_OF_A_LAW.match(law.name)
    if name and chance.random() < 0.15:
        slots = {"country": chance.choice(COUNTRIES), "of_law": of_law(law, name.group(0))}
        answer = f"{abstention.OTHER_COUNTRY} Consulte el de {slots['country']}."
        yield Item("abstain-other-country", "abstain", article, ABROAD, answer, slots, cites=False, supplied=False)


def _not_supplied(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """A question of another family, with every given article a wrong one."""
    for family in (sanction, deadline, governing_article):
        for item in family.items(law, article, library):
            if item.kind == "grounded" and item.slots.get("topic"):
                answer = f"{abstention.NOT_SUPPLIED} Ninguno trata «{item.slots['topic']}»."
                yield Item("abstain-not-supplied", "abstain", article, item.phrasings, answer, item.slots, cites=False)
                return
    answer = f"{abstention.NOT_SUPPLIED} Falta el {article.number}."
    yield Item("abstain-not-supplied", "abstain", article, verbatim.PHRASINGS, answer, cites=False)


def _missing_number(law: Law, draw: int) -> str:
    last = max((int(row.number) for row in law.articles if row.number.isdigit()), default=0)
    number = last + 1 + draw % max(60, last // 2)
    return str(number)
