"""Questions as people ask them, written by hand: `data/questions/{train,development,test}.jsonl`.

    questions = load_questions(QUESTIONS / "train.jsonl")
    question_faults(questions[0], laws)                     # [] where all it names stands in the parsed laws
    fill(questions[0].answer, laws)                         # "Sí: ... (Art. 69, Código del Trabajo, ed. 2023-02-01)."

A file holds questions and plain answers of our own and no law text. Where an answer needs the law it has a hole, which
the build fills from the user's own parsed law: ``{cita coip:144}`` with the citation, ``{texto coip:144 mate a otra}``
with the sentence, or item of a list, in which those words stand. Questions are split by article, in blocks of ten
numbers, so that no article of a test question is in a training question.
"""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from leylora.data.duplicates import near_duplicates, union
from leylora.errors import LeyloraError, first_fault
from leylora.files import read_jsonl, read_text, write_text
from leylora.grounding.citations import format_citation
from leylora.grounding.clauses import of, sentences
from leylora.laws.law import Article, Law
from leylora.project import ROOT
from leylora.text import fold, one_line

QUESTIONS = ROOT / "data" / "questions"
Split = Literal["train", "development", "test"]
THEMES = (
    *("labour", "transit", "violence", "family", "tenancy", "debt", "arrest", "defence", "property"),
    *("constitutional", "penal", "procedure", "consumer", "contracts", "inheritance", "other"),
)
BLOCK = 10  # article numbers that stay together
TEST, HELD_OUT = 0.25, 0.375  # of all blocks: test below the first, development below the second, else train
LONGEST_QUOTE = 900  # characters
HOLE = re.compile(r"\{(?P<kind>cita|texto) (?P<article>[a-z0-9-]+:[^\s{}]+)(?: (?P<words>[^{}]+))?\}")
SENTENCE_END = re.compile(r"[.!?…](?=\s|$)")


class Turn(BaseModel):
    """An earlier turn of a dialogue."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=5)
    answer: str = Field(min_length=2)


class WrittenQuestion(BaseModel):
    """One question with its answer.

    Attributes:
        articles: sets of ``law_id:number``. Every set is needed, and of one set any one article suffices; the main one
            comes first. None where ``missing`` is "law".
        previous: the turns before the question.
        missing: None, or why it cannot be answered as asked: none of the laws here has it, or it turns on a fact that
            the person did not tell.
        style: how it is written; "hurried" has the slips of thumbs.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    question: str = Field(min_length=8)
    previous: list[Turn] = []
    articles: list[list[str]]
    answer: str = Field(min_length=8)
    missing: Literal["law", "fact"] | None = None
    theme: str
    style: Literal["careful", "plain", "hurried"]
    split: Split

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.theme not in THEMES:
            raise ValueError(f"the theme {self.theme!r} is none of {', '.join(THEMES)}")
        if (self.missing == "law") != (not self.articles) or not all(self.articles):
            raise ValueError("`articles` are sets with a member each, and there are none exactly when `missing` is law")
        try:
            strays = {question_split(one) for one in self.named()} - {self.split}
        except LeyloraError as error:
            raise ValueError(str(error).removesuffix(".")) from None
        if strays:
            raise ValueError(f"names an article of the {min(strays)} part")
        for number, accepted in enumerate(self.articles, 1):
            if not set(accepted) & {hole["article"] for hole in HOLE.finditer(self.answer)}:
                raise ValueError(f"the answer cites none of set {number}, {', '.join(accepted)}")
        for text in self.answers():
            if re.search(r"[{}]", HOLE.sub("", text)):
                raise ValueError("a brace that is no hole; write {cita LAW:NUMBER} or {texto LAW:NUMBER WORDS}")
        return self

    def answers(self) -> list[str]:
        return [*(turn.answer for turn in self.previous), self.answer]

    def named(self) -> set[str]:
        """Every article that the row names, also in a hole."""
        holes = {hole["article"] for text in self.answers() for hole in HOLE.finditer(text)}
        return holes.union(*self.articles)


def question_split(article: str) -> Split:
    """The part that questions on an article belong to: ``question_split("coip:144")``.

    Raises:
        LeyloraError: it is not ``law_id:number``.
    """
    law_id, _, number = article.partition(":")
    digits = re.match(r"\d+", number)
    if not law_id or not digits:
        raise LeyloraError(f"'{article}' is no article; write law and number as coip:144.")
    key = f"{law_id}:{int(digits[0]) // BLOCK}"
    share = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32
    return "test" if share < TEST else "development" if share < HELD_OUT else "train"


def load_questions(*paths: Path) -> list[WrittenQuestion]:
    """The questions of files, by default all of `QUESTIONS`.

    Raises:
        LeyloraError: a line is no question, or two have the same id; the message names file and line.
    """
    rows: list[WrittenQuestion] = []
    seen: set[str] = set()
    for path in paths or sorted(QUESTIONS.glob("*.jsonl")):
        for line, raw in read_jsonl(path):
            try:
                row = WrittenQuestion.model_validate(raw)
            except ValidationError as error:
                key, why = first_fault(error)
                where = f"{path}, line {line}, {key or 'the question'}"
                raise LeyloraError(f"{where}: {why.removeprefix('Value error, ')}.") from None
            if row.id in seen:
                raise LeyloraError(f"{path}, line {line}: the id '{row.id}' is taken; give every question its own.")
            seen.add(row.id)
            rows.append(row)
    return rows


