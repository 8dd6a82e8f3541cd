"""Does an answer cite what it was given, and does the cited article say so? The model has no say in this.

    for cited in check_answer(answer, grounded, index):
        print(cited.mark, cited.text, cited.reason)

Which articles exist is the index's to say, and which were shown is `Grounded.sources`: nothing that stands in an
article's text or in the answer can change either. What cannot be seen is a wrong paraphrase without figures or quotes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from ..text import words
from .citations import Citation, parse_citations
from .ground import COUNTRIES, Grounded
from .index import IndexedArticle, LawIndex
from .prompt import REPEALED
from .quantities import Quantity, figure_fault, quantities

Verdict = Literal["verified", "unsupported", "not in the sources", "does not exist", "unclear"]
MARKS: dict[Verdict, str] = {
    "verified": "✓",
    "unsupported": "⚠",
    "not in the sources": "⚠",
    "does not exist": "✗",
    "unclear": "⚠",
}
_QUOTE = re.compile(r"«([^«»]{12,})»|“([^“”]{12,})”|\"([^\"\n]{12,})\"")
_SENTENCE = re.compile(r"(?<=[.!?…)])\s+(?=[¿¡«“\"(]?[A-ZÁÉÍÓÚÑ0-9*•-])|\n+")
_ELLIPSIS = re.compile(r"[\[(]?(?:…|\.{3})[\])]?")
_EMPHASIS = re.compile(r"[*_]+|(?<=\s)[\"“«](?=(?:C[óo]d|Ley|Const))")
# After an article without a law of ours: "del Cód. Civil", "de la Declaración Universal", but no "del Libro I".
_OTHER_LAW = re.compile(
    r"[,\s]+(?:del?|de\s+l[ao]s?)\s+(?!(?:Libro|T[íi]tulo|Cap[íi]tulo|Secci[óo]n|Par[áa]grafo)\b)"
    r"(?P<name>[A-ZÁÉÍÓÚÑ][\w.]*(?:\s+(?:del?\s+|l[ao]s?\s+|y\s+|e\s+)*[A-ZÁÉÍÓÚÑ]\w*)*)"
)
_ABROAD = re.compile(rf"\s+(?:del?|en)\s+{COUNTRIES}")
_NAMED_PART = re.compile(
    r"\b(?:numeral(?:es)?|n[úu]m(?:ero)?\.?|literal(?:es)?|lit\.|inciso|p[áa]rrafo)\s+(?:\d{1,3}|[a-zñ]\b)\)?",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+", re.MULTILINE)
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}\s+de\s+[a-z]+\s+del?\s+\d{4}\b", re.IGNORECASE)


@dataclass(frozen=True)
class CheckedCitation:
    """One citation of an answer.

    ``verdict``: verified (among the sources, and the quotes and figures of the answer are the article's), unsupported
    (among the sources, but a quote or figure is not the article's, or it is repealed), not in the sources (exists,
    but the model was not shown it), does not exist, unclear (no law named, or one whose text is not here).
    ``span`` is where it stands in the answer; ``reason`` is one Spanish sentence for the reader; ``article`` has the
    text and edition, where it exists.
    """

    text: str
    span: tuple[int, int]
    verdict: Verdict
    reason: str
    article: IndexedArticle | None = None

    @property
    def mark(self) -> str:
        """✓, ⚠ or ✗."""
        return MARKS[self.verdict]


@dataclass(frozen=True)
class _Cited:
    """A citation with the article it names, as far as there is one."""

    citation: Citation
    article: IndexedArticle | None


def check_answer(answer: str, grounded: Grounded | None, index: LawIndex) -> list[CheckedCitation]:
    """Every citation of an answer with its verdict, in order; without ``grounded`` nothing is among the sources.

    A sentence's quotes and figures must be those of an article it cites; a sentence that cites none, those of the
    citation after it or the one before.
    """
    sources = [hit.article for hit in grounded.sources] if grounded else []
    read = _EMPHASIS.sub(lambda match: " " * len(match[0]), answer)  # **Código Civil** is a name like any other
    named = [_named_elsewhere(one, read) for one in parse_citations(read, index.known)]
    cited = [_Cited(one, _article(one, sources, index)) for one in named]
    faults = _faults(answer, cited)
    checked = []
    for one in cited:
        verdict, reason = _verdict(one, sources, index, answer, faults.get(one.citation.span, ""))
        text = answer[slice(*one.citation.span)]
        if text.endswith(")") and text.count(")") > text.count("(") + text.count(f"{one.citation.literal})"):
            text = text[:-1]  # of the brackets around it; that of "literal a)" is its own
        checked.append(CheckedCitation(text, one.citation.span, verdict, reason, one.article))
    return checked


def marked(answer: str, checked: Sequence[CheckedCitation]) -> str:
    """The answer with each citation's mark after it; of several articles in one list, the worst mark."""
    worst: dict[tuple[int, int], str] = {}
    for one in checked:
        worst[one.span] = max(worst.get(one.span, ""), one.mark, key=["", "✓", "⚠", "✗"].index)
    for (_, end), mark in sorted(worst.items(), reverse=True):
        if answer[:end].endswith("s. f") and answer[end : end + 1] == ".":
            end += 1  # the full stop of "ed. s. f." belongs to the citation
        answer = f"{answer[:end]} {mark}{answer[end:]}"
    return answer


def _named_elsewhere(citation: Citation, answer: str) -> Citation:
    """The citation with the name after it, when that is no law of ours: its article is not the source's."""
    start, end = citation.span
    if abroad := _ABROAD.match(answer, end) if citation.law_id else None:
        return replace(citation, law_id=None, law_text=answer[start : abroad.end()])
    other = None if citation.law_id or citation.law_text else _OTHER_LAW.match(answer, end)
    return replace(citation, law_text=other["name"]) if other else citation


def _article(citation: Citation, sources: Sequence[IndexedArticle], index: LawIndex) -> IndexedArticle | None:
    """The article meant; "el artículo 654" without a law is the source of that number, if only one has it."""
    if citation.law_id or citation.law_text:
        return index.find(citation)
    same = [article for article in sources if article.number.lower() == citation.article.lower()]
    return same[0] if len(same) == 1 else None


def _verdict(
    one: _Cited, sources: Sequence[IndexedArticle], index: LawIndex, answer: str, fault: str
) -> tuple[Verdict, str]:
    citation, article = one.citation, one.article
    law = index.law(citation)
    if article is None:
        if law is None or not law.articles:
            name = law.name if law else citation.law_text
            return "unclear", f"No tengo el texto de «{name}»." if name else "No dice de qué ley es el artículo."
        return "does not exist", f"{law.name}, ed. {law.edition or 's. f.'}, no tiene artículo {citation.article}."
    if citation.edition and citation.edition != article.law.edition:
        return "unclear", f"Cita la edición {citation.edition}; aquí está la de {article.law.edition or 's. f.'}."
    part = ".".join(label for label in (citation.numeral, citation.literal) if label)
    if part and article.parts and part not in article.parts:
        return "does not exist", f"El artículo {article.number} no tiene {_named(citation)}."
    if article not in sources:
        return "not in the sources", "Existe, pero no está entre los artículos que se dieron al modelo."
    if article.status == "derogado" and not answer.lstrip().startswith(REPEALED):
        return "unsupported", "El artículo está derogado."
    if fault:
        return "unsupported", fault
    return "verified", "Está entre los artículos dados, y lo que se puede comprobar consta en él."


def _named(citation: Citation) -> str:
    named = [f"numeral {citation.numeral}"] if citation.numeral else []
    return ", ".join([*named, *([f"literal {citation.literal}"] if citation.literal else [])])


def _faults(answer: str, cited: Sequence[_Cited]) -> dict[tuple[int, int], str]:
    """For each citation's span, the first thing said with it that no article it could rest on says."""
    sentences = list(_sentences(answer, [one.citation.span for one in cited]))
    own = [[one for one in cited if first <= one.citation.span[0] < last] for first, last in sentences]
    blank = _without_citations(answer, cited)
    found: dict[tuple[int, int], str] = {}
    for place, (first, last) in enumerate(sentences):
        following = next((group for group in own[place:] if group), [])
        before = next((group for group in reversed(own[:place]) if group), [])
        rests_on = own[place] or [*following, *before]
        articles = [_read(one.article) for one in rests_on if one.article]
        if not articles:
            continue
        fault = _unsaid(_loose(blank[first:last]), articles)
        for one in (own[place] or following or before) if fault else ():
            found.setdefault(one.citation.span, fault)
    return found


def _sentences(answer: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Half-open ranges; a citation is never cut, and one that stands alone in brackets goes with what it follows."""
    start = 0
    for match in _SENTENCE.finditer(answer):
        inside = any(first < match.end() and match.start() < last for first, last in spans)
        if not inside and not re.match(r"\s*\(\s*art", answer[match.end() :], re.IGNORECASE):
            yield start, match.start()
            start = match.end()
    yield start, len(answer)


def _without_citations(answer: str, cited: Sequence[_Cited]) -> str:
    """The answer with blanks in place of its citations; positions stay."""
    text = list(answer)
    for first, last in {one.citation.span for one in cited}:
        text[first:last] = " " * (last - first)
    return "".join(text)


def _loose(said: str) -> str:
    """A sentence without dates, list marks and named parts: none of them is a figure of the law."""
    for pattern in (_DATE, _NAMED_PART, _LIST_MARK):
        said = pattern.sub(lambda match: " " * len(match[0]), said)
    return said


def _unsaid(said: str, articles: Sequence["_Read"]) -> str:
    """The first quote or figure that none of the articles holds, as a sentence; "" when there is none."""
    for match in _QUOTE.finditer(said):
        quote = next(group for group in match.groups() if group)
        if not any(_quotes(quote, article.words) for article in articles):
            return f"La cita «{_short(quote)}» no está en el artículo."
    said = _QUOTE.sub(" ", said)
    for one in quantities(said):
        holds = any(not figure_fault(one, said, article.figures, article.items) for article in articles)
        if one.unit and not holds:  # a bare number may count anything
            return f"«{said[one.start : one.end].strip()}» no consta así en el artículo."
    return ""


@dataclass(frozen=True)
class _Read:
    """What an article is compared by: its words in a row, its figures, how many items it lists."""

    words: str
    figures: tuple[Quantity, ...]
    items: int


@lru_cache(maxsize=256)
def _read(article: IndexedArticle) -> _Read:
    text = f"{article.rubric}. {article.body}"
    return _Read(_plain(text), tuple(quantities(text)), sum("." not in part for part in article.parts))


def _quotes(quote: str, words: str) -> bool:
    """Whether a text says a quote: what stands between its ellipses, in this order."""
    at = 0
    for part in map(_plain, _ELLIPSIS.split(quote)):
        found = words.find(part, at) if part.strip() else at
        if found < 0:
            return False
        at = max(at, found + len(part) - 1)
    return True


def _plain(text: str) -> str:
    """What quotes are compared by: words alone, folded."""
    return f" {' '.join(words(text))} "


def _short(quote: str) -> str:
    return quote if len(quote) <= 60 else f"{quote[:57].rstrip()}…"
