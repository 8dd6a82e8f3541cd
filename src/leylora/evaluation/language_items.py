"""The `instructions` and `spanish` suites: held-out instruction rows, format tasks, and Spanish language tasks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.data.conversation import Conversation
from leylora.errors import LeyloraError
from leylora.evaluation.formats import passes
from leylora.evaluation.results import Item
from leylora.files import read_jsonl
from leylora.project import ROOT

R = TypeVar("R", bound=BaseModel)
OWN = ROOT / "data" / "evaluation"
FORMATS, SPANISH = OWN / "formats.jsonl", OWN / "spanish.jsonl"


class FormatRow(BaseModel):
    """A line of ``formats.jsonl``; `leylora.evaluation.formats` lists the rules."""

    model_config = ConfigDict(extra="forbid")

    id: str
    prompt: str
    checks: list[dict[str, Any]] = Field(min_length=1)


class SpanishRow(BaseModel):
    """A line of ``spanish.jsonl``. ``text`` is read, summarised, or translated from English."""

    model_config = ConfigDict(extra="forbid")

    id: str
    task: Literal["qa", "summary", "translation"]
    text: str
    question: str = ""
    answers: list[str] = Field(min_length=1)

    @property
    def prompt(self) -> str:
        """The user turn, worded as the readers of `leylora.data.readers` word such rows for training."""
        if self.task == "qa":
            return f"Responda con base en el texto.\n\nTexto: {self.text}\n\nPregunta: {self.question}"
        if self.task == "summary":
            return f"Resume el siguiente artículo:\n\n{self.text}"
        return f"Traduce al español el siguiente texto en inglés:\n\n{self.text}"


def format_items(path: Path = FORMATS) -> Iterator[Item]:
    """The format tasks. Raises LeyloraError for a line that is none, or a rule that does not exist."""
    for row in _rows(path, FormatRow):
        for check in row.checks:
            passes(check, "prueba")  # a rule that does not exist stops here, not after an hour
        yield Item(suite="instructions", id=row.id, task="format", ask="generate", cluster=row.id,
                   messages=_user(row.prompt), checks=row.checks)  # fmt: skip


def spanish_items(path: Path = SPANISH) -> Iterator[Item]:
    """The language tasks; questions on one text are one cluster. Raises LeyloraError for a line that is none."""
    for row in _rows(path, SpanishRow):
        yield Item(suite="spanish", id=row.id, task=row.task, ask="generate", cluster=row.text[:60],
                   messages=_user(row.prompt), reference=row.answers[0], accepted=row.answers)  # fmt: skip


def held_out_instruction_items(rows: Sequence[Conversation]) -> Iterator[Item]:
    """Held-out rows of an instruction dataset."""
    for row in rows:
        if not row.law_id:
            yield Item(suite="instructions", id=row.id, task="held-out", ask="generate", cluster=row.id,
                       messages=[turn.model_dump() for turn in row.messages[:-1]], reference=row.answer,
                       accepted=[row.answer])  # fmt: skip


def _user(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


def _rows(path: Path, kind: type[R]) -> Iterator[R]:
    seen: set[str] = set()
    for line, value in read_jsonl(path):
        try:
            row = kind.model_validate(value)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, fault["loc"])) or "the row"
            raise LeyloraError(f"{path}, line {line}, {key}: {fault['msg']}.") from None
        name = str(value["id"])
        if name in seen:
            raise LeyloraError(f"{path}, line {line}: the id {name} stands there twice.")
        seen.add(name)
        yield row
