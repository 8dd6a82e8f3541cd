"""Which lines open an article of this law, and which only look as if they did.

Every line that begins like a heading is a `Candidate`. References that were wrapped to a line start and quoted
articles are refused at once; of the others the longest increasing subsequence of numbers is taken (earliest
first), because a law counts upwards and what it quotes does not. Articles the publisher printed out of order are
then put back, unnumbered ones are named after the article they follow, and everything refused keeps its reason.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import NamedTuple

from leylora.grounding.citations import ORDINAL_WORD, ordinal

Key = tuple[int, int, str]
_LARGEST_GAP = 20
TAKEN = "number already taken"

DASH = r"[-–—―‒]"
_HEADING = re.compile(
    rf"""
    (?P<quote>[\"“”«'‘(\[]?)\s*
    (?:Art(?:[íi]culo)?|ART(?:[ÍI]CULO)?)(?![a-zíú])\.?\s*
    (?:
      (?P<number>\d{{1,4}})(?P<ordinal>\s?[ºª°]|(?:ro|do|to|vo|no|mo|er|o|a)(?=\W))?
        (?:\.(?P<decimal>\d{{1,3}}))?
        (?:[ ]?(?P<latin>bis|ter|qu[áa]ter|quinquies)\b
          |[-–]?(?P<letter>[a-zA-Z])(?=\W)
          |[ ](?P<capital>[A-Z])(?=\s?\.\s?[-–]))?
    | (?P<unnumbered>\(?\s*(?:\.\s?){{2,}}\)?|\(?\s*…+\.*\s*\)?|\[\s*(?:\.{{2,}}|…)\s*\]|(?i:innumerado|s/n))
        \s*(?:\(?\d{{1,3}}\)?)?
    | (?P<word>(?i:{ORDINAL_WORD}))(?!\w)
    )
    \s*(?P<separator>[.:°º)]*\s*{DASH}+|[.:)]|$)
    \s*(?P<rest>.*)
    """,
    re.X,
)
# "Art. 24 de la Ley s/n", "Art. 5, R.O. 234": a reference, not a heading, with any punctuation after it.
_REFERENCE = re.compile(
    r"de\s+(?:la|el|los|las|este|esta|dich[oa])\b|del\s+(?:[A-ZÁÉÍÓÚ]|presente|mismo)|(?:,|y|e|al|inciso|numeral|literal)\s|R\.\s?O\."
)
_LATIN = {"bis": "B", "ter": "C", "quater": "D", "quáter": "D", "quinquies": "E"}
_INDEX_LINE = re.compile(r"(?:\.\s?){4,}\s*\d+$|…+\s*\d+$")


class Candidate(NamedTuple):
    """A line that begins like a heading: the article's number and the text after it on that line.

    ``key`` orders it, None for an unnumbered article. ``strong`` is whether a dash ends the number ("Art. 5.-"), as
    every Ecuadorian publisher sets it.
    """

    line: int
    number: str
    key: Key | None
    strong: bool
    rest: str


class Refused(NamedTuple):
    """A heading-like line that opens no article of this law."""

    line: int
    number: str
    reason: str


class Headings(NamedTuple):
    """What `choose_headings` decided. ``out_of_order`` are numbers printed after a larger one."""

    accepted: tuple[Candidate, ...]
    refused: tuple[Refused, ...]
    out_of_order: tuple[str, ...]


def find_candidates(lines: Sequence[str]) -> tuple[list[Candidate], list[Refused]]:
    """All heading-like lines in order, and those refused for what the line itself says."""
    candidates, refused = [], []
    for index, line in enumerate(lines):
        match = _HEADING.match(line) if "rt" in line[:6] or "RT" in line[:6] else None
        if match is None:
            continue
        number, key = _number(match)
        if match["quote"]:
            refused.append(Refused(index, number, "quoted"))
        elif _REFERENCE.match(match["rest"]):
            refused.append(Refused(index, number, "reference to an article"))
        elif _INDEX_LINE.search(match["rest"]):
            refused.append(Refused(index, number, "line of an index"))
        else:
            strong = any(dash in match["separator"] for dash in "-–—―‒")
            candidates.append(Candidate(index, number, key, strong, match["rest"]))
    return candidates, refused


def _number(match: re.Match[str]) -> tuple[str, Key | None]:
    if match["unnumbered"]:
        return "innumerado", None
    if match["word"]:
        value = ordinal(match["word"]) or 0
        return ("único" if match["word"].lower().startswith(("ú", "u")) and value == 1 else str(value)), (value, 0, "")
    latin, letter = (match["latin"] or "").lower(), (match["letter"] or match["capital"] or "").upper()
    whole, decimal = match["number"], match["decimal"] or ""
    if len(decimal) == 3:  # "Art. 1.561" is one thousand and so
        whole, decimal = whole + decimal, ""
    number = f"{int(whole)}.{decimal}" if decimal else str(int(whole))
    key = (int(whole), int(decimal or 0), _LATIN.get(latin, letter))
    return f"{number}-{latin}" if latin else f"{number}{letter}", key


def choose_headings(
    candidates: list[Candidate],
    refused: list[Refused],
    line_count: int,
    zones: Sequence[tuple[int, bool]] = (),
    repealed: Collection[int] = (),
) -> Headings:
    """Decide which candidates are articles; ``repealed`` numbers need no heading. ``zones`` are those of
    `structure.find_zones`: where the law may go on after the provisions, it does if its count goes on too."""
    refused = list(refused)
    candidates = _drop_index(candidates, refused, line_count)
    numbered = [candidate for candidate in candidates if candidate.key is not None]
    strong = [candidate for candidate in numbered if candidate.strong]
    dashes_rule = len(strong) >= 5 and len(strong) >= len(numbered) / 2
    chosen = _increasing(strong if dashes_rule else numbered)
    for zone, resumes in zones:
        before = [c for c in chosen if c.line < zone]
        after = [c for c in chosen if c.line > zone]
        if before and after and not (resumes and 0 <= _key(after[0])[0] - _key(before[-1])[0] <= _LARGEST_GAP):
            refused += [Refused(c.line, c.number, "after the final provisions") for c in candidates if c.line > zone]
            candidates = [c for c in candidates if c.line < zone]
            numbered = [c for c in numbered if c.line < zone]
            chosen = _increasing([c for c in numbered if c.strong or not dashes_rule])
            break
    chosen, strays = _restore(numbered, _trim(chosen, repealed))
    accepted = _name_unnumbered(candidates, chosen, refused, zones)
    lines, known = {c.line for c in chosen}, {c.key for c in chosen}
    for left in numbered:
        if left.line not in lines:
            quoted = left.rest.startswith(('"', "“", "«"))
            reason = "quoted" if quoted else TAKEN if left.key in known else "does not fit the count"
            refused.append(Refused(left.line, left.number, reason))
    return Headings(tuple(accepted), tuple(sorted(refused, key=lambda r: r.line)), tuple(strays))


def _key(candidate: Candidate) -> Key:
    assert candidate.key is not None
    return candidate.key


def _drop_index(candidates: list[Candidate], refused: list[Refused], line_count: int) -> list[Candidate]:
    """Leave out an index of articles at the front: the first number comes twice, the first run without bodies."""
    first = next((c.key for c in candidates if c.key is not None), None)
    starts = [i for i, c in enumerate(candidates) if c.key == first and first is not None]
    if len(starts) < 2 or starts[1] - starts[0] < 3:
        return candidates
    index, second = candidates[starts[0] : starts[1]], candidates[starts[1] :]
    lines_each = (second[0].line - index[0].line) / len(index)
    if lines_each > 3 or lines_each > 0.6 * (line_count - second[0].line) / len(second):
        return candidates
    refused += [Refused(c.line, c.number, "index of articles") for c in index]
    return candidates[: starts[0]] + second


def _increasing(candidates: list[Candidate]) -> list[Candidate]:
    """The longest strictly increasing subsequence by key; among equals the one that comes earliest.

    Patience sorting from the right, O(n log n): ``tails[k]`` holds the largest key that starts a run of k + 1.
    """
    keys = [_key(candidate) for candidate in candidates]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    tails: list[int] = []  # negated ranks, ascending
    lengths = [0] * len(keys)
    for i in range(len(keys) - 1, -1, -1):
        rank = -ranks[keys[i]]
        at = bisect_left(tails, rank)
        tails[at : at + 1] = [rank]
        lengths[i] = at + 1
    chosen: list[Candidate] = []
    wanted = len(tails)
    for candidate, key, length in zip(candidates, keys, lengths, strict=True):
        if length == wanted and (not chosen or key > _key(chosen[-1])):
            chosen.append(candidate)
            wanted -= 1
    return chosen


def _trim(chosen: list[Candidate], repealed: Collection[int]) -> list[Candidate]:
    """Drop one or two headings at the end that are far above the count: articles of another law, quoted in a note."""
    for tail in (2, 1):
        if len(chosen) > tail + 3:
            between = range(_key(chosen[-tail - 1])[0] + 1, _key(chosen[-tail])[0])
            if len(set(between) - set(repealed)) > _LARGEST_GAP:
                return chosen[:-tail]
    return chosen


def _restore(numbered: list[Candidate], chosen: list[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Put back headings whose number is found nowhere else and lies between the first and the last.

    Those set with a dash may come out of order, as publishers do print them; the others must fit where they are.
    Returns the headings in printed order and the numbers that are out of order.
    """
    if not chosen:
        return chosen, []
    known = {candidate.key for candidate in chosen}
    first, last = chosen[0], chosen[-1]
    lines = [candidate.line for candidate in chosen]
    restored, strays = [], []
    for candidate in numbered:
        key = _key(candidate)
        if key in known or not (first.line < candidate.line < last.line and _key(first) < key < _key(last)):
            continue
        at = bisect_left(lines, candidate.line)
        fits = _key(chosen[at - 1]) < key < _key(chosen[at])
        if fits or candidate.strong:
            known.add(key)
            restored.append(candidate)
            if not fits:
                strays.append(candidate.number)
    return sorted([*chosen, *restored], key=lambda c: c.line), strays


def _name_unnumbered(
    candidates: list[Candidate], chosen: list[Candidate], refused: list[Refused], zones: Sequence[tuple[int, bool]]
) -> list[Candidate]:
    """Headings in printed order; the k-th unnumbered article after article N is called ``N-innumerado-k``."""
    numbers = {candidate.line for candidate in chosen}
    last = chosen[-1].line if chosen else -1
    end = min((line for line, _ in zones if line > last), default=None)
    accepted: list[Candidate] = []
    base, count = "0", 0
    for candidate in candidates:
        if candidate.line in numbers:
            base, count = candidate.number, 0
            accepted.append(candidate)
        elif candidate.key is None and end is not None and candidate.line > end:
            refused.append(Refused(candidate.line, candidate.number, "after the final provisions"))
        elif candidate.key is None:
            count += 1
            accepted.append(candidate._replace(number=f"{base}-innumerado-{count}"))
    return accepted
