"""The parts of a law below and above its articles: rubrics and numerals, divisions, final provisions; and the cut.

Within an article, `split_rubric` takes "Asesinato" off "Asesinato.- La persona que ...", and `read_numerals` reads the
items, so that "numeral 7, literal a) del artículo 76" has a text. `cut` takes the lines of a law with its headings
known and gives the lines of each article, the divisions it is in, and the final provisions.

Final provisions (Disposiciones Generales, Transitorias, Reformatorias, Derogatorias, Finales) mostly follow the last
article, but codes also print those of a reform law in the middle. The same words head ordinary chapters; provisions
are told by their items ("PRIMERA.-") or by the text on the same line.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from leylora.grounding.citations import ORDINAL_WORD, ordinal
from leylora.laws.headings import TAKEN, Candidate, Headings
from leylora.laws.law import Division, DivisionKind, Numeral
from leylora.text import fold

ITEM = re.compile(
    r"(?P<label>\d{1,3}(?:\.\d{1,2})*|ll|ch|[ivx]{2,5}|[a-zñA-H])(?P<suffix>[aoªº°]?)(?P<end>\.\s?[-–—]+|\)\s?[-–—]*|\.)(?!\d)\s*"
)


@dataclass
class _Item:
    kind: str  # items of one kind are on one level
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
# A rubric is one phrase: no colon or semicolon, no full stop but that of an abbreviation, ended by ".-".
_RUBRIC = re.compile(
    r"[\"“]?(?P<rubric>[^\W\d_](?:[^.:;]|\.(?=\s?[a-záéíóúñ\d,)]|[A-Z]\.)){1,300}?)\s?\.\s?[-–—]+(?=\s|$|[A-ZÁÉÍÓÚÑ\"“(¿])\s*"
)
_BARE_PHRASE = re.compile(r"[^\W\d_a-z][^.:;!?]{2,118}[^\W\d_]")


def split_rubric(paragraphs: list[str], *, own_line: bool = False) -> tuple[str | None, list[str]]:
    """The rubric that opens the first paragraph, or None, and the paragraphs without it. With ``own_line``, the number
    is alone on its line: a phrase without a full stop on the next line is the rubric."""
    first = paragraphs[0] if paragraphs else ""
    match = _RUBRIC.match(first)
    if match and match["rubric"][0].isupper():
        rest = first[match.end() :]
        return match["rubric"].strip(), ([rest] if rest else []) + paragraphs[1:]
    if own_line and len(paragraphs) > 1 and _BARE_PHRASE.fullmatch(first):
        return first, paragraphs[1:]
    return None, paragraphs


_DIVISION = re.compile(
    rf"""
    [-–—\s]*
    (?P<kind>libro|t[íi]tulo|cap[íi]tulo|secci[óo]n|par[áa]grafo)\s+
    (?P<number>
        [ivxlc]+(?![a-zíáéóú]) | \d{{1,3}}\s?(?:[ºª°]|(?:ro|do|to|vo|no|mo|er|era|da|ta|o|a)\b)?
      | {ORDINAL_WORD}(?!\w) | preliminar | final | innumerad[oa] | (?-i:[A-H](?!\w))
      | (?:\.\s?){{2,}} | …+ | \((?:\.\s?){{2,}}\) | \(…\)
    )
    \s*\.?\s*
    (?:$|(?:[-–—:]|(?<=\.))\s*(?P<name>\S.*)$|(?-i:(?<=\s)(?P<capitals>[^\Wa-z][^a-zíáéóúñ]+)$))
    """,
    re.X | re.I,
)
_ORDER: tuple[DivisionKind, ...] = ("libro", "titulo", "capitulo", "seccion", "paragrafo")
_EDITORIAL = re.compile(r"(?:notas?|concordancias?|jurisprudencia)\b.{0,9}?:|\(|-\s", re.I)
# What a sentence that was wrapped before such a word ends with.
_RUNS_ON = re.compile(r"(?:^|\s)(?:el|la|los|las|del|de|al|en|este|esta|presente|su|y|o|según|,)$")
_INITIALS = frozenset("LTCSPltcsp-–—")
_BEGINNINGS = frozenset(("lib", "tít", "tit", "cap", "sec", "par"))
MAX_NAME_LINES = 6
MAX_NAME_LINE = 140


class DivisionLine(NamedTuple):
    line: int
    division: Division


def find_division_lines(lines: Sequence[str]) -> list[int]:
    """The lines that look like a division, anywhere, leaving out sentences wrapped at such a word."""
    return [
        index
        for index, line in enumerate(lines)
        # a cheap test first, to keep the pattern off most lines
        if line[:1] in _INITIALS
        and line.lstrip("-–— ")[:3].lower() in _BEGINNINGS
        and _DIVISION.match(line)
        and not (index and _RUNS_ON.search(lines[index - 1]))
    ]


def trailing_divisions(
    lines: Sequence[str], division_lines: Sequence[int], start: int, end: int
) -> tuple[int, list[DivisionLine]]:
    """The divisions just before line ``end``, looking back no further than ``start``, and the line where they begin
    (``end`` if there are none)."""
    first = end
    divisions: list[DivisionLine] = []
    for index in reversed(division_lines[bisect_left(division_lines, start) : bisect_left(division_lines, end)]):
        name = _name(lines[index + 1 : first])
        if name is None:
            break
        match = _DIVISION.match(lines[index])
        assert match is not None
        kind: DivisionKind = fold(match["kind"])  # type: ignore[assignment]
        number = match["number"].strip(" .()…") or "innumerado"
        name = (match["name"] or match["capitals"] or "").strip(" .-–—") or name
        divisions.append(DivisionLine(index, Division(kind=kind, number=number, name=name)))
        first = index
    return first, divisions[::-1]


def _name(lines: Sequence[str]) -> str | None:
    """The name these lines are, up to an editorial block; None if they are not a name."""
    name: list[str] = []
    for line in lines:
        if _EDITORIAL.match(line):
            break
        if not line:
            continue
        if len(line) > MAX_NAME_LINE or len(name) == MAX_NAME_LINES:
            return None
        name.append(line)
    if len(name) > 2 and name[-1].endswith((";", ",")):
        return None
    return " ".join(name).strip(" .")


def extend_path(path: tuple[Division, ...], found: Sequence[DivisionLine]) -> tuple[Division, ...]:
    """The path after these divisions open: each replaces its own level and everything below."""
    for _, division in found:
        level = _ORDER.index(division.kind)
        path = (*(step for step in path if _ORDER.index(step.kind) < level), division)
    return path


_KINDS = "general|transitoria|reformatoria|derogatoria|final|interpretativa|complementaria|especial|[úu]nica"
_TITLE = re.compile(
    rf"(?:cl[áa]usula|disposici[óo]n)(?P<plural>e?s)?\s+(?P<kind>{_KINDS})(?:e?s)?"
    rf"(?:\s+y\s+(?:{_KINDS})(?:e?s)?)?(?:\s+(?P<number>{ORDINAL_WORD}))?\s*(?P<separator>[.:]\s*[-–—]*|[-–—]+|$)\s*(?P<rest>.*)",
    re.I,
)
_ITEM = re.compile(r"(?P<number>(?-i:[A-ZÁÉÍÓÚ])\w*(?:\s\w+)?)\s?(?:[.:]\s?[-–—]*|[-–—]+)\s*(?P<rest>.*)")
_ITEM_NUMBER = re.compile(ORDINAL_WORD, re.I)
_END = re.compile(
    r"Dad[oa]\s+(?:y\s+(?:suscrit|firmad)|en\s)|Publ[íi]quese|Comun[íi]quese\s+y|R[ÉE]GIMEN\s+DE\s+TRANSICI[ÓO]N|FUENTES\s+DE\s+LA|f\.\)"
    r"|HA\s+SIDO\s+DISCUTID|ANEXOS?\b|En\s+el\s+Distrito\s+Metropolitano"
)
_LOOK_AHEAD = 8


class ProvisionLine(NamedTuple):
    """A provision: ``line`` holds ``rest`` after its title; it ends before line ``end``."""

    line: int
    end: int
    kind: str
    number: int
    rest: str
    title: str


def find_zones(lines: Sequence[str], headings: Sequence[int], division_lines: Sequence[int]) -> list[tuple[int, bool]]:
    """The lines that open provisions, after the first of the ``headings`` (all lines that look like one); each with
    whether a division before the next heading shows that the law may go on after them."""
    openings = {*headings, *division_lines}
    zones = []
    for index, line in enumerate(lines):
        if index <= headings[0] or line[:1] not in "DdCc" or line[:3].lower() not in ("dis", "clá", "cla"):
            continue
        match = _TITLE.match(line)
        if match is None or (match["rest"] and (not match["separator"] or match["rest"][0].islower())):
            continue
        if match["rest"] or _opens_provisions(lines, index, bool(match["plural"]), openings):
            next_heading = [*headings, len(lines)][bisect_right(headings, index)]
            between = bisect_left(division_lines, next_heading) > bisect_right(division_lines, index)
            # After "Reformatorias" come chapters and articles of other laws.
            zones.append((index, between and fold(match["kind"]) != "reformatoria"))
    return zones


def _opens_provisions(lines: Sequence[str], index: int, plural: bool, openings: set[int]) -> bool:
    """Whether a bare title is followed by items (or, in the singular, by a text) rather than by an article."""
    seen = 0
    for following in range(index + 1, min(index + 1 + 2 * _LOOK_AHEAD, len(lines))):
        line = lines[following]
        if not line:
            continue
        if following in openings:
            return False
        if _item(line) or _TITLE.match(line):
            return True
        seen += 1
        if seen == 1 and not plural and len(line) > 60:
            return True
        if seen == _LOOK_AHEAD:
            break
    return False


def read_provisions(lines: Sequence[str], start: int, end: int, zones: Sequence[int]) -> list[ProvisionLine]:
    """The provisions between two lines; everything from a signature or an annex on is left out."""
    opened = {zone for zone in zones if start <= zone < end}
    found: list[ProvisionLine] = []
    kind, stop = "general", end
    for index in range(start, end):
        if _END.match(lines[index]):
            stop = index
            break
        item = _item(lines[index])
        if index in opened:
            match = _TITLE.match(lines[index])
            assert match is not None
            kind = "general" if fold(match["kind"]) == "unica" else fold(match["kind"])
            named = ordinal(match["number"] or "")
            if not (match["rest"] or named) and _has_item(lines[index + 1 : min(end, index + 1 + _LOOK_AHEAD)]):
                continue
            item = named or 1, match["rest"], match["number"] or ""
        if item:
            title = f"Disposición {kind} {item[2]}".strip().title()
            found.append(ProvisionLine(index, end, kind, item[0], item[1], title))
    bounds = sorted({*(one.line for one in found[1:]), stop, *opened})
    return [one._replace(end=[*bounds, stop][bisect_right(bounds, one.line)]) for one in found]


def _has_item(lines: Sequence[str]) -> bool:
    """Whether an item comes before another title."""
    return next((bool(item) for line in lines if (item := _item(line)) or _TITLE.match(line)), False)


def _item(line: str) -> tuple[int, str, str] | None:
    """``(number, text, ordinal as printed)`` of a line like "DÉCIMO PRIMERA.- El Consejo ...", or None."""
    match = _ITEM.match(line) if line[:1].isupper() else None
    if match and _ITEM_NUMBER.fullmatch(match["number"]) and (value := ordinal(match["number"])):
        return value, match["rest"], match["number"].capitalize()
    return None


class Section(NamedTuple):
    """The lines of one article, from its heading up to ``stop``, exclusive; ``repeats`` are those, counted from the
    heading, that repeat it."""

    heading: Candidate
    stop: int
    path: tuple[Division, ...]
    repeats: frozenset[int]


class Cut(NamedTuple):
    """A law in pieces. ``division_notes`` is the text between each division and what follows it, such as "Nota:
    Capítulo con sus artículos del 6 al 9 derogado ...", with the division's name before it."""

    sections: list[Section]
    divisions: list[DivisionLine]
    provisions: list[ProvisionLine]
    division_notes: list[str]


