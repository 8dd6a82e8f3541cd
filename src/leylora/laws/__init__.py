"""From a law's file to articles that can be named, compared and cited, with an audit of what was read.

    from leylora.laws import Law, parse_citations

    law = Law.from_file("constitucion.pdf")
    law["76"].numeral(7).literal("a").text
    parse_citations("numeral 7 del artículo 76 de la Constitución", [law])

`parser.parse_law` is the place to begin reading.
"""

from leylora.laws.citations import Citation, format_citation, parse_citations, resolve
from leylora.laws.law import Article, Division, Law, Numeral
from leylora.laws.parser import parse_law
from leylora.laws.source import Source, read_source

__all__ = [
    "Article",
    "Citation",
    "Division",
    "Law",
    "Numeral",
    "Source",
    "format_citation",
    "parse_citations",
    "parse_law",
    "read_source",
    "resolve",
]
