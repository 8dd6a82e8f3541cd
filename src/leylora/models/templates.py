"""Instruction templates: one text for training, chat and text-generation-webui.

INSTRUCTION-TEMPLATES/NAME.yaml holds the Jinja template under ``instruction_template``. In it, what the model
must learn to write (an answer and its end) is marked by the Jinja comments ``{# generation #}`` and
``{# endgeneration #}``. The webui ignores comments; for training they become the ``{% generation %}`` block
by which transformers tells which tokens the assistant wrote.

The webui derives the strings that end an answer from the template itself (`stop_strings`). A template whose turns are
separated by nothing distinctive lets the model go on and play the user as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leylora.children import in_child
from leylora.errors import LeyloraError, UsageError, first_line
from leylora.files import parse_yaml, read_yaml_mapping
from leylora.project import INSTRUCTION_TEMPLATES, shown

if TYPE_CHECKING:  # light: transformers takes seconds
    from transformers import PreTrainedTokenizerBase

# What the webui tries for a template's name, in this order; before v4.7 only ``.yaml`` was read.
SUFFIXES = (".jinja", ".jinja2", ".yaml", ".yml")

# A conversation with everything a template must handle: a system message, two turns, an empty line.
PROBE = [
    {"role": "system", "content": "Responde con la ley."},
    {"role": "user", "content": "¿Qué plazo hay para apelar?"},
    {"role": "assistant", "content": "Tres días."},
    {"role": "user", "content": "¿Y desde cuándo corre?"},
    {"role": "assistant", "content": "Desde la notificación.\n\nAsí lo dice la ley."},
]
_BRACKETS = {"<": ">", "[": "]", "(": ")", "{": "}"}
_TURNS = ("first user message", "first assistant message", "second user message", "second assistant message")
_TALK = [{"role": text.split()[1], "content": text} for text in _TURNS]
SECONDS_PER_TEMPLATE = 10.0  # to render some dialogues, which takes milliseconds
OPEN, CLOSE = "{# generation #}", "{# endgeneration #}"


def instruction_template(name: str, folder: Path = INSTRUCTION_TEMPLATES) -> str:
    """The Jinja text of INSTRUCTION-TEMPLATES/``name``.yaml, marks included, as the webui reads it.

    Raises:
        UsageError: there is no such template.
        LeyloraError: the file is not YAML or has no ``instruction_template`` text.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml"))) or "none"
        raise UsageError(f"There is no instruction template '{name}' in {shown(folder)} (there: {known}).")
    text = read_yaml_mapping(path).get("instruction_template")
    if not isinstance(text, str) or not text:
        raise LeyloraError(f"{shown(path)} has no text under the key 'instruction_template'; add it.")
    return text


def training_template(text: str) -> str:
    """``text`` with the marked parts as ``{% generation %}`` blocks. Raises LeyloraError when the marks do not pair."""
    opened, closed = text.count(OPEN), text.count(CLOSE)
    if opened == 0 or opened != closed:
        raise LeyloraError(
            f"The instruction template marks {opened} starts '{OPEN}' and {closed} ends '{CLOSE}'; each answer needs "
            "one of both, around its content and its end-of-turn mark."
        )
    return text.replace(OPEN, "{% generation %}").replace(CLOSE, "{% endgeneration %}")


def served_template(text: str) -> str:
    """``text`` without the marks: what is saved with an adapter for chat and serving."""
    return text.replace(OPEN, "").replace(CLOSE, "")


