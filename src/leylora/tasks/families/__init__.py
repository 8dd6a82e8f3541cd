"""One module per family of law questions; each has ``items(law, article, library) -> Iterator[Item]``."""

from collections.abc import Callable, Iterator

from leylora.laws.law import Article, Law
from leylora.tasks.families import (
    abstain,
    deadline,
    definition,
    governing_article,
    list_items,
    sanction,
    verbatim,
)
from leylora.tasks.item import Item, Library

FAMILIES: dict[str, Callable[[Law, Article, Library], Iterator[Item]]] = {
    "verbatim": verbatim.items,
    "governing-article": governing_article.items,
    "sanction": sanction.items,
    "deadline": deadline.items,
    "definition": definition.items,
    "list-items": list_items.items,
    "abstain": abstain.items,
}
