"""Questions not answered as asked: of today, of another edition, law or country, of what is not here."""
# ruff: noqa: E501 - sentences stay whole

import re
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from leylora.data.compose import LawItem, LawLookup, human_date, of_law, spelled, the_law
from leylora.data.families.matters import LONGEST_BODY, TOPIC, VERBATIM
from leylora.data.families.penal import PENALTY_BY_TOPIC
from leylora.data.families.wording import quotable, said
from leylora.grounding.prompt import NO_SUCH_ARTICLE, NOT_SUPPLIED, OTHER_COUNTRY, OTHER_EDITION, REPEALED, UNKNOWN_LAW
from leylora.grounding.wording import concepts
from leylora.laws.catalog import catalog
from leylora.laws.law import Article, Law
from leylora.text import one_line

# --- editions ---------------------------------------------------------------------------------------------------

TODAY = (
    "¿Sigue vigente hoy el artículo {number} {of_law}?",
    "¿El texto del Art. {number} {of_law} es el actual?",
    "¿Ha cambiado el artículo {number} {of_law}?",
    "Confírmame que el art. {number} {of_law} no ha sido reformado.",
    "¿Puedo confiar en que el artículo {number} {of_law} rige en la actualidad?",
)
TODAY_AFTER = (
    "¿Y eso sigue vigente?",
    "¿No lo han reformado?",
    "eso es lo actual?",
    "¿Está al día ese texto?",
    "¿Puedo usarlo hoy tal cual?",
)
TODAY_SAID = (
    "No puedo confirmarlo: el texto que tengo es {day}. En esa edición dice «{q}» {c}. Verifique reformas posteriores en el Registro Oficial.",
    "Eso no lo sé, porque las reformas posteriores no constan aquí. Mi edición es {day}: «{q}» {c}.",
    "No lo sé más allá de mi edición, que es {day}: «{q}» {c}. Para hoy, revise el Registro Oficial o la Asamblea.",
    "No puedo asegurarlo. Tengo la edición {day}, que dice «{q}» {c}.",
    "Desde aquí no se sabe. Lo que leo es la edición {day}, y dice «{q}» {c}. Pida el texto actualizado.",
)
EDITION_OF_DAY = (
    "¿Qué decía el artículo {number} {of_law} en la edición del {day}?",
    "Necesito el artículo {number} {of_law} como estaba el {day}.",
    "¿Cuál era el texto del artículo {number} {of_law} al {day}?",
    "Los hechos son del {day}. ¿Qué decía entonces el art. {number} {of_law}?",
)
EDITION_SAID = (
    "En esa edición dice: «{q}» {c}.",
    "El texto de esa fecha: «{q}» {c}.",
    "Así estaba redactado: «{q}» {c}.",
)


