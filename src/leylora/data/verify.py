"""Does a training row say only what the law says? The rules for rows, over the one checker of `leylora.grounding`.

`verify_answer` compares an answer with the laws of a build. It must end in one canonical citation that exists, to an
article in force, and the one checker must find nothing against it. What it quotes (« ») must be there word for word;
every number, penalty, deadline, amount, date, numeral, law and article it names outside the quotes must be the
article's own, which is stricter than what the checker asks of an answer. `verify_row` also checks the prompt against
the laws and the answer against its question.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leylora.data.conversation import Conversation
from leylora.grounding.checker import Kind, check_answer, check_text, named_articles
from leylora.grounding.citations import COUNTRIES, CitationIndex, IndexedArticle, IndexedLaw, parse_citations
from leylora.grounding.claims import Fault, Verdict
from leylora.grounding.prompt import (
    CANONICAL,
    EDITION,
    NO_SUCH_ARTICLE,
    NOT_SUPPLIED,
    OTHER_COUNTRY,
    OTHER_EDITION,
    REPEALED,
    UNKNOWN_LAW,
    Passage,
    is_abstention,
    passage,
    read_grounded_prompt,
)
from leylora.grounding.quantities import DATE, ISO_DATE, Quantity, dates, quantities, references
from leylora.laws.catalog import catalog
from leylora.laws.law import Law
from leylora.text import fold, one_line

WHOLE_LAW = re.compile(rf"\(((?!Art\. )[^()]+, {EDITION})\)")
QUOTE = re.compile(r"«([^«»]*)»")
LISTED = re.compile(r"^(\d{1,2})\.\s+«([^«»]*)»\s*$", re.MULTILINE)
COUNTED = re.compile(r"\bSon (\d+):")
COUNTRY = re.compile(rf"\b{COUNTRIES}", re.IGNORECASE)


class RowFault(NamedTuple):
    """One thing wrong with an answer: its kind, for counting, and what exactly."""

    kind: str
    detail: str


class CitableLaws:
    """The parsed laws that rows come from, with an index of what may be cited."""

    def __init__(self, laws: Iterable[Law]) -> None:
        self.laws = tuple(laws)
        self.index = CitationIndex.of(self.laws, catalog())
        self.names = {name.lower() for law in self.index.known if law.numbers for name in law.names}


def whole_law_citation(law: Law) -> str:
    """What an abstention ends in: the law and the edition that were looked at, without an article."""
    return f"{law.name}, ed. {law.edition or 's. f.'}"


def verify_answer(answer: str, laws: CitableLaws, supplied: Sequence[Passage] = ()) -> list[RowFault]:
    """The faults of one answer, empty when it holds; when ``supplied`` is given, it must cite one of those passages.

    An abstention (`is_abstention`) needs no citation; if it cites one, that is checked.
    """
    cited = CANONICAL.findall(answer)
    if not cited:
        if not is_abstention(answer):
            return [RowFault("no citation", answer[-80:])]
        editions = {whole_law_citation(law) for law in laws.laws}
        named = WHOLE_LAW.findall(answer)
        return [RowFault("unknown law or edition", words) for words in named if one_line(words) not in editions]
    if len(cited) > 1:
        return [RowFault("several citations", "; ".join(cited))]
    if not answer.rstrip(" .\n").endswith(f"({cited[0]})"):
        return [RowFault("citation is not last", answer[-80:])]
    found = laws.index.canonical(cited[0])
    if found is None:
        return [RowFault("unknown citation", cited[0])]
    article, part = found
    faults: list[RowFault] = []
    if supplied and cited[0] not in {given.citation for given in supplied}:
        faults.append(RowFault(Kind.NOT_GIVEN.value, cited[0]))
    if answer.lstrip().startswith(REPEALED):
        if article.status != "derogado":
            faults.append(RowFault("calls an article in force repealed", cited[0]))
        return faults
    if not article.body or article.status in ("derogado", "dudoso"):
        return [*faults, RowFault(Kind.NOT_IN_FORCE.value, f"{cited[0]}: {article.status}")]
    if is_abstention(answer):
        return [*faults, RowFault("abstains and cites an article", cited[0])]
    said = CANONICAL.sub("", answer)
    loose = COUNTED.sub("", QUOTE.sub(" ", LISTED.sub("", said)))
    faults += quote_faults(QUOTE.findall(said), article, part)
    faults += own_words_faults(loose, article, laws.index, part)
    if not faults:  # what the strict reading lets pass is held against its clause, as the chat does
        for cited_ in check_answer(answer, laws.index, given=None):
            faults += [RowFault(one.kind.value, one.words) for one in cited_.findings if isinstance(one.kind, Fault)]
    return [*faults, *_enumeration(said, article)]


def _enumeration(said: str, article: IndexedArticle) -> list[RowFault]:
    items = {label: one_line(text) for label, text in article.items.items()}
    faults = [
        RowFault("list item is not that numeral", f"{label}. {text[:60]}")
        for label, text in LISTED.findall(said)
        if items.get(label, "") != one_line(text)
    ]
    for count in COUNTED.findall(said):
        if int(count) != len(items) or len(QUOTE.findall(said)) < len(items):
            faults.append(RowFault("list is not complete", f"says {count}, the article has {len(items)}"))
    return faults


# Nothing outside the quotes may be another's than the article's


def figure_fault(one: Quantity, said: str, known: Sequence[Quantity], items: int) -> RowFault | None:
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
            return RowFault(Fault.RANGE_END.value, told)
        if not whole and not one.unit and one.low == items > 1:
            return None
    if not whole:
        return RowFault(Fault.FIGURE.value, told)
    if one.bound and all(other.bound != one.bound for other in whole):
        return RowFault("calls a number a limit that it is not", said[max(0, one.start - 20) : one.end].strip())
    if one.term and all(other.term and other.term != one.term for other in whole):
        return RowFault(Fault.TERM.value, f"{one.term}: {told}")
    return None


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


def quote_faults(quotes: Sequence[str], article: IndexedArticle, part: str = "") -> list[RowFault]:
    """The quotes that are not in the article (or ``part`` of it) word for word."""
    text = whole_text(article, part)
    return [RowFault(Fault.QUOTE.value, quote[:120]) for quote in quotes if one_line(quote).rstrip("….;, ") not in text]


def own_words_faults(said: str, article: IndexedArticle, known: CitationIndex, part: str = "") -> list[RowFault]:
    """The faults of an answer's own words on one article (or ``part`` of it), quotes and citation taken away."""
    law = article.law
    text = whole_text(article, part)
    body = article.part[part] if part else article.body
    faults = []
    strange = [number for number in named_articles(said, law) if number != article.number]
    if strange:
        pointed = {*named_articles(body, law), *(number for _, number in references(law, article))}
        faults += [
            RowFault("names an article that the cited one does not", number)
            for number in strange
            if number not in pointed
        ]
    labels = {label for path in article.part for label in path.split(".")} | set(NAMED_NUMERAL.findall(body))
    named = (*NAMED_NUMERAL.findall(said), *(letter.lower() for letter in NAMED_LITERAL.findall(said)))
    faults += [RowFault(Kind.NO_PART.value, label) for label in named if label not in labels]
    said = _without_citations(said, law)
    said = NAMED_NUMERAL.sub(" ", NAMED_LITERAL.sub(" ", said))
    days = {*law.dates, *dates(body)}
    faults += [
        RowFault("date is neither the article's nor the edition's", day) for day in dates(said) if day not in days
    ]
    said = DATE.sub(" ", ISO_DATE.sub(" ", said))
    source, mine = fold(text), [fold(name) for name in law.names]
    for match in LAW_NAME.finditer(said):
        name = fold(match[0])
        if not any(one.startswith(name) or name.startswith(one) for one in mine) and name not in source:
            faults.append(RowFault("names another law", match[0]))
    siglas = {other.siglas for other in known.known if other.siglas}
    for word in SIGLAS.findall(said):
        if word in siglas and word.lower() not in mine and word.lower() not in source:
            faults.append(RowFault("names another law", word))
    amounts = quantities(said)
    figures = quantities(f"{article.rubric}. {body}") if amounts else []
    faults += filter(None, (figure_fault(one, said, figures, len(article.items)) for one in amounts))
    folded = fold(said)
    for group in re.split(r"[;\n]", PENAL_WORDS.strip()):
        same = [word.strip() for word in group.split(",")]
        told = [word for word in same if re.search(rf"\b{word}\b", folded)]
        if told and not any(word in source for word in same):
            faults.append(RowFault(Fault.CONSEQUENCE.value, told[0]))
    if NEGATION.search(said) and not NEGATION.search(text):
        faults.append(RowFault("denies where the article does not", one_line(said)[:80]))
    return faults


