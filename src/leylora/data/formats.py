"""From the shapes Spanish instruction sets come in to turns of a conversation.

Each shape has one function ``fields -> turns``. `detect` looks at the keys of one record; a mixture may name
the shape instead. Conversation trees (OASST) need all records at once and live in `oasst`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from leylora.data.oasst import best_paths
from leylora.data.records import Fault, Record
from leylora.errors import UsageError

Format = Literal[
    "messages", "sharegpt", "alpaca", "dolly", "argilla", "aya", "prompt-completion", "question-answer",
    "squad", "oasst", "summary", "translation",
]  # fmt: skip
FORMATS: tuple[str, ...] = get_args(Format)

Turns = list[dict[str, str]]

ROLES = {
    "system": "system", "sistema": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user", "usuario": "user", "humano": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant",
    "asistente": "assistant", "bing": "assistant", "bard": "assistant",
}  # fmt: skip
NO_INPUT = {"", "<noinput>", "noinput", "no input", "n/a", "sin entrada", "ninguna entrada", "<sin entrada>"}
LANGUAGES = {"es": "español", "en": "inglés", "pt": "portugués", "fr": "francés", "it": "italiano", "de": "alemán",
             "qu": "quechua", "ca": "catalán"}  # fmt: skip


class Misfit(ValueError):
    """A record that its format cannot read; the message says which field and why."""


@dataclass(frozen=True)
class Draft:
    """A record read as turns, not yet a checked `Conversation`."""

    place: str
    turns: Turns
    task: str
    own_id: str


def detect(value: dict[str, Any]) -> Format | None:
    """The format whose keys this record carries, or None."""
    keys = value.keys()
    inputs = value.get("inputs")
    rules: list[tuple[bool, Format]] = [
        ("messages" in keys, "messages"),
        ({"conversations", "conversation"} & keys != set(), "sharegpt"),
        (isinstance(inputs, dict) and any("instruction" in key for key in inputs), "argilla"),
        ("inputs" in keys and "targets" in keys, "aya"),
        (("message_id" in keys and "parent_id" in keys) or ("message_tree_id" in keys and "prompt" in keys), "oasst"),
        ("instruction" in keys and "response" in keys, "dolly"),
        ("instruction" in keys and "output" in keys, "alpaca"),
        ("paragraphs" in keys or {"context", "question", "answers"} <= keys, "squad"),
        (isinstance(value.get("translation"), dict), "translation"),
        ("summary" in keys and bool({"text", "article", "document"} & keys), "summary"),
        ("prompt" in keys and bool({"completion", "response", "chosen"} & keys), "prompt-completion"),
        ("question" in keys and "answer" in keys, "question-answer"),
    ]
    return next((name for matches, name in rules if matches), None)


def convert(rows: Iterable[Record | Fault], format: str | None = None) -> Iterator[Draft | Fault]:
    """Read every record as turns; records that fit no format, or not the forced one, come out as faults.

    Args:
        format: one of `FORMATS`, or None to detect it record by record.

    Raises:
        UsageError: ``format`` is not known.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"Unknown format {format!r}; choose one of {', '.join(FORMATS)}.")
    trees: list[Record] = []
    for row in rows:
        if isinstance(row, Fault):
            yield row
            continue
        name = format or detect(row.value)
        if name is None:
            keys = ", ".join(map(str, list(row.value)[:8])) or "none"
            yield Fault(row.place, f"no known format has the keys: {keys}")
        elif name == "oasst":
            trees.append(row)
        else:
            try:
                yield from READERS[name](row)
            except Misfit as error:
                yield Fault(row.place, f"as {name}: {error}")
    for path in best_paths(trees):
        yield path if isinstance(path, Fault) else Draft(path.place, path.turns, "conversation", path.own_id)


# --- one reader a format -------------------------------------------------------------------------------------


def _messages(row: Record) -> Iterator[Draft]:
    yield _chat(row, row.value.get("messages"), "role", "content")


