"""Articles and their summaries, from text to token ids and labels, checked before a model is loaded."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_jsonl
from leylora.training.data import load_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

HELD_OUT_EVERY = 5
"""Of a single file every fifth row is held out."""

LOADING_SCRIPTS = ("mlsum", "reciTAL/mlsum", "GEM/mlsum")


@dataclass(frozen=True)
class Pair:
    """One article and the summary a person wrote of it."""

    article: str
    summary: str


@dataclass(frozen=True)
class SummaryRows:
    """Tokenised pairs.

    Attributes:
        dataset: columns ``input_ids``, ``attention_mask`` and ``labels``.
        pairs: of the rows in ``dataset``, in the same order.
        cut: articles of which the model sees only the beginning.
        too_long: rows left out because their summary is too long.
        sha256: of the pairs as they were read.
    """

    dataset: "Dataset"
    pairs: list[Pair]
    cut: int
    too_long: int
    sha256: str


def load_pairs(name: str, split: str, config: str | None, columns: tuple[str, str], limit: int | None) -> list[Pair]:
    """The pairs of one split.

    Args:
        name: a JSONL file (every fifth row is its ``test``, the others its ``train``), a folder with ``SPLIT.jsonl``,
            or a dataset on the Hub.
        columns: names of the article's and of the summary's column.
        limit: how many rows at most, from the beginning.

    Raises:
        LeyloraError: as `rows.load_rows`; or a row lacks a column or has no text in it.
        UsageError: a split that a single file does not have.
    """
    if Path(name).is_file():
        rows = _of_file(Path(name), split)[:limit]
    elif name.endswith((".jsonl", ".json")):
        raise LeyloraError(f"The file {name} does not exist; check dataset_name.")
    elif name in LOADING_SCRIPTS:
        raise UsageError(f"{name} is a loading script, which datasets 5 does not run; use --dataset_name mteb/mlsum.")
    else:
        on_hub = not Path(name).is_dir()
        rows = load_rows(name, f"{split}[:{limit}]" if limit and on_hub else split, config)[:limit]
    pairs = []
    for number, row in enumerate(rows, start=1):
        for column in columns:
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise LeyloraError(
                    f"{name}, split '{split}', row {number}: no text in '{column}' (it has {', '.join(row)}); set "
                    "text_column and summary_column, or mend the row."
                )
        pairs.append(Pair(row[columns[0]].strip(), row[columns[1]].strip()))
    return pairs


def _of_file(path: Path, split: str) -> list[dict[str, Any]]:
    if split not in ("train", "test"):
        raise UsageError(f"A single file has the splits 'train' and 'test', not '{split}'; see {path}.")
    held_out = split == "test"
    rows = [row for number, (_, row) in enumerate(read_jsonl(path)) if (number % HELD_OUT_EVERY == 4) == held_out]
    if not rows:
        raise LeyloraError(f"{path} has too few rows for a '{split}' split: every fifth is held out.")
    return rows


def tokenize_pairs(
    pairs: list[Pair], tokenizer: "PreTrainedTokenizerBase", prompt: str, max_source: int, max_target: int
) -> SummaryRows:
    """Token ids of "PROMPT\\nARTICLE" and labels of the summary.

    A long article is cut at its end, where news say least; a row whose *summary* is too long is left out, for a cut
    summary teaches never to end.

    Args:
        max_source, max_target: in tokens, end-of-text token included.

    Raises:
        LeyloraError: no row is left, or a summary would not end with the end-of-text token.
    """
    from datasets import Dataset

    digest = hashlib.sha256()
    kept: list[Pair] = []
    rows: list[dict[str, list[int]]] = []
    cut = 0
    for pair in pairs:
        digest.update(json.dumps([pair.article, pair.summary], ensure_ascii=False).encode())
        labels: list[int] = tokenizer(text_target=pair.summary)["input_ids"]
        if labels[-1] != tokenizer.eos_token_id:
            raise LeyloraError(
                f"The tokenizer does not end a summary with its end-of-text token '{tokenizer.eos_token}', so the "
                "model would never learn to stop; use a T5 tokenizer."
            )
        if len(labels) > max_target:
            continue
        whole: list[int] = tokenizer(f"{prompt}\n{pair.article}")["input_ids"]
        source = whole if len(whole) <= max_source else [*whole[: max_source - 1], tokenizer.eos_token_id]
        cut += len(whole) > max_source
        rows.append({"input_ids": source, "attention_mask": [1] * len(source), "labels": labels})
        kept.append(pair)
    if not rows:
        raise LeyloraError(f"All {len(pairs)} summaries are longer than max_target_length {max_target}; raise it.")
    return SummaryRows(Dataset.from_list(rows), kept, cut, len(pairs) - len(kept), digest.hexdigest())


def note_unwritable(rows: SummaryRows, tokenizer: "PreTrainedTokenizerBase") -> str:
    """Characters of the summaries that the tokenizer has no token for, and a note about them if there are any.

    T5's vocabulary is of English, French, German and Romanian: no model with it can write what it lacks.
    """
    unknown = tokenizer.unk_token_id
    text = "".join(sorted({character for pair in rows.pairs for character in pair.summary if not character.isspace()}))
    lacking = "".join(character for character in text if unknown in tokenizer(text_target=character)["input_ids"])
    if lacking:
        share = sum(any(character in lacking for character in pair.summary) for pair in rows.pairs) / len(rows.pairs)
        console.note(
            f"The tokenizer has no token for {' '.join(lacking)}, which {share:.0%} of the summaries contain: the "
            "model cannot write them. mT5 and byT5 can."
        )
    return lacking