def whole_text(article: IndexedArticle, part: str = "") -> str:
    """All that an answer may take from an article, on one line: number, path, rubric, and body (or ``part`` of it)."""
    body = article.part[part] if part else article.body
    return one_line(f"{article.number} {article.path.replace(' > ', ' ')} {article.rubric} {body}")


def _without_citations(said: str, law: IndexedLaw) -> str:
    for citation in parse_citations(said, [law]):
        first, last = citation.span
        said = said[:first] + " " * (last - first) + said[last:]
    return said


def verify_row(row: Conversation, laws: CitableLaws) -> list[RowFault]:
    """The faults of a row made from laws, empty when it holds: in its prompt, its earlier answers, its answer."""
    law = next((law for law in laws.laws if (law.id, law.edition) == (row.law_id, row.edition)), None)
    if law is None:
        return [RowFault("unknown law or edition", f"{row.law_id}, ed. {row.edition}")]
    if row.article and row.article not in law:
        return [RowFault("the row's article does not exist", row.article)]
    if row.source_sha256 != law.source_sha256:
        return [RowFault("the row comes from another source file", row.source_sha256)]
    turns = [turn.content for turn in row.messages if turn.role != "system"]
    question, supplied = read_grounded_prompt(turns[-2])
    faults = _prompt_faults(row, law, supplied, laws)
    for place in range(1, len(turns) - 1, 2):
        faults += claim_faults(turns[place], laws, (), turns[place - 1])
    asked = named_articles(QUOTE.sub(" ", question), law)
    cited = CANONICAL.findall(row.answer)
    if row.task == "rewrite":
        return faults
    if not cited:
        if not WHOLE_LAW.findall(row.answer) or not row.answer.rstrip().endswith(f"({whole_law_citation(law)})"):
            faults.append(RowFault("abstention does not end in the law and edition", row.answer[-80:]))
        if row.task == "out-of-scope":  # a person wrote that no law here answers it
            return faults
        return (
            faults
            + verify_answer(row.answer, laws, supplied)
            + _abstention_faults(row, question, asked, supplied, law, laws)
        )
    if is_abstention(row.answer):
        return faults + verify_answer(row.answer, laws, supplied)
    questions = " ".join([*turns[:-2:2], question])
    said = claim_faults(row.answer, laws, supplied, questions)
    if row.task == "dialogue":  # "En el artículo 5." is an answer to "¿En qué artículo?"
        said = [one for one in said if one.kind != Fault.EMPTY.value]
    faults += said
    found = [one[0] for words in cited if (one := laws.index.canonical(words)) is not None]
    missing = set(row.articles) - {f"{one.law.id}:{one.number}" for one in found}
    if missing or law.cite(row.article) not in cited:
        faults.append(RowFault("cites not all that the row names", "; ".join(sorted(missing))))
    return faults or _fits_question(row, question, asked, law, laws)


