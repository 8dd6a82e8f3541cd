"""A mixture: the YAML file that says what a dataset is made of, checked when it is read."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from leylora.data.compose import TaskSettings
from leylora.data.gate import GateSettings, refusal
from leylora.data.readers import InstructionSource
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_yaml_mapping
from leylora.redact import plain_address

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Splits(BaseModel):
    """Shares of articles (law) and of conversations (instructions) that are held out."""

    model_config = ConfigDict(extra="forbid")

    validation: float = Field(default=0.05, ge=0, lt=0.5)
    test: float = Field(default=0.05, ge=0, lt=0.5)


class WriterSettings(BaseModel):
    """A model that writes questions: where it answers and how much it may write. Its key is in the environment."""

    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(description="e.g. http://127.0.0.1:5000/v1")
    model: str
    api_key_env: str = Field(default="LEYLORA_API_KEY", pattern=r"^LEYLORA_[A-Z0-9_]+$")
    per_article: int = Field(default=2, ge=1, le=4)
    max_articles: int = Field(default=200, gt=0)
    replies: Path = Field(description="JSON Lines file that keeps the replies")
    timeout_s: float = Field(default=120, gt=0)

    @field_validator("base_url")
    @classmethod
    def _is_an_address_without_secrets(cls, url: str) -> str:
        if plain_address(url) != url or not url.startswith(("http://", "https://")):
            raise ValueError(
                f"write {plain_address(url)} as http://host:port/v1, without user, password or query; the key belongs "
                "into the variable that api_key_env names"
            )
        return url.rstrip("/")


class LawPart(BaseModel):
    """Which of the laws given take part, and what is asked about them."""

    model_config = ConfigDict(extra="forbid")

    only: list[str] = Field(default=[], description="law ids; empty: every law given")
    hold_out: list[str] = Field(default=[], description="law ids whose rows all go to test")
    tasks: TaskSettings = TaskSettings()
    writer: WriterSettings | None = Field(default=None, description="a model that writes further questions")


class InstructionPart(BaseModel):
    """The instruction sources, their gate, and the share of the finished dataset they make up."""

    model_config = ConfigDict(extra="forbid")

    sources: list[InstructionSource] = Field(min_length=1)
    gate: GateSettings = GateSettings()
    fraction: float | None = Field(default=None, gt=0, lt=1, description="of all rows; None: every row that passes")
    max_source_share: float | None = Field(
        default=None, gt=0, lt=1, description="of the instruction rows, for one source; the rest of it is left out"
    )


class Mixture(BaseModel):
    """What a dataset is made of. Relative paths count from the folder of the mixture file."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    seed: int = 42
    splits: Splits = Splits()
    laws: LawPart | None = None
    instructions: InstructionPart | None = None
    allow_licenses: list[str] = Field(default=[], description="licences used on top of the allow-list")
    benchmark: list[Path] = Field(default=[], description="files no row may share a run of eight words with")

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if self.laws is None and self.instructions is None:
            raise ValueError("a mixture needs `laws:`, `instructions:` or both")
        if self.instructions:
            if self.instructions.fraction is not None and self.laws is None:
                raise ValueError("`instructions.fraction` needs `laws:` too")
            names = [source.name for source in self.instructions.sources]
            if len(names) != len(set(names)):
                raise ValueError("two sources have the same name")
        return self

    @classmethod
    def load(cls, path: Path) -> "Mixture":
        """Read a mixture file.

        Raises:
            LeyloraError: the file is not readable YAML.
            UsageError: an unknown key or a value that does not fit; the message names the key.
        """
        value = read_yaml_mapping(path)
        if not value:
            raise LeyloraError(f"{path} is empty; docs/data.md lists the keys of a mixture.")
        try:
            mixture = cls.model_validate(value)
        except ValidationError as error:
            first, *others = error.errors()
            told = []  # the first fault, and unknown keys: one of them may be the missing key, misspelt
            for fault in (first, *(other for other in others if other["type"] == "extra_forbidden")):
                key, unknown = ".".join(map(str, fault["loc"])) or "the mixture", fault["type"] == "extra_forbidden"
                told.append(f"{key}: {'unknown key' if unknown else fault['msg'].removeprefix('Value error, ')}")
            raise UsageError(f"{path}, {'; '.join(told)}. docs/data.md lists the keys of a mixture.") from None
        folder = path.parent
        mixture.benchmark = [_joined(folder, file) for file in mixture.benchmark]
        for source in mixture.instructions.sources if mixture.instructions else ():
            source.path = source.path and _joined(folder, source.path)
        if mixture.laws is not None and mixture.laws.writer is not None:
            mixture.laws.writer.replies = _joined(folder, mixture.laws.writer.replies)
        return mixture

    def admitted(self) -> tuple[list[InstructionSource], dict[str, str]]:
        """The sources whose licence is allowed, and the others with the reason."""
        sources = self.instructions.sources if self.instructions else []
        refused = {source.name: refusal(source.license, self.allow_licenses) for source in sources}
        allowed = [source for source in sources if refused[source.name] is None]
        return allowed, {name: reason for name, reason in refused.items() if reason is not None}


def _joined(folder: Path, path: Path) -> Path:
    return Path(os.path.normpath(folder / path))
