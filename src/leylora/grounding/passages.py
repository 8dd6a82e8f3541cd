"""Cutting a long article into passages, at the ends of its incisos and numerals, and showing only those that matter."""

import re

LONGEST = 1_200  # characters; nine articles in ten are one passage
GAP = "[…]"
_SENTENCE_END = re.compile(r"[.;:]\s")


def pieces(body: str, longest: int = LONGEST) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``body`` in order, none longer than ``longest`` unless a sentence is.

    An empty body is one empty piece, so that a repealed article is found by its rubric.
    """
    ends = [match.end() for match in re.finditer(r"\n", body)]
    cuts: list[int] = []
    start = 0
    for end in [*ends, len(body)]:
        if end - start > longest:
            cuts += [start + match.end() for match in _SENTENCE_END.finditer(body[start:end])]
        cuts.append(end)
        start = end
    found: list[tuple[int, int]] = []
    first = last = 0
    for cut in cuts:
        if cut - first > longest and last > first:
            found.append((first, last))
            first = last
        last = cut
    found.append((first, len(body)))
    return found


def excerpt(body: str, focus: str, room: int) -> str:
    """At most ``room`` characters of a body: the piece that holds ``focus`` with as many neighbours as fit.

    The opening, which says what a list is a list of, comes first where it fits; "[…]" stands for what is left out.
    """
    if len(body) <= room:
        return body
    cut = pieces(body, LONGEST // 4)
    at = max(body.find(focus), 0)
    low = high = next(number for number, (_, last) in enumerate(cut) if at < last or last == len(body))
    kept = {0, low}
    if _size(cut, kept) > room:
        kept = {low}
    if _size(cut, kept) > room:
        start = cut[low][0]
        return f"{body[start : start + room - len(GAP) - 1].rstrip()} {GAP}"
    while True:
        grown = [number for number in (high + 1, low - 1) if 0 <= number < len(cut) and number not in kept]
        fitting = next((number for number in grown if _size(cut, kept | {number}) <= room), None)
        if fitting is None:
            break
        kept.add(fitting)
        low, high = min(low, fitting), max(high, fitting)
    lines: list[str] = []
    for number in range(len(cut)):
        if number in kept:
            lines.append(body[slice(*cut[number])].strip())
        elif not lines or lines[-1] != GAP:
            lines.append(GAP)
    return "\n".join(lines)


def _size(cut: list[tuple[int, int]], kept: set[int]) -> int:
    """Characters of the excerpt, every mark of an omission counted."""
    return sum(cut[number][1] - cut[number][0] + 1 for number in kept) + (len(kept) + 1) * (len(GAP) + 1)