def turn_end(tokenizer: "PreTrainedTokenizerBase", template: str) -> int:
    """The id of the token an answer ends with under a training template: the last one marked as the assistant's.

    Generation must be able to stop at it: by its number if it is the end-of-text token, else (``<|im_end|>``) as the
    stop string that text-generation-webui derives from a bracketed mark after an answer.

    Raises:
        LeyloraError: it is not a special token, or one that nothing would stop at.
    """
    encoded = tokenizer.apply_chat_template(
        PROBE, chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    if not marked:
        raise LeyloraError("The instruction template marks no token of an answer; put its content inside the marks.")
    end = int(marked[-1])
    text = str(tokenizer.convert_ids_to_tokens(end))
    if end == tokenizer.eos_token_id:
        return end
    added = tokenizer.added_tokens_decoder.get(end)
    if added is None or not added.special or text[:1] not in "<[({":
        raise LeyloraError(
            f"The instruction template lets an answer end with {tokenizer.decode([end])!r}, which is not an "
            f"end-of-turn token (the end-of-text token is {tokenizer.eos_token!r}); a model trained with it never "
            "stops. Put eos_token inside the marks, after the content."
        )
    return end


def check_served_as_trained(
    tokenizer: "PreTrainedTokenizerBase", template: str, trained: str, messages: list[dict[str, str]]
) -> None:
    """Raise LeyloraError unless a server that renders ``template`` asks the model just as its training rows did.

    The texts of the served and the ``trained`` template are the same, and for each answer the tokens of the prompt
    before it are the first tokens of the conversation that is trained on.
    """
    served = served_template(template)
    texts = [tokenizer.apply_chat_template(messages, chat_template=t, tokenize=False) for t in (served, trained)]
    if texts[0] != texts[1]:
        place = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
        raise LeyloraError(
            f"Training would not see what INSTRUCTION-TEMPLATES serves: {texts[1][place : place + 40]!r} instead of "
            f"{texts[0][place : place + 40]!r} after {texts[0][max(0, place - 40) : place]!r}; use one for both."
        )
    whole = tokenizer.apply_chat_template(messages, chat_template=trained, return_dict=True)["input_ids"]
    for position, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt = tokenizer.apply_chat_template(
            messages[:position], chat_template=served, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        if whole[: len(prompt)] != prompt:
            at = next(i for i, token in enumerate(prompt) if i >= len(whole) or whole[i] != token)
            raise LeyloraError(
                f"What a server sends before an answer is not how its training row begins: token {at + 1} is "
                f"{tokenizer.decode(prompt[at : at + 1])!r} when asked and {tokenizer.decode(whole[at : at + 1])!r} in "
                "training; let the prompt of the instruction template end where no token joins prompt and answer."
            )


def other_format(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """What the base's own chat template opens a question with, when ``template`` never writes it ("<|im_start|>user"
    against "[INST]"); "" when both do, or when the base has no template that can be read."""
    own = tokenizer.chat_template
    if not isinstance(own, str):
        return ""
    try:
        rendered = render(own, _TALK[:3], bos_token="", eos_token="")
        served = render(template, _TALK[:3], bos_token="", eos_token="")
    except LeyloraError:
        return ""
    opening = rendered.partition(_TURNS[0])[0].split()
    return "" if not opening or opening[-1] in served else opening[-1]


class Ending(NamedTuple):
    """What ends an answer: token ids, or texts the model writes when it begins to play the user."""

    ids: frozenset[int]
    texts: tuple[str, ...]


def ending_of(template: str, tokenizer: "PreTrainedTokenizerBase", eos: Sequence[int] = ()) -> Ending:
    """The end of an answer under a served template; ``eos`` are further end-of-text ids, of the model's configuration.

    Its texts are the webui's stop strings and the mark that opens the next question; the special tokens among them
    end an answer by their numbers, because they decode to no text.
    """
    bos, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    rendered = render(template, _TALK[:3], bos_token=bos, eos_token=end)
    between = rendered[rendered.index(_TURNS[1]) + len(_TURNS[1]) : rendered.index(_TURNS[2])]
    special = {text: at for at, text in special_tokens(tokenizer).items() if text != tokenizer.unk_token}
    ids = {int(tokenizer.eos_token_id), *eos, *(at for token, at in special.items() if token in between)}
    opening = between.replace(end, "").replace(bos, "") if bos else between.replace(end, "")
    texts = {opening.rstrip(" "), *stop_strings(template, bos_token=bos, eos_token=end)}
    return Ending(
        frozenset(ids),
        tuple(sorted(text for text in texts if text.strip() and not any(token in text for token in special))),
    )


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[int, str]:
    """The tokens that decode to no text, by id."""
    special = {at: token.content for at, token in tokenizer.added_tokens_decoder.items() if token.special}
    return special | {int(tokenizer.convert_tokens_to_ids(token)): token for token in tokenizer.all_special_tokens}


def template_text(content: str, suffix: str) -> tuple[str, list[str]]:
    """The Jinja text in a template file, and the faults for which the webui would take another."""
    if suffix in (".jinja", ".jinja2"):
        return content, []
    try:
        data = parse_yaml(content, "the template")
    except LeyloraError as error:
        fault = str(error).removeprefix("the template: ").partition(";")[0]
        return content, [f"{fault}; the webui takes the whole file as Jinja"]
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
    """Render a conversation as the webui does: sandboxed Jinja with loop controls, block lines trimmed."""

    def refuse(message: str) -> None:
        raise ValueError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = refuse
    with rendering("The instruction template"):
        return environment.from_string(template).render(
            messages=messages, bos_token=bos_token, eos_token=eos_token, add_generation_prompt=add_generation_prompt
        )


@contextmanager
def rendering(what: str) -> Iterator[None]:
    """What Jinja and a template itself raise, as one sentence."""
    try:
        yield
    except (TemplateError, ArithmeticError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise LeyloraError(f"{what} cannot be rendered: {first_line(error)}.") from None
    except RecursionError:
        raise LeyloraError(f"{what} cannot be rendered: it is nested too deeply.") from None


def stop_strings(template: str, *, bos_token: str = "<s>", eos_token: str = "</s>") -> list[str]:
    """The strings that end an answer, by the webui's own rule (``get_stopping_strings`` in its modules/chat.py).

    Two invented turns are rendered. Of the text after the first question, after the first answer and after the
    second, a leading bracketed mark is taken up to its closing bracket, or else everything up to the first colon.
    A string that begins with another one is dropped.
    """
    prompt = render(template, _TALK, bos_token=bos_token, eos_token=eos_token)
    starts = [prompt.find(text) for text in _TURNS]
    ends = [start + len(text) for start, text in zip(starts, _TURNS, strict=True)]
    found = []
    for piece in (prompt[ends[0] : starts[1]], prompt[ends[1] : starts[2]], prompt[ends[3] :]):
        mark = piece.strip()
        closing = _BRACKETS.get(mark[:1])
        if closing and closing in mark:
            found.append(mark.partition(closing)[0] + closing)
        elif ":" in piece:
            found.append(piece.partition(":")[0] + ":")
    return sorted({text for text in found if not any(text.startswith(other) for other in found if other != text)})


def check_stranger(text: str, place: Path | str) -> str:
    """``text``, once it is known to end: a template that is not one of ours is tried on dialogues of two and of forty
    turns in a child process with limits of time and memory.

    Raises:
        LeyloraError: it does not end or needs too much memory.
    """
    if text.strip() not in _our_templates():
        in_child(f"The chat template of {place}", _try_out, text, seconds=SECONDS_PER_TEMPLATE)
    return text


@cache
def _our_templates() -> frozenset[str]:
    files = sorted(INSTRUCTION_TEMPLATES.glob("*.yaml"))
    return frozenset(served_template(instruction_template(file.stem)).strip() for file in files)


def _try_out(text: str) -> None:
    long = [{"role": ("user", "assistant")[at % 2], "content": f"turn {at} " + "palabra " * 200} for at in range(39)]
    for talk in (_TALK[:1], _TALK[:3], long):
        with suppress(LeyloraError):  # it may need what only transformers gives it; that is told where it is used
            render(text, talk, add_generation_prompt=True)


def faults_of_stranger(content: str, suffix: str, place: Path | str) -> tuple[list[str], list[str]]:
    """`template_faults` of a template that may be anybody's, found in a child process with limits."""
    try:
        return in_child(f"The template {place}", template_faults, content, suffix, seconds=SECONDS_PER_TEMPLATE)
    except LeyloraError as error:
        return [str(error)], []


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
        whole = render(text, [*_TALK[:2], _TALK[0]])
        prompt = render(text, _TALK[:1], add_generation_prompt=True)
    except LeyloraError as error:
        return [*faults, f"{error} The webui answers with status 500."], []
    if _TURNS[0] not in whole or _TURNS[1] not in whole:
        return [*faults, "it drops the question or the answer"], stops
    ending = whole[whole.index(_TURNS[1]) + len(_TURNS[1]) :]
    if not ending.strip().startswith("</s>") and not any(ending.startswith(stop) for stop in stops):
        faults.append("nothing distinctive follows an answer, so that the model writes on; end it with eos_token")
    if not whole.startswith(prompt):
        faults.append("the prompt is not how the full text begins, so that the model is asked as it never learned")
    return faults, stops


def find_template(folder: Path, name: str) -> Path | None:
    """The file the webui reads for a template's name."""
    return next((file for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()), None)
