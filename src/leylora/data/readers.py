"""From instruction sets in any common shape to turns of a conversation.

Takes an `InstructionSource` of a mixture: a file, a folder, or a dataset of the Hub. Gives a `Draft` for every row it
can read and a `RecordFault`, with its place and reason, for every row it cannot: a bad row never stops the others.

The path of a row: file or Hub (`read_records`, `hub_rows`) -> shape (`detect`) -> turns (`convert`). Conversation trees
(OASST) need all their records at once and come last.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import pyarrow
import pyarrow.parquet
from pydantic import BaseModel, ConfigDict, Field, model_validator

from leylora.errors import LeyloraError, UsageError, first_line
from leylora.files import check_ordinary, read_json

Chats = Literal["messages", "sharegpt", "oasst"]
Pairs = Literal["alpaca", "dolly", "argilla", "aya", "prompt-completion", "question-answer"]
Texts = Literal["squad", "summary", "translation"]
Format = Literal[Chats, Pairs, Texts]
FORMATS: tuple[str, ...] = get_args(Format)
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
ROLE_OF = dict.fromkeys(["system", "sistema", "developer"], "system")
ROLE_OF |= dict.fromkeys(["user", "human", "prompter", "usuario", "humano"], "user")
ROLE_OF |= dict.fromkeys(["assistant", "gpt", "bot", "chatgpt", "model", "asistente", "bing", "bard"], "assistant")
NO_INPUT = {"", "<noinput>", "noinput", "no input", "n/a", "sin entrada", "ninguna entrada", "<sin entrada>"}
PAIRS = {  # the keys of question, context and answer
    "alpaca": ("instruction", "input", "output"),
    "dolly": ("instruction", "context", "response"),
    "aya": ("inputs", "", "targets"),
    "question-answer": ("question", "context", "answer"),
}
LANGUAGES = {"es": "español", "en": "inglés", "pt": "portugués", "fr": "francés", "it": "italiano", "de": "alemán"}
LANGUAGES |= {"qu": "quechua", "ca": "catalán"}
UNRANKED = 1_000

Turns = list[dict[str, str]]


class Record(NamedTuple):
    """One raw object and its place, e.g. ``alpaca.jsonl, line 7``."""

    place: str
    value: dict[str, Any]


class RecordFault(NamedTuple):
    """A row that cannot be used, and why."""

    place: str
    reason: str


class Draft(NamedTuple):
    """A record read as turns, not yet a checked `Conversation`."""

    place: str
    turns: Turns
    task: str
    own_id: str


class Misfit(ValueError):
    """A record that its format cannot read; the message says which field and why."""


class InstructionSource(BaseModel):
    """One instruction source of a mixture: exactly one of ``path`` (file or folder) and ``hub`` (``owner/name``)."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    license: str
    path: Path | None = None
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = Field(default=None, description="branch or commit on the Hub")
    format: Format | None = None
    columns: dict[str, str] = Field(default={}, description="our field name: the set's own")
    where: dict[str, str] = Field(default={}, description="column: the only value to keep")
    task: str | None = Field(default=None, description="overrides the task of every row")
    rows: int | None = Field(default=None, gt=0, description="at most so many rows after the gate")
    optional: bool = Field(default=False, description="leave it out, with a note, when it cannot be read")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError(f"source {self.name!r} needs exactly one of `path` and `hub`")
        return self

    def check(self) -> None:
        """Raise a LeyloraError, before any work, when a local source is missing."""
        if self.path is not None and not self.path.exists():
            raise LeyloraError(
                f"The source {self.name!r} of the mixture is missing: {self.path} does not exist. Put the file there, "
                "correct `path:`, or take the source out of the mixture."
            )

    def drafts(self, *, offline: bool = False) -> Iterator[Draft | RecordFault]:
        """The rows of the source as turns; ``offline`` reads a Hub dataset from the local cache only.

        Raises:
            LeyloraError: the source cannot be read at all.
        """
        for draft in convert(self._records(offline), self.format):
            yield draft._replace(task=self.task) if isinstance(draft, Draft) and self.task else draft

    def _records(self, offline: bool) -> Iterator[Record | RecordFault]:
        if self.path is None:
            for number, value in enumerate(hub_rows(self, offline), start=1):
                yield Record(f"{self.hub}, row {number}", value)
            return
        for row in read_records(self.path):
            if isinstance(row, RecordFault):
                yield row
            elif all(str(row.value.get(key)) == wanted for key, wanted in self.where.items()):
                renamed = {ours: row.value[theirs] for ours, theirs in self.columns.items() if theirs in row.value}
                yield Record(row.place, row.value | renamed)


