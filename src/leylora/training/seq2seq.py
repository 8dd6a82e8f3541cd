"""Teach an encoder-decoder model (T5, Flan-T5, mT5) to summarise, and measure what it gained. Top to bottom:

parse             recipe and command line: TRL's and transformers' keys and the few of `SummaryArguments`
load_pairs        articles and the summaries people wrote of them
tokenize_pairs    their token ids and labels
score_summaries   ROUGE
run               ROUGE on the held-out articles before and after training; transformers' Seq2SeqTrainer in
                  between; adapter or model, card and run.json, moved into place at the end
"""

import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
import torch
from datasets import Dataset
from rich.table import Table
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)
from trl import ModelConfig, ScriptArguments

from leylora import console
from leylora.adapters.config import check_adapter_name
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_jsonl, sha256_file, staged_folder, write_json, write_jsonl, write_text
from leylora.models.cards import find_card
from leylora.models.load import load_base, load_config, load_tokenizer
from leylora.project import shown
from leylora.training.adapter import new_adapter, write_weights
from leylora.training.config import fill
from leylora.training.data import IGNORED, load_rows
from leylora.training.progress import ProgressBar
from leylora.training.recipe import DEFAULT_SUMMARY_RECIPE, recipe_of
from leylora.training.record import KINDS, installed_versions, peak_memory_gib, rouge
from leylora.training.trainer import OUT_OF_MEMORY

FLOAT32 = ("--bf16", "false")
"""T5 overflows in float16 (huggingface/transformers#9295), so cards without bfloat16 compute in float32."""
LORA_TARGETS = ["q", "v"]  # where a recipe names none: the attention projections that Hu et al. (2021) adapt
LOADING_SCRIPTS = ("mlsum", "reciTAL/mlsum", "GEM/mlsum")
SENTENCE_END = re.compile(r"([.!?…][»\"”)]*)\s+(?=[¿¡«\"“(]*[A-ZÁÉÍÓÚÑÜ0-9])")
SUMMARISERS = {"lead": "the article's first three sentences", "before": "base model", "after": "after training"}


# --- parse


@dataclass
class SummaryArguments:
    """The keys a summary recipe has besides TRL's and transformers' own."""

    prompt: str = "Resume el siguiente artículo:"  # the line above each article
    text_column: str = "text"  # of the article
    summary_column: str = "summary"
    max_source_length: int = 512  # tokens of an article; a longer one is cut
    max_target_length: int = 96  # tokens of a summary; a longer one is left out
    max_train_rows: int | None = None
    max_eval_rows: int | None = None
    min_gpu_memory_gib: float = 0.0  # stop unless the GPU has this much memory
    overwrite: bool = False  # replace the output of the same name


@dataclass(frozen=True)
class Seq2SeqArguments:
    """Everything a summary run was asked for, as `leylora.training.config.Arguments`."""

    script: ScriptArguments
    training: Seq2SeqTrainingArguments
    model: ModelConfig
    run: SummaryArguments
    recipe: str
    output: Path


def parse(words: list[str]) -> Seq2SeqArguments:
    """Read ``--config RECIPE`` and overrides; with nothing, LoRA of Flan-T5 small."""
    words = words if find_card() else [*words, "--use_cpu", "true", *FLOAT32]
    recipe = recipe_of(words, model=None, config=DEFAULT_SUMMARY_RECIPE)
    kinds = (ScriptArguments, Seq2SeqTrainingArguments, ModelConfig, SummaryArguments)
    script, training, model, run = fill(recipe, kinds, FLOAT32)
    in_bits = model.load_in_4bit or model.load_in_8bit
    short = run.max_source_length < 8 or run.max_target_length < 2
    unusable = {
        "model_name_or_path is missing; name a folder or a Hub model": model.model_name_or_path is None,
        "dataset_name is missing; name a JSONL file, a folder or a Hub dataset": script.dataset_name is None,
        "T5 models are small and are trained in full precision here; drop load_in_4bit": in_bits,
        "T5 overflows in float16; use --bf16 true, or neither for float32": training.fp16,
        "eval_strategy 'no' leaves nothing to compare with; use 'epoch' or 'steps'": training.eval_strategy == "no",
        "max_source_length and max_target_length are numbers of tokens, at least 8 and 2": short,
    }
    for sentence, given in unusable.items():
        if given:
            raise UsageError(f"{recipe.name}: {sentence}.")
    return Seq2SeqArguments(script, training, model, run, recipe.name, Path(str(recipe.whole.get("output_dir") or "")))


# --- articles and their summaries