class WrittenCase(NamedTuple):
    """Facts that an article's offence fits (``why``: what of them fits it), and others that lack an ``element``."""

    facts: str
    why: str
    lacking: str
    element: str


def written_cases(path: Path = QUESTIONS / "cases.tsv") -> dict[str, WrittenCase]:
    """The cases of a file, by ``law_id:number``; {} where there is no file.

    Raises:
        LeyloraError: a line has not five columns, or names no article of the train part.
    """
    found: dict[str, WrittenCase] = {}
    for number, line in enumerate(read_text(path).splitlines() if path.is_file() else (), 1):
        article, *columns = line.split("\t")
        if len(columns) != 4:
            raise LeyloraError(f"{path}, line {number}: has {1 + len(columns)} columns; write article and four texts.")
        if question_split(article) != "train":
            raise LeyloraError(f"{path}, line {number}: {article} is of another part than train.")
        found[article] = WrittenCase(*columns)
    return found


def retrieval_rows(questions: Sequence[WrittenQuestion]) -> list[dict[str, object]]:
    """Questions as rows of data/benchmark/retrieval.jsonl, which measures the search.

    ``accepted`` are the sets of articles, ``law_id`` and ``article`` the first of the main one; what these laws do not
    answer is off-topic. A question that turns on a fact that was not told is found like any other. ``half`` is the part
    it was drawn for.
    """
    rows: list[dict[str, object]] = []
    for one in questions:
        row: dict[str, object] = {"id": one.id, "half": one.split, "kind": "off-topic", "question": one.question}
        if one.articles:
            law_id, _, article = one.articles[0][0].partition(":")
            row["kind"] = "follow-up" if one.previous else "everyday"
            row |= {"law_id": law_id, "article": article, "accepted": one.articles}
        if one.previous:
            row["previous"] = one.previous[-1].question
        if one.articles or not one.previous:
            rows.append(row)
    return rows


def fill(text: str, laws: Sequence[Law]) -> str:
    """The text with its holes filled from parsed laws.

    Raises:
        LeyloraError: a law or an article is not there or not in force, or its text has no such words (any more).
    """
    return HOLE.sub(lambda hole: _filled(hole, laws), text)


def _filled(hole: re.Match[str], laws: Sequence[Law]) -> str:
    law, article = find_article(hole["article"], laws)
    if hole["kind"] == "cita":
        return format_citation(law, article.number)
    if not hole["words"]:
        raise LeyloraError(f"'{hole[0]}' names no words; write {{texto LAW:NUMBER WORDS}}.")
    sought = fold(hole["words"])
    pieces = [of(article.body, span) for span in sentences(article.body)]
    found = [piece for piece in pieces if sought in fold(piece)]
    if len(found) != 1:
        raise LeyloraError(f"'{hole['words']}' stands in {len(found)} sentences of {hole['article']}, not in one.")
    quote = one_line(re.sub(r"^(?:\d{1,2}|[a-zñ])[.)]-?\s+", "", found[0]))
    if len(quote) > LONGEST_QUOTE or quote.endswith(":"):
        raise LeyloraError(
            f"'{hole['words']}' of {hole['article']} stands in a sentence too long to quote, or a lead-in."
        )
    return f"«{quote}»"


def find_article(article: str, laws: Sequence[Law]) -> tuple[Law, Article]:
    """The article in force that is called ``law_id:number``.

    Raises:
        LeyloraError: the law is not among those given, or has no such article in force.
    """
    law_id, _, number = article.partition(":")
    law = next((law for law in laws if law.id == law_id), None)
    if law is None:
        raise LeyloraError(f"{article}: the law '{law_id}' is not among those parsed.")
    if number not in law or not law.article(number).in_force:
        raise LeyloraError(f"{article}: not an article in force of the edition {law.edition or 's. f.'}.")
    return law, law.article(number)


def question_faults(question: WrittenQuestion, laws: Sequence[Law]) -> list[str]:
    """What the parsed laws say against a row: articles that are not there, holes that cannot be filled, law text."""
    faults = []
    for article in sorted(question.named()):
        try:
            find_article(article, laws)
        except LeyloraError as error:
            faults.append(str(error))
    if faults:
        return faults
    held = union(find_article(article, laws)[1].text for article in question.named())
    for text in question.answers():
        try:
            fill(text, laws)
        except LeyloraError as error:
            faults.append(str(error))
        if not held.isdisjoint(union(HOLE.sub("\0", text).split("\0"))):
            faults.append("has eight words in a row of the law outside a hole")
        if not 1 <= len(SENTENCE_END.findall(HOLE.sub("X", text))) <= 6:
            faults.append("an answer has one to six sentences")
    return faults


