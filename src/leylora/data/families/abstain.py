"""Questions that must not be answered.

No such article; repealed; the answer is not in the given articles; asked of the wrong law; a law nobody supplied;
another country.
"""

import re
from collections.abc import Iterator

from leylora.data.families import deadline, exception, governing_article, sanction, verbatim
from leylora.data.families.topic import PHRASINGS as ABOUT_TOPIC
from leylora.data.item import Item, Library, of_law, spelled
from leylora.grounding.prompt import NO_SUCH_ARTICLE, NOT_SUPPLIED, OTHER_COUNTRY, REPEALED, UNKNOWN_LAW
from leylora.laws.catalog import catalog
from leylora.laws.law import Article, Law

COUNTRIES = ("Colombia", "Perú", "Chile", "España", "México", "Argentina", "Bolivia", "Venezuela", "Uruguay", "Panamá")
ABROAD = (
    "¿Qué dice el artículo {number} {of_law} de {country}?",
    "Según el derecho de {country}, ¿qué establece el artículo {number} {of_law}?",
    "En {country}, ¿qué dispone el Art. {number} {of_law}?",
    "Dime el artículo {number} {of_law} vigente en {country}.",
    "Necesito el art. {number} {of_law} de {country}.",
    "Transcriba el artículo {number} {of_law} de {country}.",
)
GENERIC_NAME = re.compile(r"^(Constitución|Código (?:Civil|Penal|del Trabajo|Tributario|de Comercio))\b")


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """A repealed article yields itself; one in force every other reason not to answer that fits it."""
    chance = library.random(law.id, article.number, "abstain")
    if article.status == "derogado":
        answer = f"{REPEALED} Verifique reformas posteriores."
        for supplied in (True, False):
            yield Item("abstain-repealed", "abstain", article, verbatim.PHRASINGS, answer, supplied=supplied)
        return
    if not article.in_force:
        return
    here = f"({law.name}, ed. {law.edition or 's. f.'})"
    yield from _not_supplied(law, article, library, here)
    yield from _wrong_law(law, article, library)
    missing = _missing_number(library.last_number(law), chance.randrange(10**6))
    answer = f"{NO_SUCH_ARTICLE} No consta el {missing}. {here}"
    yield Item("abstain-no-such-article", "abstain", article, verbatim.PHRASINGS, answer, {"number": missing},
               cites=False, supplied=False)  # fmt: skip
    name = GENERIC_NAME.match(law.name)
    if name and chance.random() < 0.3:
        slots = {"country": chance.choice(COUNTRIES), "of_law": of_law(law, name.group(0))}
        answer = f"{OTHER_COUNTRY} {here}"
        yield Item("abstain-other-country", "abstain", article, ABROAD, answer, slots, cites=False, supplied=False)
    if chance.random() < 0.3:
        known = {one.id for one in library.laws} | {one.name for one in library.laws}
        absent = [entry for entry in catalog() if entry.id not in known and entry.name not in known]
        if not absent:
            return
        other = chance.choice(absent)
        slots = {"law": other.name, "of_law": of_law(other, other.name)}
        answer = f"{UNKNOWN_LAW} Tengo esta: {here}"
        yield Item("abstain-unknown-law", "abstain", article, verbatim.PHRASINGS, answer, slots, cites=False,
                   supplied=False)  # fmt: skip


def _not_supplied(law: Law, article: Article, library: Library, here: str) -> Iterator[Item]:
    """A question of another family, with every given article a wrong one."""
    for family in (sanction, deadline, exception, governing_article):
        for item in family.items(law, article, library):
            topic = item.slots.get("topic")
            if item.kind == "grounded" and topic:
                answer = f"{NOT_SUPPLIED} Ninguno trata «{topic}». {here}"
                yield Item("abstain-not-supplied", "abstain", article, item.phrasings, answer, item.slots, cites=False)
                return
    answer = f"{NOT_SUPPLIED} Falta el {spelled(article.number)}. {here}"
    yield Item("abstain-not-supplied", "abstain", article, verbatim.PHRASINGS, answer, cites=False)


def _wrong_law(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """The topic of an article of another law, asked of this one whose articles are given."""
    others = [other for other in library.laws if other.id != law.id and len(other) > 20]
    if not others:
        return
    chance = library.random(law.id, article.number, "wrong-law")
    other = chance.choice(others)
    foreign = chance.choice(other.articles)
    topic = library.topic(other, foreign) if foreign.in_force and foreign.rubric else None
    if topic is None or library.mentions(law, topic):
        return
    answer = f"{NOT_SUPPLIED} Ninguno trata «{topic}». ({law.name}, ed. {law.edition or 's. f.'})"
    yield Item("abstain-wrong-law", "abstain", article, ABOUT_TOPIC, answer, {"topic": topic}, cites=False)


def _missing_number(last: int, draw: int) -> str:
    """A number beyond the law's last article."""
    return str(last + 1 + draw % max(60, last // 2))
