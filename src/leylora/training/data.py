"""The rows of a run: from conversations to packed token ids and labels, checked before a model is loaded.

    load_conversations   rows of a dataset folder or the Hub, each a conversation that ends with an answer
    tokenize             token ids, and labels on the answers alone; every row is checked as it is made
    prepare              the training and held-out rows of a run, replayed rows mixed in, packed
    show_masks           which tokens carry loss, in colour

TRL can tokenise and pack itself. It is done here because every row is then checked for the faults that cost QLoRA users
most: an answer without a trained end, a trained prompt, a doubled BOS, an answer cut off silently. And TRL packs a
thousand rows at a time in each of ``dataset_num_proc`` processes, so that losses depend on a setting that should only
cost time. Here all rows are packed together, which also fills the packs better.
"""

import hashlib
import json
import random
import tempfile
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute
from datasets import Dataset, load_dataset
from rich.text import Text
from transformers import PreTrainedTokenizerBase
from trl import SFTConfig, pack_dataset

from leylora import console
from leylora.errors import LeyloraError, first_line
from leylora.files import read_json_object, read_jsonl
from leylora.models.templates import turn_end
from leylora.text import nfc
from leylora.training.config import Arguments

ROLES = ("system", "user", "assistant")
IGNORED = -100  # label of a token that carries no loss (PyTorch's ``ignore_index``)


@dataclass
class TokenizedDataset:
    """Tokenised rows."""

    dataset: Dataset  # ``input_ids``, ``labels`` (lists of ints of equal length), ``conversation`` (id or number)
    sha256: str  # of the conversations in their order, in any file format
    too_long: list[str] = field(default_factory=list)  # ids or numbers of rows that exceed ``max_length``
    packed: Dataset | None = None  # what the trainer reads, once `prepare` has made it

    @property
    def tokens(self) -> int:
        return sum(lengths(self.dataset))


class RunData(NamedTuple):
    """The rows of one run."""

    conversations: list[dict[str, Any]]  # that are trained on, replayed ones among them
    train: TokenizedDataset
    held_out: TokenizedDataset | None  # None for a run without evaluation
    made_from: dict[str, Any]  # hashes of all that decides the packed rows, by the name shown to a person


def prepare(arguments: Arguments, tokenizer: PreTrainedTokenizerBase, template: str) -> RunData:
    """Load, label, check and pack the rows that ``arguments`` name; ``template`` has ``{% generation %}`` blocks."""
    script, asked, args = arguments.script, arguments.run, arguments.training
    assert args.max_length is not None  # `leylora.training.checks.fits`
    talk = load_conversations(str(script.dataset_name), script.dataset_train_split, script.dataset_config)
    if asked.replay_dataset:
        replay = load_conversations(asked.replay_dataset, script.dataset_train_split)
        talk = with_replay(talk, replay, asked.replay_fraction, args.seed)
    train = tokenize(talk, tokenizer, template, args.max_length)
    train.packed = pack(train.dataset, args, packing=args.packing)
    held_out = None
    if args.eval_strategy != "no":
        rows = load_conversations(str(script.dataset_name), script.dataset_test_split, script.dataset_config)
        held_out = tokenize(rows, tokenizer, template, args.max_length)
        held_out.packed = pack(held_out.dataset, args, packing=packs_evaluation(args))
    if train.too_long:
        share = len(train.too_long) / len(talk)
        console.note(f"{len(train.too_long)} of {len(talk)} rows ({share:.1%}) exceed max_length {args.max_length}.")
    made_from = {
        "the training conversations": train.sha256,
        "the held-out conversations": held_out.sha256 if held_out else conversations_sha256([]),
        "the instruction template": hashlib.sha256(template.encode()).hexdigest(),
        "the base model's tokenizer": _tokenizer_sha256(tokenizer),
        "token ids, labels or packs of the rows": _packs_sha256(train.packed, held_out and held_out.packed),
    }
    return RunData(talk, train, held_out, made_from)


# --- conversations


def load_conversations(name: str, split: str, config: str | None = None) -> list[dict[str, Any]]:
    """The conversations of one split, each of which must end with an answer."""
    rows = load_rows(name, split, config)
    for number, row in enumerate(rows, start=1):
        if fault := _fault(row.get("messages")):
            raise LeyloraError(f"{name}, split '{split}', row {number}: {fault}; mend it or build it anew.")
    return rows


def _fault(messages: Any) -> str | None:
    """What keeps ``messages`` from being a conversation to train on, or None."""
    if not isinstance(messages, list) or not messages:
        return "there are no 'messages'"
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            return "a message is not a 'role' with a 'content' of text"
        if message.get("role") not in ROLES:
            return f"a message has the role {message.get('role')!r}, not one of {', '.join(ROLES)}"
        if message["role"] == "assistant" and not message["content"].strip():
            return "an answer is empty"
    if messages[-1]["role"] != "assistant":
        return f"it ends with a message of the {messages[-1]['role']}, so the last answer is missing"
    return None


