"""What a task family yields: a question in several wordings, its answer, and the article that answers it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Literal

from leylora.laws.law import Article, Law

Mode = Literal["grounded", "closed", "abstain"]


@dataclass(frozen=True)
class Item:
    """One thing that can be asked about one article.

    ``phrasings`` are the wordings with ``{slots}``; ``{law}``, ``{of_law}`` and ``{number}`` are always filled.
    ``answer`` is complete but for the citation, which the generator adds when ``cites`` is set. ``kind`` is the
    share of the mixture the item counts for. With ``passages`` the prompt carries exactly those articles,
    otherwise a grounded item carries its own article among distractors.
    """

    task: str
    kind: Mode
    article: Article
    phrasings: tuple[str, ...]
    answer: str
    slots: dict[str, str] = field(default_factory=dict)
    cites: bool = True
    supplied: bool = True
    asked_of: Law | None = None


@dataclass(frozen=True)
class Library:
    """The laws a build knows, with what families look up: which rubrics are unique, who the neighbours are."""

    laws: tuple[Law, ...]
    seed: int

    def random(self, *key: str) -> Random:
        """A generator that depends on the seed and ``key`` only, never on what ran before."""
        digest = blake2b("\x1f".join([str(self.seed), *key]).encode(), digest_size=8).digest()
        return Random(int.from_bytes(digest, "big"))

    @cached_property
    def rubric_counts(self) -> dict[str, Counter[str]]:
        """How often each rubric, in lower case, occurs in each law."""
        return {law.id: Counter((row.rubric or "").lower() for row in law.articles) for law in self.laws}

    def has_unique_rubric(self, article: Article) -> bool:
        """Whether the rubric exists and names only this article in its law."""
        return bool(article.rubric) and self.rubric_counts[article.law_id][(article.rubric or "").lower()] == 1


def names_of(law: Law) -> Sequence[str]:
    """The names a person may call the law by, its full name first."""
    return tuple(dict.fromkeys(name for name in (law.name, law.siglas, *law.aliases) if name))


def of_law(law: Law, name: str) -> str:
    """``name`` of the law after "de", with the article its gender asks for: "del COIP", "de la Constitución"."""
    return f"del {name}" if is_masculine(law, name) else f"de la {name}"


def the_law(law: Law, name: str) -> str:
    """``name`` with its article: "el COIP", "la Constitución"."""
    return f"el {name}" if is_masculine(law, name) else f"la {name}"


def is_masculine(law: Law, name: str) -> bool:
    """Whether the name takes "el". An abbreviation has the gender of the law's full name."""
    first = (law.name if name.isupper() else name).split()[0].lower()
    return first in {"código", "codigo", "reglamento", "estatuto", "decreto", "acuerdo", "texto", "convenio", "pacto"}
