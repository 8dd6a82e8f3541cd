"""Shared runs of words between two sets of texts: how a benchmark leaks into training data.

Eight words in a row is the n-gram length of the GPT-3 and Llama-2 contamination reports' lower end.
"""

from collections.abc import Callable, Iterable

from leylora.text import words

RUN = 8


def runs(text: str) -> set[int]:
    """Hashes of every run of eight words of ``text``; none for a shorter text.

    The hashes are Python's own of a tuple of text and differ from process to process: compare, never store.
    """
    row = words(text)
    return {hash(tuple(row[at : at + RUN])) for at in range(len(row) - RUN + 1)}


def marks(text: str) -> set[int]:
    """`runs`, and one hash of the whole text when it is a short question of four to seven words."""
    row = words(text)
    return {hash(tuple(row))} if 4 <= len(row) < RUN else runs(text)


def union(texts: Iterable[str], of: Callable[[str], set[int]] = runs) -> set[int]:
    """The union of `runs` (or `marks`) over ``texts``."""
    found: set[int] = set()
    for text in texts:
        found |= of(text)
    return found
