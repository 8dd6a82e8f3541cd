"""An answer as it comes: pieces of text, scores of tokens, and how it ended."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TokenScore:
    """A token and its natural log-probability under the model itself, before sampling settings.

    ``top`` are the likeliest tokens at its place, with theirs.
    """

    text: str
    id: int
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Finish:
    """How an answer ended: by itself or a stop text, at the length asked for, or because it was stopped."""

    reason: Literal["stop", "length", "stopped"]
    prompt_tokens: int
    completion_tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Speed with everything: reading the prompt, waiting for others."""
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Piece:
    """The next piece of an answer; the last one has ``finish``."""

    text: str
    tokens: tuple[TokenScore, ...] = ()
    finish: Finish | None = None