def _sharegpt(row: Record) -> Iterator[Draft]:
    yield _chat(row, row.value.get("conversations") or row.value.get("conversation"), "from", "value")


def _chat(row: Record, turns: Any, role_key: str, text_key: str) -> Draft:
    if not isinstance(turns, list) or not turns:
        raise Misfit("the list of turns is missing or empty")
    out: Turns = []
    system = row.value.get("system") or row.value.get("system_prompt")
    if isinstance(system, str) and system.strip():
        out.append({"role": "system", "content": system})
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise Misfit(f"turn {number} is {type(turn).__name__}, expected an object")
        said_by = turn.get(role_key, turn.get("role", turn.get("from")))
        role = ROLES.get(str(said_by).strip().lower())
        if role is None:
            raise Misfit(f"turn {number} has the unknown role {said_by!r}")
        content = turn.get(text_key, turn.get("content", turn.get("value")))
        if not isinstance(content, str):
            raise Misfit(f"turn {number} has {_kind(content)} for its text")
        out.append({"role": role, "content": content})
    if out[0]["role"] == "assistant":  # ShareGPT exports often begin in mid-conversation
        out = out[1:]
    if len(out) > 1 and out[-1]["role"] == "user":  # a question nobody answered
        out = out[:-1]
    users = sum(turn["role"] == "user" for turn in out)
    return Draft(row.place, out, _task(row, "conversation" if users > 1 else "instruction"), _id(row))


def _instruction(context_key: str, answer_key: str) -> Callable[[Record], Iterator[Draft]]:
    def read(row: Record) -> Iterator[Draft]:
        yield _pair(row, row.value, "instruction", context_key, answer_key)

    return read


def _argilla(row: Record) -> Iterator[Draft]:
    inputs = row.value.get("inputs")
    if not isinstance(inputs, dict):
        raise Misfit(f"inputs is {_kind(inputs)}")
    plain = {str(key).split("-", 1)[-1]: text for key, text in inputs.items()}  # "1-instruction" -> "instruction"
    yield _pair(row, plain, "instruction", "input", "output")


