"""The answers side by side, with their citations marked, and the gallery of failures and wins."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

from leylora.evaluation.report.words import Words
from leylora.evaluation.results import Answer, Citation, Item, Mark, Results

LONGEST = 1200  # characters of an answer, and of a question, that the page shows
BUDGET = 1_300_000  # bytes of HTML that the answers may take, roughly: a page is to stay under 2 MB
EACH = 4  # examples of each kind in the gallery
SIGNS = {"right": "✓", "wrong": "≠", "invented": "✗", "unknown": "?"}
FAILURES = ("invented-citation", "not-spanish", "degenerate", "unfinished", "empty")

Where = tuple[str, str, str, str]  # model, variant, suite, item


@dataclass(frozen=True)
class Piece:
    """A stretch of an answer: plain, or a citation with its verdict and sign."""

    text: str
    verdict: str = ""
    sign: str = ""


@dataclass(frozen=True)
class Shown:
    """One variant's answer as the page shows it. ``tags`` are the verdict and flags by which it can be filtered."""

    model: str
    variant: str
    pieces: list[Piece]
    verdict: str
    tags: list[str]
    cut: bool = False
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Question:
    """One item with the answers of all variants."""

    anchor: str
    suite: str
    item: Item
    title: str
    asked: str
    answers: list[Shown]


@dataclass(frozen=True)
class Example:
    """A case of the gallery: an answer, and the question it belongs to."""

    where: tuple[str, str]  # suite, item
    question: str
    anchor: str
    answer: Shown


@dataclass(frozen=True)
class Gallery:
    """The examples of one kind, and how many there were."""

    kind: str
    examples: list[Example]
    count: int


def pieces(text: str, citations: Iterable[Citation], longest: int = LONGEST) -> tuple[list[Piece], bool]:
    """The text in stretches, citations apart; whether its end was left out.

    A citation across the cut, across another, or outside the text is left as plain text.
    """
    shown = text[:longest]
    found: list[Piece] = []
    at = 0
    for citation in sorted(citations, key=lambda one: one.span):
        start, end = citation.span
        if start < at or end > len(shown) or start >= end:
            continue
        if start > at:
            found.append(Piece(shown[at:start]))
        found.append(Piece(shown[start:end], citation.verdict, SIGNS[citation.verdict]))
        at = end
    if at < len(shown):
        found.append(Piece(shown[at:]))
    return found, len(text) > longest


def verdict(mark: Mark | None) -> str:
    """``right``, ``wrong``, ``partial`` or, where nothing can be right, ``ungraded``."""
    credit = None if mark is None else mark.correct if mark.correct is not None else mark.score
    if credit is None:
        return "ungraded"
    if credit >= 1:
        return "right"
    return "partial" if credit > 0 else "wrong"


def chosen(item: Item, answer: Answer) -> str:
    """The option an answer chose: likeliest over all orders, or the letter given in each order."""
    if answer.option_logprobs:
        totals = [sum(by_order) for by_order in zip(*answer.option_logprobs, strict=True)]
        return item.options[max(range(len(totals)), key=totals.__getitem__)]
    return ", ".join(letter or "—" for letter in answer.letters or [])


def shown(item: Item, answer: Answer, mark: Mark | None, words: Words) -> Shown:
    """One answer, ready for the page."""
    cut = False
    if item.ask == "choose":
        stretches = [Piece(f"{words('answer.chose')}: {chosen(item, answer) or '—'}")]
    elif item.ask == "likelihood":
        stretches = [Piece(words("answer.loss"))]
    else:
        stretches, cut = pieces(answer.text, mark.citations if mark else [])
    judged = verdict(mark)
    tags = [judged, *(mark.flags if mark else []), *(f"cite-{one.verdict}" for one in (mark.citations if mark else []))]
    reasons = [words.name("reason", reason) for reason in mark.reasons] if mark else []
    return Shown(answer.model, answer.variant, stretches, judged, list(dict.fromkeys(tags)), cut, reasons)


