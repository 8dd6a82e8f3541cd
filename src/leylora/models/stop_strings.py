"""Instruction templates as the webui sees them: how it reads a file, renders it, and finds its stop strings.

The webui derives the strings that end an answer from the template itself (`stop_strings`). A template whose
turns are separated by nothing distinctive lets the model go on and play the user as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leylora.errors import LeyloraError

SUFFIXES = (".jinja", ".jinja2", ".yaml", ".yml")
"""What the webui tries for a template's name, in this order; before v4.7 only ``.yaml`` was read."""

_BRACKETS = {"<": ">", "[": "]", "(": ")", "{": "}"}
_PROBE = ("first user message", "first assistant message", "second user message", "second assistant message")


def template_text(content: str, suffix: str) -> tuple[str, list[str]]:
    """The Jinja text in a template file of that suffix, and the faults for which the webui would take another."""
    if suffix in (".jinja", ".jinja2"):
        return content, []
    try:
        data = yaml.safe_load(content)
    except yaml.YAMLError as error:
        return content, [f"not YAML ({str(error).splitlines()[0]}); the webui takes the whole file as Jinja"]
    if not isinstance(data, dict) or not {"instruction_template", "turn_template"} & data.keys():
        return "", ["no key instruction_template; the webui silently uses Alpaca instead"]
    if "instruction_template" not in data:
        return "", ["written in the old form (turn_template), whose system text today's webui drops; use Jinja"]
    if not isinstance(data["instruction_template"], str) or not data["instruction_template"].strip():
        return "", ["instruction_template holds no text; the webui silently uses Alpaca instead"]
    return data["instruction_template"], []


def render(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    bos_token: str = "<s>",
    eos_token: str = "</s>",
    add_generation_prompt: bool = False,
) -> str:
    """Render a conversation as the webui does: sandboxed Jinja with loop controls, block lines trimmed.

    Raises:
        LeyloraError: the template is not Jinja, or asks for what is not there.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _raise
    try:
        return environment.from_string(template).render(
            messages=messages, bos_token=bos_token, eos_token=eos_token, add_generation_prompt=add_generation_prompt
        )
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise LeyloraError(f"The instruction template cannot be rendered: {error}.") from None


def stop_strings(template: str, *, bos_token: str = "<s>", eos_token: str = "</s>") -> list[str]:
    """The strings that end an answer, by the webui's own rule (``get_stopping_strings`` in its modules/chat.py).

    Two invented turns are rendered. Of the text after the first question, after the first answer and after the
    second, a leading bracketed mark is taken up to its closing bracket, or else everything up to the first colon.
    A string that begins with another one is dropped.

    Raises:
        LeyloraError: as `render`.
    """
    roles = ("user", "assistant", "user", "assistant")
    messages = [{"role": role, "content": text} for role, text in zip(roles, _PROBE, strict=True)]
    prompt = render(template, messages, bos_token=bos_token, eos_token=eos_token)
    after = {text: prompt.find(text) + len(text) for text in _PROBE}
    pieces = (
        prompt[after[_PROBE[0]] : prompt.find(_PROBE[1])],
        prompt[after[_PROBE[1]] : prompt.find(_PROBE[2])],
        prompt[after[_PROBE[3]] :],
    )
    found = []
    for piece in pieces:
        mark = piece.strip()
        closing = _BRACKETS.get(mark[:1])
        if closing and closing in mark:
            found.append(mark.partition(closing)[0] + closing)
        elif ":" in piece:
            found.append(piece.partition(":")[0] + ":")
    return sorted({text for text in found if not any(text.startswith(other) for other in found if other != text)})


def template_faults(content: str, suffix: str) -> tuple[list[str], list[str]]:
    """What is wrong with a template file, and its stop strings.

    An answer is known to end if the text right after it begins with the end-of-sequence token, which stops by
    its number, or with a stop string.
    """
    text, faults = template_text(content, suffix)
    if not text:
        return faults, []
    try:
        stops = stop_strings(text)
        user, answer = ({"role": "user", "content": _PROBE[0]}, {"role": "assistant", "content": _PROBE[1]})
        whole = render(text, [user, answer, user])
        prompt = render(text, [user], add_generation_prompt=True)
    except LeyloraError as error:
        return [*faults, f"{error} The webui answers with status 500."], []
    if _PROBE[0] not in whole or _PROBE[1] not in whole:
        return [*faults, "it drops the question or the answer"], stops
    ending = whole[whole.index(_PROBE[1]) + len(_PROBE[1]) :]
    if not ending.strip().startswith("</s>") and not any(ending.startswith(stop) for stop in stops):
        faults.append("nothing distinctive follows an answer, so that the model writes on; end it with eos_token")
    if not whole.startswith(prompt):
        faults.append("the prompt is not how the full text begins, so that the model is asked as it never learned")
    return faults, stops


def find_template(folder: Path, name: str) -> Path | None:
    """The file the webui reads for a template's name."""
    return next((file for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()), None)


def _raise(message: str) -> None:
    raise ValueError(message)
