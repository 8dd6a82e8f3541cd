"""Does a training row say only what the law says? The rules for rows, over the one checker of `leylora.grounding`.

`verify_answer` compares an answer with the laws of a build. It must end in one canonical citation that exists, to an
article in force. What it quotes (« ») must be there word for word; every number, penalty, deadline, amount, date,
numeral, law and article it names outside the quotes must be the article's own (`leylora.grounding.checker` judges
that). `verify_row` also checks the prompt against the laws and the answer against its question.

It cannot see a wrong paraphrase without numbers or names; that is why rows quote.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leylora.data.conversation import Conversation
from leylora.data.law_text import fines, penalties
from leylora.grounding.checker import NAMED_NUMERAL, Kind, named_articles, own_words_faults, quote_faults, whole_text
from leylora.grounding.citations import COUNTRIES, CitationIndex, IndexedArticle
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
from leylora.grounding.quantities import dates, references
from leylora.laws.catalog import catalog
from leylora.laws.law import Law
from leylora.text import fold, one_line

WHOLE_LAW = re.compile(rf"\(((?!Art\. )[^()]+, {EDITION})\)")
QUOTE = re.compile(r"«([^«»]*)»")
LISTED = re.compile(r"^(\d{1,2})\.\s+«([^«»]*)»\s*$", re.MULTILINE)
COUNTED = re.compile(r"\bSon (\d+):")
COUNTRY = re.compile(rf"\b{COUNTRIES}", re.IGNORECASE)
GAP = "____"


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
    findings = quote_faults(QUOTE.findall(said), article, part)
    findings += own_words_faults(loose, article, laws.index, part)
    return [*faults, *_enumeration(said, article), *(RowFault(one.kind.value, one.words) for one in findings)]


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


def verify_row(row: Conversation, laws: CitableLaws) -> list[RowFault]:
    """The faults of a row made from a law, empty when it holds."""
    law = next((law for law in laws.laws if (law.id, law.edition) == (row.law_id, row.edition)), None)
    if law is None:
        return [RowFault("unknown law or edition", f"{row.law_id}, ed. {row.edition}")]
    if row.article not in law:
        return [RowFault("the row's article does not exist", row.article)]
    if row.source_sha256 != law.source_sha256:
        return [RowFault("the row comes from another source file", row.source_sha256)]
    question, supplied = read_grounded_prompt(row.prompt)
    faults = _prompt_faults(row, law, supplied, laws)
    faults += verify_answer(row.answer, laws, supplied)
    cited = CANONICAL.findall(row.answer)
    asked = named_articles(QUOTE.sub(" ", question), law)
    if cited:
        if cited[0] != law.cite(row.article):
            faults.append(RowFault("cites another article than the row's", cited[0]))
        elif not faults:
            faults += _fits_question(row, question, asked, law, laws)
        return faults
    if not WHOLE_LAW.findall(row.answer) or not row.answer.rstrip().endswith(f"({whole_law_citation(law)})"):
        faults.append(RowFault("abstention does not end in the law and edition", row.answer[-80:]))
    return faults + _abstention_faults(row, question, asked, supplied, law, laws)


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
    if asked and article.number not in asked:
        sources = [law[number] for number in asked if number in law]
        if not any(number == article.number for source in sources for _, number in references(law, source)):
            faults.append(
                RowFault("answers about another article than asked", f"asked {asked}, cites {article.number}")
            )
    days = dates(question)
    if days and row.edition not in days:
        faults.append(RowFault("answers from another edition than asked", f"asked {days}, row has {row.edition}"))
    found = laws.index.canonical(law.cite(row.article))
    assert found is not None  # verify_answer found it
    source = fold(whole_text(found[0]))
    for words in () if row.task == "cross-reference" else QUOTE.findall(question):
        filled = words.replace(GAP, quotes[0].rstrip(".")) if GAP in words and quotes else words
        if fold(one_line(filled)).rstrip("…., ") not in source:
            faults.append(RowFault("the question's words are not the article's", words[:80]))
    for label in NAMED_NUMERAL.findall(QUOTE.sub(" ", question)):
        item = next((item for item in article.numerals if item.label == label), None)
        if item is None or not any(quote in one_line(item.text) for quote in quotes):
            faults.append(RowFault("answers with another numeral than asked", label))
    if row.task == "verbatim" and quotes != [one_line(article.body)]:
        faults.append(RowFault("is not the whole article", row.answer[:80]))
    if row.task in ("sanction", "syllogism"):
        missing = [piece for piece in (*penalties(article.body), *fines(article.body)) if piece not in quotes]
        faults += [RowFault("leaves out a part of the penalty", piece) for piece in missing]
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
