"""The parts of a law below and above its articles: divisions, final provisions, rubrics, numerals; and the cut.

`cut` takes the lines of a law with its headings known and gives the lines of each article, the divisions it stands
in, and the final provisions. Within an article, `split_rubric` takes "Asesinato" off "Asesinato.- La persona que ...",
and `read_numerals` reads the items, so that "numeral 7, literal a) del artículo 76" has a text.

Final provisions (Disposiciones Generales, Transitorias, Reformatorias, Derogatorias, Finales) mostly follow the last
article, but codes also print those of a reform law in the middle. The same words head ordinary chapters; provisions
are told by their items ("PRIMERA.-") or by the text on the same line.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from leylora.grounding.citations import ORDINAL_WORD, ordinal
from leylora.laws.headings import TAKEN, Heading, Headings
from leylora.laws.law import Division, DivisionKind, Numeral
from leylora.text import fold

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


# A rubric is one phrase: no colon or semicolon, no full stop but that of an abbreviation, ended by ".-".
_RUBRIC = re.compile(
    r"[\"“]?(?P<rubric>[^\W\d_](?:[^.:;]|\.(?=\s?[a-záéíóúñ\d,)]|[A-Z]\.)){1,300}?)\s?\.\s?[-–—]+(?=\s|$|[A-ZÁÉÍÓÚÑ\"“(¿])\s*"
)


_BARE_PHRASE = re.compile(r"[^\W\d_a-z][^.:;!?]{2,118}[^\W\d_]")
_LONGEST_PHRASE = 160


def split_rubric(paragraphs: list[str], *, own_line: bool = False) -> tuple[str | None, list[str]]:
    """The rubric that opens the first paragraph, or None, and the paragraphs without it.

    With ``own_line``, nothing stood beside the number: a phrase without a full stop on the next line is the rubric.
    The old codes print no rubrics, but name an enumeration by the phrase that opens it ("Son causas de divorcio:
    1a.- ..."). That phrase serves as the article's rubric, and stays in the text.
    """
    match = _RUBRIC.match(paragraphs[0]) if paragraphs else None
    if match and match["rubric"][0].isupper():
        rest = paragraphs[0][match.end() :]
        return match["rubric"].strip(), ([rest] if rest else []) + paragraphs[1:]
    if own_line and len(paragraphs) > 1 and _BARE_PHRASE.fullmatch(paragraphs[0]):
        return paragraphs[0], paragraphs[1:]
    return _introducing_phrase(paragraphs), paragraphs


def _introducing_phrase(paragraphs: list[str]) -> str | None:
    item = ITEM.match(paragraphs[1]) if len(paragraphs) > 1 else None
    if item is None or not item["label"].isdigit() or not item["end"].endswith("-"):
        return None
    phrase, colon, after = paragraphs[0].partition(":")
    one_phrase = colon and not after and "." not in phrase and len(phrase) <= _LONGEST_PHRASE
    return phrase.strip() if one_phrase else None


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
_INITIALS = frozenset("LTCSPltcsp-–—")
_BEGINNINGS = frozenset(("lib", "tít", "tit", "cap", "sec", "par"))
_RUNS_ON = re.compile(
    r"(?:^|\s)(?:el|la|los|las|del|de|al|en|este|esta|presente|su|y|o|según|,)$"
)  # a wrapped sentence
MAX_NAME_LINES = 6
MAX_NAME_LINE = 140


@dataclass(frozen=True)
class DivisionLine:
    """A division and where it is printed."""

    line: int
    division: Division


def match_division(line: str) -> Division | None:
    """The division a line opens (its name only if it stands on the same line), or None."""
    match = _DIVISION.match(line)
    if match is None:
        return None
    name = match["name"] or match["capitals"] or ""
    number = match["number"].strip(" .()…") or "innumerado"
    kind: DivisionKind = fold(match["kind"])  # type: ignore[assignment]
    return Division(kind=kind, number=number, name=name.strip(" .-–—"))


def find_division_lines(lines: Sequence[str]) -> list[int]:
    """The lines that look like a division, wherever they stand, leaving out sentences wrapped at such a word."""
    return [
        index
        for index, line in enumerate(lines)
        if _is_division_like(line) and match_division(line) and not (index and _RUNS_ON.search(lines[index - 1]))
    ]


def trailing_divisions(
    lines: Sequence[str], division_lines: Sequence[int], start: int, end: int
) -> tuple[int, list[DivisionLine]]:
    """The divisions that stand just before line ``end``, looking back no further than ``start``.

    ``division_lines`` are those of `find_division_lines`. Returns the line where the divisions begin (``end`` if
    there are none) and the divisions with their names.
    """
    found = division_lines[bisect_left(division_lines, start) : bisect_left(division_lines, end)]
    first = end
    divisions: list[DivisionLine] = []
    for index in reversed(found):
        name = _name(lines, index + 1, first)
        if name is None:
            break
        division = match_division(lines[index])
        assert division is not None
        if name and not division.name:
            division = division.model_copy(update={"name": name})
        divisions.append(DivisionLine(index, division))
        first = index
    return first, divisions[::-1]


def _is_division_like(line: str) -> bool:
    """A cheap test that every division passes, to keep the pattern off most lines."""
    return line[:1] in _INITIALS and line.lstrip("-–— ")[:3].lower() in _BEGINNINGS


def _name(lines: Sequence[str], start: int, end: int) -> str | None:
    """The name that stands from ``start`` up to ``end`` or up to an editorial block; None if it is not a name."""
    name: list[str] = []
    for index in range(start, end):
        line = lines[index]
        if _EDITORIAL.match(line):
            break
        if not line:
            continue
        if len(line) > MAX_NAME_LINE or len(name) == MAX_NAME_LINES:
            return None
        name.append(line)
    if name and len(name) > 2 and name[-1].endswith((";", ",")):
        return None
    return " ".join(name).strip(" .")


def extend_path(path: tuple[Division, ...], division: Division) -> tuple[Division, ...]:
    """The path after ``division`` opens: it replaces its own level and everything below."""
    level = _ORDER.index(division.kind)
    return (*(step for step in path if _ORDER.index(step.kind) < level), division)


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


@dataclass(frozen=True)
class Section:
    """The lines of one article, from its heading up to ``stop``, exclusive.

    ``repeats`` are the lines, counted from the heading, that repeat the article's own heading.
    """

    heading: Heading
    stop: int
    path: tuple[Division, ...]
    repeats: frozenset[int]


@dataclass(frozen=True)
class Cut:
    """A law in pieces. ``division_notes`` is what stands between each division and what follows it."""

    sections: tuple[Section, ...]
    divisions: tuple[DivisionLine, ...]
    provisions: tuple[ProvisionLine, ...]
    division_notes: tuple[str, ...]


def cut(lines: Sequence[str], headings: Headings, division_lines: Sequence[int], zones: Sequence[int]) -> Cut:
    """An article goes from its heading to the next, less the divisions and provisions printed in between."""
    starts = [heading.line for heading in headings.accepted]
    taken = [refusal for refusal in headings.refused if refusal.reason == TAKEN]
    taken_lines = [refusal.line for refusal in taken]
    _, divisions = trailing_divisions(lines, division_lines, 0, starts[0])
    path: tuple[Division, ...] = ()
    for found in divisions:
        path = extend_path(path, found.division)
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
            stop = next((line for line in range(heading.line + 1, stop) if ends_law(lines[line])), stop)
        inside = taken[bisect_right(taken_lines, heading.line) : bisect_left(taken_lines, stop)]
        repeats = frozenset(one.line - heading.line for one in inside if one.number == heading.number)
        sections.append(Section(heading, stop, path, repeats))
        divisions += following
        for found in following:
            path = extend_path(path, found.division)
    return Cut(tuple(sections), tuple(divisions), tuple(provisions), _division_notes(lines, divisions, starts))


def _division_notes(lines: Sequence[str], divisions: Sequence[DivisionLine], starts: list[int]) -> tuple[str, ...]:
    """Texts such as "Nota: Capítulo con sus artículos del 6 al 9 derogado ...", with the division's name before it."""
    openings = [found.line for found in divisions]
    ends = sorted({*openings, *starts})
    return tuple(" ".join(lines[line + 1 : ends[bisect_right(ends, line)]]) for line in openings if line < ends[-1])
