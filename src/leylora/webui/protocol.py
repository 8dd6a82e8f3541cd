"""What goes to a server and what comes back: address and keys, the fields of a request, answers, errors.

Takes keywords and gives the JSON of a request; takes the JSON of an answer and gives `Answer` or `Chunk`. The webui
answers status 200 to an unknown key, to a preset it does not have and to settings that its preset overwrites, so all of
these are checked here before they are sent, and a preset or template of ours is sent by its content.
"""

import ipaddress
import json
import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import DEFAULTS, parse_preset, same_kind
from leylora.models.templates import instruction_template
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES

MODES = ("instruct", "chat", "chat-instruct")
Message = dict[str, Any]

_OTHERS = {"truncation_length": 0, "ban_eos_token": False, "skip_special_tokens": True}  # no keys of a preset
_WHOLE = {"top_k", "seed", "max_tokens", "truncation_length", "dry_allowed_length", "mirostat_mode"}
_WHOLE |= {"no_repeat_ngram_size", "repetition_penalty_range"}
_LIMITS: dict[str, tuple[float, float]] = {
    "max_tokens": (1, float("inf")),
    "truncation_length": (1, float("inf")),
    "temperature": (0, float("inf")),
    "top_k": (0, float("inf")),
    "top_p": (0, 1),
    "min_p": (0, 1),
}
_NOT_SENT = ("sampler_priority", "dry_sequence_breakers")  # the server's own order and breakers stay


class ServerSettings(BaseModel):
    """Address and keys. A key is never shown: not in a repr, not in an error."""

    model_config = ConfigDict(frozen=True)

    url: str = "http://127.0.0.1:5000"
    api_key: SecretStr | None = None
    admin_key: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str) -> str:
        return base_url(url)

    @classmethod
    def from_environment(
        cls, url: str | None = None, api_key: str | None = None, admin_key: str | None = None
    ) -> "ServerSettings":
        """What is given, or else WEBUI_URL, WEBUI_API_KEY and WEBUI_ADMIN_KEY; the admin key defaults to the API key.

        Raises:
            UsageError: the address cannot be one.
        """
        key = api_key or os.environ.get("WEBUI_API_KEY") or None
        admin = admin_key or os.environ.get("WEBUI_ADMIN_KEY") or key
        address = url or os.environ.get("WEBUI_URL") or "http://127.0.0.1:5000"
        try:
            complete = base_url(address)
        except ValueError as error:
            raise UsageError(f"{address!r} is not a server address ({error}); write 127.0.0.1:5000.") from None
        return cls(
            url=complete,
            api_key=SecretStr(key) if key else None,
            admin_key=SecretStr(admin) if admin else None,
        )

    def headers(self, *, admin: bool) -> dict[str, str]:
        """The Authorization header of an ordinary call, or of one on models and LoRAs."""
        key = self.admin_key if admin else self.api_key
        return {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    @property
    def local(self) -> bool:
        """Whether the server runs on this machine; a proxy of the environment is not asked for it."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def base_url(text: str) -> str:
    """``host:port``, ``http://host:port/`` or ``…/v1`` as ``http://host:port``.

    Raises:
        ValueError: it has no host, or another scheme than http and https.
    """
    full = text.strip() if "://" in text else f"http://{text.strip()}"
    parts = urlsplit(full)
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in full):
        raise ValueError("a host is needed, after http:// or https://")
    _ = parts.port  # raises ValueError for a port that is not a number
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def turns(instruction: str, system: str | None = None) -> list[Message]:
    """An instruction, and the system message before it if there is one, as messages."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": instruction}]


