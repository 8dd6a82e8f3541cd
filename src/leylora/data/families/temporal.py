"""Which text, of when? The edition in the prompt wins over memory, and whoever asks about today is told to check.

With two editions of one law, an article that changed yields a question with both texts, of which the asked
edition's is the answer.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from leylora.data.item import Item, Library
from leylora.data.law_text import first_sentence
from leylora.grounding.prompt import OTHER_EDITION
from leylora.laws.law import Article, Law

TODAY = (
    "¿Sigue vigente hoy el artículo {number} {of_law}?",
    "¿El texto del Art. {number} {of_law} es el actual?",
    "¿Ha cambiado el artículo {number} {of_law}?",
    "Confírmame que el art. {number} {of_law} no ha sido reformado.",
    "¿Puedo confiar en que el artículo {number} {of_law} rige en la actualidad?",
    "¿Qué dice en este momento el artículo {number} {of_law}?",
    "Dime el texto vigente del artículo {number} {of_law}.",
)
CONTRADICTED = (
    "Recuerdo otra redacción del artículo {number} {of_law}. ¿Qué dice el texto dado?",
    "Me dijeron que el Art. {number} {of_law} ya no dice eso. ¿Qué consta en la edición dada?",
    "Según la edición proporcionada, y no según su memoria, ¿qué dice el artículo {number} {of_law}?",
    "Atente al texto entregado: ¿qué establece el art. {number} {of_law}?",
    "Aunque haya otras versiones, ¿qué señala la edición aquí citada del artículo {number} {of_law}?",
    "Con base solo en la edición del {edition}, ¿qué dice el artículo {number} {of_law}?",
)
OTHER_EDITION_ASKED = (
    "¿Qué decía el artículo {number} {of_law} en la edición del {day}?",
    "Transcriba el Art. {number} {of_law} según su texto del {day}.",
    "Necesito el artículo {number} {of_law} como estaba el {day}.",
    "¿Cuál era el texto del artículo {number} {of_law} al {day}?",
    "Dime cómo decía el art. {number} {of_law} en la versión del {day}.",
    "Edición del {day}: ¿qué disponía el artículo {number} {of_law}?",
)
MAX_QUOTE = 600
CHECK = "Verifique reformas posteriores."


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """Today, contradiction and unknown edition for an article in force; before and after for one that changed."""
    if not article.in_force:
        return
    quote = article.body if len(article.body) <= MAX_QUOTE else first_sentence(article.body)
    answer = f"Según la edición citada: «{quote}» {CHECK}"
    yield Item("temporal", "abstain", article, TODAY, answer)
    slots = {"edition": law.edition or "s. f."}
    yield Item("temporal", "abstain", article, CONTRADICTED, f"«{quote}»", slots)
    if not law.edition:
        return
    chance = library.random(law.id, law.edition, article.number, "temporal")
    day = date.fromisoformat(law.edition) + timedelta(days=chance.choice((-1, 1)) * chance.randint(200, 3_000))
    if not any(other.id == law.id and other.edition == day.isoformat() for other in library.laws):
        answer = f"{OTHER_EDITION} Tengo esta: ({law.name}, ed. {law.edition})"
        slots = {"day": day.isoformat()}
        yield Item("abstain-other-edition", "abstain", article, OTHER_EDITION_ASKED, answer, slots, cites=False,
                   supplied=False)  # fmt: skip
    for other in library.laws:
        if other.id == law.id and other.edition != law.edition and article.number in other:
            then = other.article(article.number)
            if then.in_force and then.body != article.body:
                yield Item("temporal-editions", "grounded", article, OTHER_EDITION_ASKED, f"«{quote}»",
                           {"day": law.edition}, beside_other=(other, then))  # fmt: skip