def same_questions(questions: Sequence[WrittenQuestion]) -> dict[str, str]:
    """``{id: id of an earlier one}`` for questions that say nearly the same, by the gate's own measure."""
    asked = [(" ".join([*(turn.question for turn in row.previous), row.question]), row.answer) for row in questions]
    return {questions[one].id: questions[other].id for one, other in near_duplicates(asked).items()}


class Shares(NamedTuple):
    """What a set of questions is made of: counts by law of the main article, theme, style and kind."""

    rows: int
    articles: int
    by_split: Counter[str]
    by_law: Counter[str]
    by_theme: Counter[str]
    by_style: Counter[str]
    two_articles: int
    two_laws: int
    missing: Counter[str]
    dialogues: int


def shares(questions: Sequence[WrittenQuestion]) -> Shares:
    several = [row for row in questions if len(row.articles) > 1]
    return Shares(
        rows=len(questions),
        articles=len({article for row in questions for accepted in row.articles for article in accepted}),
        by_split=Counter(row.split for row in questions),
        by_law=Counter(row.articles[0][0].partition(":")[0] for row in questions if row.articles),
        by_theme=Counter(row.theme for row in questions),
        by_style=Counter(row.style for row in questions),
        two_articles=len(several),
        two_laws=sum(
            len({one.partition(":")[0] for accepted in row.articles for one in accepted}) > 1 for row in several
        ),
        missing=Counter(row.missing for row in questions if row.missing),
        dialogues=sum(bool(row.previous) for row in questions),
    )


COLUMNS = ("id", "turnos anteriores", "pregunta", "respuesta", "artículos", "veredicto", "comentario")
VERDICTS = ("correcta", "incorrecta", "dudosa")


def write_sheet(questions: Sequence[WrittenQuestion], laws: Sequence[Law], path: Path) -> list[str]:
    """The sheet a jurist fills in, as CSV for a spreadsheet; returns the ids that these laws cannot fill."""
    rows: list[tuple[str, ...]] = [COLUMNS]
    left_out = []
    for row in questions:
        try:
            answer = fill(row.answer, laws)
            before = "\n".join(f"— {turn.question}\n— {fill(turn.answer, laws)}" for turn in row.previous)
            texts = []
            for name in dict.fromkeys(one for accepted in row.articles for one in accepted):
                law, article = find_article(name, laws)
                texts.append(f"{format_citation(law, article.number)}\n{article.text}")
        except LeyloraError:
            left_out.append(row.id)
            continue
        rows.append((row.id, before, row.question, answer, "\n\n".join(texts), "", ""))
    write_text(path, _csv(rows))
    return left_out


def _csv(rows: Sequence[tuple[str, ...]]) -> str:
    """CSV with the mark by which spreadsheets know UTF-8; a cell that would be read as a formula gets an apostrophe."""
    text = io.StringIO()
    csv.writer(text).writerows(
        [f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in row] for row in rows
    )
    return "\ufeff" + text.getvalue()


def read_verdicts(path: Path) -> dict[str, str]:
    """``{id: verdict}`` of a filled sheet; rows without a verdict are left out.

    Raises:
        LeyloraError: a column is missing, or a verdict is none of `VERDICTS`.
    """
    verdicts = {}
    text = read_text(path).removeprefix("\ufeff")
    lines = csv.DictReader(text.splitlines(keepends=True), delimiter=_delimiter(text))
    if missing := {"id", "veredicto"} - set(lines.fieldnames or ()):
        raise LeyloraError(f"{path} has no column {' or '.join(sorted(missing))}; keep the sheet's first line.")
    for row in lines:
        verdict = (row["veredicto"] or "").strip().lower()
        if verdict and verdict not in VERDICTS:
            raise LeyloraError(f"{path}, {row['id']}: the verdict '{verdict}' is none of {', '.join(VERDICTS)}.")
        if verdict:
            verdicts[row["id"].lstrip("'")] = verdict
    return verdicts


def _delimiter(text: str) -> str:
    """Spreadsheets set to Spanish write CSV with semicolons."""
    first = text.partition("\n")[0]
    return ";" if first.count(";") > first.count(",") else ","


class Agreement(NamedTuple):
    """Two reviewers on the rows that both judged. ``kappa`` is Cohen's (1960), None where chance explains all."""

    both: int
    same: int
    kappa: float | None
    table: Counter[tuple[str, str]]
    disputed: list[str]


def agreement(one: dict[str, str], two: dict[str, str]) -> Agreement:
    common = sorted(one.keys() & two.keys())
    table = Counter((one[key], two[key]) for key in common)
    same = sum(one[key] == two[key] for key in common)
    kappa = None
    if common:
        marginals = [Counter(verdicts[key] for key in common) for verdicts in (one, two)]
        by_chance = sum(marginals[0][verdict] * marginals[1][verdict] for verdict in VERDICTS) / len(common) ** 2
        kappa = (same / len(common) - by_chance) / (1 - by_chance) if by_chance < 1 else None
    return Agreement(len(common), same, kappa, table, [key for key in common if one[key] != two[key]])
