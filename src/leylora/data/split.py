"""Who goes to train, validation and test: decided per article and per reading text, before any row is made."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal

from leylora.data.conversation import Conversation
from leylora.data.mixture import Splits
from leylora.laws.law import Law

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
READING_TEXT = 200  # characters; a longer paragraph is a text that several questions may share


def draw(seed: int, *key: str) -> int:
    """A number that depends on the seed and the key only: the order in which things are picked."""
    return int.from_bytes(blake2b("\x1f".join([str(seed), *key]).encode(), digest_size=8).digest(), "big")


def split_articles(laws: Sequence[Law], splits: Splits, seed: int, hold_out: Iterable[str] = ()) -> dict[
    Split, set[tuple[str, str]]
]:  # fmt: skip
    """``(law id, article number)`` of each split; the articles of ``hold_out`` laws are all test."""
    members: dict[Split, set[tuple[str, str]]] = {name: set() for name in SPLITS}
    held = set(hold_out)
    for law in laws:
        numbers = [row.number for row in law.articles]
        if law.id in held:
            members["test"] |= {(law.id, number) for number in numbers}
            continue
        parts = _cut(sorted(numbers, key=lambda number: (draw(seed, law.id, number), number)), splits)
        for name, part in parts.items():
            members[name] |= {(law.id, number) for number in part}
    return members


def split_conversations(rows: Sequence[Conversation], splits: Splits, seed: int) -> dict[Split, list[Conversation]]:
    """Conversations by split, each source apart; questions on one reading text stay together."""
    out: dict[Split, list[Conversation]] = {name: [] for name in SPLITS}
    by_source: dict[str, dict[str, list[Conversation]]] = {}
    for row in rows:
        by_source.setdefault(row.source, {}).setdefault(_group(row), []).append(row)
    for source, groups in by_source.items():
        order = sorted(groups, key=lambda key: (draw(seed, source, key), key))
        flat = [row for key in order for row in groups[key]]
        bounds = _bounds(len(flat), splits)
        place = 0
        for key in order:
            name: Split = "test" if place < bounds[0] else "validation" if place < bounds[1] else "train"
            out[name] += groups[key]
            place += len(groups[key])
    return out


def _cut(order: Sequence[str], splits: Splits) -> dict[Split, Sequence[str]]:
    test, validation = _bounds(len(order), splits)
    return {"test": order[:test], "validation": order[test:validation], "train": order[validation:]}


def _bounds(count: int, splits: Splits) -> tuple[int, int]:
    """Ends of the test and the validation part; a share above zero gets at least one of three or more."""
    test = max(round(count * splits.test), 1 if splits.test and count > 2 else 0)
    validation = max(round(count * splits.validation), 1 if splits.validation and count > 2 else 0)
    return test, test + validation


def _group(row: Conversation) -> str:
    longest = max((part for part in row.prompt.split("\n\n")), key=len, default="")
    return longest if len(longest) > READING_TEXT else row.id
