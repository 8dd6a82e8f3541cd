"""What goes to a server and what comes back: the fields of a request, answers, errors.

Takes keywords and gives the JSON of a request; takes the JSON of an answer and gives an `Answer`. The webui answers
status 200 to an unknown key, to a preset it does not have and to settings that its preset overwrites, so all of these
are checked here before they are sent, and a preset or template of ours is sent by its content. Its API tells no
preset's name, so that one of the server's is asked for by a keyword of its own, and a mistyped one of ours is refused.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from leylora.errors import LeyloraError, UsageError
from leylora.models.presets import DEFAULTS, parse_preset, same_kind
from leylora.models.templates import instruction_template
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES

MODES = ("instruct", "chat", "chat-instruct")
Message = dict[str, Any]

_SETTINGS = DEFAULTS | {"max_tokens": 1, "seed": 1, "truncation_length": 0}
_SETTINGS |= {"ban_eos_token": False, "skip_special_tokens": True}
_WHOLE = {"top_k", "seed", "max_tokens", "truncation_length", "dry_allowed_length", "mirostat_mode"}
_WHOLE |= {"no_repeat_ngram_size", "repetition_penalty_range"}
_LIMITS = dict.fromkeys(("max_tokens", "truncation_length"), (1.0, inf))
_LIMITS |= dict.fromkeys(("temperature", "top_k"), (0.0, inf)) | dict.fromkeys(("top_p", "min_p"), (0.0, 1.0))
_SEVERAL = ("n", "best_of")  # of OpenAI's API: several answers to one question
_NOT_SENT = ("sampler_priority", "dry_sequence_breakers")  # the server's own order and breakers stay


def completion_body(prompt: str, sampling: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(prompt, str):
        raise UsageError("A prompt is one text; ask once for each of several.")  # of a list, one answer would be lost
    return {"prompt": prompt, **sampling_fields(**sampling)}


def sampling_fields(
    *,
    preset: str | None = None,
    server_preset: str | None = None,
    stop: str | Sequence[str] = (),
    model: str | None = None,
    extra: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """The request's fields for how to generate; only what is set is sent, so that any OpenAI server takes them.

    Args:
        preset: a file of GENERATION-PRESETS, sent as its settings with ``settings`` laid over them.
        server_preset: a preset of the server's, which would overwrite any setting given with it and therefore allows
            none. Nobody notices a wrong name: the webui takes its defaults for it.
        extra: fields that only one server knows; sent as they are.
        settings: max_tokens, seed, truncation_length, ban_eos_token, skip_special_tokens and every key of a preset
            (`leylora.models.presets.DEFAULTS`); None means not set.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    for key, value in given.items():
        _check(key, value)
    extra = extra or {}
    if "stream" in extra or any(extra.get(key, 1) != 1 for key in _SEVERAL):
        raise UsageError("'stream' and 'n' do not go into 'extra': call a stream_ method, or ask once for each answer.")
    fields: dict[str, Any] = {}
    beside = [key for key in DEFAULTS if key in given]
    if server_preset and (preset or beside):
        raise UsageError(
            f"The server's preset {server_preset} would overwrite {', '.join(['preset'] if preset else beside)}; give "
            "one or the other."
        )
    if preset:
        if not _is_ours(preset, GENERATION_PRESETS):
            raise UsageError(
                f"There is no preset {preset!r} in GENERATION-PRESETS{_nearest(preset, GENERATION_PRESETS)} One of the "
                "server's goes as server_preset (--server-preset)."
            )
        fields = {key: value for key, value in DEFAULTS.items() if key not in _NOT_SENT}
        fields |= parse_preset((GENERATION_PRESETS / f"{preset}.yaml").read_bytes()).settings
        if not (fields | given)["do_sample"] and given.get("temperature"):
            raise UsageError(
                f"The preset {preset} always takes the likeliest token, so that temperature {given['temperature']:g} "
                "would do nothing; give one or the other."
            )
    elif server_preset:
        fields = {"preset": server_preset}
    if stop:
        fields["stop"] = [stop] if isinstance(stop, str) else list(stop)
    return fields | given | ({"model": model} if model else {}) | extra


