"""Cut the lines of a law into articles, divisions and provisions, once the headings are known."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from leylora.laws.divisions import DivisionLine, extend_path, trailing_divisions
from leylora.laws.headings import TAKEN, Heading, Headings
from leylora.laws.law import Division
from leylora.laws.provisions import ProvisionLine, ends_law, read_provisions


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
