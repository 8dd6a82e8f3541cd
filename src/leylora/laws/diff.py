"""Two editions of a law, compared article by article (reformed, added, repealed) and word by word."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from leylora.laws.law import Article, Law


class Words(NamedTuple):
    """A run of words that both texts share, or that only one of them has."""

    kind: Literal["same", "removed", "added"]
    text: str


class LawDiff(NamedTuple):
    """``repealed`` articles are gone or marked repealed in the new edition; of ``doubtful`` ones it prints two versions
    or leaves open whether they are in force."""

    added: list[Article]
    repealed: list[Article]
    reformed: list[tuple[Article, Article]]
    doubtful: list[Article]
    unchanged: int


def compare(old: Law, new: Law) -> LawDiff:
    """Compare by article number; only the text in force counts, so a new note alone is not a reform."""
    before, after = (
        {article.number.lower(): article for article in law if article.status != "derogado" and article.body}
        for law in (old, new)
    )
    shared = [(article, after[number]) for number, article in before.items() if number in after]
    reformed = [(one, other) for one, other in shared if one.text.split() != other.text.split()]
    return LawDiff(
        added=[article for number, article in after.items() if number not in before],
        repealed=[article for number, article in before.items() if number not in after],
        reformed=reformed,
        doubtful=[article for article in new if article.status == "dudoso"],
        unchanged=len(shared) - len(reformed),
    )


def word_diff(old: str, new: str) -> Iterator[Words]:
    """The words of both texts in order, as runs; spaces and line breaks are not compared."""
    before, after = old.split(), new.split()
    for tag, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
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