def claim_faults(answer: str, laws: CitableLaws, supplied: Sequence[Passage], question: str) -> list[RowFault]:
    """What the claim checker says against an answer, sentence by sentence; and quotes that no cited article has.

    Every citation must be of an article in force and, where articles were ``supplied``, of one of them. What stands in
    the ``question`` is no claim.
    """
    faults, articles = [], []
    here = {given.citation for given in supplied}
    for words in CANONICAL.findall(answer):
        found = laws.index.canonical(words)
        if found is None:
            faults.append(RowFault("unknown citation", words))
            continue
        articles.append(found[0])
        if here and words not in here:
            faults.append(RowFault(Kind.NOT_GIVEN.value, words))
        if not found[0].body or found[0].status in ("derogado", "dudoso"):
            faults.append(RowFault(Kind.NOT_IN_FORCE.value, words))
    if not articles:
        return [*faults, RowFault("no citation", answer[-80:])]
    texts = [whole_text(one) for one in articles]
    asked = one_line(question)
    for quote in QUOTE.findall(answer):
        words = one_line(quote).rstrip("….;:, ")
        if not any(fold(words) in fold(text) for text in texts) and words.lower() not in asked.lower():
            faults.append(RowFault(Fault.QUOTE.value, quote[:120]))
    for claim in check_text(answer, laws.index, given=articles, question=question).claims:
        if claim.verdict is not Verdict.SUPPORTED:
            kind = claim.findings[0].kind.value if claim.findings else claim.verdict.value
            faults.append(RowFault(kind, claim.text[:160]))
    return faults