class Pair(NamedTuple):
    """One article and the summary a person wrote of it."""

    article: str
    summary: str


class SummaryRows(NamedTuple):
    """Tokenised pairs, in one order in ``dataset`` and ``pairs``; how many were ``cut``, how many left out."""

    dataset: Dataset
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
        LeyloraError: as `leylora.training.data.load_rows`; or a row lacks a column or has no text in it.
        UsageError: a split that a single file does not have.
    """
    if Path(name).is_file():
        if split not in ("train", "test"):
            raise UsageError(f"A single file has the splits 'train' and 'test', not '{split}'; see {name}.")
        rows = [row for at, (_, row) in enumerate(read_jsonl(Path(name))) if (at % 5 == 4) == (split == "test")][:limit]
        if not rows:
            raise LeyloraError(f"{name} has too few rows for a '{split}' split: every fifth is held out.")
    elif name.endswith((".jsonl", ".json")):
        raise LeyloraError(f"The file {name} does not exist; check dataset_name.")
    elif name in LOADING_SCRIPTS:
        raise UsageError(f"{name} is a loading script, which datasets 5 does not run; use --dataset_name mteb/mlsum.")
    else:
        rows = load_rows(name, f"{split}[:{limit}]" if limit and not Path(name).is_dir() else split, config)[:limit]
    for number, row in enumerate(rows, start=1):
        for column in columns:
            if not isinstance(row.get(column), str) or not row[column].strip():
                raise LeyloraError(
                    f"{name}, split '{split}', row {number}: no text in '{column}' (it has {', '.join(row)}); set "
                    "text_column and summary_column, or mend the row."
                )
    return [Pair(row[columns[0]].strip(), row[columns[1]].strip()) for row in rows]


def tokenize_pairs(
    pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, prompt: str, max_source: int, max_target: int
) -> SummaryRows:
    """Token ids of "PROMPT\\nARTICLE" and labels of the summary, lengths with the end-of-text token.

    A long article is cut at its end, where news say least; a row whose *summary* is too long is left out, because a
    cut summary teaches never to end.
    """
    digest = hashlib.sha256()
    kept: list[Pair] = []
    rows: list[dict[str, list[int]]] = []
    cut = 0
    for pair in pairs:
        digest.update(json.dumps([*pair], ensure_ascii=False).encode())
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


def note_unwritable(rows: SummaryRows, tokenizer: PreTrainedTokenizerBase) -> str:
    """Characters of the summaries that the tokenizer has no token for, and a note about them if there are any.

    T5's vocabulary is of English, French, German and Romanian: no model with it can write what it lacks.
    """
    text = sorted({character for pair in rows.pairs for character in pair.summary if not character.isspace()})
    lacking = "".join(one for one in text if tokenizer.unk_token_id in tokenizer(text_target=one)["input_ids"])
    if lacking:
        share = sum(any(character in lacking for character in pair.summary) for pair in rows.pairs) / len(rows.pairs)
        console.note(
            f"The tokenizer has no token for {' '.join(lacking)}, which {share:.0%} of the summaries contain: the "
            "model cannot write them. mT5 and byT5 can."
        )
    return lacking


# --- ROUGE


def score_summaries(summaries: Sequence[str], references: Sequence[str]) -> dict[str, np.ndarray]:
    """F1 of each summary against its reference, 0 to 1: ``(N,)`` by kind."""
    if len(summaries) != len(references) or not summaries:
        raise UsageError(f"{len(summaries)} summaries cannot be scored against {len(references)} references.")
    scores = [rouge(summary, reference) for summary, reference in zip(summaries, references, strict=True)]
    return {kind: np.array([score[kind] for score in scores]) for kind in KINDS}


def means(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean F1 by kind."""
    return {kind: float(rows.mean()) for kind, rows in scores.items()}


def lead(article: str, sentences: int = 3) -> str:
    """The first sentences of an article: what a summary of news has to beat."""
    return " ".join(SENTENCE_END.sub(r"\1\n", article.strip()).split("\n")[:sentences])


# --- run


class SummaryTrainer(Seq2SeqTrainer):
    """Transformers' trainer, which scores as many summaries as there are articles."""

    def evaluation_loop(self, *positional: Any, **named: Any) -> Any:
        # Seq2SeqTrainer (transformers 5.23) gathers with `accelerator.gather`, which keeps the rows that were
        # repeated to give every process as many: more summaries than articles, and a loss that counts some twice.
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*positional, **named)


