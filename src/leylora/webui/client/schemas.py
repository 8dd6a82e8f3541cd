"""What the server's answers become. Unknown fields are ignored, missing ones have defaults: servers differ."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class _Answered(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Usage(_Answered):
    """Tokens as the server counts them: the webui re-encodes the answer, and counts a prompt before truncating it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answer(_Answered):
    """A whole answer.

    ``finish_reason`` is "stop" (the model ended it, or a stop string did), "length" (max_tokens) or "tool_calls".
    ``reasoning`` is what a thinking model wrote before its answer.
    """

    text: str
    finish_reason: str | None = None
    reasoning: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    usage: Usage | None = None
    model: str | None = None


class Chunk(_Answered):
    """A piece of a streamed answer; the last one carries ``finish_reason``."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


class ModelInfo(_Answered):
    """What is loaded. ``lora_names`` is what the webui believes; see `LoraEffect` for what is true."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    model_name: str | None = None
    lora_names: tuple[str, ...] = ()
    loader: str | None = None

    @property
    def loaded(self) -> bool:
        return self.model_name not in (None, "", "None")


class LoraEffect(_Answered):
    """A LoRA that was applied and seen to act: the largest change it made to a probability of the next token."""

    name: str
    change: float
