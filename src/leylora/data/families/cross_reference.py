"""Following a link: what does the article say to which this one refers? Both articles are in the prompt."""

from collections.abc import Iterator

from leylora.data.item import Item, Library, spelled
from leylora.data.law_text import first_sentence
from leylora.laws.law import Article, Law

PHRASINGS = (
    "El artículo {source} {of_law} remite al {phrase}. ¿Qué dice ese otro artículo?",
    "En el Art. {source} {of_law} se menciona el {phrase}. ¿Cuál es su contenido?",
    "Siga la remisión del artículo {source} {of_law} al {phrase}.",
    "¿Qué establece el artículo al que remite el {source} {of_law} («{phrase}»)?",
    "Lee el artículo {source} {of_law} y dime qué norma invoca al citar el {phrase}.",
    "Resuelva la referencia al {phrase} del artículo {source} {of_law}.",
)
MAX_QUOTE = 600


def items(law: Law, article: Article, library: Library) -> Iterator[Item]:
    """Up to two items for an article that others point to; the one that points stands in the prompt as well."""
    if not article.in_force:
        return
    quote = article.body if len(article.body) <= MAX_QUOTE else first_sentence(article.body)
    for source, phrase in library.referrers(law, article)[:2]:
        slots = {"source": spelled(source.number), "phrase": phrase}
        answer = f"Remite al artículo {spelled(article.number)}: «{quote}»"
        yield Item("cross-reference", "grounded", article, PHRASINGS, answer, slots, beside=(source,))