def temporal(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Which text, of when? Who asks about today is told of which day the text is, and where to look.

    With two editions of one law, an article that changed also yields a question with both texts in the prompt.
    """
    quote = quotable(article)
    if not law.edition or not quote:
        return
    chance = lookup.random(law.id, law.edition, article.number, "temporal")
    day = f"del {human_date(law.edition)}"
    yield LawItem("temporal", "abstain", article, TODAY, said(TODAY_SAID, q=one_line(quote), day=day), {}, TODAY_AFTER)
    before = date.fromisoformat(law.edition) - timedelta(days=chance.randint(200, 3_000))
    if chance.random() < 0.2 and not any(
        other.id == law.id and other.edition == before.isoformat() for other in lookup.laws
    ):
        answers: tuple[str, ...] = (
            f"{OTHER_EDITION} Tengo la {day}, que puede decir otra cosa",
            f"{OTHER_EDITION} La que tengo es la {day}",
        )
        yield _declined("other-edition", article, EDITION_OF_DAY, answers, {"day": human_date(before.isoformat())})
    for other in lookup.laws:
        if other.id == law.id and other.edition != law.edition and article.number in other:
            then, slots = (other, other.article(article.number)), {"day": human_date(law.edition)}
            if then[1].in_force and then[1].body != article.body and len(article.body) <= LONGEST_BODY:
                answers = said(EDITION_SAID, q=article.body)
                yield LawItem(
                    "temporal-editions", "grounded", article, EDITION_OF_DAY, answers, slots, other_edition=then
                )


# --- reasons not to answer --------------------------------------------------------------------------------------

ABROAD = (
    "¿Qué dice el artículo {number} {of_law} de {country}?",
    "Según el derecho de {country}, ¿qué establece el artículo {number} {of_law}?",
    "En {country}, ¿qué dispone el Art. {number} {of_law}?",
    "Mi tía vive en {country}. ¿Qué dice allá el artículo {number} {of_law}?",
    "Necesito el art. {number} {of_law} de {country}.",
)
COUNTRIES = ("Colombia", "Perú", "Chile", "España", "México", "Argentina", "Bolivia", "Venezuela", "Uruguay", "Panamá")
GENERIC_NAME = re.compile(r"^(Constitución|Código (?:Civil|Penal|del Trabajo|Tributario|de Comercio))\b")
UNKNOWN = (
    "¿Qué dice {the_law} sobre mi caso?",
    "Necesito una norma {of_law}.",
    "Según {the_law}, ¿qué plazo tengo?",
    "¿Me puede citar un artículo {of_law}?",
    "Mi trámite se rige por {the_law}. ¿Qué debo presentar?",
    "¿Qué sanciones trae {the_law}?",
)
CHECK = "Verifique reformas posteriores."
MISSING_SAID = (
    "{opening} Hablan de otra cosa: {near}. Para «{topic}» hay que buscar otra norma",
    "{opening} Los que tengo a la vista tratan de {near}, y no de «{topic}»",
    "{opening} Ninguno trata «{topic}». Pruebe a preguntarlo con otras palabras",
)
MISSING_NUMBER_SAID = (
    "{opening} Falta el {number}, y sin su texto no respondo",
    "{opening} El {number} no está entre ellos. Búsquelo por su número",
)


def abstain(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """Questions that must not be answered. A repealed article yields itself; one in force every reason that fits it."""
    chance = lookup.random(law.id, article.number, "abstain")
    if article.status == "derogado":
        answers = (f"{REPEALED} {CHECK} {{c}}", f"{REPEALED} Ya no rige en la edición que tengo {{c}}")
        for supplied in (True, False):
            yield LawItem("abstain-repealed", "abstain", article, VERBATIM, answers, supplied=supplied)
    if not article.in_force:
        return
    if chance.random() < 0.6:
        yield from _not_supplied(law, article, lookup)
    if chance.random() < 0.4:
        yield from _wrong_law(law, article, lookup)
    if chance.random() < 0.25:
        missing = _absent_number(law, chance)
        if missing:
            answers = (
                f"{NO_SUCH_ARTICLE} No consta el {missing} en esta edición",
                f"{NO_SUCH_ARTICLE} El {missing} no está en el texto que tengo; revise el número",
            )
            yield _declined("no-such-article", article, VERBATIM, answers, {"number": missing})
    name = GENERIC_NAME.match(law.name)
    if name and chance.random() < 0.1:
        slots = {"country": chance.choice(COUNTRIES), "of_law": of_law(law, name.group(0))}
        answers = (f"{OTHER_COUNTRY} Puedo buscar la norma de aquí", f"{OTHER_COUNTRY} Consulte a alguien de ese país")
        yield _declined("other-country", article, ABROAD, answers, slots)
    if chance.random() < 0.15:
        known = {name for one in lookup.laws for name in (one.id, one.name)}
        absent = [entry for entry in catalog() if known.isdisjoint((entry.id, entry.name))]
        if absent:
            other = chance.choice(absent)
            slots = {"the_law": the_law(other, other.name), "of_law": of_law(other, other.name)}
            answers = (f"{UNKNOWN_LAW} Si la agrega, la leo", f"{UNKNOWN_LAW} Aquí solo está esta otra")
            yield _declined("unknown-law", article, UNKNOWN, answers, slots)


def _absent_number(law: Law, chance: Random) -> str:
    """A number that a person might well ask for and the law does not have: one between two, or just past the last."""
    numbers = [int(row.number) for row in law.articles if row.number.isdigit()]
    if not numbers:
        return ""
    last = max(numbers)
    wanted = [str(last + chance.randint(1, 40)), str(last + chance.randint(41, 400))]
    return next((one for one in chance.sample(wanted, len(wanted)) if one not in law), "")


def _declined(
    reason: str, article: Article, wordings: tuple[str, ...], answers: tuple[str, ...], slots: dict[str, str]
) -> LawItem:
    """A question without articles in the prompt whose answer cites none."""
    return LawItem(f"abstain-{reason}", "abstain", article, wordings, answers, slots, cites=False, supplied=False)


def _not_supplied(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """A question of another family, with every given article a wrong one."""
    title = lookup.title(law, article)
    if title and len(concepts(title)) >= 2:
        wordings = PENALTY_BY_TOPIC[:8] if lookup.rules(law, article).offences else TOPIC
        answers = said(MISSING_SAID, opening=NOT_SUPPLIED, topic=title)
        yield LawItem("abstain-not-supplied", "abstain", article, wordings, answers, {"topic": title}, cites=False)
    elif not title:
        answers = said(MISSING_NUMBER_SAID, opening=NOT_SUPPLIED, number=spelled(article.number))
        yield LawItem("abstain-not-supplied", "abstain", article, VERBATIM, answers, cites=False)


def _wrong_law(law: Law, article: Article, lookup: LawLookup) -> Iterator[LawItem]:
    """The topic of an article of another law, asked of this one whose articles are given."""
    others = [other for other in lookup.laws if other.id != law.id and len(other) > 20]
    if not others:
        return
    chance = lookup.random(law.id, article.number, "wrong-law")
    other = chance.choice(others)
    foreign = chance.choice(other.articles)
    words = lookup.title(other, foreign) if foreign.in_force else None
    if words is not None and len(concepts(words)) >= 2 and not set(concepts(words)) <= lookup.concepts_of(law):
        answers = said(MISSING_SAID, opening=NOT_SUPPLIED, topic=words)
        yield LawItem("abstain-wrong-law", "abstain", article, TOPIC, answers, {"topic": words}, cites=False)
