"""The open benchmark of Ecuadorian law: its items, and the check of every key against parsed laws.

An item holds facts (article numbers, figures, terms), never the text of a law; grounded prompts are composed from
parsed laws when a model is asked.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from leylora.errors import LeyloraError, first_fault
from leylora.files import read_jsonl
from leylora.grounding.checker import named_articles
from leylora.grounding.quantities import Quantity, quantities
from leylora.laws.law import Article, Law
from leylora.text import fold, words

Recall = Literal["multiple-choice", "number-to-topic", "topic-to-number", "sanction", "deadline", "definition"]
ItemKind = Literal[Recall, "grounded", "unanswerable", "repealed"]
LIST_LABEL = re.compile(r"^\s*\d{1,2}[.)]", re.MULTILINE)


class BenchmarkItem(BaseModel):
    """One question with its key.

    Attributes:
        law_id, article, edition: the article that answers; of an unanswerable item, the law that is asked about.
        answer: in short words of our own (an article number for ``topic-to-number``; the reason not to answer for an
            unanswerable item).
        correct: the index of the right option of a multiple-choice item.
        accept: other answers that count as right.
        evidence: terms and figures the article must contain for the key to hold; case and accents do not count.
        supplied: numbers of the articles (of the same law) in a grounded prompt.
        source: who asked first, when it was not this project.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    kind: ItemKind
    law_id: str
    article: str = ""
    edition: str
    question: str = Field(min_length=8)
    answer: str
    options: list[str] = []
    correct: int | None = None
    accept: list[str] = []
    evidence: list[str] = []
    supplied: list[str] = []
    abstain: bool = False
    source: str = "leylora"

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind == "multiple-choice":
            if len(self.options) < 2 or self.correct is None or not 0 <= self.correct < len(self.options):
                raise ValueError("a multiple-choice item needs its options and `correct`, the index of the right one")
            if len({tuple(words(option)) for option in self.options}) < len(self.options):
                raise ValueError("two options are the same")
            if self.options[self.correct] != self.answer:
                raise ValueError("`answer` must be the right option")
        elif self.options or self.correct is not None:
            raise ValueError(f"only multiple-choice items have options, this is {self.kind}")
        if self.kind == "grounded" and self.article not in self.supplied:
            raise ValueError("a grounded item supplies the article that answers")
        if self.abstain != (self.kind in ("unanswerable", "repealed")):
            raise ValueError("unanswerable and repealed items abstain, and no others do")
        if not self.article and self.kind != "unanswerable" and self.source == "leylora":
            raise ValueError("names no article")
        return self


def load_benchmark(path: Path) -> list[BenchmarkItem]:
    """The items of a JSON Lines file.

    Raises:
        LeyloraError: a line is not an item, or two have the same id or question; the message names file and line.
    """
    items: list[BenchmarkItem] = []
    seen: dict[str, int] = {}
    for line, row in read_jsonl(path):
        try:
            item = BenchmarkItem.model_validate(row)
        except ValidationError as error:
            key, why = first_fault(error)
            where = f"{path}, line {line}, {key or 'the item'}"
            raise LeyloraError(f"{where}: {why.removeprefix('Value error, ')}.") from None
        for mark in (item.id, f"{' '.join(words(item.question))} {item.edition} {item.supplied}"):
            if mark in seen:
                raise LeyloraError(f"{path}, line {line}: the same id or question as line {seen[mark]}; remove one.")
            seen[mark] = line
        items.append(item)
    return items


class KeyCheck(NamedTuple):
    """What the check says of one item, and why."""

    id: str
    verdict: Literal["right", "wrong", "unchecked"]
    reason: str = ""


