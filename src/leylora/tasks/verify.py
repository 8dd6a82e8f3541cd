"""Does an answer say only what the article it cites says? Used on training rows, model answers and chats alike.

`verify_answer` holds an answer against a `Shelf` of parsed laws: it must end in one canonical citation that
exists, to an article in force; what it quotes (« ») must stand there word for word; every number, penalty,
amount, date and article it names outside the quotes must occur there. `verify_row` also holds the prompt of a
training row against the laws and the answer against the question.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leylora.instructions.conversation import Conversation
from leylora.laws.law import Article, Law
from leylora.tasks import abstention
from leylora.tasks.grounding import Passage, passage, read_grounded_prompt
from leylora.tasks.quantities import quantities

CANONICAL = re.compile(r"\((Art\. [^()]*(?:\([^()]*\)[^()]*)*, ed\. [^()]+)\)")
QUOTE = re.compile(r"«([^«»]*)»")
NAMED_ARTICLE = re.compile(r"\b(?:art[íi]culos?|arts?\.)\s+(\d+(?:\.\d+)?)", re.IGNORECASE)
LIST_LABEL = re.compile(r"^\d{1,2}\.\s", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an answer: its kind, for counting, and what exactly."""

    kind: str
    detail: str


class Shelf:
    """The closed inventory of what can be cited: every canonical citation of every article of some laws."""

    def __init__(self, laws: Iterable[Law]) -> None:
        self.laws = tuple(laws)
        self._cited = {law.cite(row.number): (law, row) for law in self.laws for row in law.articles}
        self._by_edition = {(law.id, law.edition): law for law in self.laws}
        self._plain: dict[tuple[str, str, str], str] = {}

    def find(self, citation: str) -> tuple[Law, Article] | None:
        """The article a canonical citation (without brackets) names."""
        return self._cited.get(" ".join(citation.split()))

    def law(self, law_id: str, edition: str) -> Law | None:
        """The law with this id in this edition."""
        return self._by_edition.get((law_id, edition))

    def text(self, law: Law, article: Article) -> str:
        """Everything an answer may take from an article: number, path, rubric, body, on one line."""
        key = (law.id, law.edition, article.number)
        if key not in self._plain:
            path = " ".join(str(part) for part in article.path)
            self._plain[key] = _line(f"{article.number} {path} {article.rubric or ''} {article.body}")
        return self._plain[key]


def verify_answer(answer: str, shelf: Shelf, supplied: Sequence[Passage] = ()) -> list[Fault]:
    """The faults of one answer, empty when it holds.

    Args:
        answer: what the model or a generator says, the citation included.
        shelf: the laws it may cite.
        supplied: the passages of the prompt; when given, the citation must be one of theirs.

    An abstention (`abstention.is_abstention`) needs no citation; only what it cites all the same is checked.
    """
    cited = CANONICAL.findall(answer)
    if not cited:
        return [] if abstention.is_abstention(answer) else [Fault("no citation", answer[-80:])]
    if len(cited) > 1:
        return [Fault("several citations", "; ".join(cited))]
    if not answer.rstrip().endswith(f"({cited[0]})"):
        return [Fault("citation is not last", answer[-80:])]
    found = shelf.find(cited[0])
    if found is None:
        return [Fault("unknown citation", cited[0])]
    law, article = found
    faults: list[Fault] = []
    if supplied and cited[0] not in {given.citation for given in supplied}:
        faults.append(Fault("cites an article that was not supplied", cited[0]))
    says_repealed = answer.lstrip().startswith(abstention.REPEALED)
    if article.status == "derogado" and not says_repealed:
        faults.append(Fault("cites a repealed article as law", cited[0]))
    if says_repealed and article.status != "derogado":
        faults.append(Fault("calls an article in force repealed", cited[0]))
    said = CANONICAL.sub("", answer)
    source = shelf.text(law, article)
    for quote in QUOTE.findall(said):
        if _line(quote).rstrip("….;, ") not in source:
            faults.append(Fault("quote is not in the article", quote[:120]))
    if not says_repealed:
        faults += _loose_facts(LIST_LABEL.sub("", QUOTE.sub("", said)), article, source)
    return faults


def verify_row(row: Conversation, shelf: Shelf) -> list[Fault]:
    """The faults of a training row: its answer, its supplied articles, and whether the answer fits the question."""
    law = shelf.law(row.law_id, row.edition)
    if law is None:
        return [Fault("unknown law", f"{row.law_id}, ed. {row.edition}")]
    question, supplied = read_grounded_prompt(row.prompt)
    faults = [fault for given in supplied for fault in _passage_faults(given, shelf)]
    faults += verify_answer(row.answer, shelf, supplied)
    cited = CANONICAL.findall(row.answer)
    named = NAMED_ARTICLE.findall(QUOTE.sub("", question))
    if cited and cited[0] != law.cite(row.article):
        faults.append(Fault("cites another article than the row's", cited[0]))
    if cited and named and row.article not in named and row.article.split("-")[0] not in named:
        faults.append(Fault("answers about another article than asked", f"asked {named}, cites {row.article}"))
    if row.answer.startswith(abstention.NO_SUCH_ARTICLE):
        faults += [Fault("denies an article that exists", number) for number in named if number in law]
    if row.answer.startswith(abstention.NOT_SUPPLIED) and law.cite(row.article) in {one.citation for one in supplied}:
        faults.append(Fault("abstains although the article is supplied", row.article))
    return faults


def _passage_faults(given: Passage, shelf: Shelf) -> list[Fault]:
    found = shelf.find(given.citation)
    if found is None:
        return [Fault("supplies an unknown article", given.citation)]
    if given != passage(*found):
        return [Fault("supplies an altered article", given.citation)]
    return []


def _loose_facts(said: str, article: Article, source: str) -> list[Fault]:
    """Numbers and articles named outside quotes."""
    faults = []
    known_articles = {article.number, *NAMED_ARTICLE.findall(source)}
    for number in NAMED_ARTICLE.findall(said):
        if number not in known_articles:
            faults.append(Fault("names an article that the cited one does not", number))
    known = quantities(source)
    ends = {(one.low, one.unit) for one in known} | {(one.high, one.unit) for one in known}
    ranges = {one.key for one in known}
    values = {value for value, _ in ends}
    for one in quantities(NAMED_ARTICLE.sub("", said)):
        if one.high is not None and one.key in ranges:
            continue
        if one.high is None and ((one.low, one.unit) in ends or (not one.unit and one.low in values)):
            continue
        if article.numerals and one.low == len(article.numerals) and not one.unit:
            continue
        faults.append(Fault("number is not in the article", said[one.start : one.end]))
    return faults


def _line(text: str) -> str:
    return " ".join(text.split())