def _prompt_faults(row: Conversation, law: Law, supplied: list[Passage], laws: CitableLaws) -> list[RowFault]:
    faults = []
    for given in supplied:
        found = laws.index.canonical(given.citation)
        if found is None:
            faults.append(RowFault("supplies an unknown article", given.citation))
        elif given != passage(found[0].law, found[0]):
            faults.append(RowFault("supplies an altered article", given.citation))
    first = row.messages[0]
    if first.role == "system" and whole_law_citation(law) not in first.content:
        faults.append(RowFault("the system turn names another edition", first.content[:120]))
    return faults


def _fits_question(row: Conversation, question: str, asked: list[str], law: Law, laws: CitableLaws) -> list[RowFault]:
    """A true answer must also be about what was asked, and complete."""
    article, faults = law[row.article], []
    quotes = [one_line(quote) for quote in QUOTE.findall(CANONICAL.sub("", row.answer))]
    numbers = {name.partition(":")[2] for name in row.articles}
    if asked and not numbers & set(asked):
        faults.append(RowFault("answers about another article than asked", f"asked {asked}, cites {sorted(numbers)}"))
    days = dates(question)
    if row.task == "temporal-editions" and row.edition not in days:
        faults.append(RowFault("answers from another edition than asked", f"asked {days}, row has {row.edition}"))
    for label in NAMED_NUMERAL.findall(QUOTE.sub(" ", question)) if row.task == "list-one" else ():
        item = next((item for item in article.numerals if item.label == label), None)
        if item is None or not any(quote in one_line(item.text) for quote in quotes):
            faults.append(RowFault("answers with another numeral than asked", label))
    if row.task == "verbatim" and quotes != [one_line(article.body)]:
        faults.append(RowFault("is not the whole article", row.answer[:80]))
    return faults


def _abstention_faults(
    row: Conversation, question: str, asked: list[str], supplied: list[Passage], law: Law, laws: CitableLaws
) -> list[RowFault]:
    """An abstention must have a reason."""
    answer = row.answer
    if answer.startswith(NO_SUCH_ARTICLE):
        if not asked:
            return [RowFault("denies an article that nobody asked for", question[:80])]
        faults = [RowFault("denies an article that exists", number) for number in asked if number in law]
        if not any(re.search(rf"\b{re.escape(number)}\b", answer) for number in asked):
            faults.append(RowFault("denies another article than asked", f"asked {asked}"))
        return faults
    if answer.startswith(NOT_SUPPLIED):
        if not supplied:
            return [RowFault("misses articles where none were to be supplied", question[:80])]
        wanted = {law.cite(number) for number in asked if number in law}
        here = {given.citation for given in supplied}
        text = fold(" ".join(f"{given.rubric} {given.body}" for given in supplied))
        topics = [fold(words).rstrip("….") for words in QUOTE.findall(question)]
        if wanted & here or (not asked and any(topic in text for topic in topics)):
            return [RowFault("abstains although the article is supplied", question[:80])]
        if not asked and not topics:
            return [RowFault("abstains without a reason", question[:80])]
        return []
    if answer.startswith(OTHER_COUNTRY):
        return [] if COUNTRY.search(question) else [RowFault("nobody asked about another country", question[:80])]
    if answer.startswith(OTHER_EDITION):
        days = dates(question)
        bad = not days or any(one.edition in days for one in laws.laws if one.id == law.id)
        return [RowFault("denies an edition that is here, or none was asked for", question[:80])] if bad else []
    if answer.startswith(UNKNOWN_LAW):
        asked_for = [name for name in laws.names if re.search(rf"\b{re.escape(fold(name))}\b", fold(question))]
        return [RowFault("denies a law that is here", name) for name in asked_for]
    return [RowFault("abstains although the article is in force", answer[:80])]
