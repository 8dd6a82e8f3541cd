"""OpenAssistant conversation trees: from every tree the path of best-ranked replies.

Both published shapes are read: flat messages (``message_id``, ``parent_id``, ``role``, ``text``, ``rank``) and
whole trees (``message_tree_id``, ``prompt`` with nested ``replies``). Rank 0 is the annotators' favourite; an
unranked reply stands behind the ranked ones, as in the OASST paper's own export (arXiv:2304.07327).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from leylora.data.records import Fault, Record

UNRANKED = 1_000


@dataclass(frozen=True)
class Path:
    """The chosen turns of one tree, the assistant last."""

    place: str
    turns: list[dict[str, str]]
    own_id: str


def best_paths(rows: Iterable[Record]) -> Iterator[Path | Fault]:
    """The best-ranked path of each tree, in the order in which the trees begin; Spanish trees only.

    A record without usable text and a reply whose parent is not in the file come out as faults; so does a tree
    in which nobody answered.
    """
    messages: dict[str, Record] = {}
    children: dict[str, list[str]] = {}
    roots: list[str] = []
    for row in rows:
        nested = row.value.get("prompt")
        flat = _flatten(nested, None) if isinstance(nested, dict) else [row.value]
        for value in flat:
            fault = _fault(value)
            if fault:
                yield Fault(row.place, f"as oasst: {fault}")
                continue
            key = value["message_id"]
            if key in messages:
                yield Fault(row.place, f"as oasst: message_id {key!r} appears twice")
                continue
            messages[key] = Record(row.place, value)
            parent = value.get("parent_id")
            if parent:
                children.setdefault(str(parent), []).append(key)
            else:
                roots.append(key)
    for parent, replies in children.items():
        if parent not in messages:
            for key in replies:
                yield Fault(messages[key].place, f"as oasst: the parent {parent!r} is not in the file")
    for root in roots:
        path = _descend(root, messages, children)
        if path is None:
            yield Fault(messages[root].place, "as oasst: nobody answered this prompt in Spanish")
        else:
            yield path


def _descend(root: str, messages: dict[str, Record], children: dict[str, list[str]]) -> Path | None:
    turns: list[dict[str, str]] = []
    key: str | None = root
    while key is not None:
        value = messages[key].value
        turns.append({"role": "user" if value["role"] == "prompter" else "assistant", "content": value["text"]})
        replies = [reply for reply in children.get(key, ()) if _usable(messages[reply].value)]
        key = min(replies, key=lambda reply: _order(messages[reply].value), default=None)
    if turns[-1]["role"] == "user":
        turns.pop()
    if len(turns) < 2 or not _usable(messages[root].value):
        return None
    return Path(messages[root].place, turns, root)


def _flatten(node: dict[str, Any], parent: str | None) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    stack: list[tuple[Any, str | None]] = [(node, parent)]
    while stack:
        current, above = stack.pop()
        if not isinstance(current, dict):
            out.append({"message_id": None})
            continue
        out.append({**current, "parent_id": above})
        replies = current.get("replies")
        if isinstance(replies, list):
            stack.extend((reply, current.get("message_id")) for reply in reversed(replies))
    return out


def _fault(value: dict[str, Any]) -> str | None:
    if not isinstance(value.get("message_id"), str):
        return "message_id is missing"
    if not isinstance(value.get("text"), str):
        return "text is missing"
    if value.get("role") not in ("prompter", "assistant"):
        return f"unknown role {value.get('role')!r}"
    return None


def _usable(value: dict[str, Any]) -> bool:
    return not value.get("deleted") and value.get("lang", "es") in ("es", None)


def _order(value: dict[str, Any]) -> tuple[int, str]:
    rank = value.get("rank")
    if isinstance(rank, int) or (isinstance(rank, float) and rank.is_integer()):  # NaN is no rank
        return (int(rank), value["message_id"])
    return (UNRANKED, value["message_id"])