def chat_body(
    messages: Sequence[Message],
    *,
    system: str | None = None,
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
    """
    if not messages:
        raise UsageError("A chat needs at least one message.")
    if mode not in (None, *MODES):
        raise UsageError(f"There is no mode {mode!r}; there are instruct, chat and chat-instruct.")
    if context is not None and not context.strip():
        raise UsageError("An empty context would bring the server's default character; leave it out or write one.")
    rest = [*([{"role": "system", "content": system}] if system else []), *messages]
    if mode == "chat":
        told = [str(message.get("content") or "") for message in rest if message.get("role") == "system"]
        rest = [message for message in rest if message.get("role") != "system"]
        context = "\n".join(filter(None, [context, *told])) or None
    fields: dict[str, Any] = {
        "messages": rest,
        "mode": mode,
        "context": context,
        "character": character,
        "name1": name1,  # the schema's user_name and bot_name are not read by the server
        "name2": name2,
        "continue_": continue_last or None,
    }
    if template and _is_ours(template, INSTRUCTION_TEMPLATES):
        fields["instruction_template_str"] = instruction_template(template)
    else:
        fields["instruction_template"] = template
    return {key: value for key, value in fields.items() if value is not None} | sampling_fields(**sampling)


def unknown_template(name: str) -> UsageError:
    return UsageError(
        f"The server has no instruction template {name!r}, and neither has INSTRUCTION-TEMPLATES"
        f"{_nearest(name, INSTRUCTION_TEMPLATES)} The webui would have taken Alpaca."
    )


def _is_ours(name: str, folder: Path) -> bool:
    return Path(name).name == name and (folder / f"{name}.yaml").is_file()


def _nearest(name: str, folder: Path) -> str:
    """What a sentence about an unknown name ends with: the names of ours that are like it, or all."""
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    near = get_close_matches(name.casefold(), names, n=3, cutoff=0.75)
    return f"; did you mean {' or '.join(near)}?" if near else f" (there: {', '.join(names)})."


def _check(key: str, value: Any) -> None:
    if key in _SEVERAL:
        raise UsageError(f"{key}: only one answer is read; ask once for each.")
    if key not in _SETTINGS:
        near = get_close_matches(key, [*_SETTINGS, "preset", "stop", "model", "extra"], n=1)
        hint = f"did you mean {near[0]}?" if near else "what only one server knows goes into 'extra'."
        raise UsageError(f"{key} is not a generation setting; {hint}")
    default = _SETTINGS[key]
    if not same_kind(value, default) or (key in _WHOLE and value != int(value)):
        kinds = {str: "a text", bool: "true or false"}
        kind = "a whole number" if key in _WHOLE else kinds.get(type(default), "a number")
        raise UsageError(f"{key}: {value!r} is not {kind}.")
    lowest, highest = _LIMITS.get(key, (-inf, inf))
    if not isinstance(value, str) and not lowest <= value <= highest:
        most = f" and at most {highest:g}" if highest != inf else ""
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

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


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

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Usage(_Answered):
    """Tokens as the server counts them: the webui re-encodes the answer, and counts a prompt before truncating it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answer(_Answered):
    """An answer, or a piece of a streamed one, of which only the last has a ``finish_reason``.

    That is "stop" (the model ended it, or a stop string did), "length" (max_tokens) or "tool_calls". ``reasoning`` is
    what a thinking model wrote before its answer.
    """

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    usage: Usage | None = None
    model: str | None = None


class ModelInfo(_Answered):
    """What is loaded. ``lora_names`` is what the webui believes; `Client.load_lora` finds out what is true."""

    model_name: str | None = None
    lora_names: tuple[str, ...] = ()
    loader: str | None = None

    @property
    def loaded(self) -> bool:
        return self.model_name not in (None, "", "None")


class LoraEffect(NamedTuple):
    """A LoRA that was applied and seen to act: the largest change it made to a probability of the next token."""

    name: str
    change: float


class LoraRemoval(NamedTuple):
    """How the base model came back: ``hidden`` when a LoRA had acted that the server did not report."""

    model_name: str
    reloaded: bool = False
    hidden: bool = False

    def __str__(self) -> str:
        found = "A LoRA acted that the server did not report. " if self.hidden else ""
        return f"{found}The base model {'was loaded again' if self.reloaded else 'is loaded'}, without a LoRA."


def read_answer(found: Any) -> Answer:
    """Of the JSON of an answer or of a streamed event; the event with the usage has no choices."""
    choice = found["choices"][0] if found["choices"] else {}
    part = choice.get("message") or choice.get("delta") or {}
    return Answer(
        text=choice.get("text") or part.get("content") or "",
        reasoning=part.get("reasoning_content") or "",
        finish_reason=choice.get("finish_reason"),
        tool_calls=tuple(part.get("tool_calls") or ()),
        usage=found.get("usage") or None,
        model=found.get("model"),
    )
