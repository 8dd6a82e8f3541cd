"""The answers of all variants side by side, their citations cut out, and a gallery of failures and wins.

`questions` gives what the page lists, `galleries` the examples by kind. What a model wrote stays plain text here; the
page's template escapes it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from leylora.evaluation.report.texts import Texts
from leylora.evaluation.results import Answer, CitedArticle, Item, Mark, Results

LONGEST = 1200  # characters of an answer that the page shows; three times as many of a question
BUDGET = 1_300_000  # bytes of HTML for all answers, roughly: a page is to stay under 2 MB
EACH = 4  # examples of each kind in the gallery
FAILURES = ("invented-citation", "contradicted", "not-spanish", "degenerate", "unfinished", "empty")
FREE = "prompts"  # the suite of free prompts, which are not graded

Place = tuple[str, str, str, str]  # model, variant, suite, item


class Said(NamedTuple):
    """One answer as the page shows it, or why the model did not answer."""

    heading: str
    model: str
    variant: str
    verdict: str
    pieces: list[tuple[str, str]]  # of its text, each with the verdict of the citation that it is, or ""
    cut: bool  # whether its end was left out
    tags: dict[str, str]  # verdict and flags by which it can be filtered, with their labels
    note: str


class Question(NamedTuple):
    """An item, or a free prompt under all its settings, with every answer to it."""

    anchor: str
    suite: str
    title: str
    about: str
    asked: str
    reference: str
    answers: list[Said]


@dataclass(frozen=True)
class Gallery:
    """Examples of one kind, each with the title of its question and the question's anchor."""

    title: str
    count: str
    examples: list[tuple[str, str, Said]]


def questions(results: Results, texts: Texts, first: Sequence[Gallery]) -> tuple[list[Question], list[Question], int]:
    """The free prompts, the graded questions, each in the order asked, and how many did not fit the page.

    Free prompts and the examples of ``first`` are taken before the others; these in turn from each task and setting.
    """
    asked: dict[str, list[tuple[Item, Answer]]] = {}
    variants = [(model.label, variant.name) for model in results.provenance.models for variant in model.variants]
    for model, variant in variants:
        for (suite, name), item in results.items.items():
            if answer := results.answers.get((model, variant, suite, name)):
                asked.setdefault(anchor_of(item), []).append((item, answer))
    groups: dict[tuple[str, str, str], list[str]] = {}
    for item in results.items.values():
        groups.setdefault((item.suite, item.task, item.setting), []).append(anchor_of(item))
    in_turn = [anchor for row in zip_longest(*groups.values()) for anchor in row if anchor in asked]
    examples = [anchor for gallery in first for _, anchor, _ in gallery.examples]
    free = [anchor for anchor in in_turn if asked[anchor][0][0].suite == FREE]
    taken: dict[str, Question] = {}
    left = BUDGET
    for anchor in dict.fromkeys([*free, *examples, *in_turn]):
        question = _question(results, texts, asked[anchor])
        text = sum(len(piece) for said in question.answers for piece, _ in said.pieces)
        left -= int(1.15 * (text + len(question.asked) + 430 * len(question.answers) + 900))
        if left < 0:
            break
        taken[anchor] = question
    order = dict.fromkeys(map(anchor_of, results.items.values()))
    shown = [taken[anchor] for anchor in order if anchor in taken]
    graded = [one for one in shown if one.suite != FREE]
    return [one for one in shown if one.suite == FREE], graded, len(asked) - len(shown)


def _question(results: Results, texts: Texts, answered: Sequence[tuple[Item, Answer]]) -> Question:
    item = answered[0][0]
    title, asked = title_of(item), "\n\n".join(message["content"] for message in item.messages)[: 3 * LONGEST]
    answers = [
        said(one, answer, results.marks.get((answer.model, answer.variant, answer.suite, answer.item)), texts)
        for one, answer in answered
    ]
    if item.suite == FREE:
        about = ""
        for one in results.scores.findings:
            if one.kind == "not-answered":  # a model or variant without any answer
                heading = texts.place(one.model, one.variant)
                answers.append(Said(heading, one.model, one.variant, "failed", [(one.error, "")], False, {}, ""))
    else:
        setting = texts.part(f"setting:{item.setting}") if item.setting else ""
        names = (texts.name("suite", item.suite), texts.name("task", item.task), setting, item.id)
        about = " · ".join(filter(None, names))
    reference = [texts("question.abstain") if item.abstain else "", item.reference]
    if item.article and item.article not in item.reference:
        reference.append(f"({item.law_id}, art. {item.article}{', ed. ' if item.edition else ''}{item.edition})")
    asked = "" if asked.strip() == title else asked
    return Question(anchor_of(item), item.suite, title, about, asked, " ".join(filter(None, reference)), answers)


