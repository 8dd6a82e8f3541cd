"""Two editions of a law held against each other: what was reformed, added and repealed, word by word."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from leylora.laws.law import Article, Law


@dataclass(frozen=True)
class Words:
    """A run of words that both texts share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True)
class LawDiff:
    """What separates two editions.

    ``repealed`` holds articles that are gone or marked repealed in the new one, ``doubtful`` those of which the new
    one prints two versions, or whose force it leaves open: they may have been reformed.
    """

    added: tuple[Article, ...]
    repealed: tuple[Article, ...]
    reformed: tuple[tuple[Article, Article], ...]
    doubtful: tuple[Article, ...]
    unchanged: int


def compare(old: Law, new: Law) -> LawDiff:
    """Compare by article number; only the text in force counts, so a new note alone is no reform."""
    added = [article for article in new if _lives(article) and not _lives(_find(old, article.number))]
    repealed = [article for article in old if _lives(article) and not _lives(_find(new, article.number))]
    reformed, unchanged = [], 0
    for article in old:
        other = _find(new, article.number)
        if other is None or not (_lives(article) and _lives(other)):
            continue
        if _words(article.text) == _words(other.text):
            unchanged += 1
        else:
            reformed.append((article, other))
    doubtful = [article for article in new if article.status == "dudoso"]
    return LawDiff(tuple(added), tuple(repealed), tuple(reformed), tuple(doubtful), unchanged)


def word_diff(old: str, new: str) -> Iterator[Words]:
    """The words of both texts in order, as runs; spaces and line breaks are not compared."""
    before, after = _words(old), _words(new)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        if before[i:j] == after[k:m]:
            yield Words("same", " ".join(before[i:j]))
            continue
        if i < j:
            yield Words("removed", " ".join(before[i:j]))
        if k < m:
            yield Words("added", " ".join(after[k:m]))


def shortened(runs: Iterable[Words], context: int = 12) -> Iterator[Words]:
    """The same runs, with what both texts share cut down to ``context`` words on either side of a change."""
    listed = list(runs)
    for index, run in enumerate(listed):
        words = run.text.split()
        head = words[:context] if index else []
        tail = words[-context:] if index + 1 < len(listed) else []
        if run.kind == "same" and len(words) > len(head) + len(tail) + 1:
            yield Words("same", " ".join([*head, "[…]", *tail]))
        else:
            yield run


def _find(law: Law, number: str) -> Article | None:
    return law[number] if number in law else None  # noqa: SIM401 (a Law is no dict)


def _lives(article: Article | None) -> bool:
    return article is not None and article.status != "derogado" and bool(article.body)


def _words(text: str) -> list[str]:
    return re.findall(r"\S+", text)
