"""From a file to a `Law`, and many files at once. Read `parse_law` from top to bottom: it is the trip of a law."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import pebble

from leylora.children import PROCESSES, SECONDS, await_child, in_child, limit_memory
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object
from leylora.laws.headings import Candidate, Headings, choose_headings, find_candidates
from leylora.laws.law import Article, Law
from leylora.laws.metadata import read_metadata, slug
from leylora.laws.notes import Block, announced_repeals, article_status, read_block, repealed_numbers, struck_spans
from leylora.laws.source import FURNITURE, SECONDS_PER_TEXT, Source, read_source
from leylora.laws.structure import Cut, cut, find_division_lines, find_zones, read_numerals, split_rubric


def parse_file(path: Path | str, law_id: str | None = None) -> Law:
    """Parse a PDF, HTML, Markdown or text file.

    Raises:
        LeyloraError: the file cannot be read, is encrypted or scanned, is set in columns, or holds no article.
    """
    return parse_law(read_source(Path(path)), law_id)


def parse_law(source: Source, law_id: str | None = None) -> Law:
    """Parse a source into a law.

    Raises:
        LeyloraError: there is no article in it, or its lines are in the wrong order.
    """
    lines = source.lines
    candidates, refused = find_candidates(lines)
    _check_order(source, candidates)

    division_lines = find_division_lines(lines)
    zones = find_zones(lines, [candidate.line for candidate in candidates], division_lines)
    headings = choose_headings(candidates, refused, len(lines), zones, announced_repeals(lines))
    if not headings.accepted:
        raise LeyloraError(f"{source.path}: no line is the heading of an article of this law; is it a law?")
    pieces = cut(lines, headings, division_lines, [line for line, _ in zones])

    first = headings.accepted[0].line
    lengths = sorted(len(line) for line in lines[first:] if line)
    width = lengths[int(0.9 * (len(lengths) - 1))]  # of a full line, in characters
    blocks = [
        _block(source, section.heading.rest, section.heading.line, section.stop, width, section.repeats)
        for section in pieces.sections
    ]
    marks = [mark for block in blocks for mark in (*block.reform_marks, *block.notes)]
    identity, reform_source = read_metadata(lines[:first], law_id, marks)
    articles = []
    for (heading, stop, path, _), block in zip(pieces.sections, blocks, strict=True):
        rubric, body = split_rubric(block.body, own_line=not heading.rest)
        fields = {"law_id": identity.id, "kind": "articulo", "number": heading.number, "rubric": rubric, "path": path}
        articles.append(_article(source, block, (heading.line, stop), body, **fields))
    provisions = []
    series: Counter[str] = Counter()
    for found in pieces.provisions:
        number = f"{found.kind}-{found.number}"
        series[number] += 1
        if series[number] > 1:  # where a kind counts from one again, "transitoria-1-serie-2" is its second first
            number += f"-serie-{series[number]}"
        block = _block(source, found.rest, found.line, found.end, width)
        fields = {"law_id": identity.id, "kind": "disposicion", "number": number, "rubric": found.title}
        provisions.append(_article(source, block, (found.line, found.end), block.body, **fields))
    publishers = {name: count for name, count in source.furniture.items() if name in FURNITURE}
    audit = build_audit(source, headings, pieces, articles, provisions)
    subtitles = [subtitle for block in blocks for subtitle in block.subtitles]
    return Law(
        **vars(identity),
        layout=max(publishers, key=lambda name: publishers[name]) if publishers else source.format,
        pages=source.page_count,
        source_sha256=source.sha256,
        articles=tuple(articles),
        provisions=tuple(provisions),
        audit={**audit, "subtitles": subtitles, "last_reform_from": reform_source},
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


def _block(
    source: Source, opening: str, start: int, stop: int, width: int, repeats: frozenset[int] = frozenset()
) -> Block:
    return read_block([opening, *source.lines[start + 1 : stop]], source.full[start:stop], width, repeats)


def _article(source: Source, block: Block, at: tuple[int, int], body: list[str], **fields: Any) -> Article:
    """The record of one article or provision, which is printed ``at`` a half-open range of lines."""
    start, last = at[0], at[1] - 1
    return Article(
        body="\n".join(body),
        status=article_status(replace(block, body=body)),
        numerals=read_numerals(body),
        struck=struck_spans("\n".join(body), block.notes),
        notes=tuple(block.notes),
        concordances=tuple(block.concordances),
        case_law=tuple(block.case_law),
        reform_marks=tuple(block.reform_marks),
        pages=tuple(range(source.pages[start], source.pages[last] + 1)),
        span=(source.starts[start], source.starts[last] + len(source.lines[last])),
        **fields,
    )


def build_audit(
    source: Source, headings: Headings, pieces: Cut, articles: Sequence[Article], provisions: Sequence[Article]
) -> dict[str, Any]:
    """What was accepted, refused and missed; `parse_law` adds the subtitles (lines in capitals between articles that
    belong to neither) and where the date of the last reform was read ("header", "reform marks" or "")."""
    numbers = [article.number for article in articles]
    plain = sorted(int(number) for number in numbers if number.isdigit())
    last = plain[-1] if plain else 0
    notes = [*pieces.division_notes, *(note for article in articles for note in article.notes)]
    absent = {number: note for number, note in repealed_numbers(notes, plain).items() if number <= last}
    missing = sorted(set(range(1, last + 1)) - set(plain) - set(absent))
    return {
        # the share of the numbers 1..last that are articles or are declared repealed
        "coverage": round(1 - len(missing) / last, 4) if last else float(bool(articles)),
        "articles": len(articles),
        "provisions": len(provisions),
        "last_number": last,
        "accepted": {  # how many headings of each form
            "plain": len(plain),
            "decimal": sum("." in number for number in numbers),
            "unnumbered": sum("-innumerado-" in number for number in numbers),
            "lettered": sum(number[:-1].isdigit() and number[-1].isalpha() for number in numbers),
        },
        "refused": [
            {"number": number, "page": source.pages[line], "line": source.lines[line][:100], "reason": reason}
            for line, number, reason in headings.refused
        ],
        "missing": missing,
        "duplicates": sorted(number for number, count in Counter(numbers).items() if count > 1),
        # numbers that a note repeals as a group
        "ausente": [{"number": str(number), "note": note} for number, note in sorted(absent.items())],
        "out_of_order": list(headings.out_of_order),
        "doubtful": [article.number for article in articles if article.status == "dudoso"],
        "status": dict(Counter(article.status for article in articles)),
        "with_rubric": sum(article.rubric is not None for article in articles),
        "hierarchy": dict(Counter(found.division.kind for found in pieces.divisions)),
        "furniture": source.furniture,
        "warnings": list(source.warnings),
    }


Outcome = tuple[Path, Law | LeyloraError]  # a file, and its law or the error a person can mend


def parse_files(files: Sequence[Path], law_id: str | None = None, workers: int | None = None) -> Iterator[Outcome]:
    """Parse files, each as soon as a process is free; one that fails does not stop the others.

    Raises:
        UsageError: ``law_id`` is given for more than one file, or cannot name a folder.
    """
    if law_id and slug(law_id) != law_id:
        raise UsageError(f"--law-id {law_id!r} cannot name a folder; use small letters, digits and hyphens.")
    if law_id and len(files) > 1:
        raise UsageError(f"--law-id names one law, but there are {len(files)} files; parse them one at a time.")
    workers = min(len(files), workers or os.cpu_count() or 1)
    if workers <= 1:
        for file in files:
            try:
                yield in_child(file, _outcome, file, law_id, seconds=_seconds(file))
            except LeyloraError as error:
                yield file, error
        return
    with pebble.ProcessPool(workers, initializer=limit_memory, context=PROCESSES) as pool:
        started = {pool.schedule(_outcome, (file, law_id), timeout=_seconds(file)): file for file in files}
        try:
            for done in as_completed(started):
                file = started[done]  # type: ignore[index]  # as_completed gives back what it was given
                try:
                    yield await_child(file, done)
                except LeyloraError as error:
                    yield file, error
        finally:
            pool.stop()  # without this, workers would go on after Ctrl-C


def _seconds(file: Path) -> float:
    return SECONDS if file.suffix.lower() == ".pdf" else SECONDS_PER_TEXT


def _outcome(file: Path, law_id: str | None) -> Outcome:
    try:
        return file, parse_file(file, law_id)
    except LeyloraError as error:
        return file, error


def save_law(law: Law, out: Path) -> Path:
    """Write a law to ``out/<law.id>``, replacing an earlier parse of the same edition.

    Raises:
        UsageError: the folder holds another edition, or something else.
    """
    folder = out / law.id
    edition = read_json_object(folder / "law.json").get("edition") if (folder / "law.json").exists() else law.edition
    if edition != law.edition:
        raise UsageError(
            f"{folder} holds edition {edition or 'undated'}, this is {law.edition or 'undated'}; "
            f"keep both with --law-id {law.id}-{law.edition or 'nueva'}, or delete that folder first."
        )
    return law.save(folder)


def parsed_editions(out: Path) -> dict[str, str]:
    """The ids of the laws parsed into ``out``, each with its edition ("" when undated)."""
    facts = (read_json_object(file) for file in sorted(out.glob("*/law.json")))
    return {str(fact.get("id", "")): str(fact.get("edition", "")) for fact in facts}
