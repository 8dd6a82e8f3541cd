"""Which articles an answer cites, and whether each is the right one, another one, or none that exists.

`leylora.grounding.checker` reads the citations and knows what exists; this file holds them against an item.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leylora.evaluation.results import Citation, Item, Verdict
from leylora.grounding.checker import CheckedCitation, check_answer
from leylora.grounding.citations import CitationIndex, IndexedLaw, parse_citations
from leylora.grounding.prompt import NO_SUCH_ARTICLE
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.law import Law


@dataclass(frozen=True)
class Inventory:
    """What is known to exist: parsed laws, and besides them the articles that the items themselves name.

    Attributes:
        index: the laws, those of the catalogue by name.
        known, missing: (law id, article) that items cite, and that items know not to exist.
    """

    index: CitationIndex = field(default_factory=lambda: CitationIndex(()))
    known: frozenset[tuple[str, str]] = frozenset()
    missing: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, items: Iterable[Item], laws: Sequence[Law]) -> "Inventory":
        """Laws given, then those of the catalogue by name; articles of the items."""
        items = list(items)
        by_name = {entry.id for law in laws if (entry := find_in_catalog(law.name))}
        ids = {law.id for law in laws} | by_name - {item.law_id for item in items}
        given = CitationIndex.of(laws)
        names = [IndexedLaw(law.id, law.name, law.siglas, law.aliases) for law in catalog() if law.id not in ids]
        index = CitationIndex([*given.known, *names], given.articles)
        known = {(item.law_id, item.article) for item in items if item.article}
        missing = {
            (item.law_id, cited.article)
            for item in items
            if item.abstain and item.reference.startswith(NO_SUCH_ARTICLE)
            for cited in parse_citations(item.messages[-1]["content"], index.known)
            if cited.law_id in (item.law_id, None)
        }
        return cls(index, frozenset(known), frozenset(missing - known))


def citations(text: str, item: Item, inventory: Inventory) -> list[Citation]:
    """The articles an answer cites, each once, in order.

    A citation without a law is one of the item's law, the only one its prompt names. The right article in an edition
    that was not asked is wrong.
    """
    found: dict[tuple[str, str], Citation] = {}
    for one in check_answer(text, inventory.index, given=None, law_id=item.law_id, edition=item.edition):
        cited = one.citation
        law_id = cited.law_id or ""
        if (law_id, cited.article) not in found:
            start, end = one.span
            found[law_id, cited.article] = Citation(
                text=text[start:end],
                span=one.span,
                law_id=law_id,
                article=cited.article,
                edition=cited.edition,
                verdict=_verdict(one, item, inventory),
            )
    return list(found.values())


def _verdict(one: CheckedCitation, item: Item, inventory: Inventory) -> Verdict:
    named = (one.citation.law_id or "", one.citation.article)
    if one.exists is False or named in inventory.missing:
        return "invented"
    if item.article and named == (item.law_id, item.article):
        return "right" if one.citation.edition in ("", item.edition) else "wrong"
    return "wrong" if one.exists or named in inventory.known else "unknown"