# --- files and the Hub ------------------------------------------------------------------------------------------


def read_records(path: Path) -> Iterator[Record | RecordFault]:
    """Every row of a file, or of all readable files of a folder in name order.

    Raises:
        LeyloraError: the path is missing, holds no readable file, or a whole file cannot be parsed.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise LeyloraError(f"{path} holds no {', '.join(SUFFIXES)} file; name the folder or file with the rows.")
        for file in files:
            yield from read_records(file)
        return
    if not path.exists():
        raise LeyloraError(f"{path} does not exist; check the path.")
    check_ordinary(path)
    match path.suffix:
        case ".jsonl" | ".ndjson":
            yield from _json_lines(path)
        case ".json":
            yield from _json_document(path)
        case ".csv" | ".tsv":
            yield from _table(path)
        case ".parquet":
            yield from _parquet(path)
        case _:
            raise LeyloraError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}.")


def _record(place: str, value: Any) -> Record | RecordFault:
    if not isinstance(value, dict):
        return RecordFault(place, f"expected an object, found {type(value).__name__}")
    return Record(place, value)


def _json_lines(path: Path) -> Iterator[Record | RecordFault]:
    with path.open("rb") as file:  # bytes: a line in another encoding must not end the reading of the others
        for number, line in enumerate(file, start=1):
            place = f"{path.name}, line {number}"
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise LeyloraError(f"{path} is UTF-16; save it as UTF-8 first.")
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                yield RecordFault(place, f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})")
            except json.JSONDecodeError as error:
                yield RecordFault(place, f"not JSON ({error.msg})")
            except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested lists
                yield RecordFault(place, "not JSON that can be read (a number too long, or too deep)")
            else:
                yield _record(place, value)


def _json_document(path: Path) -> Iterator[Record | RecordFault]:
    """A list of rows, SQuAD's ``{"data": [...]}``, or JSON Lines under the wrong name."""
    try:
        value = read_json(path)
    except LeyloraError:
        first = path.read_bytes().split(b"\n", 1)[0].strip()
        if not (first.startswith(b"{") and first.endswith(b"}")):
            raise
        yield from _json_lines(path)
        return
    if isinstance(value, dict):
        rows = value.get("data", value.get("rows"))
        value = rows if isinstance(rows, list) else [value]
    if not isinstance(value, list):
        raise LeyloraError(f"{path}: expected a list of objects, found {type(value).__name__}.")
    for number, row in enumerate(value, start=1):
        yield _record(f"{path.name}, row {number}", row)


def _table(path: Path) -> Iterator[Record | RecordFault]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses cells over 128 KiB
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.read(4096).split("\n", 1)[0]
            file.seek(0)
            delimiter = "\t" if path.suffix == ".tsv" else max(",;", key=head.count)  # Spanish spreadsheets write ";"
            reader = csv.DictReader(file, delimiter=delimiter)
            for row in reader:
                place = f"{path.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    yield RecordFault(place, f"has {'more' if None in row else 'fewer'} cells than the header")
                else:
                    yield _record(place, {key.strip(): cell for key, cell in row.items()})
    except UnicodeDecodeError as error:
        raise LeyloraError(f"{path} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8' first.") from None
    except csv.Error as error:
        raise LeyloraError(f"{path}: not a readable table ({error}); check its quotes.") from None


