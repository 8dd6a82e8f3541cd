"""Libro, Título, Capítulo, Sección and Parágrafo: which lines are divisions, and the path they give to articles.

A division stands between the end of one article and the heading of the next, with nothing but its name, other
divisions and the publisher's notes in between. Lines of an index or of a sentence that was wrapped at "Capítulo II"
do not fulfil that and are left alone.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from leylora.grounding.citations import ORDINAL_WORD
from leylora.laws.law import Division, DivisionKind
from leylora.text import fold

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