def token_loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None) -> Any:
    """Cross-entropy summed over a micro-batch's labels ``(B, T)``, divided by the labels of the whole step.

    T5's forward (transformers 5.23) takes ``num_items_in_batch`` and ignores it. Its own mean would count a step of k
    micro-batches, or of k processes, k times.
    """
    logits = outputs.logits.float()  # (B, T, vocabulary)
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum())


def run(arguments: Seq2SeqArguments, overrides: list[str]) -> dict[str, Any]:
    """Train what ``arguments`` describe, score it before and after, save it to ``arguments.output``.

    The result is ``run.json``. ``rouge`` is mean F1 by `SUMMARISERS` and kind; ``gain`` the 95 % bootstrap interval
    over articles of after less before, by kind.

    Args:
        overrides: the command line, for the record.

    Raises:
        UsageError: the output's name is taken, or the model is not an encoder-decoder.
        LeyloraError: the model or the rows cannot be used, memory runs out, or the loss is not a number.
    """
    started, versions = time.monotonic(), installed_versions()
    asked, args, script, output = arguments.run, arguments.training, arguments.script, arguments.output
    name = check_adapter_name(output.name)
    if output.exists() and not asked.overwrite:
        raise UsageError(f"{shown(output)} exists; add --overwrite true to replace it, or change output_dir.")
    base_name, revision = str(arguments.model.model_name_or_path), arguments.model.model_revision
    config = load_config(base_name, revision)
    if not config.is_encoder_decoder:
        raise UsageError(f"{base_name} has no encoder; train it with train/sft.py, or name a T5 model.")

    # ---- data
    tokenizer = load_tokenizer(base_name, revision)
    both = []
    splits = {script.dataset_train_split: asked.max_train_rows, script.dataset_test_split: asked.max_eval_rows}
    for split, limit in splits.items():
        columns = (asked.text_column, asked.summary_column)
        pairs = load_pairs(str(script.dataset_name), split, script.dataset_config, columns, limit)
        both.append(tokenize_pairs(pairs, tokenizer, asked.prompt, asked.max_source_length, asked.max_target_length))
        console.note(
            f"{split}: {len(both[-1].pairs):,} articles, {both[-1].cut:,} cut at {asked.max_source_length} tokens, "
            f"{both[-1].too_long:,} left out for a summary of more than {asked.max_target_length}."
        )
    train, held_out = both[0], both[-1]
    lacking = note_unwritable(train, tokenizer)

    # ---- model: in float32; autocast computes in bf16 where asked
    set_seed(args.seed)
    model: Any = load_base(base_name, "16bit", revision=revision, compute_dtype=torch.float32, device_map=None)
    lora = arguments.model.use_peft
    if lora:
        model = new_adapter(model, arguments.model, LORA_TARGETS, base_name, "SEQ_2_SEQ_LM")

    # ---- trainer
    def written(predictions: Any) -> list[str]:  # (N, T), padded with -100 where batches differ in length
        ids = [[token for token in row if token != IGNORED] for row in predictions.tolist()]
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    work = output.with_name(f".{name}.run")
    references = [pair.summary for pair in held_out.pairs]
    args.output_dir = str(work)
    args.predict_with_generate, args.generation_max_length = True, asked.max_target_length
    args.include_num_input_tokens_seen, args.ddp_find_unused_parameters = "non_padding", False
    trainer = SummaryTrainer(
        model=model,
        args=args,
        train_dataset=train.dataset,
        eval_dataset=held_out.dataset,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED, pad_to_multiple_of=8),
        processing_class=tokenizer,
        compute_metrics=lambda found: means(score_summaries(written(found.predictions), references)),
        compute_loss_func=token_loss,
    )
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(ProgressBar(name))

    # ---- before, training, after
    before = trainer.predict(held_out.dataset, metric_key_prefix="held_out")
    resume = {"true": True, "false": None}.get(str(args.resume_from_checkpoint).lower(), args.resume_from_checkpoint)
    try:
        trained = trainer.train(resume_from_checkpoint=resume)
    except torch.OutOfMemoryError:
        raise LeyloraError(f"{OUT_OF_MEMORY} max_source_length.") from None
    if not math.isfinite(trained.training_loss):
        raise LeyloraError(f"The training loss is {trained.training_loss}; lower learning_rate and start again.")
    after = trainer.predict(held_out.dataset, metric_key_prefix="held_out")
    summaries = {"lead": [lead(pair.article) for pair in held_out.pairs]}
    summaries |= {"before": written(before.predictions), "after": written(after.predictions)}
    scores = {key: score_summaries(texts, references) for key, texts in summaries.items()}
    gain = {}
    for kind in KINDS if len(references) > 1 else ():
        change = (scores["after"][kind] - scores["before"][kind],)
        interval = scipy.stats.bootstrap(change, np.mean, method="percentile", rng=np.random.default_rng(0))
        gain[kind] = [float(end) for end in interval.confidence_interval]
    memory, device = peak_memory_gib()
    record: dict[str, Any] = {
        "name": name,
        "kind": "lora" if lora else "full",
        "base_model": base_name,
        "revision": str(getattr(config, "_commit_hash", None) or revision),
        "recipe": arguments.recipe,
        "overrides": overrides,
        "prompt": asked.prompt,
        "dataset": str(script.dataset_name),
        "dataset_sha256": train.sha256,
        "rows": len(train.pairs),
        "rows_too_long": train.too_long,
        "articles_cut": train.cut,
        "eval_rows": len(held_out.pairs),
        "unwritable_characters": lacking,
        "steps": trainer.state.global_step,
        "seed": args.seed,
        "versions": versions,
        "device": device,
        "processes": args.world_size,
        "trainable_parameters": sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        "train_loss": float(trained.training_loss),
        "eval_loss_before": float(before.metrics["held_out_loss"]),
        "eval_loss": float(after.metrics["held_out_loss"]),
        "rouge": {key: means(scored) for key, scored in scores.items()},
        "gain": gain,
        "peak_memory_gib": memory,
        "wall_seconds": time.monotonic() - started,
        "weights_sha256": "",
        "log": [point for point in trainer.state.log_history if "train_loss" not in point],
    }
    if not trainer.is_world_process_zero():
        return record

    # ---- save
    with staged_folder(output, overwrite=asked.overwrite) as folder:
        if lora:
            write_weights(model, folder, output)
        else:
            model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        record["weights_sha256"] = sha256_file(folder / (WEIGHTS_FILE if lora else "model.safetensors"))
        lines = zip(held_out.pairs, summaries["before"], summaries["after"], strict=True)
        write_jsonl(
            folder / "summaries.jsonl",
            ({"article": pair.article, "reference": pair.summary, "before": a, "after": b} for pair, a, b in lines),
        )
        write_json(folder / "run.json", record)
        write_text(folder / "README.md", model_card(record))
    shutil.rmtree(work, ignore_errors=True)
    return record