def _parquet(path: Path) -> Iterator[Record | RecordFault]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=1024)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
                yield _record(f"{path.name}, row {number}", row)
    except (pyarrow.ArrowException, OSError) as error:
        raise LeyloraError(f"{path} is not a readable Parquet file ({first_line(error)}).") from None


def hub_rows(source: InstructionSource, offline: bool) -> Iterator[dict[str, Any]]:
    """Rows of a Hub dataset, filtered by ``where``, with our column names added; a cut download is resumed.

    Raises:
        LeyloraError: it is not in the cache and cannot be downloaded, or lacks a column.
    """
    name = source.hub
    if offline:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # read when `datasets` is imported
    try:  # here and not at the top: building from files must not load it
        import datasets
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise LeyloraError(
            f"The dataset {name} is on the Hub, and the package `datasets` is not installed; run "
            "pip install 'leylora[train]', or download its files and set `path:` instead of `hub:`."
        ) from None
    try:
        table = datasets.load_dataset(name, source.config, split=source.split, revision=source.revision)
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        raise LeyloraError(
            f"The dataset {name} is a Python script, which is not run here. Set `revision: refs/convert/parquet` in "
            "the mixture to read the Hub's converted files, if it has them, or download the data and set `path:`."
        ) from None
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise LeyloraError(
            f"The dataset {name} could not be loaded from the Hub ({first_line(error)}). Run again with a connection "
            "(downloads are resumed), or download its files and set `path:` instead of `hub:` in the mixture."
        ) from None
    missing = {*source.columns.values(), *source.where} - set(table.column_names)
    if missing:
        raise LeyloraError(
            f"The dataset {name} has no column {', '.join(sorted(missing))}; it has {', '.join(table.column_names)}."
        )
    if source.where:
        wanted = list(source.where.values())
        table = table.filter(lambda *values: [str(value) for value in values] == wanted, input_columns=[*source.where])
    for row in table:
        yield {**row, **{ours: row[theirs] for ours, theirs in source.columns.items()}}


# --- shapes -----------------------------------------------------------------------------------------------------


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


