"""One instruction source of a mixture: where its rows are, under which licence, in which shape."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from leylora.data.conversation import Conversation
from leylora.data.formats import Draft, Format, convert
from leylora.data.gate import GateReport, GateSettings, clean
from leylora.data.hub import hub_rows
from leylora.data.records import Fault, Record, read_records, records_of
from leylora.errors import LeyloraError


class Source(BaseModel):
    """Exactly one of ``path`` (file or folder, relative to the working folder) and ``hub`` (``owner/name``)."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    license: str
    path: Path | None = None
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = Field(default=None, description="branch or commit on the Hub")
    format: Format | None = None
    columns: dict[str, str] = Field(default={}, description="our field name: the set's own")
    where: dict[str, str] = Field(default={}, description="column: the only value to keep")
    task: str | None = Field(default=None, description="overrides the task of every row")
    rows: int | None = Field(default=None, gt=0, description="at most so many rows after the gate")
    optional: bool = Field(default=False, description="leave it out, with a note, when it cannot be read")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError(f"source {self.name!r} needs exactly one of `path` and `hub`")
        return self

    def check(self) -> None:
        """Stop before any work when a local source is missing.

        Raises:
            LeyloraError: ``path`` does not exist.
        """
        if self.path is not None and not self.path.exists():
            raise LeyloraError(
                f"The source {self.name!r} of the mixture is missing: {self.path} does not exist. Put the file there, "
                "correct `path:`, or take the source out of the mixture."
            )

    def load(
        self,
        settings: GateSettings | None = None,
        benchmark: set[int] | None = None,
        *,
        offline: bool = False,
        tick: Callable[[int], None] = lambda rows: None,
    ) -> tuple[list[Conversation], GateReport]:
        """Read, convert and gate the rows of this source; see `leylora.data.gate.clean`."""
        return clean(
            self._drafts(offline),
            source=self.name,
            license=self.license,
            settings=settings,
            benchmark=benchmark,
            tick=tick,
        )

    def _drafts(self, offline: bool) -> Iterator[Draft | Fault]:
        for draft in convert(self._records(offline), self.format):
            if isinstance(draft, Draft) and self.task:
                draft = Draft(draft.place, draft.turns, self.task, draft.own_id)
            yield draft

    def _records(self, offline: bool) -> Iterator[Record | Fault]:
        if self.hub is not None:
            rows = hub_rows(
                self.hub,
                config=self.config,
                split=self.split,
                revision=self.revision,
                columns=self.columns,
                where=self.where,
                offline=offline,
            )
            yield from records_of(rows, self.hub)
            return
        assert self.path is not None  # the validator saw to it
        for row in read_records(self.path):
            if isinstance(row, Record):
                if any(str(row.value.get(key)) != wanted for key, wanted in self.where.items()):
                    continue
                renamed = {ours: row.value[theirs] for ours, theirs in self.columns.items() if theirs in row.value}
                row = Record(row.place, {**row.value, **renamed})
            yield row
