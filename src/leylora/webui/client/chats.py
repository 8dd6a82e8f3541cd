"""The request behind a chat, with the webui's traps out of the way."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leylora.errors import UsageError
from leylora.models.templates import instruction_template
from leylora.project import INSTRUCTION_TEMPLATES
from leylora.webui.client.calls import Call, Message, chat_completions
from leylora.webui.client.options import Sampling
from leylora.webui.client.schemas import Answer

FIELDS = ("mode", "template", "context", "character", "name1", "name2", "continue_last")


def turns(instruction: str, system: str | None = None) -> list[Message]:
    """An instruction, and the system message before it if there is one, as messages."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": instruction}]


def chat_call(messages: Sequence[Message], options: dict[str, Any], *, stream: bool = False) -> Call[Answer]:
    """The call for a chat; ``options`` are `FIELDS` and those of `Sampling`.

    Raises:
        UsageError: an option that does not exist, or cannot have that value.
    """
    rest, fields = chat_fields(messages, **{key: options[key] for key in FIELDS if key in options})
    sampling = Sampling.of(**{key: value for key, value in options.items() if key not in FIELDS})
    return chat_completions(rest, sampling, stream=stream, **fields)


def chat_fields(
    messages: Sequence[Message],
    *,
    mode: str | None = None,
    template: str | None = None,
    context: str | None = None,
    character: str | None = None,
    name1: str | None = None,
    name2: str | None = None,
    continue_last: bool = False,
) -> tuple[list[Message], dict[str, Any]]:
    """The messages and the webui's own fields for a chat, with its traps out of the way.

    In mode "chat" a system message is ignored and ``context`` is read instead, so that it is moved there. A template
    of INSTRUCTION-TEMPLATES is sent as text: the webui takes Alpaca for a name it does not know.

    Raises:
        UsageError: a mode that does not exist, or an empty ``context``, which would mean the default character's.
    """
    if mode not in (None, "instruct", "chat", "chat-instruct"):
        raise UsageError(f"There is no mode {mode!r}; there are instruct, chat and chat-instruct.")
    if context is not None and not context.strip():
        raise UsageError("An empty context would bring the server's default character; leave it out or write one.")
    rest = list(messages)
    if mode == "chat":
        system = [str(message.get("content") or "") for message in rest if message.get("role") == "system"]
        rest = [message for message in rest if message.get("role") != "system"]
        context = "\n".join(filter(None, [context, *system])) or None
    fields: dict[str, Any] = {
        "mode": mode,
        "context": context,
        "character": character,
        "name1": name1,  # the schema's own user_name and bot_name are not read
        "name2": name2,
        "continue_": True if continue_last else None,
    }
    if template and Path(template).name == template and (INSTRUCTION_TEMPLATES / f"{template}.yaml").is_file():
        fields["instruction_template_str"] = instruction_template(template)
    elif template:
        fields["instruction_template"] = template
    return rest, fields
