"""OpenAI's wire format for chat and plain completions: requests checked, answers and events built. No server here.

What would change an answer and is not done here is refused by name, not ignored.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from leylora.chat.answer import Finish, TokenScore
from leylora.chat.sampling import MAX_NEW_TOKENS, Sampling, from_settings
from leylora.errors import UsageError
from leylora.models.presets import DEFAULTS

REFUSED = (
    "tools", "functions", "tool_choice", "function_call", "response_format", "logit_bias", "suffix", "echo", "preset",
    "grammar_string", "instruction_template", "instruction_template_str", "character", "context", "continue_",
)  # fmt: skip
"""Fields of OpenAI's and the webui's APIs that would change the answer."""


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        code: OpenAI's short name of the fault.
        param: the field it is about.
    """

    def __init__(self, status: int, message: str, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A message; ``developer`` is what newer clients call the system."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]

    def plain(self) -> dict[str, str]:
        """As chat templates take it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _StreamOptions(BaseModel):
    include_usage: bool = False


class _Request(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = None
    stop: list[str] = Field(default=[], max_length=16)
    n: Literal[1] | None = None
    best_of: Literal[1] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _listed(cls, stop: Any) -> Any:
        return [] if stop is None else [stop] if isinstance(stop, str) else stop

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self, logprobs: int | None) -> Sampling:
        """The settings; the webui's preset keys may stand beside OpenAI's.

        Raises:
            RefusedError: a setting that cannot be, or has no effect here.
        """
        extra = self.model_extra or {}
        if unable := [key for key in REFUSED if extra.get(key)]:
            raise RefusedError(400, f"{unable[0]} is not supported here; leave it out.", "unsupported", unable[0])
        settings = {key: value for key, value in extra.items() if key in DEFAULTS and value is not None}
        for key, value in settings.items():
            if type(value) is not type(DEFAULTS[key]) and (
                isinstance(value, bool | str) or not isinstance(value, int | float)
            ):
                raise RefusedError(400, f"{key} cannot be {value!r}.", "invalid_value", key)
        settings |= {key: value for key in ("temperature", "top_p") if (value := getattr(self, key)) is not None}
        longest = self.max_completion_tokens or self.max_tokens or MAX_NEW_TOKENS
        seed = self.seed if self.seed is None or self.seed >= 0 else None  # the webui's -1: a new one each time
        base = Sampling(max_new_tokens=longest, seed=seed, stop=tuple(self.stop), logprobs=logprobs)
        try:
            sampling, ignored = from_settings(settings, base)
        except UsageError as error:
            raise RefusedError(400, str(error), "invalid_value") from None
        if ignored:
            raise RefusedError(400, f"{ignored[0]} is not supported here; leave it out.", "unsupported", ignored[0])
        return sampling


class ChatRequest(_Request):
    """The body of POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)

    def scored(self) -> int | None:
        """How many alternatives are wanted for each token; None for no scores."""
        return self.top_logprobs if self.logprobs else None


class CompletionRequest(_Request):
    """The body of POST /v1/completions; one prompt a request."""

    prompt: str | list[str]
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @field_validator("prompt")
    @classmethod
    def _one(cls, prompt: str | list[str]) -> str:
        if isinstance(prompt, str):
            return prompt
        if len(prompt) != 1:
            raise ValueError("one prompt a request; send the others by themselves")
        return prompt[0]


def parse(kind: "type[ChatRequest] | type[CompletionRequest]", data: bytes) -> "ChatRequest | CompletionRequest":
    """Read a request's body.

    Raises:
        RefusedError: it is not JSON, or a field cannot be.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(str(part) for part in first["loc"]) or None
        reason = first["msg"].removeprefix("Value error, ")
        raise RefusedError(400, f"{param}: {reason}." if param else f"{reason}.", "invalid_value", param) from None


@dataclass(frozen=True)
class Form:
    """The shape of one request's answers.

    Attributes:
        chat: chat or plain completion.
        model: the id that was asked for.
    """

    chat: bool
    model: str
    scored: bool
    id: str
    created: int

    @classmethod
    def new(cls, model: str, *, chat: bool, scored: bool) -> "Form":
        """A form with an id and a time of its own."""
        return cls(chat, model, scored, f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}", int(time.time()))

    def whole(self, text: str, tokens: Sequence[TokenScore], finish: Finish) -> dict[str, Any]:
        """The answer to a request without ``stream``."""
        choice: dict[str, Any] = {"message": {"role": "assistant", "content": text, "refusal": None}}
        if not self.chat:
            choice = {"text": text}
        choice |= {"index": 0, "finish_reason": finish.reason, "logprobs": self._scores(tokens)}
        return self._envelope(False, [choice]) | {"usage": usage(finish)}

    def event(
        self, text: str = "", tokens: Sequence[TokenScore] = (), end: str | None = None, *, first: bool = False
    ) -> dict[str, Any]:
        """An event of a stream: the first one names the role, the last one how it ended."""
        delta: dict[str, Any] = {"role": "assistant", "content": ""} if first else {"content": text} if text else {}
        choice: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        choice |= {"index": 0, "finish_reason": end, "logprobs": self._scores(tokens) if text else None}
        return self._envelope(True, [choice])

    def counts(self, finish: Finish) -> dict[str, Any]:
        """The event with the usage, which has no choices."""
        return self._envelope(True, []) | {"usage": usage(finish)}

    def _envelope(self, streamed: bool, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = ("chat.completion" + (".chunk" if streamed else "")) if self.chat else "text_completion"
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices}

    def _scores(self, tokens: Sequence[TokenScore]) -> dict[str, Any] | None:
        if not self.scored:
            return None
        if self.chat:
            return {
                "content": [
                    _entry(token.text, token.logprob) | {"top_logprobs": [_entry(*pair) for pair in token.top]}
                    for token in tokens
                ]
            }
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [dict(token.top) for token in tokens],
        }


def usage(finish: Finish) -> dict[str, int]:
    """Token counts; the end-of-text token the model wrote is counted."""
    total = finish.prompt_tokens + finish.completion_tokens
    return {
        "prompt_tokens": finish.prompt_tokens,
        "completion_tokens": finish.completion_tokens,
        "total_tokens": total,
    }


def _entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