def said(item: Item, answer: Answer, mark: Mark | None, texts: Texts) -> Said:
    """One answer as the page shows it."""
    cut = False
    if answer.error:
        pieces = [(answer.error, "")]
    elif item.ask == "choose":
        pieces = [(f"{texts('answer.chose')}: {chosen(item, answer)}", "")]
    else:
        pieces, cut = cut_out(answer.text, mark.citations if mark else [])
    verdict = "failed" if answer.error else verdict_of(mark)
    tags, note = {verdict: texts(f"verdict.{verdict}")}, ""
    if mark:
        tags |= {flag: texts(f"flag.{flag}") for flag in mark.flags}
        tags |= {f"cite-{one.verdict}": texts(f"cite.{one.verdict}") for one in mark.citations}
        note = "; ".join(texts(f"reason.{reason}") for reason in mark.reasons)
    if item.suite == FREE:
        note = texts("answer.took", tokens=answer.tokens, seconds=texts.duration(answer.seconds))
    note = "" if answer.error else note
    heat = "" if item.temperature is None else f"{texts('temperature')} {texts.tick(item.temperature)}"
    heading = texts.place(answer.model, answer.variant, item.preset, heat)
    return Said(heading, answer.model, answer.variant, verdict, pieces, cut, tags, note)


def cut_out(text: str, citations: Iterable[CitedArticle], longest: int = LONGEST) -> tuple[list[tuple[str, str]], bool]:
    """The text in pieces, each with the verdict of the citation it is (or ""); whether its end was left out.

    A citation across the cut, across another, or outside the text is left as plain text.
    """
    shown = text[:longest]
    found: list[tuple[str, str]] = []
    at = 0
    for citation in sorted(citations, key=lambda one: one.span):
        start, end = citation.span
        if at <= start < end <= len(shown):
            found += [(shown[at:start], ""), (shown[start:end], citation.verdict)]
            at = end
    return [piece for piece in (*found, (shown[at:], "")) if piece[0]], len(text) > longest


def chosen(item: Item, answer: Answer) -> str:
    """The option an answer chose: likeliest over all orders, or the letter given in each order."""
    if answer.option_logprobs:
        totals = [sum(by_order) for by_order in zip(*answer.option_logprobs, strict=True)]
        return item.options[totals.index(max(totals))]
    return ", ".join(letter or "—" for letter in answer.letters or []) or "—"


def verdict_of(mark: Mark | None) -> str:
    """``right``, ``wrong``, ``partial`` or, where nothing can be right, ``ungraded``."""
    score = None if mark is None else mark.score if mark.correct is None else mark.correct
    if score is None:
        return "ungraded"
    return "right" if score >= 1 else "partial" if score > 0 else "wrong"


def title_of(item: Item) -> str:
    """The last line of what the user said, which is the question; before it there is often a law."""
    line = (item.messages[-1]["content"].strip().splitlines() or [""])[-1] or item.id
    return line if len(line) <= 180 else line[:179] + "…"


def anchor_of(item: Item) -> str:
    """A name for the page's links: letters, digits, dashes and underscores only. Free prompts share their cluster's."""
    parts = (item.suite, item.cluster if item.suite == FREE else item.id)
    plain = ("".join(c if c.isalnum() and c.isascii() else f"_{ord(c):x}" for c in part) for part in parts)
    return "q-" + "-".join(plain)


def galleries(results: Results, texts: Texts) -> list[Gallery]:
    """Failures by kind, then what the merged variant lost and won against the same model's others.

    Of each kind the first of every model and variant, then the second, each item once, `EACH` in all.
    """
    marks = {place: mark for place, mark in results.marks.items() if place[2] != FREE and place in results.answers}
    found = {flag: [place for place, mark in marks.items() if flag in mark.flags] for flag in FAILURES}
    merged = {place: verdict_of(mark) for place, mark in marks.items() if place[1] == "merged"}
    if merged:
        turned = {"lost": ("wrong", "right", ("instructions", "law")), "won": ("right", "wrong", ("base",))}
        for kind, (now, before, others) in turned.items():
            found[kind] = [
                place
                for place, verdict in merged.items()
                if verdict == now
                and any(verdict_of(marks.get((place[0], other, *place[2:]))) == before for other in others)
            ]
    shown = []
    for kind, places in found.items():
        by_variant: dict[tuple[str, str], list[Place]] = {}
        for place in places:
            by_variant.setdefault(place[:2], []).append(place)
        examples: dict[str, tuple[str, str, Said]] = {}
        for place in (place for row in zip_longest(*by_variant.values()) for place in row if place):
            item = results.items[place[2:]]
            anchor = anchor_of(item)
            if len(examples) < EACH and anchor not in examples:
                examples[anchor] = (title_of(item), anchor, said(item, results.answers[place], marks[place], texts))
        count = texts("gallery.of", shown=len(examples), of=len(places)) if places else texts("gallery.none")
        shown.append(Gallery(texts(f"gallery.{kind}"), count, list(examples.values())))
    return shown