def convert(rows: Iterable[Record | RecordFault], format: str | None = None) -> Iterator[Draft | RecordFault]:
    """Every record as turns, or a fault where it does not fit ``format`` (None: detected record by record).

    Raises:
        UsageError: ``format`` is none of `FORMATS`.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"Unknown format {format!r}; choose one of {', '.join(FORMATS)}.")
    trees: list[Record] = []
    for row in rows:
        if isinstance(row, RecordFault):
            yield row
            continue
        name = format or detect(row.value)
        if name is None:
            keys = ", ".join(map(str, list(row.value)[:8])) or "none"
            yield RecordFault(row.place, f"no known format has the keys: {keys}")
        elif name == "oasst":
            trees.append(row)
        else:
            try:
                yield from _read(row, name)
            except Misfit as error:
                yield RecordFault(row.place, f"as {name}: {error}")
    yield from best_paths(trees)


def _read(row: Record, name: str) -> Iterator[Draft]:
    fields = row.value
    match name:
        case "messages":
            yield _chat(row, fields.get("messages"))
        case "sharegpt":
            yield _chat(row, fields.get("conversations") or fields.get("conversation"), "from", "value")
        case "argilla":
            inputs = fields.get("inputs")
            if not isinstance(inputs, dict):
                raise Misfit(f"inputs is {_kind(inputs)}")
            bare = {str(key).split("-", 1)[-1]: text for key, text in inputs.items()}  # "1-input" -> "input"
            yield _pair(row, bare, "instruction", "input", "output")
        case "prompt-completion":
            yield _prompt_completion(row)
        case "squad":
            yield from _squad(row)
        case "summary":
            key = next((key for key in ("text", "article", "document") if key in fields), "text")
            ask = f"Resume el siguiente artículo:\n\n{_text(fields, key).strip()}"
            yield Draft(row.place, _two_turns(ask, _text(fields, "summary")), "summary", _id(row))
        case "translation":
            yield from _translation(row)
        case _:
            yield _pair(row, fields, *PAIRS[name])


def _chat(row: Record, turns: Any, role_key: str = "role", text_key: str = "content") -> Draft:
    if not isinstance(turns, list) or not turns:
        raise Misfit("the list of turns is missing or empty")
    out = _system_turn(row.value)
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise Misfit(f"turn {number} is {type(turn).__name__}, expected an object")
        said_by = turn.get(role_key, turn.get("role", turn.get("from")))
        role = ROLE_OF.get(str(said_by).strip().lower())
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


def _pair(row: Record, fields: dict[str, Any], ask_key: str, context_key: str, answer_key: str) -> Draft:
    ask, answer = _text(fields, ask_key), _text(fields, answer_key)
    context = fields.get(context_key)
    if context is not None and not isinstance(context, str):
        raise Misfit(f"{context_key} is {_kind(context)}")
    if context is not None and context.strip().lower() not in NO_INPUT:
        ask = f"{ask.rstrip()}\n\n{context.strip()}"
    return Draft(row.place, _system_turn(fields) + _two_turns(ask, answer), _task(row, "instruction"), _id(row))


def _prompt_completion(row: Record) -> Draft:
    prompt = row.value.get("prompt")
    key = next((key for key in ("completion", "response", "chosen") if key in row.value), "completion")
    answer = row.value.get(key)
    if not isinstance(prompt, list) and not isinstance(answer, list):
        return _pair(row, row.value, "prompt", "", key)
    if isinstance(prompt, str):  # from here on TRL's conversational prompt-completion
        prompt = [{"role": "user", "content": prompt}]
    if isinstance(answer, str):
        answer = [{"role": "assistant", "content": answer}]
    if not isinstance(prompt, list) or not isinstance(answer, list):
        raise Misfit(f"prompt is {_kind(prompt)} and {key} is {_kind(answer)}")
    starts_over = answer[: len(prompt)] == prompt  # preference sets repeat the prompt inside the answer
    return _chat(row, answer if starts_over else prompt + answer)


def _squad(row: Record) -> Iterator[Draft]:
    """Both shapes: the original's articles with paragraphs, and the flat rows of the Hub."""
    if "paragraphs" not in row.value:
        yield _squad_question(row.value.get("context"), row.value, row.place)
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
            yield _squad_question(paragraph.get("context"), question, f"{row.place}, paragraph {number}")


def _squad_question(context: Any, question: dict[str, Any], place: str) -> Draft:
    if not isinstance(context, str):
        raise Misfit(f"context is {_kind(context)}")
    answers = question.get("answers")
    texts = answers.get("text") if isinstance(answers, dict) else None  # the Hub's columns: {"text": [...]}
    if isinstance(answers, list):
        texts = [answer.get("text") for answer in answers if isinstance(answer, dict)]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Misfit("answers hold no list of texts")
    answer = texts[0] if texts else "El texto no contiene la respuesta."
    ask = f"Responda con base en el texto.\n\nTexto: {context.strip()}\n\nPregunta: {_text(question, 'question')}"
    return Draft(place, _two_turns(ask, answer), "question-answering", str(question.get("id") or ""))


def _translation(row: Record) -> Iterator[Draft]:
    """One row each way between Spanish and the other language of ``{"translation": {"es": ..., "en": ...}}``."""
    pair = row.value.get("translation")
    if not isinstance(pair, dict) or "es" not in pair or len(pair) != 2:
        raise Misfit("translation must hold Spanish ('es') and one other language")
    other = next(code for code in pair if code != "es")
    name = LANGUAGES.get(other, other)
    spanish, foreign, own_id = _text(pair, "es"), _text(pair, other), _id(row)
    for target, ask, given, wanted in (
        ("es", f"Traduce al español el siguiente texto en {name}:", foreign, spanish),
        (other, f"Traduce al {name} el siguiente texto:", spanish, foreign),
    ):
        turns = _two_turns(f"{ask}\n\n{given}", wanted)
        yield Draft(row.place, turns, "translation", f"{own_id}-{target}" if own_id else "")


