"""The one checker: which articles does a text cite, does each exist, was it given, and does the law say what is said?

    index = open_laws(folder, catalog())                        # or CitationIndex.of(laws, catalog()), in memory
    for one in check_answer(answer, index, given=articles):     # given=None: any article that exists may be cited
        print(one.mark, one.text, explain(one))                 # "✗ art. 999 COIP  El COIP, ed. ..., no tiene ..."
    for claim in check_text(text, index).claims:                # a whole document, claim by claim
        print(claim.verdict, claim.text, explain(claim))

Which articles exist is the index's to say, and which were given the caller's: the text of an article or of an answer
cannot change either. A text is cut into sentences, and a sentence into as many claims as it has citations apart;
`leylora.grounding.claims` holds each against the articles it cites, or those cited beside it, or those found.
Evaluation passes ``law_id`` and ``edition``, those its question is about, and takes right, wrong, invented or unknown
from ``exists`` and ``citation``.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal, NamedTuple

from ..text import fold, one_line, words
from .citations import (
    COUNTRIES,
    Citation,
    CitationIndex,
    IndexedArticle,
    IndexedLaw,
    Numbered,
    law_called,
    law_names,
    parse_citations,
)
from .claims import Fault, Judgment, concepts, judge, parts_of, tells_a_case
from .claims import Verdict as Verdict
from .prompt import REPEALED


class Kind(str, Enum):  # noqa: UP042 - the extension also runs on Python 3.10
    """One thing wrong with a citation itself. The values are stable: reports count by them."""

    NO_LAW = "names no law"
    UNKNOWN_LAW = "names a law whose text is not here"
    ABROAD = "names a law of another country"
    EDITION = "names another edition"
    RULING = "is a ruling, resolution or gazette"
    NO_ARTICLE = "names an article that does not exist"
    NO_PART = "names a numeral that the article does not have"
    NOT_GIVEN = "cites an article that was not supplied"
    NOT_IN_FORCE = "cites an article that is not in force as law"
    RUBRIC = "gives the article another's rubric"

    __str__ = str.__str__


class CitationFault(NamedTuple):
    """``words`` are the text's own (the quote, the figure, the number cited, what it calls the law); ``law`` and
    ``edition`` what is here instead."""

    kind: Kind | Fault
    words: str = ""
    law: str = ""
    edition: str = ""


_VERDICTS: dict[Kind | Fault, Verdict] = dict.fromkeys(
    (Kind.UNKNOWN_LAW, Kind.ABROAD, Kind.EDITION, Kind.RULING), Verdict.UNCHECKABLE
)
_VERDICTS |= {Kind.NO_LAW: Verdict.UNCLEAR, Kind.NOT_GIVEN: Verdict.UNSUPPORTED, Kind.NOT_IN_FORCE: Verdict.REPEALED}
_VERDICTS |= {Kind.NO_ARTICLE: Verdict.NONEXISTENT, Kind.NO_PART: Verdict.NONEXISTENT, Fault.STRUCK: Verdict.STRUCK}
_VERDICTS |= {Fault.EMPTY: Verdict.UNSUPPORTED, Fault.ELSEWHERE: Verdict.UNSUPPORTED}
MARKS = {Verdict.SUPPORTED: "✓"} | dict.fromkeys(
    (Verdict.CONTRADICTED, Verdict.NONEXISTENT, Verdict.REPEALED, Verdict.STRUCK), "✗"
)
NAMES = {  # what a reader is shown
    Verdict.SUPPORTED: "consta",
    Verdict.CONTRADICTED: "contradice",
    Verdict.UNSUPPORTED: "no lo respalda",
    Verdict.NONEXISTENT: "no existe",
    Verdict.REPEALED: "derogado",
    Verdict.STRUCK: "inconstitucional",
    Verdict.UNCLEAR: "por aclarar",
    Verdict.UNCHECKABLE: "no comprobable",
}
WRONG = frozenset({Verdict.CONTRADICTED, Verdict.UNSUPPORTED, Verdict.NONEXISTENT, Verdict.REPEALED, Verdict.STRUCK})
"""The verdicts that say that something is wrong; unclear and uncheckable say that nothing is known."""


@dataclass(frozen=True)
class CheckedCitation:
    """One citation: its words and their ``span`` (which several articles of one list share), the citation as read, the
    law it names if that is known, the article if it exists here, and what is wrong, the gravest first."""

    text: str
    span: tuple[int, int]
    citation: Citation
    law: IndexedLaw | None = None
    article: IndexedArticle | None = None
    findings: tuple[CitationFault, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """That of the gravest finding."""
        return _VERDICTS.get(self.findings[0].kind, Verdict.CONTRADICTED) if self.findings else Verdict.SUPPORTED

    @property
    def exists(self) -> bool | None:
        """Whether there is such an article, and such a part of it; None when that is not known here."""
        return False if self.verdict is Verdict.NONEXISTENT else True if self.article else None

    @property
    def mark(self) -> str:
        return MARKS.get(self.verdict, "⚠")


@dataclass(frozen=True)
class CheckedClaim:
    """One claim of a text: its place, the citations in it, and what the law says of it.

    ``findings`` is empty when the law supports it; ``article``, ``part`` and ``against`` are what it was held against:
    the article, the label of its numeral or "", and the clause.
    """

    text: str
    span: tuple[int, int]
    verdict: Verdict
    findings: tuple[CitationFault, ...] = ()
    article: IndexedArticle | None = None
    part: str = ""
    against: str = ""
    citations: tuple[CheckedCitation, ...] = ()

    @property
    def mark(self) -> str:
        return MARKS.get(self.verdict, "⚠")


class CheckedText(NamedTuple):
    """``claims`` in reading order; ``citations`` all that were seen, rulings included."""

    claims: tuple[CheckedClaim, ...]
    citations: tuple[CheckedCitation, ...]


_SENTENCES: dict[Kind | Fault, tuple[str, str]] = {  # in Spanish, in English
    Kind.NO_LAW: ("No dice de qué ley es el artículo.", "It does not say of which law the article is."),
    Kind.UNKNOWN_LAW: ("No tengo el texto de «{words}».", "The text of “{words}” is not here."),
    Kind.ABROAD: ("«{words}» es de otro país.", "“{words}” is of another country."),
    Kind.EDITION: (
        "Cita la edición {words}; aquí está la de {edition}.",
        "It cites the edition of {words}; the one here is of {edition}.",
    ),
    Kind.RULING: (
        "«{words}» no es un artículo de una ley y no se puede comprobar aquí.",
        "“{words}” is not an article of a law and cannot be checked here.",
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
    Kind.RUBRIC: (
        "El artículo no se titula «{words}» sino «{law}».",
        "The title of the article is not “{words}” but “{law}”.",
    ),
    Fault.EMPTY: ("No dice nada que se pueda comprobar.", "It says nothing that can be checked."),
    Fault.QUOTE: ("La cita «{words}» no está en el artículo.", "The quote “{words}” is not in the article."),
    Fault.FIGURE: ("«{words}» no consta así en el artículo.", "“{words}” is not in the article."),
    Fault.OTHER_CLAUSE: (
        "«{words}» consta en el artículo, pero para otra cosa.",
        "“{words}” is in the article, but for something else.",
    ),
    Fault.RANGE_END: (
        "«{words}» es solo un extremo de lo que dice el artículo.",
        "“{words}” is only one end of the article's range.",
    ),
    Fault.TERM: (
        "«{words}»: el artículo distingue plazo y término.",
        "“{words}”: the article tells plazo and término apart.",
    ),
    Fault.WORKING_DAYS: (
        "«{words}»: los días hábiles no son los del calendario.",
        "“{words}”: working days are not days of the calendar.",
    ),
    Fault.COUNT: ("«{words}»: el artículo cuenta otra cantidad.", "“{words}”: the article counts another number."),
    Fault.STRUCTURE: ("El artículo no está en «{words}».", "The article is not in “{words}”."),
    Fault.NEGATION: (
        "Afirma lo que el artículo niega o exceptúa, o al revés («{words}»).",
        "It says what the article denies or excepts, or the reverse (“{words}”).",
    ),
    Fault.MODALITY: (
        "Confunde lo que el artículo manda, permite o prohíbe.",
        "It mistakes what the article orders, allows or forbids.",
    ),
    Fault.WHO: (
        "El artículo no lo dice de «{words}» sino de «{law}».",
        "The article does not say so of “{words}” but of “{law}”.",
    ),
    Fault.OPPOSITE: ("El artículo dice lo contrario de «{words}».", "The article says the opposite of “{words}”."),
    Fault.ONLY: ("Dice «{words}», y el artículo nombra más.", "It says “{words}”, and the article names more."),
    Fault.ALTHOUGH: (
        "«{words}»: eso es condición en el artículo.",
        "“{words}”: that is a condition in the article.",
    ),
    Fault.INSTITUTION: ("El artículo no nombra «{words}».", "The article does not name “{words}”."),
    Fault.CONSEQUENCE: ("El artículo no prevé «{words}».", "The article does not provide for “{words}”."),
    Fault.ELSEWHERE: ("El artículo no trata de eso.", "The article is not about that."),
    Fault.STRUCK: (
        "Esas palabras («{words}») fueron declaradas inconstitucionales.",
        "Those words (“{words}”) were declared unconstitutional.",
    ),
}
_HOLDS = {
    True: ("Consta en el artículo.", "The article says so."),
    False: (
        "Está entre los artículos dados, y lo que se puede comprobar consta en él.",
        "It is among the articles given, and what can be checked is in it.",
    ),
}
_NOT_FOUND = ("No encuentro el artículo que lo diga.", "No article that says so was found.")


def explain(one: CheckedCitation | CheckedClaim, language: Literal["es", "en"] = "es") -> str:
    """Why, in one sentence."""
    place = ("es", "en").index(language)
    if not one.findings:
        if one.verdict is Verdict.UNCLEAR:
            return _NOT_FOUND[place]
        return _HOLDS[isinstance(one, CheckedClaim)][place]
    kind, said, law, edition = one.findings[0]
    said = said if len(said) <= 60 else f"{said[:57].rstrip()}…"
    return _SENTENCES[kind][place].format(words=said, law=law, edition=edition or "s. f.")


def check_answer(
    answer: str,
    known: CitationIndex,
    *,
    given: Sequence[IndexedArticle] | None = (),
    law_id: str = "",
    edition: str = "",
    question: str = "",
) -> list[CheckedCitation]:
    """Every citation of an answer, in order, each with what is wrong with it or with what is said with it.

    A sentence without a citation is held against the citation after it or the one before.

    Args:
        known: what may be cited at all.
        given: the articles in the prompt; None when it was to have none, so that any article may be cited.
        law_id: the law that "el artículo 5" alone means; without it, the one article of this number among ``given``.
        edition: the edition that is meant where a citation names none; without it the newest.
        question: what was asked: its figures and facts are not claims about the law.
    """
    cited = _citations(answer, known, given=given, law_id=law_id, edition=edition)
    said: dict[tuple[int, int], list[CitationFault]] = {}
    sentences = list(_claims(answer, cited))
    for place, (span, own) in enumerate(sentences):
        following = next((group for _, group in sentences[place:] if group), ())
        before = next((group for _, group in reversed(sentences[:place]) if group), ())
        judged = _judged(answer, span, own or (*following, *before), question=question, strict=bool(own))
        if judged is not None and judged.fault is not None:
            for target in {one.span for one in own or following or before}:
                said.setdefault(target, []).append(_finding(judged))
    return [replace(one, findings=(*one.findings, *said.get(one.span, ()))) for one in cited]


def check_text(
    text: str,
    known: CitationIndex,
    *,
    find: Callable[[str], Sequence[IndexedArticle]] | None = None,
    given: Sequence[IndexedArticle] | None = None,
    question: str = "",
) -> CheckedText:
    """A whole text, claim by claim; a claim's place is its offset in ``text``.

    A sentence without a citation is a claim when the articles cited in its paragraph, those ``given`` or those that
    ``find`` finds for it are about the same; what nothing here is about is not counted.
    """
    cited = _citations(text, known, given=given)
    rulings = list(_rulings(text, cited))
    claims = []
    sentences = list(_claims(text, cited))
    for place, (span, own) in enumerate(sentences):
        words_ = text[slice(*span)]
        told = [one for one in rulings if span[0] <= one.span[0] < span[1]]
        if own:
            claim = _claim(text, span, own, question)
            claims.append(replace(claim, citations=(*claim.citations, *told)))
            continue
        if told:
            first = told[0]
            claims.append(CheckedClaim(one_line(words_), span, first.verdict, first.findings, citations=tuple(told)))
            continue
        if len(concepts(words_)) < 3 or tells_a_case(words_):
            continue
        beside = [
            one for group in (_near(text, sentences, place, -1), _near(text, sentences, place, 1)) for one in group
        ]
        articles = [one.article for one in beside if one.article] or list(given or ()) or []
        judged = _held(words_, articles, question)
        if judged is None and find is not None:
            judged = _held(words_, find(words_), question)
        if judged is not None:
            claims.append(_as_claim(text, span, judged, ()))
    return CheckedText(tuple(claims), tuple(sorted((*cited, *rulings), key=lambda one: one.span)))


ABOUT = 0.6  # the share of an uncited sentence's concepts that an article must have to be what it is about


def _held(said: str, articles: Sequence[IndexedArticle], question: str) -> Judgment | None:
    """The judgment on a sentence without citation; None when none of the articles is about it."""
    if not articles:
        return None
    judged = judge(said, articles, question=question)
    return judged if judged.fit >= ABOUT and judged.fault not in (Fault.ELSEWHERE, Fault.EMPTY) else None


def _near(
    text: str, sentences: Sequence[tuple[tuple[int, int], tuple[CheckedCitation, ...]]], place: int, step: int
) -> tuple[CheckedCitation, ...]:
    """The citations of the nearest sentence of the same paragraph that has any."""
    at = place + step
    while 0 <= at < len(sentences):
        first, last = sorted((sentences[place][0], sentences[at][0]))
        if "\n" in text[first[1] : last[0]]:
            return ()
        if sentences[at][1]:
            return sentences[at][1]
        at += step
    return ()


def _claim(text: str, span: tuple[int, int], own: tuple[CheckedCitation, ...], question: str) -> CheckedClaim:
    """A claim with citations: what is wrong with one of them is wrong with the claim."""
    whole = one_line(text[slice(*span)])
    gravest = [one for one in own if one.findings]
    wrong = [one for one in gravest if one.verdict in WRONG]
    if wrong or len(gravest) == len(own):
        one = (wrong or gravest)[0]
        return CheckedClaim(whole, span, one.verdict, one.findings, one.article, one.citation.part, "", own)
    judged = _judged(text, span, own, question=question, strict=True)
    if judged is None:
        return CheckedClaim(whole, span, Verdict.SUPPORTED, (), own[0].article, own[0].citation.part, "", own)
    return _as_claim(text, span, judged, own)


def _as_claim(text: str, span: tuple[int, int], judged: Judgment, own: tuple[CheckedCitation, ...]) -> CheckedClaim:
    findings = () if judged.fault is None else (_finding(judged),)
    whole = one_line(text[slice(*span)])
    return CheckedClaim(whole, span, judged.verdict, findings, judged.article, judged.part, judged.against, own)


def _finding(judged: Judgment) -> CitationFault:
    assert judged.fault is not None
    return CitationFault(judged.fault, judged.words, judged.law_words)


def _judged(
    text: str, span: tuple[int, int], rests_on: Sequence[CheckedCitation], *, question: str, strict: bool
) -> Judgment | None:
    """The judgment on a piece of text by the articles of these citations; None without one that is in force.

    ``strict`` is whether the citations are the piece's own: then saying nothing, or something else, is a fault.
    """
    first, last = span
    articles = list(dict.fromkeys(one.article for one in rests_on if one.article and one.article.status != "derogado"))
    if not articles:
        return None
    said = _blanked(text, {one.span for one in rests_on if first <= one.span[0] < last})[first:last]
    said = _EMPHASIS.sub(lambda match: " " * len(match[0]), said) if "*" in said or "_" in said else said
    if not any(len(word) > 1 for word in words(said)):
        return None  # a citation alone says nothing of the law
    if _ADVICE.match(fold(said)):
        return None
    cited = [one.citation.part for one in rests_on if first <= one.span[0] < last and one.article is not None]
    part = cited[0] if len(cited) == 1 else ""
    if len(cited) == 1 and not part and (ground := _GROUND.search(fold(said))):
        part = ground[1]
    judged = judge(said, articles, question=question, part=part)
    if not strict and judged.fault in (Fault.EMPTY, Fault.ELSEWHERE):
        return None
    return judged


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


_ADVICE = re.compile(
    r"\W*(?:verifique|consulte|revise|compruebe|confirme|acuda|pida|busque|recuerde|lea|vea|vease|veanse|compare)\b"
)
_GROUND = re.compile(r"\b(?:causal|causa|regla)\s+(?:numero\s+|n\.?[°º]\s*)?(\d{1,2})[ao.ªº]*(?!\w)")
# Which article is meant, and whether it may be cited

_EMPHASIS = re.compile(r"[*_]+|(?<=\s)[\"“«](?=(?:C[óo]d|Ley|Const))")
# After an article without a law of ours: "del Cód. Civil", "de la Declaración Universal", but not "del Libro I".
_OTHER_LAW = re.compile(
    r"[,\s]+(?:del?|de\s+l[ao]s?)\s+(?!(?:Libro|T[íi]tulo|Cap[íi]tulo|Secci[óo]n|Par[áa]grafo)\b)"
    r"(?P<name>[A-ZÁÉÍÓÚÑ][\w.]*(?:\s+(?:del?\s+|l[ao]s?\s+|y\s+|e\s+)*[A-ZÁÉÍÓÚÑ]\w*)*)"
)
_ABROAD = re.compile(rf"\s+(?:del?|en)\s+{COUNTRIES}")
# Words that mean the law named last: "del mismo código", "ibídem", "de la citada norma".
_SAME_LAW = re.compile(
    r"[,\s]*(?:\(?(?:ibidem|ejusdem|eiusdem|ibid\.?)\)?|(?:del?|de\s+la|en\s+la|en\s+el)\s+(?:mism[oa]|propi[oa]|citad[oa]|"
    r"referid[oa]|mencionad[oa]|indicad[oa])\s+(?P<after>codigo|ley|norma|cuerpo\s+(?:legal|normativo)|constitucion|norma\s+\w+)"
    r"|(?:del?|de\s+la)\s+(?P<before>codigo|ley|norma|cuerpo\s+legal)\s+(?:citad[oa]|referid[oa]|ibidem|en\s+mencion))\b"
)
_SUPREME = re.compile(r"[,\s]*(?:de\s+la\s+)?(?:norma\s+suprema|ley\s+suprema|carta\s+fundamental|carta\s+politica)\b")
_POINTING = re.compile(
    r"\b(?:este|dicho|el\s+mismo|el\s+citado|el\s+referido)\s+articulo\b(?!\s+\d)|\b(?:ibidem|ejusdem)\b"
)
_RULING = re.compile(
    r"\b(?:Sentencias?\s+(?:No\.?|N[.°º]+|n[úu]m(?:ero)?\.?)?\s*\d[\w.\-/]*\d(?:/\d+)?(?:-[A-Z]{2,}(?:/\d+)?)?"
    r"|Resoluci[óo]n\s+(?:(?:de\s+la\s+)?[A-Z]\w*\s+)?(?:No\.?|N[.°º]+)?\s*[A-Z\d][\w.\-/]*\d[\w\-]*"
    r"|(?:Suplemento\s+(?:del\s+)?)?Registro\s+Oficial\s+(?:Suplemento\s+)?(?:No\.?|N[.°º]+)?\s*\d+|R\.\s?O\.\s?(?:S\.?\s?)?(?:No\.?\s*)?\d+"
    r"|(?:Decreto(?:\s+Ejecutivo)?|Acuerdo(?:\s+Ministerial)?|Dictamen|Oficio)\s+(?:No\.?|N[.°º]+)\s*[\w.\-/]*\d[\w\-]*)"
)
_TITLE = re.compile(r"\s*\(([A-ZÁÉÍÓÚÑ][^()\d]{4,70})\)")


def _citations(
    text: str,
    known: CitationIndex,
    *,
    given: Sequence[IndexedArticle] | None,
    law_id: str = "",
    edition: str = "",
) -> list[CheckedCitation]:
    read = _EMPHASIS.sub(lambda match: " " * len(match[0]), text)  # **Código Civil** is a name like any other
    laws = sorted(known.known, key=lambda law: law.id != law_id)  # of two editions a name means the one asked about
    flat = fold(read)
    found: list[CheckedCitation] = []
    last: Citation | None = None
    quoted = quotations(read)
    parsed = [
        one
        for one in parse_citations(read, laws)
        if not any(first < one.span[0] and one.span[1] <= last for first, last in quoted)  # the law's own references
    ]
    sentences = _sentences(read, {citation.span for citation in parsed})
    for citation in parsed:
        citation = _named_elsewhere(_resolved(citation, flat, last, known), read)
        if (
            not citation.law_id
            and not citation.law_text
            and not law_id
            and (named := _beside(citation, read, flat, laws, sentences))
        ):
            citation = replace(citation, law_id=named)
        citation = _with_dot(citation, read, known)
        if citation.law_id is None and law_id and not citation.law_text:
            citation = replace(citation, law_id=law_id)
        meant = replace(citation, edition=citation.edition or edition)
        article = known.find(meant)
        if article is None and citation.law_id is None and not citation.law_text:
            same = [one for one in given or () if one.number.lower() == citation.article.lower()]
            article = same[0] if len(same) == 1 else None
        law = article.law if article else known.law(meant)
        said = text[slice(*citation.span)]
        if said.endswith(")") and said.count(")") > said.count("(") + said.count(f"{citation.literal})"):
            said = said[:-1]  # of the brackets around it; that of "literal a)" is its own
        one = CheckedCitation(said, citation.span, citation, law, article)
        fault = _fault(one, given, text)
        found.append(replace(one, findings=(fault,) if fault else ()))
        last = citation if citation.law_id or citation.law_text else last
    return sorted([*found, *_next_to(text, found, known, given)], key=lambda one: one.span)


_NEXT = re.compile(r"\b(?:art[íi]culo\s+(siguiente|anterior)|(siguiente|anterior)\s+art[íi]culo)\b", re.IGNORECASE)


def _next_to(
    text: str, found: Sequence[CheckedCitation], known: CitationIndex, given: Sequence[IndexedArticle] | None
) -> Iterator[CheckedCitation]:
    """ "El artículo siguiente": the neighbour of the article cited last in the same paragraph, if it exists here."""
    quoted = quotations(text)
    for match in _NEXT.finditer(text):
        before = [one for one in found if one.span[1] <= match.start() and one.article]
        inside = any(first < match.start() < last for first, last in quoted)
        if inside or not before or "\n\n" in text[before[-1].span[1] : match.start()]:
            continue
        article = before[-1].article
        assert article is not None
        numbers = article.law.numbers
        place = numbers.index(article.number) + (1 if "siguiente" in match[0].lower() else -1)
        if 0 <= place < len(numbers):
            citation = Citation(article.law.id, numbers[place], None, None, match.span(), edition=article.law.edition)
            one = CheckedCitation(match[0], match.span(), citation, article.law, known.find(citation))
            fault = _fault(one, given, text)
            yield replace(one, findings=(fault,) if fault else ())


def _with_dot(citation: Citation, text: str, known: CitationIndex) -> Citation:
    """ "artículo 422.1" read before its law was known: an article of that number, where the law has one."""
    dotted = f"{citation.article}.{citation.numeral}"
    law = known.law(citation)
    if law and citation.numeral and dotted in law and dotted in text[slice(*citation.span)]:
        return replace(citation, article=dotted, numeral=None)
    return citation


def _beside(
    citation: Citation, text: str, flat: str, laws: Sequence[IndexedLaw], sentences: Sequence[tuple[int, int]]
) -> str | None:
    """The law that the same sentence names, before the citation or else after it: "El Código Civil, en su art. 7"."""
    pattern, ids = law_names(tuple((law.id, law.name, law.siglas, law.aliases) for law in laws))
    start, stop = next((one for one in sentences if one[0] <= citation.span[0] < one[1]), citation.span)
    sought = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
    before = [match[0] for match in sought.finditer(flat, start, citation.span[0])]
    after = [match[0] for match in sought.finditer(flat, citation.span[1], stop)]
    for name in (*before[-1:], *after[:1]):
        return law_called(name, ids)
    return None


def _resolved(citation: Citation, flat: str, last: Citation | None, known: CitationIndex) -> Citation:
    """The citation with the law that "ibídem" or "del mismo código" means: the last one named in the same paragraph."""
    if citation.law_id:
        return citation
    end = citation.span[1]
    said = fold(citation.law_text)
    supreme = _SUPREME.match(flat, end) or (said and _SUPREME.fullmatch(said))
    if supreme:
        here = next((law for law in known.known if fold(law.name).startswith("constitucion")), None)
        stop = end if said else _SUPREME.match(flat, end).end()  # type: ignore[union-attr]
        return replace(citation, law_id=here.id if here else None, law_text="", span=(citation.span[0], stop))
    match = _SAME_LAW.match(flat, end)
    within = (
        re.search(r"\b(?:mism[oa]|citad[oa]|referid[oa]|mencionad[oa])\b|\bibidem\b|\bejusdem\b", said)
        if said
        else None
    )
    if not match and not within:
        return citation
    stop = match.end() if match else end
    if last is None or "\n\n" in flat[last.span[1] : citation.span[0]]:
        return replace(citation, law_text="", span=(citation.span[0], stop))
    noun = (match and (match["after"] or match["before"])) or (said.split()[-1] if said else "")
    law = next((one for one in known.known if one.id == last.law_id), None)
    if law is None:
        return replace(citation, law_text=last.law_text, span=(citation.span[0], stop))
    called = fold(law.name)
    differs = (noun.startswith("codigo") and "codigo" not in called) or (
        noun.startswith("constitucion") and "constitucion" not in called
    )
    if differs or (noun == "ley" and called.startswith(("codigo", "constitucion"))):
        return replace(citation, law_text="", span=(citation.span[0], stop))
    return replace(citation, law_id=law.id, law_text="", span=(citation.span[0], stop))


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
    if citation.part and not _has_part(article, citation):
        named = [f"numeral {citation.numeral}"] if citation.numeral else []
        named += [f"literal {citation.literal}"] if citation.literal else []
        return CitationFault(Kind.NO_PART, ", ".join(named), article.law.name, article.law.edition)
    if given is not None and article not in given:
        return CitationFault(Kind.NOT_GIVEN, one.text)
    if article.status == "derogado":
        said = fold(answer[max(0, one.span[0] - 120) : one.span[1] + 120])
        if not answer.lstrip().startswith(REPEALED) and not re.search(r"\bderog\w+", said):
            return CitationFault(Kind.NOT_IN_FORCE, one.text)
    title = _TITLE.match(answer, one.span[1])
    if title and not _titled(title[1], article):
        return CitationFault(Kind.RUBRIC, title[1], article.rubric or f"{article.body[:40].rstrip()}…")
    return None


def _has_part(article: IndexedArticle, citation: Citation) -> bool:
    if citation.part in article.part:
        return True
    labels = {part.label for part in parts_of(article)} | set(article.part)
    if citation.part in labels or not article.status.startswith(("vigente", "inconstitucional", "derogado_parcial")):
        return True
    return not article.parts and citation.literal is not None and citation.numeral is None and bool(labels - {""})


def _titled(words_: str, article: IndexedArticle) -> bool:
    """Whether an article may be given this title in brackets: one of its own words, or a name of a law."""
    told = set(concepts(words_))
    if not told or any(fold(words_) == fold(name) for name in article.law.names):
        return True
    if re.match(r"(?:Código|Ley|Constitución|Reglamento|Registro)", words_):
        return True
    return len(told & set(concepts(article.rubric or article.body))) * 2 >= len(told)


def _rulings(text: str, cited: Sequence[CheckedCitation]) -> Iterator[CheckedCitation]:
    """Rulings, resolutions and numbers of the gazette: seen, and not checkable here."""
    for match in _RULING.finditer(text):
        if not any(first < match.end() and match.start() < last for first, last in (one.span for one in cited)):
            said = one_line(match[0]).rstrip(".,;")
            citation = Citation(None, "", None, None, match.span(), said)
            yield CheckedCitation(said, match.span(), citation, findings=(CitationFault(Kind.RULING, said),))


# Sentences and the claims in them

_SENTENCE = re.compile(r"(?<=[.!?…)])\s+(?=[¿¡«“\"(]?[A-ZÁÉÍÓÚÑ0-9*•-])|\n+")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[Aa]rts?|[Nn]um|[Nn]o|[Nn]ro|[Ll]it|[Ii]nc|Dra?|Sra?|[Ee]d|Ab|Ing|Lic|cit|p[áa]g|R\.\s?O|S)\.)$"
)
_JOINED = re.compile(
    r"[\s,;]*(?:y|e|o|u|con|en\s+concordancia\s+con|en\s+relaci[óo]n\s+con)?[\s,]*(?:el|la|los|del|lo)?\s*$"
)


def _claims(
    text: str, cited: Sequence[CheckedCitation]
) -> Iterator[tuple[tuple[int, int], tuple[CheckedCitation, ...]]]:
    """The ranges of the claims of a text, with the citations in each."""
    for first, last in _sentences(text, {one.span for one in cited}):
        own = [one for one in cited if first <= one.span[0] < last]
        own = [one for one in own if not _referred(one, own)]
        spans = sorted({one.span for one in own})
        groups: list[list[tuple[int, int]]] = []
        cites = {span: {one.citation.article for one in own if one.span == span} for span in spans}
        for span in spans:
            same = groups and cites[groups[-1][-1]] == cites[span]  # "Consta en el artículo 7: «…» (Art. 7, …)"
            if same or (groups and _JOINED.fullmatch(text[groups[-1][-1][1] : span[0]].lstrip(")"))):
                groups[-1].append(span)
            else:
                groups.append([span])
        if len(groups) < 2:
            yield (first, last), tuple(own)
            continue
        before = text[first : groups[0][0][0]]
        leads = not before.endswith("(") and not re.search(r"\w{3,}\W+\w{3,}\W+\w", before)
        edges = [first]
        for group, following in itertools.pairwise(groups):
            edges.append(_lead_start(text, group[-1][1], following[0][0]) if leads else _after(text, group[-1][1]))
        edges.append(last)
        for start, end in itertools.pairwise(edges):
            yield (start, end), tuple(one for one in own if start <= one.span[0] < end)


def _referred(one: CheckedCitation, others: Sequence[CheckedCitation]) -> bool:
    """Whether a citation only repeats a reference that another cited article makes: "la sanción del artículo 152"."""
    number = one.citation.article
    return any(
        other is not one and other.article and other.law == one.law and number != other.citation.article
        and re.search(rf"art[íi]culos?\s[^.;]{{0,40}}\b{re.escape(number)}\b", other.article.body)
        for other in others
    )  # fmt: skip


def _after(text: str, end: int) -> int:
    return end + len(re.match(r"\)?[,;:.]?\s*", text[end:])[0])  # type: ignore[index]


def _lead_start(text: str, end: int, following: int) -> int:
    """Where the claim of a citation that leads it begins: after the last comma, semicolon or "y" before it."""
    between = text[end:following]
    cut = max(
        (match.end() for match in re.finditer(r"[,;:.]\s|\s(?:y|mientras que|pero)\s", between)), default=len(between)
    )
    return end + cut


def _sentences(answer: str, spans: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open ranges; a citation is never cut, and one alone in brackets goes with what it follows."""
    spans = spans | set(quotations(answer))
    found, start = [], 0
    for match in _SENTENCE.finditer(answer):
        inside = any(first < match.end() and match.start() < last for first, last in spans)
        ends = "\n" in match[0] or not _ABBREVIATED.search(answer[max(0, match.start() - 12) : match.start()])
        alone = re.match(
            r"\s*\(\s*(?:art|c[óo]digo|coip|constituci|log|lot|ct\b|cc\b|ley)", answer[match.end() :], re.IGNORECASE
        )
        if not inside and ends and not (alone and "\n" not in match[0]):
            found.append((start, match.start()))
            start = match.end()
    return [(first, last) for first, last in (*found, (start, len(answer))) if words(answer[first:last])]


_QUOTED = re.compile(r"«[^«»]{20,}»|“[^“”]{20,}”|\"[^\"]{20,2000}?\"(?!\w)")


def quotations(text: str) -> list[tuple[int, int]]:
    """Where a text quotes at some length: nothing in there is cut, and no citation there is the text's own."""
    return [match.span() for match in _QUOTED.finditer(text)]


def _blanked(text: str, spans: set[tuple[int, int]]) -> str:
    """The text with blanks in place of these ranges; positions stay."""
    letters = list(text)
    for first, last in spans:
        letters[first:last] = " " * (last - first)
    return "".join(letters)


def named_articles(text: str, law: Numbered) -> list[str]:
    """Numbers of the articles a text names, ``law`` being the one meant where it names none."""
    numbers = []
    for citation in parse_citations(text, [law]):
        # Where no law is named with it, "artículo 30.1" may be read as numeral 1 of article 30; the law tells.
        dotted = f"{citation.article}.{citation.numeral}"
        numbers.append(dotted if dotted in law and dotted in text[slice(*citation.span)] else citation.article)
    return numbers
