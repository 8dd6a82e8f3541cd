"""From a clean source to a `Law`. Read `parse_law` from top to bottom: each step is one module of this room."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from leylora.errors import LeyloraError
from leylora.laws.audit import build_audit
from leylora.laws.blocks import Block, read_block
from leylora.laws.divisions import DivisionLine, extend_path, trailing_divisions
from leylora.laws.headings import TAKEN, choose_headings, find_candidates
from leylora.laws.law import Article, Division, Kind, Law
from leylora.laws.metadata import read_metadata
from leylora.laws.normalise import FURNITURE
from leylora.laws.numerals import read_numerals
from leylora.laws.provisions import ProvisionLine, find_zones, read_provisions, reads_on
from leylora.laws.rubrics import split_rubric
from leylora.laws.source import Source
from leylora.laws.status import article_status


def parse_law(source: Source, law_id: str | None = None) -> Law:
    """Parse a source into a law.

    Raises:
        LeyloraError: there is no article in it, or its lines are in the wrong order.
    """
    lines = source.lines
    candidates, refused = find_candidates(lines)
    _check_order(source, len(candidates))
    heading_like = [candidate.line for candidate in candidates]
    zones = [zone for zone in find_zones(lines, frozenset(heading_like)) if zone > heading_like[0]]
    next_heading = [*heading_like, len(lines)]
    headings = choose_headings(
        candidates,
        refused,
        len(lines),
        [(zone, reads_on(lines, zone, next_heading[bisect_right(heading_like, zone)])) for zone in zones],
    )
    if not headings.accepted:
        raise LeyloraError(f"{source.path}: no line is the heading of an article of this law; is it a law?")

    starts = [heading.line for heading in headings.accepted]
    width = _full_line(lines[starts[0] :])
    metadata_front = lines[: starts[0]]
    blocks: list[tuple[int, int, Block]] = []
    divisions: list[DivisionLine] = []
    printed_provisions: list[ProvisionLine] = []
    paths: list[tuple[Division, ...]] = []

    _, opening = trailing_divisions(lines, 0, starts[0])
    divisions += opening
    path: tuple[Division, ...] = ()
    for found in opening:
        path = extend_path(path, found.division)
    repeats_of = {refusal.line: refusal.number for refusal in headings.refused if refusal.reason == TAKEN}
    refused_lines = sorted(repeats_of)
    for heading, end in zip(headings.accepted, [*starts[1:], len(lines)], strict=True):
        paths.append(path)
        stop, here = trailing_divisions(lines, heading.line + 1, end) if end < len(lines) else (end, [])
        zone_at = bisect_right(zones, heading.line)
        if zone_at < len(zones) and zones[zone_at] < stop:
            printed_provisions += read_provisions(lines, zones[zone_at], stop, zones)
            stop = zones[zone_at]
        repeats = [
            line - heading.line
            for line in refused_lines[bisect_left(refused_lines, heading.line + 1) : bisect_left(refused_lines, stop)]
            if repeats_of[line] == heading.number
        ]
        block = read_block(
            [heading.rest, *lines[heading.line + 1 : stop]], source.full[heading.line : stop], width, repeats
        )
        blocks.append((heading.line, stop, block))
        divisions += here
        for found in here:
            path = extend_path(path, found.division)

    marks = [mark for *_, block in blocks for mark in (*block.reform_marks, *block.notes)]
    metadata = read_metadata(metadata_front, law_id, marks)
    articles = tuple(
        _article(source, metadata.id, "articulo", heading.number, block, start, stop, path)
        for heading, (start, stop, block), path in zip(headings.accepted, blocks, paths, strict=True)
    )
    provisions = tuple(_provisions(source, metadata.id, printed_provisions, width))
    division_notes = _notes_of_divisions(source, divisions, starts)
    audit = build_audit(
        source,
        headings,
        divisions,
        articles,
        provisions,
        division_notes,
        {
            "subtitles": [subtitle for *_, block in blocks for subtitle in block.subtitles],
            "last_reform_from": metadata.reform_source,
        },
    )
    return Law(
        id=metadata.id,
        name=metadata.name,
        siglas=metadata.siglas,
        aliases=metadata.aliases,
        registro_oficial=metadata.registro_oficial,
        published=metadata.published,
        last_reform=metadata.last_reform,
        layout=_layout(source),
        pages=source.page_count,
        source_sha256=source.sha256,
        articles=articles,
        provisions=provisions,
        audit=audit,
    )


def _check_order(source: Source, headings: int) -> None:
    """Refuse a text whose numbers come after what they number: ".- Objeto.- ..." and then "Art. 1" alone."""
    orphans = sum(line.startswith((".-", ". -", ".–")) for line in source.lines)
    if orphans > max(2, 0.05 * headings):
        raise LeyloraError(
            f"{source.path}: {orphans} lines begin with '.-', so the numbers of the articles come after their text. "
            "Print the file to PDF again, or extract its text by position (pdftotext -layout) first."
        )
    if not headings:
        raise LeyloraError(
            f"{source.path}: no line begins like an article (Art. 1.-, Artículo 1.). Is it a law? "
            "If it is, its text may be a picture or out of order: open it and copy a paragraph to see."
        )


def _full_line(lines: Sequence[str]) -> int:
    """The length of a full line: the 90th percentile, in characters."""
    lengths = sorted(len(line) for line in lines if line)
    return lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0


def _article(
    source: Source,
    law_id: str,
    kind: Kind,
    number: str,
    block: Block,
    start: int,
    stop: int,
    path: tuple[Division, ...],
    rubric: str | None = None,
) -> Article:
    found, body = split_rubric(block.body) if rubric is None else (rubric, block.body)
    last = stop - 1
    return Article(
        law_id=law_id,
        kind=kind,
        number=number,
        rubric=found,
        body="\n".join(body),
        status=article_status(Block(**{**vars(block), "body": body})),
        path=path,
        numerals=read_numerals(body),
        notes=tuple(block.notes),
        concordances=tuple(block.concordances),
        case_law=tuple(block.case_law),
        reform_marks=tuple(block.reform_marks),
        pages=tuple(range(source.pages[start], source.pages[last] + 1)),
        span=(source.starts[start], source.starts[last] + len(source.lines[last])),
    )


def _provisions(source: Source, law_id: str, printed: list[ProvisionLine], width: int) -> list[Article]:
    """Provisions as records; a kind that counts from one again is told apart as a further series."""
    records = []
    taken: set[str] = set()
    for found in printed:
        block = read_block(
            [found.rest, *source.lines[found.line + 1 : found.end]], source.full[found.line : found.end], width
        )
        base = f"{found.kind}-{found.number}"
        number, series = base, 2
        while number in taken:
            number, series = f"{base}-serie-{series}", series + 1
        taken.add(number)
        records.append(_article(source, law_id, "disposicion", number, block, found.line, found.end, (), found.title))
    return records


def _notes_of_divisions(source: Source, divisions: list[DivisionLine], starts: list[int]) -> list[str]:
    """The lines between a division and what follows it, joined: notes such as "Capítulo con sus artículos derogado"."""
    lines = [found.line for found in divisions]
    ends = sorted({*lines, *starts})
    return [" ".join(source.lines[line + 1 : ends[bisect_right(ends, line)]]) for line in lines if line < ends[-1]]


def _layout(source: Source) -> str:
    publishers = {name: count for name, count in source.furniture.items() if name in FURNITURE}
    return max(publishers, key=lambda name: publishers[name]) if publishers else source.format