def _pair(row: Record, fields: dict[str, Any], ask_key: str, context_key: str, answer_key: str) -> Draft:
    ask, answer = _text(fields, ask_key), _text(fields, answer_key)
    context = fields.get(context_key)
    if context is not None and not isinstance(context, str):
        raise Misfit(f"{context_key} is {_kind(context)}")
    if context is not None and context.strip().lower() not in NO_INPUT:
        ask = f"{ask.rstrip()}\n\n{context.strip()}"
    system = fields.get("system") or fields.get("system_prompt")
    turns = [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []
    turns += [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return Draft(row.place, turns, _task(row, "instruction"), _id(row))


def _aya(row: Record) -> Iterator[Draft]:
    yield _pair(row, row.value, "inputs", "", "targets")


def _prompt_completion(row: Record) -> Iterator[Draft]:
    prompt = row.value.get("prompt")
    key = next((key for key in ("completion", "response", "chosen") if key in row.value), "completion")
    answer = row.value.get(key)
    if isinstance(prompt, list) or isinstance(answer, list):  # TRL's conversational prompt-completion
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        if isinstance(answer, str):
            answer = [{"role": "assistant", "content": answer}]
        if not isinstance(prompt, list) or not isinstance(answer, list):
            raise Misfit(f"prompt is {_kind(prompt)} and {key} is {_kind(answer)}")
        starts_over = answer[: len(prompt)] == prompt  # preference sets repeat the prompt inside the answer
        yield _chat(row, answer if starts_over else prompt + answer, "role", "content")
    else:
        yield _pair(row, row.value, "prompt", "", key)


def _question_answer(row: Record) -> Iterator[Draft]:
    yield _pair(row, row.value, "question", "context", "answer")


def _squad(row: Record) -> Iterator[Draft]:
    """Both shapes: the original's articles with paragraphs, and the flat rows of the Hub."""
    if "paragraphs" not in row.value:
        yield _squad_question(row, row.value.get("context"), row.value, row.place)
        return
    paragraphs = row.value["paragraphs"]
    if not isinstance(paragraphs, list):
        raise Misfit(f"paragraphs is {_kind(paragraphs)}")
    for number, paragraph in enumerate(paragraphs, start=1):
        questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
        if not isinstance(questions, list):
            raise Misfit(f"paragraph {number} has no list of questions")
        for question in questions:
            if not isinstance(question, dict):
                raise Misfit(f"paragraph {number} has {_kind(question)} among its questions")
            yield _squad_question(row, paragraph.get("context"), question, f"{row.place}, paragraph {number}")


def _squad_question(row: Record, context: Any, question: dict[str, Any], place: str) -> Draft:
    if not isinstance(context, str):
        raise Misfit(f"context is {_kind(context)}")
    answers = question.get("answers")
    if isinstance(answers, dict):  # the Hub's columns: {"text": [...], "answer_start": [...]}
        texts = answers.get("text")
    elif isinstance(answers, list):
        texts = [answer.get("text") for answer in answers if isinstance(answer, dict)]
    else:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Misfit("answers hold no list of texts")
    answer = texts[0] if texts else "El texto no contiene la respuesta."
    ask = f"Responda con base en el texto.\n\nTexto: {context.strip()}\n\nPregunta: {_text(question, 'question')}"
    turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    return Draft(place, turns, "question-answering", str(question.get("id") or ""))


def _summary(row: Record) -> Iterator[Draft]:
    key = next((key for key in ("text", "article", "document") if key in row.value), "text")
    ask = f"Resume el siguiente artículo:\n\n{_text(row.value, key).strip()}"
    turns = [{"role": "user", "content": ask}, {"role": "assistant", "content": _text(row.value, "summary")}]
    yield Draft(row.place, turns, "summary", _id(row))


def _translation(row: Record) -> Iterator[Draft]:
    """One row each way between Spanish and the other language of ``{"translation": {"es": ..., "en": ...}}``."""
    pair = row.value.get("translation")
    if not isinstance(pair, dict) or "es" not in pair or len(pair) != 2:
        raise Misfit("translation must hold Spanish ('es') and one other language")
    other = next(code for code in pair if code != "es")
    name = LANGUAGES.get(other, other)
    spanish, foreign = _text(pair, "es"), _text(pair, other)
    directions = [("es", f"Traduce al español el siguiente texto en {name}:", foreign, spanish)]
    directions.append((other, f"Traduce al {name} el siguiente texto:", spanish, foreign))
    for target, ask, given, wanted in directions:
        turns = [{"role": "user", "content": f"{ask}\n\n{given}"}, {"role": "assistant", "content": wanted}]
        own_id = _id(row)
        yield Draft(row.place, turns, "translation", f"{own_id}-{target}" if own_id else "")


READERS: dict[str, Callable[[Record], Iterator[Draft]]] = {
    "messages": _messages,
    "sharegpt": _sharegpt,
    "alpaca": _instruction("input", "output"),
    "dolly": _instruction("context", "response"),
    "argilla": _argilla,
    "aya": _aya,
    "prompt-completion": _prompt_completion,
    "question-answer": _question_answer,
    "squad": _squad,
    "summary": _summary,
    "translation": _translation,
}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise Misfit(f"{key} is {_kind(value)}" if key in fields else f"{key} is missing")
    return value


def _kind(value: Any) -> str:
    return "null" if value is None else f"a {type(value).__name__}, expected text"


def _id(row: Record) -> str:
    value = next((row.value[key] for key in ("id", "conversation_id", "qid", "uid") if row.value.get(key)), "")
    return str(value) if isinstance(value, str | int) else ""


def _task(row: Record, fallback: str) -> str:
    value = row.value.get("task") or row.value.get("category")
    return value.strip() if isinstance(value, str) and value.strip() else fallback