def _two_turns(ask: str, answer: str) -> Turns:
    return [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]


def _system_turn(fields: dict[str, Any]) -> Turns:
    system = fields.get("system") or fields.get("system_prompt")
    return [{"role": "system", "content": system}] if isinstance(system, str) and system.strip() else []


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


# --- conversation trees -----------------------------------------------------------------------------------------


def best_paths(rows: Iterable[Record]) -> Iterator[Draft | RecordFault]:
    """Of OpenAssistant's trees, flat messages or nested ``replies``, the path of the best-ranked Spanish replies.

    Rank 0 is the annotators' favourite; an unranked reply comes last (arXiv:2304.07327).
    """
    messages: dict[str, Record] = {}
    children: dict[str, list[str]] = {}
    roots = []
    for row in rows:
        nested = row.value.get("prompt")
        for value in _flatten(nested) if isinstance(nested, dict) else [row.value]:
            fault = _message_fault(value)
            if fault is None and value["message_id"] in messages:
                fault = f"message_id {value['message_id']!r} appears twice"
            if fault is not None:
                yield RecordFault(row.place, f"as oasst: {fault}")
                continue
            key, parent = value["message_id"], value.get("parent_id")
            messages[key] = Record(row.place, value)
            if parent:
                children.setdefault(str(parent), []).append(key)
            else:
                roots.append(key)
    for parent, replies in children.items():
        if parent not in messages:
            for key in replies:
                yield RecordFault(messages[key].place, f"as oasst: the parent {parent!r} is not in the file")
    for root in roots:
        turns: Turns = []
        best: str | None = root
        while best is not None:
            value = messages[best].value
            turns.append({"role": "user" if value["role"] == "prompter" else "assistant", "content": value["text"]})
            replies = [reply for reply in children.get(best, ()) if _usable(messages[reply].value)]
            best = min(replies, key=lambda reply: _order(messages[reply].value), default=None)
        if turns[-1]["role"] == "user":
            turns.pop()
        if len(turns) < 2 or not _usable(messages[root].value):
            yield RecordFault(messages[root].place, "as oasst: nobody answered this prompt in Spanish")
        else:
            yield Draft(messages[root].place, turns, "conversation", root)


def _flatten(root: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a nested tree; a stack, because a tree may be deeper than Python's own."""
    out: list[dict[str, Any]] = []
    stack: list[tuple[Any, str | None]] = [(root, None)]
    while stack:
        current, parent = stack.pop()
        out.append({**current, "parent_id": parent} if isinstance(current, dict) else {"message_id": None})
        replies = current.get("replies") if isinstance(current, dict) else None
        if isinstance(replies, list):
            stack.extend((reply, current.get("message_id")) for reply in reversed(replies))
    return out


def _message_fault(value: dict[str, Any]) -> str | None:
    if not isinstance(value.get("message_id"), str):
        return "message_id is missing"
    if not isinstance(value.get("text"), str):
        return "text is missing"
    if value.get("role") not in ("prompter", "assistant"):
        return f"unknown role {value.get('role')!r}"
    return None


def _usable(value: dict[str, Any]) -> bool:
    return not value.get("deleted") and value.get("lang", "es") in ("es", None)


def _order(value: dict[str, Any]) -> tuple[int, str]:
    rank = value.get("rank")
    if isinstance(rank, int) or (isinstance(rank, float) and rank.is_integer()):  # NaN is not a rank
        return int(rank), value["message_id"]
    return UNRANKED, value["message_id"]
