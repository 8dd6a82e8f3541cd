"""One module per family of law questions; each has ``items(law, article, library) -> Iterator[Item]``."""

from collections.abc import Callable, Iterator

from leylora.data.families import (
    abstain,
    cross_reference,
    deadline,
    definition,
    exception,
    governing_article,
    list_items,
    location,
    sanction,
    summary,
    syllogism,
    temporal,
    topic,
    verbatim,
)
from leylora.data.item import Item, Library
from leylora.laws.law import Article, Law

FAMILIES: dict[str, Callable[[Law, Article, Library], Iterator[Item]]] = {
    "topic": topic.items,
    "verbatim": verbatim.items,
    "governing-article": governing_article.items,
    "sanction": sanction.items,
    "deadline": deadline.items,
    "definition": definition.items,
    "list-items": list_items.items,
    "location": location.items,
    "exception": exception.items,
    "cross-reference": cross_reference.items,
    "summary": summary.items,
    "syllogism": syllogism.items,
    "temporal": temporal.items,
    "abstain": abstain.items,
}
