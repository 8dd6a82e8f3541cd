"""What a question asks for: the articles it names, the laws it names, and the words that say what it is about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ..text import fold
from .citations import Citation, Named, parse_citations
from .words import query_words

MOST_WORDS = 60  # of a question that are searched; a whole letter pasted in is cut there
_DEFINITION = re.compile(r"\b(?:que es|que son|que significa|que se entiende|defin\w+|concepto)\b")
_EDITION = re.compile(
    r"\b(?:edici[oó]n|versi[oó]n|texto|estaba|artículo|art\.)\b[^.?!]{0,60}?\b(?:del?|el|al)\s+(\d{4}-\d{2}-\d{2})\b",
    re.IGNORECASE,
)
_NUMBER = r"\d{1,4}(?:\.\d{1,3}){0,2}(?:\.[a-z])?"


@dataclass(frozen=True)
class Query:
    """A question read.

    ``law_ids`` are the laws it names, whether by a citation or alone ("¿qué pena prevé el COIP...?"); ``words`` are
    folded, each once, citations and names of laws left out; ``definition`` is whether it asks what something is.
    """

    citations: tuple[Citation, ...]
    law_ids: frozenset[str]
    words: tuple[str, ...]
    definition: bool


def read_query(text: str, laws: Sequence[Named]) -> Query:
    """Read a question; ``laws`` are those that may be named.

    Besides the citations that `leylora.grounding.citations` knows, siglas or a name beside a bare number are one, as
    people type them into a search box: "COGEP 151", "151 cogep", "constitución 76.7.a".
    """
    pattern, ids = _names(tuple((law.id, law.name, law.siglas, law.aliases) for law in laws))
    text = " ".join(text.split())
    citations = parse_citations(text, laws)
    if not citations:
        text = _with_article(text, pattern)
        citations = parse_citations(text, laws)
    if day := _EDITION.search(text):  # "¿qué decía el art. 4 en la edición del 2020-01-01?"
        citations = [replace(citation, edition=citation.edition or day[1]) for citation in citations]
    named = {citation.law_id for citation in citations if citation.law_id}
    rest = list(text)
    for citation in citations:
        first, last = citation.span
        rest[first:last] = " " * (last - first)
    folded = fold("".join(rest))
    for match in pattern.finditer(folded):
        named.add(ids[" ".join(match["name"].split())])
    words = query_words(pattern.sub(" ", folded), strict=bool(citations))
    return Query(tuple(citations), frozenset(named), tuple(words[:MOST_WORDS]), bool(_DEFINITION.search(folded)))


def _with_article(text: str, names: re.Pattern[str]) -> str:
    """ "COGEP 151" as "art. 151 COGEP"; other texts as they are."""
    folded = fold(text)
    for match in names.finditer(folded):
        after = re.compile(rf"\s*[,:]?\s*(?:num(?:ero)?\.?\s*)?({_NUMBER})(?![\w.]*\w)").match(folded, match.end())
        if after:
            return f"{text[: match.start()]} art. {after[1]} {text[slice(*match.span())]} {text[after.end() :]}"
        before = re.compile(rf"(?<![\w.])({_NUMBER})\s*,?\s*(?:del?\s+(?:la\s+)?)?$").search(folded[: match.start()])
        if before:
            return f"{text[: before.start()]} art. {before[1]} {text[match.start() :]}"
    return text


@lru_cache(maxsize=16)
def _names(laws: tuple[tuple[str, str, str, tuple[str, ...]], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """What finds a law's name in a folded text, longest first, and the law each name means."""
    ids: dict[str, str] = {}
    for law_id, name, siglas, aliases in laws:
        for known in (name, siglas, *aliases):
            if known.strip():
                ids.setdefault(" ".join(fold(known).replace(",", " ").split()), law_id)
    longest = sorted(ids, key=len, reverse=True)
    names = "|".join(r",?\s+".join(map(re.escape, name.split())) for name in longest) or r"(?!)"
    return re.compile(rf"(?<!\w)(?P<name>{names})(?!\w)"), ids