def questions(results: Results, words: Words, first: Iterable[tuple[str, str]] = ()) -> list[Question]:
    """The questions that fit the page: ``first`` those named (suite, item), then each group in turn."""
    by_item: dict[tuple[str, str], list[Answer]] = {}
    for (_, _, suite, name), answer in results.answers.items():
        by_item.setdefault((suite, name), []).append(answer)
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for where, item in results.items.items():
        groups.setdefault((item.suite, item.task, item.setting), []).append(where)
    in_turn = [where for row in zip_longest(*groups.values()) for where in row if where is not None]
    taken: list[Question] = []
    left = BUDGET
    for where in dict.fromkeys([*first, *in_turn]):
        if where not in by_item or where not in results.items:
            continue
        question = _question(results, results.items[where], by_item[where], words)
        left -= _weight(question)
        if left < 0:
            break
        taken.append(question)
    order = {where: at for at, where in enumerate(results.items)}
    return sorted(taken, key=lambda one: order[one.item.suite, one.item.id])


def _question(results: Results, item: Item, answers: list[Answer], words: Words) -> Question:
    said = [
        shown(item, answer, results.marks.get((answer.model, answer.variant, answer.suite, answer.item)), words)
        for answer in answers
    ]
    asked = "\n\n".join(message["content"] for message in item.messages)
    return Question(_anchor(item.suite, item.id), item.suite, item, _title(item), asked[: 3 * LONGEST], said)


def _title(item: Item) -> str:
    """The last line of what the user said, which is the question; what stands before it is often a law."""
    asked = item.messages[-1]["content"].strip().splitlines() if item.messages else []
    line = asked[-1] if asked else item.id
    return line if len(line) <= 180 else line[:179] + "…"


def _anchor(suite: str, item: str) -> str:
    """A name that holds nothing but letters, digits and dashes, whatever an item is called."""
    return "q-" + "-".join("".join(c if c.isalnum() and c.isascii() else f"_{ord(c):x}" for c in part)
                           for part in (suite, item))  # fmt: skip


def _weight(question: Question) -> int:
    texts = [len(piece.text) for answer in question.answers for piece in answer.pieces]
    return int(1.15 * (sum(texts) + len(question.asked) + 430 * len(question.answers) + 900))


def galleries(results: Results, words: Words) -> list[Gallery]:
    """Failures by kind, then what the merged variant lost and won against the same model's others."""
    found = []
    for flag in FAILURES:
        where = [place for place, mark in results.marks.items() if flag in mark.flags]
        found.append(_gallery(results, words, flag, where))

    if not any(place[1] == "merged" for place in results.marks):
        return found

    def right(place: Where, others: tuple[str, ...], wanted: str) -> bool:
        model, _, suite, item = place
        return any(verdict(results.marks.get((model, other, suite, item))) == wanted for other in others)

    kinds: list[tuple[str, Callable[[Where, str], bool]]] = [
        ("lost", lambda place, said: said == "wrong" and right(place, ("instructions", "law"), "right")),
        ("won", lambda place, said: said == "right" and right(place, ("base",), "wrong")),
    ]
    for kind, belongs in kinds:
        where = [
            place for place, mark in results.marks.items() if place[1] == "merged" and belongs(place, verdict(mark))
        ]
        found.append(_gallery(results, words, kind, where))
    return found


def _gallery(results: Results, words: Words, kind: str, places: list[Where]) -> Gallery:
    """The first of each model and variant, then the second …, `EACH` in all; each item once."""
    by_variant: dict[tuple[str, str], list[Where]] = {}
    for place in places:
        if place in results.answers:
            by_variant.setdefault(place[:2], []).append(place)
    examples: dict[tuple[str, str], Example] = {}
    for row in zip_longest(*by_variant.values()):
        for place in row:
            if place is None or len(examples) == EACH or place[2:] in examples:
                continue
            item = results.items[place[2:]]
            answer = shown(item, results.answers[place], results.marks.get(place), words)
            examples[place[2:]] = Example(place[2:], _title(item), _anchor(*place[2:]), answer)
    return Gallery(kind, list(examples.values()), len(places))
