"""What was accepted, refused and missed, so that nothing is hidden from whoever trains on the corpus.

The audit is a plain dictionary, written as ``audit.json``; its keys are described in `build_audit`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from leylora.laws.headings import Headings
from leylora.laws.law import Article
from leylora.laws.sections import Cut
from leylora.laws.source import Source
from leylora.laws.status import repealed_numbers


def build_audit(
    source: Source,
    headings: Headings,
    pieces: Cut,
    articles: Sequence[Article],
    provisions: Sequence[Article],
    *,
    subtitles: Sequence[str],
    last_reform_from: str,
) -> dict[str, Any]:
    """The audit of one law.

    coverage        share of the numbers 1..last that are articles or are declared repealed
    accepted        how many headings of each form were taken
    refused         heading-like lines that were not, each with page, line and reason
    missing         numbers below the last that are neither printed nor declared repealed
    ausente         numbers that a note repeals as a group, with the note
    out_of_order    numbers printed after a larger one
    doubtful        articles whose text in force a person must choose
    status          how many articles have each status
    hierarchy       how many Libros, Títulos, Capítulos, Secciones and Parágrafos
    subtitles       lines in capitals between articles that belong to neither
    furniture       what was removed from the pages, and how often
    warnings        what is odd about the file
    last_reform_from  where the date of the last reform was read: "header", "reform marks" or ""
    """
    numbers = [article.number for article in articles]
    plain = sorted(int(number) for number in numbers if number.isdigit())
    last = plain[-1] if plain else 0
    notes = [*pieces.division_notes, *(note for article in articles for note in article.notes)]
    absent = {number: note for number, note in repealed_numbers(notes, plain).items() if number <= last}
    missing = sorted(set(range(1, last + 1)) - set(plain) - set(absent))
    return {
        "coverage": round(1 - len(missing) / last, 4) if last else float(bool(articles)),
        "articles": len(articles),
        "provisions": len(provisions),
        "last_number": last,
        "accepted": {
            "plain": len(plain),
            "decimal": sum("." in number for number in numbers),
            "unnumbered": sum("-innumerado-" in number for number in numbers),
            "lettered": sum(number[:-1].isdigit() and number[-1].isalpha() for number in numbers),
        },
        "refused": [
            {
                "number": refusal.number,
                "page": source.pages[refusal.line],
                "line": source.lines[refusal.line][:100],
                "reason": refusal.reason,
            }
            for refusal in headings.refused
        ],
        "missing": missing,
        "duplicates": sorted(number for number, count in Counter(numbers).items() if count > 1),
        "ausente": [{"number": str(number), "note": note} for number, note in sorted(absent.items())],
        "out_of_order": list(headings.out_of_order),
        "doubtful": [article.number for article in articles if article.status == "dudoso"],
        "status": dict(Counter(article.status for article in articles)),
        "with_rubric": sum(article.rubric is not None for article in articles),
        "hierarchy": dict(Counter(found.division.kind for found in pieces.divisions)),
        "furniture": source.furniture,
        "warnings": list(source.warnings),
        "subtitles": list(subtitles),
        "last_reform_from": last_reform_from,
    }
