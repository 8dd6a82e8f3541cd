"""From a clean source to a `Law`. Read `parse_law` from top to bottom: each step is one module of this room."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from leylora.errors import LeyloraError
from leylora.laws.audit import build_audit
from leylora.laws.blocks import Block, read_block
from leylora.laws.divisions import find_division_lines
from leylora.laws.headings import Candidate, choose_headings, find_candidates
from leylora.laws.law import Article, Division, Kind, Law
from leylora.laws.metadata import read_metadata
from leylora.laws.normalise import FURNITURE
from leylora.laws.numerals import read_numerals
from leylora.laws.provisions import ProvisionLine, find_zones, reads_on
from leylora.laws.rubrics import split_rubric
from leylora.laws.sections import cut
from leylora.laws.source import Source
from leylora.laws.status import announced_repeals, article_status


def parse_law(source: Source, law_id: str | None = None) -> Law:
    """Parse a source into a law.

    Raises:
        LeyloraError: there is no article in it, or its lines are in the wrong order.
    """
    lines = source.lines
    candidates, refused = find_candidates(lines)
    _check_order(source, candidates)

    division_lines = find_division_lines(lines)
    zones = _zones(lines, candidates, division_lines)
    headings = choose_headings(candidates, refused, len(lines), zones, announced_repeals(lines))
    if not headings.accepted:
        raise LeyloraError(f"{source.path}: no line is the heading of an article of this law; is it a law?")
    pieces = cut(lines, headings, division_lines, [line for line, _ in zones])

    first = headings.accepted[0].line
    width = _full_line(lines[first:])
    blocks = [
        _block(source, section.heading.rest, section.heading.line, section.stop, width, section.repeats)
        for section in pieces.sections
    ]
    metadata = read_metadata(lines[:first], law_id, [mark for b in blocks for mark in (*b.reform_marks, *b.notes)])
    articles = [
        _article(source, metadata.id, "articulo", section.heading.number, block, section.heading.line, section.stop,
                 path=section.path, own_line=not section.heading.rest)
        for section, block in zip(pieces.sections, blocks, strict=True)
    ]  # fmt: skip
    provisions = _provisions(source, metadata.id, pieces.provisions, width)
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
        articles=tuple(articles),
        provisions=tuple(provisions),
        audit=build_audit(
            source,
            headings,
            pieces,
            articles,
            provisions,
            subtitles=[subtitle for block in blocks for subtitle in block.subtitles],
            last_reform_from=metadata.reform_source,
        ),
    )


def _check_order(source: Source, candidates: Sequence[Candidate]) -> None:
    """Refuse a text whose numbers come after what they number: ".- Objeto.- ..." and then "Art. 1" alone."""
    orphans = sum(line.startswith((".-", ". -", ".–")) for line in source.lines)
    if orphans > max(2, 0.05 * len(candidates)):
        raise LeyloraError(
            f"{source.path}: {orphans} lines begin with '.-', so the numbers of the articles come after their text. "
            "Print the file to PDF again, or extract its text by position (pdftotext -layout) first."
        )
    if not candidates:
        raise LeyloraError(
            f"{source.path}: no line begins like an article (Art. 1.-, Artículo 1.). Is it a law? "
            "If it is, its text may be a picture or out of order: open it and copy a paragraph to see."
        )


def _zones(
    lines: Sequence[str], candidates: Sequence[Candidate], division_lines: Sequence[int]
) -> list[tuple[int, bool]]:
    """Where provisions begin after the first heading, and whether the law goes on after them."""
    headings = [candidate.line for candidate in candidates]
    following = [*headings, len(lines)]
    return [
        (zone, reads_on(lines, division_lines, zone, following[bisect_right(headings, zone)]))
        for zone in find_zones(lines, frozenset((*headings, *division_lines)))
        if zone > headings[0]
    ]


def _full_line(lines: Sequence[str]) -> int:
    """The length of a full line: the 90th percentile, in characters."""
    lengths = sorted(len(line) for line in lines if line)
    return lengths[int(0.9 * (len(lengths) - 1))] if lengths else 0


def _block(
    source: Source, opening: str, start: int, stop: int, width: int, repeats: frozenset[int] = frozenset()
) -> Block:
    return read_block([opening, *source.lines[start + 1 : stop]], source.full[start:stop], width, repeats)


def _article(
    source: Source,
    law_id: str,
    kind: Kind,
    number: str,
    block: Block,
    start: int,
    stop: int,
    *,
    path: tuple[Division, ...] = (),
    own_line: bool = False,
    title: str | None = None,
) -> Article:
    """The record of one article, or of the provision called ``title``."""
    rubric, body = (title, block.body) if title else split_rubric(block.body, own_line=own_line)
    last = stop - 1
    return Article(
        law_id=law_id,
        kind=kind,
        number=number,
        rubric=rubric,
        body="\n".join(body),
        status=article_status(replace(block, body=body)),
        path=path,
        numerals=read_numerals(body),
        notes=tuple(block.notes),
        concordances=tuple(block.concordances),
        case_law=tuple(block.case_law),
        reform_marks=tuple(block.reform_marks),
        pages=tuple(range(source.pages[start], source.pages[last] + 1)),
        span=(source.starts[start], source.starts[last] + len(source.lines[last])),
    )


def _provisions(source: Source, law_id: str, printed: Sequence[ProvisionLine], width: int) -> list[Article]:
    """Provisions as records; where a kind counts from one again, "transitoria-1-serie-2" is its second first."""
    records = []
    series: Counter[str] = Counter()
    for found in printed:
        number = f"{found.kind}-{found.number}"
        series[number] += 1
        if series[number] > 1:
            number += f"-serie-{series[number]}"
        block = _block(source, found.rest, found.line, found.end, width)
        records.append(_article(source, law_id, "disposicion", number, block, found.line, found.end, title=found.title))
    return records


def _layout(source: Source) -> str:
    """The publisher whose furniture was found, or the file's format."""
    publishers = {name: count for name, count in source.furniture.items() if name in FURNITURE}
    return max(publishers, key=lambda name: publishers[name]) if publishers else source.format