def load_rows(name: str, split: str, config: str | None = None) -> list[dict[str, Any]]:
    """The rows of one split (a slice such as ``train[:5000]`` for the Hub): of a built folder, else from the Hub."""
    folder = Path(name)
    if folder.is_dir():
        path = folder / f"{split}.jsonl"
        if not path.is_file():
            there = ", ".join(sorted(file.stem for file in folder.glob("*.jsonl"))) or "none"
            raise LeyloraError(f"{folder} has no split '{split}' ({path.name} is missing; there: {there}).")
        rows = [row for _, row in read_jsonl(path)]
    elif folder.is_absolute() or len(folder.parts) != 2:
        raise LeyloraError(f"The dataset folder {name} does not exist; make it with scripts/build_dataset.py.")
    else:
        try:
            rows = list(load_dataset(name, config, split=split))
        except Exception as error:  # the Hub client raises a dozen unrelated types for "not there" and "no network"
            raise LeyloraError(
                f"The dataset {name} is not a folder here and cannot be had from the Hub ({first_line(error)}); make "
                "it with scripts/build_dataset.py or check the name and the network."
            ) from None
    if not rows:
        raise LeyloraError(f"The split '{split}' of {name} is empty; see the dataset's report for what was dropped.")
    return rows


def with_replay(
    rows: list[dict[str, Any]], replay: list[dict[str, Any]], fraction: float, seed: int
) -> list[dict[str, Any]]:
    """``rows`` plus as many of ``replay`` as make up ``fraction`` of the whole, shuffled by ``seed``.

    A replay set that is too small is repeated, in a new order each time.
    """
    wanted = round(len(rows) * fraction / (1.0 - fraction))
    order = random.Random(seed)
    drawn: list[dict[str, Any]] = []
    while len(drawn) < wanted:
        drawn += order.sample(replay, min(len(replay), wanted - len(drawn)))
    mixed = rows + drawn
    order.shuffle(mixed)
    return mixed


