"""The closed inventory of what may be cited."""

from collections.abc import Iterable
from functools import cached_property

from leylora.data.compose import names_of
from leylora.grounding.citations import format_citation, parse_citations, resolve
from leylora.grounding.quantities import Quantity, quantities
from leylora.laws.law import Article, Law
from leylora.text import one_line


class Shelf:
    """Every canonical citation of every article of some laws, and what each article says."""

    def __init__(self, laws: Iterable[Law]) -> None:
        self.laws = tuple(laws)
        self._cited = {law.cite(row.number): Entry(law, row) for law in self.laws for row in law.articles}
        self._editions = {(law.id, law.edition): law for law in self.laws}

    def find(self, citation: str) -> "Entry | None":
        """The article that a canonical citation (without its brackets) names."""
        words = one_line(citation)
        if words in self._cited:
            return self._cited[words]
        for one in parse_citations(words, self.laws)[:1]:  # with a numeral or literal: "Art. 76, num. 3, ..."
            for law in self.laws:
                found = resolve(one, [law])
                if found and one.numeral and format_citation(*_key(found), one.numeral, one.literal) == words:
                    return _item(*found, one.numeral, one.literal)
        return None

    def law(self, law_id: str, edition: str) -> Law | None:
        """The law with this id in this edition."""
        return self._editions.get((law_id, edition))

    def whole_law(self, words: str) -> Law | None:
        """The law that ``Name, ed. 2023-02-01`` names: how abstentions say which text they looked at."""
        return next((law for law in self.laws if whole_law_citation(law) == one_line(words)), None)

    @cached_property
    def names(self) -> dict[str, str]:
        """``{name in lower case: law id}`` of every name, siglas and alias."""
        return {name.lower(): law.id for law in self.laws for name in names_of(law)}


class Entry:
    """One article of a shelf, or one part of it, with the readings that the verifier compares with."""

    def __init__(self, law: Law, article: Article, part: str | None = None) -> None:
        self.law = law
        self.article = article
        self.body = article.body if part is None else part

    @cached_property
    def text(self) -> str:
        """All an answer may take from the article, on one line: number, path, rubric, body."""
        path = " ".join(str(part) for part in self.article.path)
        return one_line(f"{self.article.number} {path} {self.article.rubric or ''} {self.body}")

    @cached_property
    def quantities(self) -> list[Quantity]:
        """The numbers of rubric and body."""
        return quantities(f"{self.article.rubric or ''}. {self.body}")


def _key(found: tuple[Law, Article]) -> tuple[Law, str]:
    return found[0], found[1].number


def _item(law: Law, article: Article, numeral: str, literal: str | None) -> Entry | None:
    """The numeral or literal of an article, or None when it has no such part."""
    part = next((item for item in article.numerals if item.label == numeral), None)
    if part is not None and literal:
        part = next((inner for inner in part.literals if inner.label == literal), None)
    return None if part is None else Entry(law, article, part.text)


def whole_law_citation(law: Law) -> str:
    """What an abstention ends in: the law and the edition that were looked at, without an article."""
    return f"{law.name}, ed. {law.edition or 's. f.'}"
