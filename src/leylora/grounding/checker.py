"""The one checker: which articles does an answer cite, does each exist, was it given, and does it hold what is said?

    index = open_laws(folder, catalog())                        # or CitationIndex.of(laws, catalog()), in memory
    for one in check_answer(answer, index, given=articles):     # given=None: any article that exists may be cited
        print(one.mark, one.text, explain(one))                 # "✗ art. 999 COIP  El COIP, ed. ..., no tiene ..."
        one.verdict, one.exists, one.article, one.findings      # the facts; sentences are made from them by `explain`

Which articles exist is the index's to say, and which were given the caller's: the text of an article or of an answer
cannot change either. Evaluation passes ``law_id`` and ``edition``, those its question is about, and takes right, wrong,
invented or unknown from ``exists`` and ``citation``. Data holds the answer of a training row against the one article it
cites with `own_words_faults`, which is stricter. A wrong paraphrase without figures or quotes is not seen.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple

from ..text import fold, one_line, words
from .citations import COUNTRIES, Citation, CitationIndex, IndexedArticle, IndexedLaw, Numbered, parse_citations
from .prompt import REPEALED
from .quantities import DATE, ISO_DATE, Quantity, dates, quantities, references


class Verdict(str, Enum):  # noqa: UP042 - the extension also runs on Python 3.10
    """What a reader is told of a citation."""

    VERIFIED = "verified"
    UNSUPPORTED = "unsupported"  # given, but it is repealed, or a quote or figure said with it is not the article's
    NOT_IN_SOURCES = "not in the sources"  # it exists, and the model was not given it
    DOES_NOT_EXIST = "does not exist"
    UNCLEAR = "unclear"  # no law is named, or one whose text is not here

    __str__ = str.__str__


class Kind(str, Enum):  # noqa: UP042
    """One thing wrong with a citation or with what is said with it. The values are stable: reports count by them."""

    NO_LAW = "names no law"
    UNKNOWN_LAW = "names a law whose text is not here"
    ABROAD = "names a law of another country"
    EDITION = "names another edition"
    NO_ARTICLE = "names an article that does not exist"
    NO_PART = "names a numeral that the article does not have"
    NOT_GIVEN = "cites an article that was not supplied"
    NOT_IN_FORCE = "cites an article that is not in force as law"
    QUOTE = "quote is not in the article"
    FIGURE = "number is not in the article"
    RANGE_END = "gives one end of a range as the whole"
    BOUND = "calls a number a limit that it is not"
    TERM = "mistakes plazo and término"
    OTHER_ARTICLE = "names an article that the cited one does not"
    OTHER_LAW = "names another law"
    DATE = "date is neither the article's nor the edition's"
    CONSEQUENCE = "names a consequence that the article does not"
    NEGATION = "denies where the article does not"

    __str__ = str.__str__


class CitationFault(NamedTuple):
    """``words`` are the answer's own (the quote, the figure, the number cited, what it calls the law); ``law`` and
    ``edition`` what is here instead."""

    kind: Kind
    words: str = ""
    law: str = ""
    edition: str = ""


@dataclass(frozen=True)
class CheckedCitation:
    """One citation of an answer: its words and their ``span`` (which several articles of one list share), the citation
    as read, the law it names if that is known, the article if it exists here, and what is wrong, the gravest first."""

    text: str
    span: tuple[int, int]
    citation: Citation
    law: IndexedLaw | None = None
    article: IndexedArticle | None = None
    findings: tuple[CitationFault, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """That of the gravest finding."""
        return _VERDICTS.get(self.findings[0].kind, Verdict.UNSUPPORTED) if self.findings else Verdict.VERIFIED

    @property
    def exists(self) -> bool | None:
        """Whether there is such an article, and such a part of it; None when that is not known here."""
        return False if self.verdict is Verdict.DOES_NOT_EXIST else True if self.article else None

    @property
    def mark(self) -> str:
        return {Verdict.VERIFIED: "✓", Verdict.DOES_NOT_EXIST: "✗"}.get(self.verdict, "⚠")


_VERDICTS = dict.fromkeys((Kind.NO_LAW, Kind.UNKNOWN_LAW, Kind.ABROAD, Kind.EDITION), Verdict.UNCLEAR)
_VERDICTS |= dict.fromkeys((Kind.NO_ARTICLE, Kind.NO_PART), Verdict.DOES_NOT_EXIST)
_VERDICTS[Kind.NOT_GIVEN] = Verdict.NOT_IN_SOURCES
_SENTENCES = {  # of what `check_answer` finds: in Spanish, in English
    Kind.NO_LAW: ("No dice de qué ley es el artículo.", "It does not say of which law the article is."),
    Kind.UNKNOWN_LAW: ("No tengo el texto de «{words}».", "The text of “{words}” is not here."),
    Kind.ABROAD: ("«{words}» es de otro país.", "“{words}” is of another country."),
    Kind.EDITION: (
        "Cita la edición {words}; aquí está la de {edition}.",
        "It cites the edition of {words}; the one here is of {edition}.",
    ),
    Kind.NO_ARTICLE: (
        "{law}, ed. {edition}, no tiene artículo {words}.",
        "{law}, ed. {edition}, has no article {words}.",
    ),
    Kind.NO_PART: ("El artículo no tiene {words}.", "The article has no {words}."),
    Kind.NOT_GIVEN: (
        "Existe, pero no está entre los artículos que se dieron al modelo.",
        "It exists, but it is not among the articles that the model was given.",
    ),
    Kind.NOT_IN_FORCE: ("El artículo está derogado.", "The article is repealed."),
    Kind.QUOTE: ("La cita «{words}» no está en el artículo.", "The quote “{words}” is not in the article."),
    Kind.FIGURE: ("«{words}» no consta así en el artículo.", "“{words}” is not in the article."),
    Kind.RANGE_END: (
        "«{words}» es solo un extremo de lo que dice el artículo.",
        "“{words}” is only one end of the article's range.",
    ),
    Kind.BOUND: ("«{words}»: el artículo no lo pone como límite.", "“{words}”: the article does not make it a limit."),
    Kind.TERM: (
        "«{words}»: el artículo distingue plazo y término.",
        "“{words}”: the article tells plazo and término apart.",
    ),
}
_HOLDS = (
    "Está entre los artículos dados, y lo que se puede comprobar consta en él.",
    "It is among the articles given, and what can be checked is in it.",
)


def explain(one: CheckedCitation, language: Literal["es", "en"] = "es") -> str:
    place = ("es", "en").index(language)
    if not one.findings:
        return _HOLDS[place]
    kind, words, law, edition = one.findings[0]
    words = words if len(words) <= 60 else f"{words[:57].rstrip()}…"
    return _SENTENCES[kind][place].format(words=words, law=law, edition=edition or "s. f.")


def check_answer(
    answer: str,
    known: CitationIndex,
    *,
    given: Sequence[IndexedArticle] | None = (),
    law_id: str = "",
    edition: str = "",
) -> list[CheckedCitation]:
    """Every citation of an answer, in order.

    A sentence's quotes and figures must be those of an article it cites; a sentence that cites none, those of the
    citation after it or the one before.

    Args:
        known: what may be cited at all.
        given: the articles in the prompt; None when it was to have none, so that any article may be cited.
        law_id: the law that "el artículo 5" alone means; without it, the one article of this number among ``given``.
        edition: the edition that is meant where a citation names none; without it the newest.
    """
    read = _EMPHASIS.sub(lambda match: " " * len(match[0]), answer)  # **Código Civil** is a name like any other
    laws = sorted(known.known, key=lambda law: law.id != law_id)  # of two editions a name means the one asked about
    cited = []
    for citation in parse_citations(read, laws):
        citation = _named_elsewhere(citation, read)
        if citation.law_id is None and law_id and not citation.law_text:
            citation = replace(citation, law_id=law_id)
        meant = replace(citation, edition=citation.edition or edition)
        article = known.find(meant)
        if article is None and citation.law_id is None and not citation.law_text:
            same = [one for one in given or () if one.number.lower() == citation.article.lower()]
            article = same[0] if len(same) == 1 else None
        text = answer[slice(*citation.span)]
        if text.endswith(")") and text.count(")") > text.count("(") + text.count(f"{citation.literal})"):
            text = text[:-1]  # of the brackets around it; that of "literal a)" is its own
        law = article.law if article else known.law(meant)
        cited.append(CheckedCitation(text, citation.span, citation, law, article))
    said = _said_with(answer, cited)
    faults = [([fault] if (fault := _fault(one, given, answer)) else []) + said.get(one.span, []) for one in cited]
    return [replace(one, findings=tuple(found)) for one, found in zip(cited, faults, strict=True)]


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


# Which article is meant, and whether it may be cited

_EMPHASIS = re.compile(r"[*_]+|(?<=\s)[\"“«](?=(?:C[óo]d|Ley|Const))")
# After an article without a law of ours: "del Cód. Civil", "de la Declaración Universal", but not "del Libro I".
_OTHER_LAW = re.compile(
    r"[,\s]+(?:del?|de\s+l[ao]s?)\s+(?!(?:Libro|T[íi]tulo|Cap[íi]tulo|Secci[óo]n|Par[áa]grafo)\b)"
    r"(?P<name>[A-ZÁÉÍÓÚÑ][\w.]*(?:\s+(?:del?\s+|l[ao]s?\s+|y\s+|e\s+)*[A-ZÁÉÍÓÚÑ]\w*)*)"
)
_ABROAD = re.compile(rf"\s+(?:del?|en)\s+{COUNTRIES}")


def _named_elsewhere(citation: Citation, answer: str) -> Citation:
    """The citation with the name that follows it, where that is not a law of ours."""
    start, end = citation.span
    if fold(citation.law_text) in ("ley", "codigo", "reglamento"):  # "el artículo 5 de la ley": the one at hand
        return replace(citation, law_text="")
    if citation.law_id and (abroad := _ABROAD.match(answer, end)):
        return replace(citation, law_id=None, law_text=answer[start : abroad.end()])
    other = None if citation.law_id or citation.law_text else _OTHER_LAW.match(answer, end)
    return replace(citation, law_text=other["name"]) if other else citation


def _fault(one: CheckedCitation, given: Sequence[IndexedArticle] | None, answer: str) -> CitationFault | None:
    citation, law, article = one.citation, one.law, one.article
    if article is None:
        if law and law.numbers:
            return CitationFault(Kind.NO_ARTICLE, citation.article, law.name, law.edition)
        if re.search(COUNTRIES, citation.law_text):
            return CitationFault(Kind.ABROAD, citation.law_text)
        called = law.name if law else citation.law_text
        return CitationFault(Kind.UNKNOWN_LAW, called) if called else CitationFault(Kind.NO_LAW)
    if citation.edition and citation.edition != article.law.edition:
        return CitationFault(Kind.EDITION, citation.edition, article.law.name, article.law.edition)
    if citation.part and article.parts and citation.part not in article.part:
        named = [f"numeral {citation.numeral}"] if citation.numeral else []
        named += [f"literal {citation.literal}"] if citation.literal else []
        return CitationFault(Kind.NO_PART, ", ".join(named), article.law.name, article.law.edition)
    if given is not None and article not in given:
        return CitationFault(Kind.NOT_GIVEN, one.text)
    if article.status == "derogado" and not answer.lstrip().startswith(REPEALED):
        return CitationFault(Kind.NOT_IN_FORCE, one.text)
    return None


# What is said with a citation: quotes and figures, sentence by sentence

_QUOTE = re.compile(r"«([^«»]{12,})»|“([^“”]{12,})”|\"([^\"\n]{12,})\"")
_SENTENCE = re.compile(r"(?<=[.!?…)])\s+(?=[¿¡«“\"(]?[A-ZÁÉÍÓÚÑ0-9*•-])|\n+")
_ELLIPSIS = re.compile(r"[\[(]?(?:…|\.{3})[\])]?")
_NAMED_PART = re.compile(
    r"\b(?:numeral(?:es)?|n[úu]m(?:ero)?\.?|literal(?:es)?|lit\.|inciso|p[áa]rrafo)\s+(?:\d{1,3}|[a-zñ]\b)\)?",
    re.IGNORECASE,
)
_LIST_MARK = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s+", re.MULTILINE)


def _said_with(answer: str, cited: Sequence[CheckedCitation]) -> dict[tuple[int, int], list[CitationFault]]:
    """For each citation's span, what is said with it that no article it could rest on says."""
    spans = {one.span for one in cited}
    sentences = _sentences(answer, spans)
    own = [[one for one in cited if first <= one.span[0] < last] for first, last in sentences]
    found: dict[tuple[int, int], list[CitationFault]] = {}
    for place, (first, last) in enumerate(sentences):
        following = next((group for group in own[place:] if group), [])
        before = next((group for group in reversed(own[:place]) if group), [])
        rests_on = own[place] or [*following, *before]
        articles = [_read(one.article) for one in rests_on if one.article]
        if not articles:
            continue
        said = _blanked(answer, spans)[first:last]
        for pattern in (ISO_DATE, DATE, _NAMED_PART, _LIST_MARK):  # none of them is a figure of the law
            said = pattern.sub(lambda match: " " * len(match[0]), said)
        if findings := list(_unsaid(said, articles)):
            for span in {one.span for one in own[place] or following or before}:
                found.setdefault(span, []).extend(findings)
    return found


