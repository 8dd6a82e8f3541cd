"""What the publisher's notes and marks say about an article's force, and which numbers they repeal as a range.

Only a note about the whole article repeals it; one about an inciso or a numeral repeals that part. A note that
prints a second version of the article leaves open which text is in force, unless it says the other is the former one.
Where one note adds an article and another repeals it, the status is `dudoso`, not `derogado`: publishers print notes
in no certain order, and an article may have been added again; a person decides.
"""

import re
from collections.abc import Iterable, Sequence

from leylora.laws.blocks import Block
from leylora.laws.law import Status

_LATER = r"(?:derogad|suprimid|eliminad)[oa]s?"
_WHOLE_REPEALED = re.compile(rf"(?:\W*Nota:)?\W*(?:este\s+)?art[íi]culo\s+(?:\S+\s+){{0,3}}?{_LATER}", re.I)
_WHOLE_ADDED = re.compile(r"\W*(?:este\s+)?art[íi]culo\s+(?:agregado|incorporado|restablecido|restituido)", re.I)
_PART_REPEALED = re.compile(
    rf"\W*(?:inciso|numeral|literal|frase|palabra|[úu]ltim[oa]|par[áa]grafo|p[áa]rrafo|oraci[óo]n)[a-z]*\b[^.;]{{0,80}}?{_LATER}",
    re.I,
)
_MARK_REPEALS = re.compile(rf"\(?\s*(?:art[íi]culo\s+)?{_LATER}\b", re.I)
_REPEAL_STUB = re.compile(rf"\W*(?:art[íi]culo\s+)?{_LATER}\W*", re.I)
_UNCONSTITUTIONAL = re.compile(r"inconstitucional", re.I)
_CONSTITUTIONAL_AFTER_ALL = re.compile(
    r"(?:no\s+es|niega|negar|rechaza|desestima)\w*[^.]{0,80}inconstitucional|inconstitucionalidad\s+(?:por|de)\s+omisi[óo]n",
    re.I,
)
_WHOLE_UNCONSTITUTIONAL = re.compile(
    r"(?:este\s+art[íi]culo|art[íi]culo)\s+(?:fue|ha\s+sido)?\s*declarado\s+inconstitucional"
    r"|inconstitucionalidad\s+(?:de\s+este|del\s+presente)\s+art[íi]culo(?!\s+en\s+cuanto)",
    re.I,
)
_FORMER_VERSION = re.compile(
    r"texto\s+(?:anterior|original|derogado|sustituido)|antes\s+de\s+la\s+reforma|dec[íi]a", re.I
)
_RANGE = re.compile(
    r"art[íi]culos?\s+(?:innumerados\s+)?\(?(?:desde\s+el\s+|del\s+)?(\d{1,4})\s+(?:al|a|hasta(?:\s+el)?)\s+(\d{1,4})\)?",
    re.I,
)
_LIST = re.compile(r"art[íi]culos\s+((?:\d{1,4}\s*(?:,|y|e)\s*)+\d{1,4})", re.I)
_GONE = re.compile(r"derogad|suprimid|eliminad|sustitu[ií]d|der[óo]gan?se|supr[íi]m", re.I)


def article_status(block: Block) -> Status:
    """The status of an article from its block; see `leylora.laws.law.Status`."""
    body = " ".join(block.body)
    notes = [note.partition("\n")[0] for note in block.notes]  # what follows is a ruling's or an old version's text
    if any(not _FORMER_VERSION.search(note) for note in block.versions):
        return "dudoso"
    repealed = any(_WHOLE_REPEALED.match(note) for note in notes)
    if repealed and any(_WHOLE_ADDED.match(note) for note in notes):
        return "dudoso"
    if repealed or _REPEAL_STUB.fullmatch(body):
        return "derogado"
    if not body and any(_MARK_REPEALS.match(mark) for mark in block.reform_marks):
        return "derogado"
    if not body and any(_GONE.search(note) for note in notes):
        return "derogado"
    if not body:
        return "dudoso"
    unconstitutional = [note for note in notes if _is_unconstitutional(note)]
    if any(_WHOLE_UNCONSTITUTIONAL.search(note) for note in unconstitutional) and not block.versions:
        return "dudoso"
    if unconstitutional:
        return "inconstitucional_parcial"
    if any(_PART_REPEALED.match(note) for note in notes):
        return "derogado_parcial"
    if any(_MARK_REPEALS.match(mark) for mark in block.reform_marks):
        return "derogado_parcial"
    return "vigente"


def _is_unconstitutional(note: str) -> bool:
    return bool(_UNCONSTITUTIONAL.search(note)) and not _CONSTITUTIONAL_AFTER_ALL.search(note)


def announced_repeals(lines: Sequence[str]) -> frozenset[int]:
    """Numbers that some passage declares gone as a group, of whatever law; a passage is three lines long."""
    passages = (" ".join(lines[at : at + 3]) for at, line in enumerate(lines) if "rtículos" in line)
    return frozenset(repealed_numbers(passages, ()))


def repealed_numbers(notes: Iterable[str], known: Iterable[int]) -> dict[int, str]:
    """Plain article numbers that a note says are gone as a group, with the note, leaving out ``known`` ones."""
    present = set(known)
    gone: dict[int, str] = {}
    for note in notes:
        if not _GONE.search(note):
            continue
        numbers: list[int] = []
        for first, last in _RANGE.findall(note):
            if int(first) <= int(last) <= int(first) + 400:
                numbers += range(int(first), int(last) + 1)
        for group in _LIST.findall(note):
            numbers += map(int, re.findall(r"\d+", group))
        gone |= {number: note for number in numbers if number not in present and number not in gone}
    return gone
