"""What a task family yields: a question in several wordings, its answer, and the article that answers it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Literal

from leylora.data.law_text import subject
from leylora.grounding.citations import Named
from leylora.grounding.quantities import references
from leylora.laws.law import Article, Law

LONGEST_TITLE = 110  # characters; what is longer is a sentence that opens a list
Kind = Literal["grounded", "closed", "abstain"]


@dataclass(frozen=True)
class Item:
    """One thing that can be asked about one article.

    Attributes:
        kind: the share of the mixture the item counts for.
        article: the one that answers, and to which the row belongs.
        phrasings: wordings with ``{slots}``; ``{law}``, ``{of_law}``, ``{the_law}`` and ``{number}`` are always filled.
        answer: complete but for the citation, which is added when ``cites`` is set.
        supplied: whether articles stand in the prompt; a closed-book item never has any.
        beside: articles the prompt must carry besides ``article``.
        beside_other: an article of another edition that the prompt must carry.
    """

    task: str
    kind: Kind
    article: Article
    phrasings: tuple[str, ...]
    answer: str
    slots: dict[str, str] = field(default_factory=dict)
    cites: bool = True
    supplied: bool = True
    beside: tuple[Article, ...] = ()
    beside_other: tuple[Law, Article] | None = None


@dataclass(frozen=True)
class Library:
    """The laws a build knows, with what families look up: which rubrics and subjects name one article only."""

    laws: tuple[Law, ...]
    seed: int

    def random(self, *key: str) -> Random:
        """A generator that depends on the seed and ``key`` only, never on what ran before."""
        digest = blake2b("\x1f".join([str(self.seed), *key]).encode(), digest_size=8).digest()
        return Random(int.from_bytes(digest, "big"))

    def has_unique_rubric(self, law: Law, article: Article) -> bool:
        """Whether the rubric is a short title and names only this article in its law."""
        rubric = article.rubric or ""
        return 0 < len(rubric) <= LONGEST_TITLE and ";" not in rubric and self._rubrics[_key(law)][rubric.lower()] == 1

    def topic(self, law: Law, article: Article) -> str | None:
        """Words that name the article and no other one of its law: its rubric, else the subject it opens with."""
        if self.has_unique_rubric(law, article):
            return lowered(article.rubric or "")
        opening = subject(article.body) if not article.rubric else None
        return opening if opening and self._subjects[_key(law)][opening.lower()] == 1 else None

    def mentions(self, law: Law, words: str) -> bool:
        """Whether ``words`` occur anywhere in ``law``, without regard to case."""
        return words.lower() in self._texts[_key(law)]

    def referrers(self, law: Law, article: Article) -> list[tuple[Article, str]]:
        """The articles of the same law that point to ``article``, each with the words it uses."""
        return self._referrers[_key(law)].get(article.number, [])

    def last_number(self, law: Law) -> int:
        """The highest article number of the law, 0 when none is a plain number."""
        return self._last_numbers[_key(law)]

    @cached_property
    def _last_numbers(self) -> dict[str, int]:
        return {_key(law): max((int(row.number) for row in law.articles if row.number.isdigit()), default=0)
                for law in self.laws}  # fmt: skip

    @cached_property
    def _rubrics(self) -> dict[str, Counter[str]]:
        return {_key(law): Counter((row.rubric or "").lower() for row in law.articles) for law in self.laws}

    @cached_property
    def _subjects(self) -> dict[str, Counter[str]]:
        return {_key(law): Counter((subject(row.body) or "").lower() for row in law.articles) for law in self.laws}

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {_key(law): "\n".join(f"{row.rubric} {row.body}" for row in law.articles).lower() for law in self.laws}

    @cached_property
    def _referrers(self) -> dict[str, dict[str, list[tuple[Article, str]]]]:
        found: dict[str, dict[str, list[tuple[Article, str]]]] = {}
        for law in self.laws:
            mine = found.setdefault(_key(law), {})
            for row in law.articles:
                for words, number in references(law, row) if row.in_force else ():
                    mine.setdefault(number, []).append((row, words))
        return found


def _key(law: Law) -> str:
    return f"{law.id}@{law.edition}"


def names_of(law: Law) -> Sequence[str]:
    """The names a person may call the law by, its full name first."""
    return tuple(dict.fromkeys(name for name in (law.name, law.siglas, *law.aliases) if name))


def of_law(law: Named, name: str) -> str:
    """``name`` of the law after "de", with the article its gender asks for: "del COIP", "de la Constitución"."""
    return f"del {name}" if is_masculine(law, name) else f"de la {name}"


def the_law(law: Named, name: str) -> str:
    """``name`` with its article: "el COIP", "la Constitución"."""
    return f"el {name}" if is_masculine(law, name) else f"la {name}"


def is_masculine(law: Named, name: str) -> bool:
    """Whether the name takes "el". An abbreviation has the gender of the law's full name."""
    first = (law.name if name.isupper() else name).split()[0].lower()
    return first in {"código", "codigo", "reglamento", "estatuto", "decreto", "acuerdo", "texto", "convenio", "pacto",
                     "mandato", "tratado", "protocolo", "instructivo"}  # fmt: skip


def lowered(rubric: str) -> str:
    """A rubric as it stands inside a sentence: first letter small, unless it begins with an abbreviation."""
    return rubric if len(rubric) > 1 and rubric[1].isupper() else rubric[:1].lower() + rubric[1:]


def spelled(number: str) -> str:
    """An article's number as it is said: "152-innumerado-2" is "innumerado 2 agregado a continuación del Art. 152"."""
    base, mark, count = number.partition("-innumerado-")
    return f"innumerado {count} agregado a continuación del Art. {base}" if mark else number