def _sentences(answer: str, spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges; a citation is never cut, and one alone in brackets goes with what it follows."""
    found, start = [], 0
    for match in _SENTENCE.finditer(answer):
        inside = any(first < match.end() and match.start() < last for first, last in spans)
        if not inside and not re.match(r"\s*\(\s*art", answer[match.end() :], re.IGNORECASE):
            found.append((start, match.start()))
            start = match.end()
    return [*found, (start, len(answer))]


def _blanked(text: str, spans: set[tuple[int, int]]) -> str:
    """The text with blanks in place of these ranges; positions stay."""
    letters = list(text)
    for first, last in spans:
        letters[first:last] = " " * (last - first)
    return "".join(letters)


class _Read(NamedTuple):
    """What an article is compared by: its words in a row, its figures, how many items it lists."""

    words: str
    figures: tuple[Quantity, ...]
    items: int


@lru_cache(maxsize=256)
def _read(article: IndexedArticle) -> _Read:
    text = f"{article.rubric}. {article.body}"
    return _Read(f" {' '.join(words(text))} ", tuple(quantities(text)), len(article.items))


def _unsaid(said: str, articles: Sequence[_Read]) -> Iterator[CitationFault]:
    """The quotes and figures that none of the articles holds; not bare numbers, which may count anything."""
    for match in _QUOTE.finditer(said):
        quote = next(group for group in match.groups() if group)
        if not any(_quotes(quote, article.words) for article in articles):
            yield CitationFault(Kind.QUOTE, quote)
    said = _QUOTE.sub(" ", said)
    for one in quantities(said):
        faults = [figure_fault(one, said, article.figures, article.items) for article in articles]
        if one.unit and all(faults):
            yield next(filter(None, faults))


def _quotes(quote: str, row: str) -> bool:
    """Whether a row of words holds a quote: the pieces between its ellipses, in this order."""
    at = 0
    for part in filter(None, map(words, _ELLIPSIS.split(quote))):
        found = row.find(f" {' '.join(part)} ", at)
        if found < 0:
            return False
        at = found + len(" ".join(part)) + 1
    return True


def figure_fault(one: Quantity, said: str, known: Sequence[Quantity], items: int) -> CitationFault | None:
    """What is wrong with a number of ``said``. It holds if it is among ``known``, the article's, with the same unit,
    bound and kind of period, or counts the article's ``items``."""
    told = said[one.start : one.end].strip()
    same = [other for other in known if other.unit == one.unit or not one.unit]
    whole = [other for other in same if (other.low, other.high) == (one.low, one.high)]
    if one.high is None:
        lower = [other for other in same if other.high is not None and other.low == one.low and one.bound == "min"]
        upper = [other for other in same if other.high == one.low and one.bound == "max"]
        if lower or upper:
            return None
        if not whole and any(one.low in (other.low, other.high) for other in same):
            return CitationFault(Kind.RANGE_END, told)
        if not whole and not one.unit and one.low == items > 1:
            return None
    if not whole:
        return CitationFault(Kind.FIGURE, told)
    if one.bound and all(other.bound != one.bound for other in whole):
        return CitationFault(Kind.BOUND, said[max(0, one.start - 20) : one.end].strip())
    if one.term and all(other.term and other.term != one.term for other in whole):
        return CitationFault(Kind.TERM, f"{one.term}: {told}")
    return None


# The strict reading, for training rows: nothing outside the quotes may be another's than the article's

NAMED_NUMERAL = re.compile(r"\b(?:numeral|número|núm\.|num\.)\s+(\d{1,3})\b", re.IGNORECASE)
NAMED_LITERAL = re.compile(r"\bliteral\s+([a-zñ])\b", re.IGNORECASE)
PENAL_WORDS = """
    pena privativa de libertad, pena privativa de la libertad, privacion de libertad, prision, carcel
    multa; destitucion; reclusion; arresto; inhabilitacion; suspension; clausura; comiso, decomiso
    trabajo comunitario, servicio comunitario; cadena perpetua; pena de muerte; amonestacion; expulsion
    perdida de la nacionalidad; indemnizacion; caducidad; nulidad
"""  # words on one line, or between semicolons, mean the same
LAW_NAME = re.compile(
    r"\b(?:Código|Ley|Reglamento|Constitución|Estatuto|Decreto|Codificación)"
    r"(?:\s+(?:(?:de|del|la|las|los|el|y|en|a|al|para)\s+)*[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+)+"
)
SIGLAS = re.compile(r"\b(?:[A-Z]{3,}|C[A-Z])\b")
NEGATION = re.compile(
    r"\b(?:no|nunca|jamás|ningún|ninguna|prohíb\w*|prohibid\w*|tampoco|excluy\w*|sin)\b", re.IGNORECASE
)


def quote_faults(quotes: Sequence[str], article: IndexedArticle, part: str = "") -> list[CitationFault]:
    """The quotes that are not in the article (or ``part`` of it) word for word."""
    text = whole_text(article, part)
    return [CitationFault(Kind.QUOTE, quote[:120]) for quote in quotes if one_line(quote).rstrip("….;, ") not in text]


def own_words_faults(said: str, article: IndexedArticle, known: CitationIndex, part: str = "") -> list[CitationFault]:
    """The faults of an answer's own words on one article (or ``part`` of it), quotes and citation taken away."""
    law = article.law
    text = whole_text(article, part)
    body = article.part[part] if part else article.body
    faults = []
    strange = [number for number in named_articles(said, law) if number != article.number]
    if strange:
        pointed = {*named_articles(body, law), *(number for _, number in references(law, article))}
        faults += [CitationFault(Kind.OTHER_ARTICLE, number) for number in strange if number not in pointed]
    labels = {label for path in article.part for label in path.split(".")} | set(NAMED_NUMERAL.findall(body))
    named = (*NAMED_NUMERAL.findall(said), *(letter.lower() for letter in NAMED_LITERAL.findall(said)))
    faults += [CitationFault(Kind.NO_PART, label) for label in named if label not in labels]
    said = _blanked(said, {citation.span for citation in parse_citations(said, [law])})
    said = NAMED_NUMERAL.sub(" ", NAMED_LITERAL.sub(" ", said))
    days = {*law.dates, *dates(body)}
    faults += [CitationFault(Kind.DATE, day) for day in dates(said) if day not in days]
    said = DATE.sub(" ", ISO_DATE.sub(" ", said))
    source, mine = fold(text), [fold(name) for name in law.names]
    for match in LAW_NAME.finditer(said):
        name = fold(match[0])
        if not any(one.startswith(name) or name.startswith(one) for one in mine) and name not in source:
            faults.append(CitationFault(Kind.OTHER_LAW, match[0]))
    siglas = {other.siglas for other in known.known if other.siglas}
    for word in SIGLAS.findall(said):
        if word in siglas and word.lower() not in mine and word.lower() not in source:
            faults.append(CitationFault(Kind.OTHER_LAW, word))
    amounts = quantities(said)
    figures = quantities(f"{article.rubric}. {body}") if amounts else []
    faults += filter(None, (figure_fault(one, said, figures, len(article.items)) for one in amounts))
    folded = fold(said)
    for group in re.split(r"[;\n]", PENAL_WORDS.strip()):
        same = [word.strip() for word in group.split(",")]
        told = [word for word in same if re.search(rf"\b{word}\b", folded)]
        if told and not any(word in source for word in same):
            faults.append(CitationFault(Kind.CONSEQUENCE, told[0]))
    if NEGATION.search(said) and not NEGATION.search(text):
        faults.append(CitationFault(Kind.NEGATION, one_line(said)[:80]))
    return faults


def whole_text(article: IndexedArticle, part: str = "") -> str:
    """All that an answer may take from an article, on one line: number, path, rubric, and body (or ``part`` of it)."""
    body = article.part[part] if part else article.body
    return one_line(f"{article.number} {article.path.replace(' > ', ' ')} {article.rubric} {body}")


def named_articles(text: str, law: Numbered) -> list[str]:
    """Numbers of the articles a text names, ``law`` being the one meant where it names none."""
    numbers = []
    for citation in parse_citations(text, [law]):
        # Where no law is named with it, "artículo 30.1" may be read as numeral 1 of article 30; the law tells.
        dotted = f"{citation.article}.{citation.numeral}"
        numbers.append(dotted if dotted in law and dotted in text[slice(*citation.span)] else citation.article)
    return numbers