def check_item(item: BenchmarkItem, laws: Sequence[Law]) -> KeyCheck:
    law = next((law for law in laws if law.id == item.law_id and law.edition == item.edition), None)
    if law is None:
        others = [one.edition for one in laws if one.id == item.law_id]
        have = f"edition {', '.join(others)} was given" if others else "not among the laws given"
        return KeyCheck(item.id, "unchecked", f"{item.law_id}, ed. {item.edition}: {have}")
    if item.source != "leylora" and not item.article:
        return KeyCheck(item.id, "unchecked", "names no article")
    faults = _abstention_faults(item, law) if item.abstain else _answer_faults(item, law)
    return KeyCheck(item.id, "wrong" if faults else "right", "; ".join(faults))


def position_counts(items: Sequence[BenchmarkItem]) -> Counter[int]:
    """How often each position holds the right option."""
    return Counter(item.correct for item in items if item.correct is not None)


def _answer_faults(item: BenchmarkItem, law: Law) -> list[str]:
    if item.article not in law:
        return [f"article {item.article} does not exist"]
    article = law.article(item.article)
    if not article.in_force:
        return [f"article {item.article} is {article.status}"]
    text = fold(_text(article))
    faults = [f"the article lacks {term!r}" for term in item.evidence if fold(term) not in text]
    if item.source == "leylora" and not item.evidence and item.kind not in ("sanction", "deadline"):
        faults.append("gives no evidence")
    if item.kind == "topic-to-number" and item.answer != item.article:
        faults.append(f"the answer {item.answer} is not the article {item.article}")
    if item.kind in ("sanction", "deadline"):
        found = quantities(item.answer)
        if not found:
            faults.append("the answer has no figure")
        faults += [f"the article lacks {item.answer!r}" for one in found if not _has(article, one)]
    if item.kind == "multiple-choice":
        faults += _option_faults(item, article)
    for number in item.supplied if item.kind == "grounded" else ():
        if number not in law or not law.article(number).in_force:
            faults.append(f"supplied article {number} does not exist or is not in force")
        elif number != item.article and item.evidence:
            other = fold(_text(law.article(number)))
            if all(fold(term) in other for term in item.evidence):
                faults.append(f"supplied article {number} has the evidence too")
    return faults


def _option_faults(item: BenchmarkItem, article: Article) -> list[str]:
    """The right option's figures are in the article, and no wrong option has all of its figures there."""
    faults = []
    for at, option in enumerate(item.options):
        figures = quantities(option)
        if not figures or "artículo" in option.lower() or option.strip().isdigit():  # a number of an article
            continue
        held = all(_has(article, one) for one in figures)
        if at == item.correct and not held:
            faults.append(f"the article lacks the right option {option!r}")
        if at != item.correct and held and figures != quantities(item.answer):
            faults.append(f"the wrong option {option!r} is in the article too")
    return faults


def _abstention_faults(item: BenchmarkItem, law: Law) -> list[str]:
    asked = named_articles(item.question, law)
    if item.kind == "repealed":
        if item.article not in law:
            return [f"article {item.article} does not exist"]
        status = law.article(item.article).status
        return [] if status == "derogado" else [f"article {item.article} is {status}, not derogado"]
    if item.supplied:
        missing = [number for number in item.supplied if number not in law]
        if missing:
            return [f"supplied article {', '.join(missing)} does not exist"]
        text = fold(" ".join(_text(law.article(number)) for number in item.supplied))
        if item.article in item.supplied:
            return ["supplies the article that answers"]
        if not item.evidence:
            return ["gives no evidence of what is missing"]
        return [f"the supplied articles hold {term!r}" for term in item.evidence if fold(term) in text]
    if item.answer == "no existe":
        if not asked:
            return ["asks about no article"]
        return [f"article {number} exists" for number in asked if number in law]
    return []  # another country or a law nobody supplied: nothing to look up


def _has(article: Article, one: Quantity) -> bool:
    """Whether the article states the figure; "de tres años ..., y de cinco" leaves the second unit out."""
    return any(
        (other.low, other.high) == (one.low, one.high) and (other.unit in ("", one.unit) or not one.unit)
        for other in quantities(LIST_LABEL.sub("", _text(article)))
    )


def _text(article: Article) -> str:
    return f"{article.rubric or ''}. {article.body}"
