"""Final provisions: Disposiciones Generales, Transitorias, Reformatorias, Derogatorias, Finales.

They mostly stand after the last article, but codes also print those of a reform law in the middle. The same words
head ordinary chapters; provisions are told by their items ("PRIMERA.-") or by the text on the same line.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from leylora.grounding.citations import ORDINAL_WORD, ordinal
from leylora.text import fold

_KINDS = "general|transitoria|reformatoria|derogatoria|final|interpretativa|complementaria|especial|[úu]nica"
_TITLE = re.compile(
    rf"(?:cl[áa]usula|disposici[óo]n)(?P<plural>e?s)?\s+(?P<kind>{_KINDS})(?:e?s)?"
    rf"(?:\s+y\s+(?:{_KINDS})(?:e?s)?)?(?:\s+(?P<number>{ORDINAL_WORD}))?\s*(?P<separator>[.:]\s*[-–—]*|[-–—]+|$)\s*(?P<rest>.*)",
    re.I,
)
_ITEM = re.compile(r"(?P<number>(?-i:[A-ZÁÉÍÓÚ])\w*(?:\s\w+)?)\s?(?:[.:]\s?[-–—]*|[-–—]+)\s*(?P<rest>.*)")
_ITEM_NUMBER = re.compile(rf"{ORDINAL_WORD}", re.I)
_END = re.compile(
    r"Dad[oa]\s+(?:y\s+(?:suscrit|firmad)|en\s)|Publ[íi]quese|Comun[íi]quese\s+y|R[ÉE]GIMEN\s+DE\s+TRANSICI[ÓO]N|FUENTES\s+DE\s+LA|f\.\)"
    r"|HA\s+SIDO\s+DISCUTID|ANEXOS?\b|En\s+el\s+Distrito\s+Metropolitano"
)
_LOOK_AHEAD = 8


@dataclass(frozen=True)
class ProvisionLine:
    """Where a provision is printed: ``line`` holds ``rest`` after its title; it ends before line ``end``."""

    line: int
    end: int
    kind: str
    number: int
    rest: str
    title: str


def find_zones(lines: Sequence[str], openings: frozenset[int]) -> list[int]:
    """The lines that open provisions, anywhere in the text; ``openings`` are all lines like headings and divisions."""
    zones = []
    for index, line in enumerate(lines):
        if line[:1] not in "DdCc" or line[:3].lower() not in ("dis", "clá", "cla"):
            continue
        match = _TITLE.match(line)
        if match is None or (match["rest"] and not match["separator"]):
            continue
        if (match["rest"] and not match["rest"][0].islower()) or (
            not match["rest"] and _opens_provisions(lines, index, bool(match["plural"]), openings)
        ):
            zones.append(index)
    return zones


def _opens_provisions(lines: Sequence[str], index: int, plural: bool, openings: frozenset[int]) -> bool:
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


def reads_on(lines: Sequence[str], division_lines: Sequence[int], zone: int, next_heading: int) -> bool:
    """Whether a new division between a zone and the next heading shows that the law goes on after it."""
    title = _TITLE.match(lines[zone])
    if title and fold(title["kind"]) == "reformatoria":
        return False  # what stands there are chapters and articles of other laws
    at = bisect_right(division_lines, zone)
    return at < len(division_lines) and division_lines[at] < next_heading


def ends_law(line: str) -> bool:
    """Whether a line opens what follows a law: its signatures, sources or annexes."""
    return _END.match(line) is not None


def read_provisions(lines: Sequence[str], start: int, end: int, zones: Sequence[int]) -> list[ProvisionLine]:
    """The provisions between two lines; everything from a signature or an annex on is left out."""
    opened = set(zones)
    found: list[tuple[int, str, int, str, str]] = []
    kind, stop = "general", end
    for index in range(start, end):
        line = lines[index]
        if ends_law(line):
            stop = index
            break
        if index in opened:
            match = _TITLE.match(line)
            assert match is not None
            kind = fold(match["kind"])
            kind = "general" if kind == "unica" else kind
            named = ordinal(match["number"]) if match["number"] else None
            if match["rest"] or named or not _has_item(lines, index + 1, end):
                found.append((index, kind, named or 1, match["rest"], _title(kind, match["number"])))
        elif item := _item(line):
            found.append((index, kind, item[0], item[1], _title(kind, item[2])))
    ends = [line for line, *_ in found[1:]] + [stop]
    bounds = sorted({*ends, *(zone for zone in zones if start <= zone < end)})
    return [
        ProvisionLine(line, [*bounds, stop][bisect_right(bounds, line)], kind, number, rest, title)
        for line, kind, number, rest, title in found
    ]


def _title(kind: str, number: str | None) -> str:
    return f"Disposición {kind} {number or ''}".strip().title()


def _has_item(lines: Sequence[str], start: int, end: int) -> bool:
    for line in lines[start : min(end, start + _LOOK_AHEAD)]:
        if _item(line):
            return True
        if _TITLE.match(line):
            return False
    return False


def _item(line: str) -> tuple[int, str, str] | None:
    """``(number, text, ordinal as printed)`` of a line like "DÉCIMO PRIMERA.- El Consejo ...", or None."""
    match = _ITEM.match(line) if line[:1].isupper() else None
    if match is None or not _ITEM_NUMBER.fullmatch(match["number"]):
        return None
    value = ordinal(match["number"])
    return (value, match["rest"], match["number"].capitalize()) if value else None