def conversations_sha256(rows: list[dict[str, Any]]) -> str:
    """SHA-256 of the messages in their order, not of file format and ids."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row["messages"], ensure_ascii=False, sort_keys=True).encode())
    return digest.hexdigest()


# --- labels


def tokenize(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, template: str, max_length: int
) -> TokenizedDataset:
    """Render each conversation with the training template and label the assistant's tokens.

    A row of more than ``max_length`` tokens is left out whole, because a cut one teaches never to end.
    """
    end = turn_end(tokenizer, template)
    kept: list[dict[str, Any]] = []
    too_long: list[str] = []
    for number, row in enumerate(rows, start=1):
        label = str(row.get("id") or f"row {number}")
        encoded = tokenizer.apply_chat_template(
            row["messages"], chat_template=template, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        ids: list[int] = encoded["input_ids"]
        labels = [token if mask else IGNORED for token, mask in zip(ids, encoded["assistant_masks"], strict=True)]
        check_labels(ids, labels, tokenizer, label, end)
        check_answers(labels, row["messages"], tokenizer, label, end)
        if len(ids) > max_length:
            too_long.append(label)
        else:
            kept.append({"input_ids": ids, "labels": labels, "conversation": label})
    if not kept:
        raise LeyloraError(f"All {len(rows)} rows are longer than max_length {max_length} tokens; raise max_length.")
    return TokenizedDataset(Dataset.from_list(kept), conversations_sha256(rows), too_long)


def check_labels(ids: list[int], labels: list[int], tokenizer: PreTrainedTokenizerBase, row: str, end: int) -> None:
    """Check where one row's labels lie: faults that ruin a run without showing in its loss.

    ``end`` is the token that ends an answer (`leylora.models.templates.turn_end`).
    """
    trained = [position for position, label in enumerate(labels) if label != IGNORED]
    if not trained:
        raise LeyloraError(f"Row {row}: no token carries loss; its assistant message is empty or not marked.")
    if len(trained) == len(ids):
        raise LeyloraError(f"Row {row}: every token carries loss, the question too; check the template's marks.")
    if any(labels[position] != ids[position] for position in trained):
        raise LeyloraError(f"Row {row}: a label is not the token of its place; do not shift labels by hand.")
    if ids[trained[-1]] != end:
        raise LeyloraError(
            f"Row {row}: the answer's last trained token is {tokenizer.decode([ids[trained[-1]]])!r}, not the "
            f"end-of-turn token {tokenizer.convert_ids_to_tokens(end)!r}; such a model never stops. Put eos_token "
            "inside the marks."
        )
    bos = tokenizer.bos_token_id
    if bos is not None and bos != tokenizer.eos_token_id and ids[:2] == [bos, bos]:
        raise LeyloraError(f"Row {row}: it begins with two BOS tokens; let the template alone write bos_token.")


def check_answers(
    labels: list[int], messages: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, row: str, end: int
) -> None:
    """Check that what is trained is each answer whole, each with one end, and nothing of a question."""
    answers = [message["content"] for message in messages if message["role"] == "assistant"]
    spans: list[list[int]] = [[]]  # the trained tokens, cut after each end
    for label in labels:
        if label == end:
            spans.append([])
        elif label != IGNORED:
            spans[-1].append(label)
    del spans[-1]  # what follows the last end: nothing, or an answer without one
    if len(spans) != len(answers):
        raise LeyloraError(
            f"Row {row}: {len(spans)} ends of an answer carry loss and there are {len(answers)} answers; an answer's "
            f"end is masked, or its text holds {tokenizer.convert_ids_to_tokens(end)!r}, at which the model would stop."
        )
    for span, answer in zip(spans, answers, strict=True):
        # Without white space, which templates trim and tokenizers add; some tokenizers also take accents apart.
        trained, wanted = ("".join(nfc(text).split()) for text in (tokenizer.decode(span), answer))
        if wanted not in trained:
            raise LeyloraError(
                f"Row {row}: what carries loss is not the whole answer ({trained[:40]!r} for {wanted[:40]!r}, spaces "
                "aside); the mask is shifted, or the template changes what is said."
            )
        if len(trained) > len(wanted) + 64:  # a template may write a few words before an answer, never a question
            raise LeyloraError(f"Row {row}: more than the answer carries loss ({trained[:60]!r}); mend the marks.")


def show_masks(rows: Dataset, tokenizer: PreTrainedTokenizerBase, end: int, count: int) -> Text:
    """The first ``count`` rows for the terminal: trained tokens green, context dim, special tokens in reverse.

    The end of an answer is marked: a model for which it is not green never stops.
    """
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    special = added | set(tokenizer.all_special_ids)
    text = Text()
    for row in rows.select(range(min(count, len(rows)))):
        ids, labels = row["input_ids"], row["labels"]
        carry = sum(label != IGNORED for label in labels)
        text.append(f"{row['conversation']}: {carry} of {len(labels)} tokens carry loss\n", "bold")
        marked = [(token in special, label != IGNORED, token) for token, label in zip(ids, labels, strict=True)]
        for (is_special, trained), group in groupby(marked, key=itemgetter(0, 1)):
            tokens, style = [token for _, _, token in group], "green" if trained else "dim"
            if not is_special:
                text.append(tokenizer.decode(tokens), style)
                continue
            for token in tokens:
                text.append(str(tokenizer.convert_ids_to_tokens(token)), f"reverse {style}")
                if trained and token == end:
                    text.append(" end of answer ", "bold green")
        text.append("\n\n")
    text.append("green: carries loss", "green").append("   dim: context", "dim")
    return text.append("   reverse: special token\n", "reverse")


# --- packs


def pack(rows: Dataset, args: SFTConfig, *, packing: bool) -> Dataset:
    """What the trainer reads: whole documents fitted into rows of ``max_length``, or the rows as they are.

    Columns ``input_ids`` and ``labels``, and with best-fit packing ``seq_lengths``, the documents' lengths. The result
    depends on the rows and ``max_length`` alone (and on the seed if ``shuffle_dataset`` is set).
    """
    rows = rows.select_columns(["input_ids", "labels"])
    if args.shuffle_dataset:
        rows = rows.shuffle(seed=args.seed)
    if packing:
        rows = pack_dataset(rows, args.max_length, args.packing_strategy, {"batch_size": None, "keep_in_memory": True})
    return rows


def packs_evaluation(args: SFTConfig) -> bool:
    """Whether held-out rows are packed too: as the training rows, unless ``eval_packing`` says otherwise."""
    return bool(args.packing if args.eval_packing is None else args.eval_packing)


def lengths(rows: Dataset) -> list[int]:
    """The number of tokens of each row, without making Python lists of the tokens."""
    counts: list[int] = pyarrow.compute.list_value_length(rows.with_format("arrow")[:]["input_ids"]).to_pylist()
    return counts


def filled(packed: Dataset, max_length: int) -> float:
    """Share of the packed rows' places that hold a token."""
    counts = lengths(packed)
    return sum(counts) / (len(counts) * max_length)


def _packs_sha256(*packed: Dataset | None) -> str:
    """Of what the trainer reads, column by column: the same hash, the same losses."""
    digest = hashlib.sha256()
    for rows in packed:
        for name, column in zip(rows.column_names, rows.with_format("arrow")[:].columns, strict=True) if rows else ():
            digest.update(f"{name} {len(column)}\0".encode())
            digest.update(pyarrow.compute.list_value_length(column).to_numpy().astype("<i8").tobytes())
            digest.update(pyarrow.compute.list_flatten(column).to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """Of the files it would be saved as, without the chat template (the run brings its own)."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in sorted(Path(folder).glob("*.json")):
            content = read_json_object(path)
            content.pop("local_files_only", None)  # transformers 5.23 saves whether there was a network
            digest.update(f"{path.name}\0{json.dumps(content, sort_keys=True)}\0".encode())
    return digest.hexdigest()
