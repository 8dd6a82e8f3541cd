"""Does an answer say only what the article it cites says? Used on training rows and on model-written answers.

`verify_answer` holds an answer against a `Shelf` of parsed laws. It must end in one canonical citation that exists,
to an article in force. What it quotes (« ») must be there word for word; every number, penalty, deadline, amount, date,
numeral, law and article it names outside the quotes must be the article's own (`leylora.grounding.checker` judges
that). `verify_row` also holds a training row's prompt against the laws and its answer against its question.

What it cannot see is a wrong paraphrase without numbers or names. Quote, and it can.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from leylora.data.shelf import Shelf
from leylora.grounding.checker import Finding, Kind, own_words_faults, quote_faults
from leylora.grounding.citations import IndexedArticle
from leylora.grounding.prompt import REPEALED, Passage, is_abstention
from leylora.text import one_line

EDITION = r"ed\. (?:\d{4}-\d{2}-\d{2}|s\. f\.)"
CANONICAL = re.compile(rf"\((Art\. [^\n]*?, {EDITION})\)")
WHOLE_LAW = re.compile(rf"\(((?!Art\. )[^()]+, {EDITION})\)")
QUOTE = re.compile(r"«([^«»]*)»")
LISTED = re.compile(r"^(\d{1,2})\.\s+«([^«»]*)»\s*$", re.MULTILINE)
COUNTED = re.compile(r"\bSon (\d+):")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an answer: its kind, for counting, and what exactly."""

    kind: str
    detail: str


def verify_answer(answer: str, shelf: Shelf, supplied: Sequence[Passage] = ()) -> list[Fault]:
    """The faults of one answer, empty when it holds.

    Args:
        answer: what the model or a generator says, the citation included.
        shelf: the laws it may cite.
        supplied: the passages of the prompt; when given, the citation must be one of theirs.

    An abstention (`is_abstention`) needs no citation; what it cites all the same is checked.
    """
    cited = CANONICAL.findall(answer)
    if not cited:
        if not is_abstention(answer):
            return [Fault("no citation", answer[-80:])]
        named = WHOLE_LAW.findall(answer)
        return [Fault("unknown law or edition", words) for words in named if shelf.whole_law(words) is None]
    if len(cited) > 1:
        return [Fault("several citations", "; ".join(cited))]
    if not answer.rstrip(" .\n").endswith(f"({cited[0]})"):
        return [Fault("citation is not last", answer[-80:])]
    found = shelf.index.canonical(cited[0])
    if found is None:
        return [Fault("unknown citation", cited[0])]
    article, part = found
    faults: list[Fault] = []
    if supplied and cited[0] not in {given.citation for given in supplied}:
        faults.append(Fault(Kind.NOT_GIVEN.value, cited[0]))
    if answer.lstrip().startswith(REPEALED):
        if article.status != "derogado":
            faults.append(Fault("calls an article in force repealed", cited[0]))
        return faults
    if not article.body or article.status in ("derogado", "dudoso"):
        return [*faults, Fault(Kind.NOT_IN_FORCE.value, f"{cited[0]}: {article.status}")]
    if is_abstention(answer):
        return [*faults, Fault("abstains and cites an article", cited[0])]
    said = CANONICAL.sub("", answer)
    loose = COUNTED.sub("", QUOTE.sub(" ", LISTED.sub("", said)))
    found_faults: list[Finding] = quote_faults(QUOTE.findall(said), article, part)
    found_faults += own_words_faults(loose, article, shelf.index, part)
    return [*faults, *_enumeration(said, article), *(Fault(one.kind.value, one.words) for one in found_faults)]


def _enumeration(said: str, article: IndexedArticle) -> list[Fault]:
    items = {label: one_line(text) for label, text in article.items.items()}
    faults = [
        Fault("list item is not that numeral", f"{label}. {text[:60]}")
        for label, text in LISTED.findall(said)
        if items.get(label, "") != one_line(text)
    ]
    for count in COUNTED.findall(said):
        if int(count) != len(items) or len(QUOTE.findall(said)) < len(items):
            faults.append(Fault("list is not complete", f"says {count}, the article has {len(items)}"))
    return faults