def cut(lines: Sequence[str], headings: Headings, division_lines: Sequence[int], zones: Sequence[int]) -> Cut:
    """An article goes from its heading to the next, less the divisions and provisions printed in between."""
    starts = [heading.line for heading in headings.accepted]
    taken = [refusal for refusal in headings.refused if refusal.reason == TAKEN]
    _, divisions = trailing_divisions(lines, division_lines, 0, starts[0])
    path = extend_path((), divisions)
    sections: list[Section] = []
    provisions: list[ProvisionLine] = []
    for heading, end in zip(headings.accepted, [*starts[1:], len(lines)], strict=True):
        # The last article is followed by annexes with titles of their own, not by divisions of this law.
        between = trailing_divisions(lines, division_lines, heading.line + 1, end) if end < len(lines) else (end, [])
        stop, following = between
        zone = bisect_right(zones, heading.line)
        if zone < len(zones) and zones[zone] < stop:
            provisions += read_provisions(lines, zones[zone], stop, zones)
            stop = zones[zone]
        elif end == len(lines):
            stop = next((line for line in range(heading.line + 1, stop) if _END.match(lines[line])), stop)
        inside = taken[
            bisect_right(taken, heading.line, key=attrgetter("line")) : bisect_left(taken, stop, key=attrgetter("line"))
        ]
        repeats = frozenset(one.line - heading.line for one in inside if one.number == heading.number)
        sections.append(Section(heading, stop, path, repeats))
        divisions += following
        path = extend_path(path, following)
    openings = [found.line for found in divisions]
    ends = sorted({*openings, *starts})
    notes = [" ".join(lines[line + 1 : ends[bisect_right(ends, line)]]) for line in openings if line < ends[-1]]
    return Cut(sections, divisions, provisions, notes)
