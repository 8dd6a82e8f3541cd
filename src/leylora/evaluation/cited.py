"""Which articles an answer cites, and whether each is the right one, another one, or none that exists."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leylora.evaluation.results import Citation, Item, Verdict
from leylora.grounding.citations import Named, parse_citations
from leylora.grounding.prompt import NO_SUCH_ARTICLE
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.law import Law


@dataclass(frozen=True)
class Inventory:
    """What is known to exist: parsed laws, and besides them the articles that the items themselves name.

    Attributes:
        laws: their articles are known one by one.
        known, missing: (law id, article) that items cite, and that items know not to exist.
    """

    laws: tuple[Law, ...] = ()
    known: frozenset[tuple[str, str]] = frozenset()
    missing: frozenset[tuple[str, str]] = frozenset()
    named: tuple[Named, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, items: Iterable[Item], laws: Sequence[Law]) -> "Inventory":
        """Laws given, then those of the catalogue by name; articles of the items."""
        items = list(items)
        by_name = {entry.id for law in laws if (entry := find_in_catalog(law.name))}
        ids = {law.id for law in laws} | by_name - {item.law_id for item in items}
        named: tuple[Named, ...] = (*laws, *(entry for entry in catalog() if entry.id not in ids))
        known = {(item.law_id, item.article) for item in items if item.article}
        missing = {
            (item.law_id, cited.article)
            for item in items if item.abstain and item.reference.startswith(NO_SUCH_ARTICLE)
            for cited in parse_citations(item.messages[-1]["content"], named) if cited.law_id in (item.law_id, None)
        }  # fmt: skip
        return cls(tuple(laws), frozenset(known), frozenset(missing - known), named)

    def exists(self, law_id: str, article: str, edition: str) -> bool | None:
        """Whether a law has an article; None when nobody here can tell."""
        mine = [law for law in self.laws if law.id == law_id]
        mine = [law for law in mine if law.edition == edition] or mine
        if mine:
            return any(article in law for law in mine)
        if (law_id, article) in self.known:
            return True
        return False if (law_id, article) in self.missing else None


def citations(text: str, item: Item, inventory: Inventory) -> list[Citation]:
    """The articles an answer cites, each once, in order.

    A citation without a law is one of the item's law, the only one its prompt names. The right article in an edition
    that was not asked is wrong.
    """
    found: dict[tuple[str, str], Citation] = {}
    own = [law for law in inventory.named if law.id == item.law_id]
    for one in parse_citations(text, [*own, *(law for law in inventory.named if law.id != item.law_id)]):
        law_id = one.law_id or ("" if one.law_text else item.law_id)
        if (law_id, one.article) not in found:
            start, end = one.span
            found[law_id, one.article] = Citation(
                text=text[start:end], span=one.span, law_id=law_id, article=one.article, edition=one.edition,
                verdict=_verdict(law_id, one.article, one.edition, item, inventory),
            )  # fmt: skip
    return list(found.values())


def _verdict(law_id: str, article: str, edition: str, item: Item, inventory: Inventory) -> Verdict:
    if item.article and (law_id, article) == (item.law_id, item.article):
        return "right" if edition in ("", item.edition) else "wrong"
    exists = inventory.exists(law_id, article, edition or item.edition) if law_id else None
    return "unknown" if exists is None else "wrong" if exists else "invented"