def completion_body(prompt: str, sampling: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(prompt, str):
        raise UsageError("A prompt is one text; ask once for each of several.")  # of a list, one answer would be lost
    return {"prompt": prompt, **sampling_fields(**sampling)}


def sampling_fields(
    *,
    preset: str | None = None,
    stop: str | Sequence[str] = (),
    model: str | None = None,
    extra: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The request's fields for how to generate; only what is set is sent, so that any OpenAI server takes them.

    Args:
        preset: a file of GENERATION-PRESETS, sent as its settings with ``settings`` laid over them, or else a preset
            of the server's, which would overwrite any setting given with it and therefore allows none.
        extra: fields that only one server knows; sent as they are.
        settings: max_tokens, seed, truncation_length, ban_eos_token, skip_special_tokens and every key of a preset
            (`leylora.models.presets.DEFAULTS`); None means not set.

    Raises:
        UsageError: an unknown setting, or one with an impossible value.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    for key, value in given.items():
        _check(key, value)
    if "stream" in (extra or {}) or (extra or {}).get("n", 1) != 1:
        raise UsageError("'stream' and 'n' do not go into 'extra': call a stream_ method, or ask once for each answer.")
    fields: dict[str, Any] = {}
    if preset and is_ours(preset, GENERATION_PRESETS, "preset"):
        fields = {key: value for key, value in DEFAULTS.items() if key not in _NOT_SENT}
        fields |= parse_preset((GENERATION_PRESETS / f"{preset}.yaml").read_bytes()).settings
    elif preset:
        if beside := [key for key in DEFAULTS if key in given]:
            raise UsageError(
                f"The server's preset {preset} would overwrite {', '.join(beside)}; give one or the other."
            )
        fields = {"preset": preset}
    if stop:
        fields["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return fields | given | ({"model": model} if model else {}) | (extra or {})


def chat_body(
    messages: Sequence[Message],
    *,
    mode: str | None = None,
    template: str | None = None,
    context: str | None = None,
    character: str | None = None,
    name1: str | None = None,
    name2: str | None = None,
    continue_last: bool = False,
    **sampling: Any,
) -> dict[str, Any]:
    """The request's messages, the webui's own fields for a chat, and how to generate.

    In mode "chat" the webui ignores a system message and reads ``context``, so the text is moved there. A template of
    INSTRUCTION-TEMPLATES is sent as text: the webui silently takes Alpaca for a name it does not know.

    Raises:
        UsageError: no message, an unknown mode, or an empty ``context``, which would mean the default character's.
    """
    if not messages:
        raise UsageError("A chat needs at least one message.")
    if mode not in (None, *MODES):
        raise UsageError(f"There is no mode {mode!r}; there are instruct, chat and chat-instruct.")
    if context is not None and not context.strip():
        raise UsageError("An empty context would bring the server's default character; leave it out or write one.")
    rest = list(messages)
    if mode == "chat":
        system = [str(message.get("content") or "") for message in rest if message.get("role") == "system"]
        rest = [message for message in rest if message.get("role") != "system"]
        context = "\n".join(filter(None, [context, *system])) or None
    ours = template is not None and is_ours(template, INSTRUCTION_TEMPLATES, "template")
    fields: dict[str, Any] = {
        "messages": rest,
        "mode": mode,
        "context": context,
        "character": character,
        "name1": name1,  # the schema's user_name and bot_name are not read by the server
        "name2": name2,
        "continue_": True if continue_last else None,
        "instruction_template_str": instruction_template(template) if template and ours else None,
        "instruction_template": None if ours else template,
    }
    return {key: value for key, value in fields.items() if value is not None} | sampling_fields(**sampling)


def is_ours(name: str, folder: Path, what: str) -> bool:
    """Whether a preset or template is a file of ours; the server is silent about a name it does not know.

    Raises:
        UsageError: it differs from one of ours by a typing error.
    """
    if Path(name).name == name and (folder / f"{name}.yaml").is_file():
        return True
    near = get_close_matches(name.casefold(), [path.stem for path in folder.glob("*.yaml")], n=1, cutoff=0.92)
    if near and near[0] != name.casefold():
        raise UsageError(
            f"There is no {what} {name!r}; did you mean {near[0]}? (One of the server's goes into 'extra'.)"
        )
    return False


def _check(key: str, value: Any) -> None:
    known = DEFAULTS | _OTHERS | {"max_tokens": 1, "seed": 1}
    if key not in known:
        near = get_close_matches(key, [*known, "preset", "stop", "model", "extra"], n=1)
        hint = f"did you mean {near[0]}?" if near else "what only one server knows goes into 'extra'."
        raise UsageError(f"{key} is not a generation setting; {hint}")
    if not same_kind(value, known[key]) or (key in _WHOLE and value != int(value)):
        kind = (
            "a text" if isinstance(known[key], str) else "true or false" if isinstance(known[key], bool) else "a number"
        )
        raise UsageError(f"{key}: {value!r} is not {'a whole number' if key in _WHOLE else kind}.")
    lowest, highest = _LIMITS.get(key, (float("-inf"), float("inf")))
    if not isinstance(value, str) and not lowest <= value <= highest:
        most = f" and at most {highest:g}" if highest != float("inf") else ""
        raise UsageError(f"{key}: {value:g} must be at least {lowest:g}{most}.")


class WebuiError(LeyloraError):
    """Any failure of a call to the server."""


class ServerDownError(WebuiError):
    """Nothing answers at the address."""


class TimedOutError(WebuiError):
    """The server took the request and did not answer in time; it may still be at work on it."""


class UnauthorizedError(WebuiError):
    """The key is missing or wrong; the webui has one key for everything and one for models and LoRAs."""


class RequestRefusedError(WebuiError):
    """The server refused the request (status 4xx) and did nothing."""


class ServerFailedError(WebuiError):
    """The server failed at the request (status 5xx) or answered with something unreadable."""


class NoModelError(WebuiError):
    """No model is loaded, so nothing can be generated."""


class EmptyAnswerError(WebuiError):
    """Status 200 and no text: how the webui answers when the generation itself failed."""


class StreamCutError(WebuiError):
    """A stream ended before its last chunk, or was damaged; ``text`` is what had come until then."""

    def __init__(self, message: str, text: str = "") -> None:
        super().__init__(message)
        self.text = text


class LoraError(WebuiError):
    """A LoRA could not be applied, or was and changes nothing."""


class _Answered(BaseModel):
    """Unknown fields are ignored and missing ones have defaults, because servers differ."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Usage(_Answered):
    """Tokens as the server counts them: the webui re-encodes the answer, and counts a prompt before truncating it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(_Answered):
    """A piece of a streamed answer; the last one has a ``finish_reason``."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


class Answer(Chunk):
    """A whole answer.

    ``finish_reason`` is "stop" (the model ended it, or a stop string did), "length" (max_tokens) or "tool_calls".
    ``reasoning`` is what a thinking model wrote before its answer.
    """

    tool_calls: tuple[dict[str, Any], ...] = ()
    model: str | None = None


class ModelInfo(_Answered):
    """What is loaded. ``lora_names`` is what the webui believes; `Client.load_lora` finds out what is true."""

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


def read_answer(found: Any) -> Answer:
    choice = found["choices"][0]
    message = choice.get("message") or {"content": choice.get("text")}
    return Answer(
        text=message.get("content") or "",
        finish_reason=choice.get("finish_reason"),
        reasoning=message.get("reasoning_content") or "",
        tool_calls=tuple(message.get("tool_calls") or ()),
        usage=found.get("usage"),
        model=found.get("model"),
    )


def read_chunk(event: Any) -> Chunk:
    """A streamed event as a chunk; the one with the usage has no choices, and the webui's last delta is {}."""
    try:
        choice = event["choices"][0] if event["choices"] else {}
        delta = choice.get("delta") or {}
        return Chunk(
            text=choice.get("text") or delta.get("content") or "",
            reasoning=delta.get("reasoning_content") or "",
            finish_reason=choice.get("finish_reason"),
            usage=event.get("usage") or None,
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValidationError):
        raise ServerFailedError(f"The stream holds an event of an unknown form: {str(event)[:120]}.") from None


def server_words(text: str) -> str:
    """The server's own words, from ``{"detail": …}``, ``{"error": {"message": …}}`` or plain text."""
    try:
        body = json.loads(text)
    except ValueError:
        body = text
    if isinstance(body, dict):
        error = body.get("error")
        body = body.get("detail") or (error.get("message") if isinstance(error, dict) else error) or body
    if isinstance(body, list) and body and isinstance(body[0], dict):  # FastAPI's list of invalid fields
        body = "; ".join(f"{'.'.join(map(str, entry.get('loc', ())))}: {entry.get('msg')}" for entry in body)
    said = str(body).strip()[:300] or "no reason given"
    return said if said.endswith(".") else f"{said}."