def scores_of(record: dict[str, Any]) -> list[tuple[str, ...]]:
    """Summariser, ROUGE-1, ROUGE-2, ROUGE-L (times 100), loss; last the gain with its interval."""
    losses = {"before": f"{record['eval_loss_before']:.3f}", "after": f"{record['eval_loss']:.3f}"}
    lines = [
        (label, *(f"{100 * record['rouge'][key][kind]:.1f}" for kind in KINDS), losses.get(key, ""))
        for key, label in SUMMARISERS.items()
    ]
    if record["gain"]:
        gains = (f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in map(record["gain"].__getitem__, KINDS))
        lines.append(("gain, 95 % interval", *gains, ""))
    return lines


def show(record: dict[str, Any]) -> None:
    """Print the scores of a run."""
    table = Table(title=f"{record['name']}: {record['eval_rows']} held-out articles", title_justify="left")
    table.add_column("summariser")
    for title in ("ROUGE-1", "ROUGE-2", "ROUGE-L", "loss"):
        table.add_column(title, justify="right")
    for row in scores_of(record):
        table.add_row(*row)
    console.out.print(table)


def model_card(record: dict[str, Any]) -> str:
    """A Hugging Face model card (Markdown with a YAML head)."""
    scores = "\n".join(f"| {' | '.join(row)} |" for row in scores_of(record))
    lora = record["kind"] == "lora"
    return f"""---
base_model: {record["base_model"]}
pipeline_tag: summarization
language: es
library_name: {"peft" if lora else "transformers"}
tags: [summarization, leylora]
---

# {record["name"]}

{"A LoRA adapter" if lora else "A whole model, all weights trained"}: summaries of Spanish news, trained with leylora
(`{" ".join((record["recipe"], *record["overrides"]))}`). The input is `{record["prompt"]}`, a line break and the \
article.

ROUGE F1 × 100 on {record["eval_rows"]} held-out articles (words with their accents, no stemmer), and loss in nats a \
token:

| summariser | ROUGE-1 | ROUGE-2 | ROUGE-L | loss |
|---|---|---|---|---|
{scores}

Trained for {record["steps"]:,} steps on {record["rows"]:,} rows of `{record["dataset"]}`. Every held-out summary,
before and after: `summaries.jsonl`. All figures and hashes: `run.json`. A summary may state what its article does not
say; read it against the article.
"""
