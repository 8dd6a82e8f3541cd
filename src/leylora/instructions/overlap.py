"""Shared runs of words between two sets of texts: how a benchmark leaks into training data.

Eight words in a row is the n-gram length of the GPT-3 and Llama-2 contamination reports' lower end.
"""

from collections.abc import Iterable

from leylora.instructions.duplicates import plain

RUN = 8


def runs(text: str, length: int = RUN) -> set[int]:
    """Hashes of every run of ``length`` words of ``text``; a shorter text counts as one run of all its words.

    The hashes are Python's own of a tuple of text and differ from process to process: compare, never store.
    """
    words = plain(text).split()
    if len(words) < length:
        return {hash(tuple(words))} if len(words) >= 4 else set()
    return {hash(tuple(words[at : at + length])) for at in range(len(words) - length + 1)}


def all_runs(texts: Iterable[str], length: int = RUN) -> set[int]:
    """The union of `runs` over ``texts``."""
    found: set[int] = set()
    for text in texts:
        found |= runs(text, length)
    return found


def shares_a_run(text: str, known: set[int], length: int = RUN) -> bool:
    """Whether ``text`` has a run of ``length`` words that is in ``known``."""
    return bool(known) and not runs(text, length).isdisjoint(known)
