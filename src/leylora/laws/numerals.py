"""Numerals, literals and what is nested in them, so that "numeral 7, literal a) del artículo 76" has a text."""

import re
from dataclasses import dataclass, field

from leylora.laws.law import Numeral

ITEM = re.compile(
    r"(?P<label>\d{1,3}(?:\.\d{1,2})*|ll|ch|[ivx]{2,5}|[a-zñA-H])(?P<suffix>[aoªº°]?)(?P<end>\.\s?[-–—]+|\)\s?[-–—]*|\.)(?!\d)\s*"
)


@dataclass
class _Item:
    kind: str
    label: str
    text: str
    children: list["_Item"] = field(default_factory=list)

    def freeze(self) -> Numeral:
        return Numeral(label=self.label, text=self.text, literals=tuple(child.freeze() for child in self.children))


def read_numerals(paragraphs: list[str]) -> tuple[Numeral, ...]:
    """The items of an article, nested as printed: literals in the numeral they follow.

    A paragraph without a label belongs to the item before it when the list goes on after it, and to the article
    when it does not. Labels are lower case without punctuation: "1a.-" and "1)" are both "1".
    """
    top: list[_Item] = []
    stack: list[_Item] = []  # the open item of each level
    waiting: list[str] = []
    for paragraph in paragraphs:
        match = ITEM.match(paragraph)
        if match is None:
            if stack:
                waiting.append(paragraph)
            continue
        label = match["label"].lower()
        kind = _kind(label, match["end"], stack)
        if waiting:
            stack[-1].text = "\n".join([stack[-1].text, *waiting])
            waiting = []
        item = _Item(kind, label, paragraph[match.end() :])
        level = next((depth for depth, open_ in enumerate(stack) if open_.kind == kind), len(stack))
        del stack[level:]
        (stack[-1].children if stack else top).append(item)
        stack.append(item)
    return tuple(item.freeze() for item in top)


def _kind(label: str, end: str, stack: list[_Item]) -> str:
    if label[0].isdigit():
        return f"{label.count('.')}{end[0]}"
    if label in _BEFORE:  # a letter after its neighbour, else the Roman numeral
        letters = [item.label for item in stack if item.kind == "letter"]
        return "letter" if letters and letters[-1] == _BEFORE[label] else "roman"
    return "roman" if len(label) > 1 and label not in ("ll", "ch") else "letter"


_BEFORE = {"i": "h", "v": "u", "x": "w"}
