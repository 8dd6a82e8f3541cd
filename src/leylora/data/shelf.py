"""The laws that training rows come from, and the closed inventory of what may be cited of them."""

from collections.abc import Iterable

from leylora.grounding.citations import CitationIndex
from leylora.laws.catalog import catalog
from leylora.laws.law import Law
from leylora.text import one_line


class Shelf:
    """Some parsed laws and their `CitationIndex`."""

    def __init__(self, laws: Iterable[Law]) -> None:
        self.laws = tuple(laws)
        self.index = CitationIndex.of(self.laws, catalog())
        self.names = {name.lower() for law in self.index.known if law.numbers for name in law.names}
        self._editions = {(law.id, law.edition): law for law in self.laws}

    def law(self, law_id: str, edition: str) -> Law | None:
        """The law with this id in this edition."""
        return self._editions.get((law_id, edition))

    def whole_law(self, words: str) -> Law | None:
        """The law that ``Name, ed. 2023-02-01`` names: how abstentions say which text they looked at."""
        return next((law for law in self.laws if whole_law_citation(law) == one_line(words)), None)


def whole_law_citation(law: Law) -> str:
    """What an abstention ends in: the law and the edition that were looked at, without an article."""
    return f"{law.name}, ed. {law.edition or 's. f.'}"
