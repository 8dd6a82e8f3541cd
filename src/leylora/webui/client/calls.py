"""One function for each request the API knows: its path, body, key, patience, and how its answer is read.

This is the only place that knows paths. A `Call` says nothing of how it is sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from leylora.errors import UsageError
from leylora.webui.client.errors import ServerFailedError
from leylora.webui.client.options import Sampling
from leylora.webui.client.schemas import Answer, Chunk, ModelInfo, Usage

T = TypeVar("T", covariant=True)

QUICK, GENERATION, LOADING = 30.0, 600.0, 3600.0  # seconds until an answer must have begun

Message = dict[str, Any]


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request.

    Attributes:
        read: makes the result of the answer's JSON.
        admin: it wants the admin key.
        safe: asking twice does no harm, so that it may be repeated when the connection fails.
        patience: seconds to wait for the answer.
        what: what it does, for error messages.
    """

    method: str
    path: str
    read: Callable[[Any], T]
    what: str
    body: dict[str, Any] | None = None
    admin: bool = False
    safe: bool = False
    patience: float = QUICK


def completions(prompt: str, sampling: Sampling, *, stream: bool = False) -> Call[Answer]:
    body = {"prompt": prompt, **sampling.body()} | ({"stream": True} if stream else {})
    return Call("POST", "/v1/completions", _completion, "generate", body, patience=GENERATION)


def chat_completions(
    messages: Sequence[Message], sampling: Sampling, *, stream: bool = False, **fields: Any
) -> Call[Answer]:
    """``fields`` are the webui's own: mode, instruction_template(_str), character, context, name1, name2, continue_."""
    if not messages:
        raise UsageError("A chat needs at least one message.")
    given = {key: value for key, value in fields.items() if value is not None}
    body = {"messages": list(messages), **given, **sampling.body()} | ({"stream": True} if stream else {})
    return Call("POST", "/v1/chat/completions", _chat, "chat", body, patience=GENERATION)


def chat_prompt(messages: Sequence[Message], **fields: Any) -> Call[str]:
    """What the server makes of a chat before it generates; needs no model."""
    body = {"messages": list(messages)} | {key: value for key, value in fields.items() if value is not None}
    return Call("POST", "/v1/internal/chat-prompt", _field("prompt", str), "render a chat", body, safe=True)


def info() -> Call[ModelInfo]:
    return Call("GET", "/v1/internal/model/info", ModelInfo.model_validate, "ask what is loaded", safe=True)


def models() -> Call[list[str]]:
    return Call("GET", "/v1/internal/model/list", _names("model_names"), "list the models", admin=True, safe=True)


def openai_models() -> Call[list[str]]:
    def read(answer: Any) -> list[str]:
        return [str(entry["id"]) for entry in answer["data"]]

    return Call("GET", "/v1/models", read, "list the models", safe=True)


def load_model(name: str, args: dict[str, Any] | None = None, template: str | None = None) -> Call[str]:
    body = {"model_name": name, "args": args, "instruction_template_str": template}
    given = {key: value for key, value in body.items() if value is not None}
    return Call("POST", "/v1/internal/model/load", str, f"load the model {name}", given, admin=True, patience=LOADING)


def unload_model() -> Call[str]:
    return Call("POST", "/v1/internal/model/unload", str, "unload the model", admin=True, patience=LOADING)


def loras() -> Call[list[str]]:
    return Call("GET", "/v1/internal/lora/list", _names("lora_names"), "list the LoRAs", admin=True, safe=True)


def load_loras(names: Sequence[str]) -> Call[str]:
    body = {"lora_names": list(names)}
    what = f"load the LoRA {', '.join(names)}"
    return Call("POST", "/v1/internal/lora/load", str, what, body, admin=True, patience=LOADING)


def unload_loras() -> Call[str]:
    return Call("POST", "/v1/internal/lora/unload", str, "unload the LoRA", admin=True, patience=LOADING)


def encode(text: str) -> Call[list[int]]:
    """Token numbers, with the BOS the webui puts in front."""
    return Call("POST", "/v1/internal/encode", _field("tokens", list), "encode", {"text": text}, safe=True)


def decode(tokens: Sequence[int]) -> Call[str]:
    return Call("POST", "/v1/internal/decode", _field("text", str), "decode", {"tokens": list(tokens)}, safe=True)


def logits(prompt: str, top: int = 50) -> Call[dict[str, float]]:
    """The likeliest next tokens, as the vocabulary spells them, with their probabilities."""
    body = {"prompt": prompt, "use_samplers": False, "top_logits": top}
    return Call("POST", "/v1/internal/logits", _logits, "ask for probabilities", body, safe=True, patience=GENERATION)


def stop() -> Call[str]:
    """Stop everything that is being generated on the server, for everyone."""
    return Call("POST", "/v1/internal/stop-generation", str, "stop the generation")


def read_answer(call: Call[T], answer: Any) -> T:
    """The call's result from the answer's JSON.

    Raises:
        ServerFailedError: it is not what this call is answered with.
    """
    try:
        return call.read(answer)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ValidationError):
        raise ServerFailedError(
            f"{call.path} answered with something else than expected ({str(answer)[:120]}); is it the API of "
            "text-generation-webui, or of a server compatible with OpenAI's?"
        ) from None


def chunk(event: dict[str, Any]) -> Chunk | None:
    """A streamed event as a chunk; None for one without choices (the usage at the end) or with nothing to say.

    Raises:
        ServerFailedError: it reports an error, or is none of a completion's.
    """
    if error := event.get("error"):
        text = error.get("message") if isinstance(error, dict) else error
        raise ServerFailedError(f"The server broke off the stream: {text}.")
    try:
        usage = Usage.model_validate(event["usage"]) if event.get("usage") else None
        if not event["choices"]:
            return Chunk(usage=usage) if usage else None
        choice = event["choices"][0]
        delta = choice.get("delta") or {}  # the webui's last delta is {}
        return Chunk(
            text=choice.get("text") or delta.get("content") or "",
            reasoning=delta.get("reasoning_content") or "",
            finish_reason=choice.get("finish_reason"),
            usage=usage,
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValidationError):
        raise ServerFailedError(f"The stream holds an event of an unknown form: {str(event)[:120]}.") from None


def _completion(answer: Any) -> Answer:
    choice = answer["choices"][0]
    return Answer(
        text=choice["text"] or "",
        finish_reason=choice.get("finish_reason"),
        usage=answer.get("usage"),
        model=answer.get("model"),
    )


def _chat(answer: Any) -> Answer:
    choice = answer["choices"][0]
    message = choice["message"]
    return Answer(
        text=message.get("content") or "",
        finish_reason=choice.get("finish_reason"),
        reasoning=message.get("reasoning_content") or "",
        tool_calls=tuple(message.get("tool_calls") or ()),
        usage=answer.get("usage"),
        model=answer.get("model"),
    )


def _logits(answer: Any) -> dict[str, float]:
    return {str(token): float(probability) for token, probability in answer.items()}  # no model: a list, status 200


def _names(key: str) -> Callable[[Any], list[str]]:
    return lambda answer: [str(name) for name in answer[key]]


def _field(key: str, kind: type) -> Callable[[Any], Any]:
    return lambda answer: kind(answer[key])
