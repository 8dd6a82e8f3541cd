"""The quality gate: every step counts what it dropped or mended and keeps five samples of it.

Order: schema -> repair -> empty or placeholder -> length -> Spanish -> refusal or identity -> image or link ->
repetition -> exact duplicates -> near duplicates -> personal data -> benchmark overlap.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.data import content
from leylora.data.conversation import Conversation, Message
from leylora.data.duplicates import exact_duplicates, near_duplicates
from leylora.data.formats import Draft
from leylora.data.overlap import marks
from leylora.data.personal_data import personal_data
from leylora.data.records import Fault
from leylora.data.repair import repair

SAMPLES = 5
SAMPLE_CHARACTERS = 160


class GateSettings(BaseModel):
    """Bounds of the gate, in characters of plain text."""

    model_config = ConfigDict(extra="forbid")

    max_characters: int = Field(default=24_000, gt=0, description="of a whole conversation; longer rows are dropped")
    min_answer: int = Field(default=1, ge=1)
    max_answer: int = Field(default=12_000, gt=0)
    near_duplicates: float = Field(default=0.8, gt=0.3, le=1.0, description="Jaccard similarity of word triples")
    require_spanish: bool = True


class Sample(BaseModel):
    """A row that a step touched: where it stood, why, and how it began."""

    place: str
    reason: str
    text: str


class Step(BaseModel):
    """What one step did. ``reasons`` counts by kind, most frequent first."""

    name: str
    dropped: int = 0
    mended: int = 0
    reasons: dict[str, int] = {}
    samples: list[Sample] = []


class GateReport(BaseModel):
    """Counts of the whole gate; ``rows_in`` = ``rows_out`` + the sum of ``dropped``."""

    rows_in: int = 0
    rows_out: int = 0
    steps: list[Step] = []

    def step(self, name: str) -> Step:
        """The step called ``name``."""
        return next(step for step in self.steps if step.name == name)


Placed = tuple[str, Conversation]


def clean(
    drafts: Iterable[Draft | Fault],
    *,
    source: str,
    license: str,
    settings: GateSettings | None = None,
    benchmark: set[int] | None = None,
    tick: Callable[[int], None] = lambda rows: None,
) -> tuple[list[Conversation], GateReport]:
    """Run every draft through the gate.

    Args:
        source: name that goes into the rows and their ids (``source:own id`` or ``source:running number``).
        benchmark: word runs (`overlap.marks`) that no row may contain.
        tick: called with the number of rows read so far, for a progress bar.
    """
    settings = settings or GateSettings()
    rows, report = _read(drafts, source, license, tick)
    personal = _on_every_turn(personal_data)

    def length(row: Conversation) -> str | None:
        answer = len(row.answer)
        if answer < settings.min_answer:
            return f"answer under {settings.min_answer} characters"
        if answer > settings.max_answer:
            return f"answer over {settings.max_answer} characters"
        if row.characters > settings.max_characters:
            return f"conversation over {settings.max_characters} characters"
        return None

    def overlap(row: Conversation) -> str | None:
        if benchmark and any(not benchmark.isdisjoint(marks(message.content)) for message in row.messages):
            return "shares eight words with the benchmark"
        return None

    rows = _filter(rows, "empty or placeholder", content.empty_or_placeholder, report)
    rows = _filter(rows, "length", length, report)
    if settings.require_spanish:
        rows = _filter(rows, "not Spanish", content.not_spanish, report)
    rows = _filter(rows, "refusal or identity", content.refusal_or_identity, report)
    rows = _filter(rows, "needs an image or link", content.needs_image_or_link, report)
    rows = _filter(rows, "repetition", content.repetitive, report)
    whole = ["\n".join(message.content for message in row.messages) for _, row in rows]
    rows = _without(rows, "exact duplicate", exact_duplicates(whole), report)
    pairs = [(row.prompt, row.answer) for _, row in rows]
    rows = _without(rows, "near duplicate", near_duplicates(pairs, settings.near_duplicates), report)
    rows = _filter(rows, "personal data", personal, report, hide=True)
    rows = _filter(rows, "benchmark overlap", overlap, report)
    report.rows_out = len(rows)
    return [row for _, row in rows], report


def _read(
    drafts: Iterable[Draft | Fault], source: str, license: str, tick: Callable[[int], None]
) -> tuple[list[Placed], GateReport]:
    """Schema and repair in one pass: a draft becomes a `Conversation` or a sample of the schema step."""
    report = GateReport(steps=[Step(name="schema"), Step(name="repair")])
    schema, mending = report.steps
    reasons: Counter[str] = Counter()
    rows: list[Placed] = []
    seen: dict[str, str] = {}
    for number, draft in enumerate(drafts, start=1):
        report.rows_in = number
        if number % 500 == 0:
            tick(number)
        if isinstance(draft, Fault):
            _drop(schema, reasons, draft.place, draft.reason, "")
            continue
        turns = [{"role": turn["role"], "content": repair(turn["content"])} for turn in draft.turns]
        if turns and turns[0] == {"role": "system", "content": ""}:
            turns = turns[1:]
        key = f"{source}:{repair(draft.own_id) or number}"
        if key in seen:
            _drop(schema, reasons, draft.place, f"the id {draft.own_id!r} was already used ({seen[key]})", "")
            continue
        try:
            row = Conversation(
                id=key,
                messages=[Message.model_validate(turn) for turn in turns],
                task=repair(draft.task),
                source=source,
                license=license,
            )
        except ValidationError as error:
            why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            _drop(schema, reasons, draft.place, why, " / ".join(turn["content"] for turn in turns))
            continue
        seen[key] = draft.place
        if any(old["content"].strip() != new["content"] for old, new in zip(draft.turns, turns, strict=False)):
            mending.mended += 1
            if len(mending.samples) < SAMPLES:
                mending.samples.append(Sample(place=draft.place, reason="text mended", text=_begin(row.prompt)))
        rows.append((draft.place, row))
    tick(report.rows_in)
    schema.reasons = dict(reasons.most_common())
    return rows, report


def _filter(
    rows: Sequence[Placed],
    name: str,
    judge: Callable[[Conversation], str | None],
    report: GateReport,
    *,
    hide: bool = False,
) -> list[Placed]:
    """Drop the rows ``judge`` gives a reason for; ``hide`` keeps their text out of the report."""
    step = Step(name=name)
    reasons: Counter[str] = Counter()
    kept: list[Placed] = []
    for place, row in rows:
        reason = judge(row)
        if reason is None:
            kept.append((place, row))
        else:
            _drop(step, reasons, place, reason, "(hidden)" if hide else row.prompt)
    step.reasons = dict(reasons.most_common())
    report.steps.append(step)
    return kept


def _without(rows: Sequence[Placed], name: str, copies: dict[int, int], report: GateReport) -> list[Placed]:
    step = Step(name=name, reasons={name: len(copies)} if copies else {})
    for index, first in copies.items():
        _drop(step, Counter(), rows[index][0], f"like {rows[first][0]}", rows[index][1].prompt)
    report.steps.append(step)
    return [row for index, row in enumerate(rows) if index not in copies]


def _drop(step: Step, reasons: Counter[str], place: str, reason: str, text: str) -> None:
    step.dropped += 1
    reasons[_begin(reason.split(" (")[0])] += 1
    if len(step.samples) < SAMPLES:
        step.samples.append(Sample(place=place, reason=_begin(reason), text=_begin(text)))


def _begin(text: str) -> str:
    line = " ".join(text[: 4 * SAMPLE_CHARACTERS].encode("utf-8", "replace").decode().split())
    return line if len(line) <= SAMPLE_CHARACTERS else line[: SAMPLE_CHARACTERS - 1] + "…"


def _on_every_turn(judge: Callable[[str], str | None]) -> Callable[[Conversation], str | None]:
    def look(row: Conversation) -> str | None:
        found: Any = None
        for message in row.messages:
            found = found or judge(message.content)
        return found

    return look
