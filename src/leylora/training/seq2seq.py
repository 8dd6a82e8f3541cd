"""Teach T5, Flan-T5 or mT5 to summarise, and show base against fine-tuned on held-out articles. Top to bottom:

parse             recipe and command line: TRL's and transformers' keys and the few of `SummaryArguments`
load_pairs        articles and the summaries people wrote of them
tokenize_pairs    their token ids and labels
score_summaries   ROUGE
run               score, train with transformers' Seq2SeqTrainer, score again, save all or nothing
scores_table      what the terminal and the model card show
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
from typing import Any

import numpy as np
import scipy.stats
import torch
from datasets import Dataset
from rich.markdown import Markdown
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
from leylora.files import read_jsonl, sha256_file, write_json, write_jsonl, write_text
from leylora.folders import staged_folder
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

FLOAT32 = ("--bf16", "false")  # without bf16: T5 overflows in float16 (huggingface/transformers#9295)
SENTENCE_END = re.compile(r"([.!?…][»\"”)]*)\s+(?=[¿¡«\"“(]*[A-ZÁÉÍÓÚÑÜ0-9])")
SUMMARISERS = {"lead": "the article's first three sentences", "before": "base model", "after": "after training"}

Pair = tuple[str, str]  # an article and the summary a person wrote of it


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


def parse(words: list[str]) -> tuple[ScriptArguments, Seq2SeqTrainingArguments, ModelConfig, SummaryArguments, str]:
    """Read ``--config RECIPE`` and overrides; with nothing, LoRA of Flan-T5 small; last the recipe's name."""
    words = words if find_card() else [*words, "--use_cpu", "true", *FLOAT32]
    recipe = recipe_of(words, model=None, config=DEFAULT_SUMMARY_RECIPE)
    kinds = (ScriptArguments, Seq2SeqTrainingArguments, ModelConfig, SummaryArguments)
    script, training, model, run = fill(recipe, kinds, FLOAT32)
    in_bits, short = model.load_in_4bit or model.load_in_8bit, run.max_source_length < 8 or run.max_target_length < 2
    for given, sentence in (
        (model.model_name_or_path is None, "model_name_or_path is missing; name a folder or a Hub model"),
        (script.dataset_name is None, "dataset_name is missing; name a JSONL file, a folder or a Hub dataset"),
        (in_bits, "T5 models are small and are trained in full precision here; drop load_in_4bit"),
        (training.fp16, "T5 overflows in float16; use --bf16 true, or neither for float32"),
        (training.eval_strategy == "no", "eval_strategy 'no' leaves nothing to compare with; use 'epoch' or 'steps'"),
        (short, "max_source_length and max_target_length are numbers of tokens, at least 8 and 2"),
    ):
        if given:
            raise UsageError(f"{recipe.name}: {sentence}.")
    training.output_dir = str(recipe.whole.get("output_dir") or "")  # not transformers' default
    return script, training, model, run, recipe.name


def load_pairs(name: str, split: str, config: str | None, columns: tuple[str, str], limit: int | None) -> list[Pair]:
    """The first ``limit`` pairs of a split of a JSONL file (``test`` is every fifth row), a folder or a Hub dataset."""
    if Path(name).is_file():
        if split not in ("train", "test"):
            raise UsageError(f"A single file has the splits 'train' and 'test', not '{split}'; see {name}.")
        rows = [row for at, (_, row) in enumerate(read_jsonl(Path(name))) if (at % 5 == 4) == (split == "test")][:limit]
        if not rows:
            raise LeyloraError(f"{name} has too few rows for a '{split}' split: every fifth is held out.")
    elif name.endswith((".jsonl", ".json")):
        raise LeyloraError(f"The file {name} does not exist; check dataset_name.")
    elif name in ("mlsum", "reciTAL/mlsum", "GEM/mlsum"):
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
    return [(row[columns[0]].strip(), row[columns[1]].strip()) for row in rows]


def tokenize_pairs(
    pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, prompt: str, max_source: int, max_target: int
) -> tuple[Dataset, int]:
    """Rows of article, summary, token ids of "PROMPT\\nARTICLE" and labels; and how many articles were cut."""
    rows: list[dict[str, Any]] = []
    cut = 0
    for article, summary in pairs:
        labels: list[int] = tokenizer(text_target=summary)["input_ids"]
        if labels[-1] != tokenizer.eos_token_id:
            raise LeyloraError(
                f"The tokenizer does not end a summary with '{tokenizer.eos_token}': no model learns to end; use T5's."
            )
        if len(labels) > max_target:
            continue  # cut, it would teach never to end
        source: list[int] = tokenizer(f"{prompt}\n{article}")["input_ids"]
        if len(source) > max_source:  # at its end, where news say least
            source, cut = [*source[: max_source - 1], tokenizer.eos_token_id], cut + 1
        ids = {"input_ids": source, "attention_mask": [1] * len(source), "labels": labels}
        rows.append({"article": article, "summary": summary, **ids})
    if not rows:
        raise LeyloraError(f"All {len(pairs)} summaries are longer than max_target_length {max_target}; raise it.")
    return Dataset.from_list(rows), cut


def note_unwritable(summaries: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> str:
    """Tell which characters of the summaries the tokenizer has no token for, as T5's has few of Spanish; give them."""
    text = sorted({character for character in "".join(summaries) if not character.isspace()})
    lacking = "".join(one for one in text if tokenizer.unk_token_id in tokenizer(text_target=one)["input_ids"])
    if lacking:
        share = sum(any(one in lacking for one in summary) for summary in summaries) / len(summaries)
        console.note(
            f"The tokenizer has no token for {' '.join(lacking)}, which {share:.0%} of the summaries contain: the "
            "model cannot write them. mT5 and byT5 can."
        )
    return lacking


def score_summaries(summaries: Sequence[str], references: Sequence[str]) -> dict[str, np.ndarray]:
    """ROUGE F1 of each summary against its reference, 0 to 1: ``(N,)`` by kind."""
    if len(summaries) != len(references) or not summaries:
        raise UsageError(f"{len(summaries)} summaries cannot be scored against {len(references)} references.")
    scores = [rouge(summary, reference) for summary, reference in zip(summaries, references, strict=True)]
    return {kind: np.array([score[kind] for score in scores]) for kind in KINDS}


def means(scores: dict[str, np.ndarray]) -> dict[str, float]:
    return {kind: float(rows.mean()) for kind, rows in scores.items()}


def lead(article: str, sentences: int = 3) -> str:
    """The first sentences of an article: what a summary of news has to beat."""
    return " ".join(SENTENCE_END.sub(r"\1\n", article.strip()).split("\n")[:sentences])


class SummaryTrainer(Seq2SeqTrainer):
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
    total = torch.nn.functional.cross_entropy(outputs.logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum())


def run(words: list[str]) -> dict[str, Any]:
    """Train what a command line describes, save it and show its scores; gives what is saved as ``run.json``.

    There ``rouge`` is mean F1 by `SUMMARISERS` and kind, and ``gain`` the 95 % bootstrap interval over articles of
    after less before. LeyloraError, in one sentence, for everything that cannot be.
    """
    started = time.monotonic()
    script, args, chosen, asked, recipe = parse(words)
    output = Path(args.output_dir)
    name = check_adapter_name(output.name)
    if output.exists() and not asked.overwrite:
        raise UsageError(f"{shown(output)} exists; add --overwrite true to replace it, or change output_dir.")
    base_name, revision = str(chosen.model_name_or_path), chosen.model_revision
    config = load_config(base_name, revision)
    if not config.is_encoder_decoder:
        raise UsageError(f"{base_name} has no encoder; train it with train/sft.py, or name a T5 model.")

    # ---- data
    tokenizer = load_tokenizer(base_name, revision)
    columns, both = (asked.text_column, asked.summary_column), []
    splits = {script.dataset_train_split: asked.max_train_rows, script.dataset_test_split: asked.max_eval_rows}
    for split, limit in splits.items():
        pairs = load_pairs(str(script.dataset_name), split, script.dataset_config, columns, limit)
        rows, cut = tokenize_pairs(pairs, tokenizer, asked.prompt, asked.max_source_length, asked.max_target_length)
        both.append((pairs, rows, cut))
        console.note(
            f"{split}: {len(rows):,} articles, {cut:,} cut at {asked.max_source_length} tokens, "
            f"{len(pairs) - len(rows):,} left out for a summary of more than {asked.max_target_length}."
        )
    (train_pairs, train, train_cut), (_, held_out, _) = both[0], both[-1]
    digest = hashlib.sha256("".join(json.dumps(pair, ensure_ascii=False) for pair in train_pairs).encode())
    references = [*held_out["summary"]]
    lacking = note_unwritable(train["summary"], tokenizer)

    # ---- model: in float32; autocast computes in bf16 where asked
    set_seed(args.seed)
    model: Any = load_base(base_name, "16bit", revision=revision, compute_dtype=torch.float32, device_map=None)
    lora = chosen.use_peft
    if lora:
        # by default on the projections that Hu et al. (2021) adapt
        model = new_adapter(model, chosen, ["q", "v"], base_name, "SEQ_2_SEQ_LM")

    # ---- trainer
    def written(predictions: Any) -> list[str]:  # (N, T), padded with -100 where batches differ in length
        ids = [[token for token in row if token != IGNORED] for row in predictions.tolist()]
        return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]

    args.output_dir = str(output.with_name(f".{name}.run"))
    args.predict_with_generate, args.generation_max_length = True, asked.max_target_length
    args.remove_unused_columns = True  # article and summary
    args.include_num_input_tokens_seen, args.ddp_find_unused_parameters = "non_padding", False
    collator = DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED, pad_to_multiple_of=8)
    trainer = SummaryTrainer(model, args, collator, train, held_out, tokenizer, compute_loss_func=token_loss)
    trainer.compute_metrics = lambda found: means(score_summaries(written(found.predictions), references))
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(ProgressBar(name))

    # ---- before, training, after
    before = trainer.predict(held_out, metric_key_prefix="held_out")
    resume = {"true": True, "false": None}.get(str(args.resume_from_checkpoint).lower(), args.resume_from_checkpoint)
    try:
        trained = trainer.train(resume_from_checkpoint=resume)
    except torch.OutOfMemoryError:
        raise LeyloraError(f"{OUT_OF_MEMORY} max_source_length.") from None
    if not math.isfinite(trained.training_loss):
        raise LeyloraError(f"The training loss is {trained.training_loss}; lower learning_rate and start again.")
    after = trainer.predict(held_out, metric_key_prefix="held_out")
    texts = {"article": [*held_out["article"]], "reference": references, "lead": [*map(lead, held_out["article"])]}
    texts |= {"before": written(before.predictions), "after": written(after.predictions)}
    scores = {key: score_summaries(texts[key], references) for key in SUMMARISERS}
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
        "recipe": recipe,
        "overrides": words,
        "prompt": asked.prompt,
        "dataset": str(script.dataset_name),
        "dataset_sha256": digest.hexdigest(),
        "rows": len(train),
        "rows_too_long": len(train_pairs) - len(train),
        "articles_cut": train_cut,
        "eval_rows": len(held_out),
        "unwritable_characters": lacking,
        "steps": trainer.state.global_step,
        "seed": args.seed,
        "versions": installed_versions(),
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
        write_jsonl(folder / "summaries.jsonl", Dataset.from_dict(texts))
        write_json(folder / "run.json", record)
        write_text(folder / "README.md", model_card(record))
    shutil.rmtree(args.output_dir, ignore_errors=True)
    console.out.print(Markdown(scores_table(record)))
    console.say(f"Wrote {shown(output)}.")
    return record


def scores_table(record: dict[str, Any]) -> str:
    """ROUGE (times 100) and loss of each summariser, and the gain with its interval, in Markdown."""
    losses = {"before": f"{record['eval_loss_before']:.3f}", "after": f"{record['eval_loss']:.3f}"}
    lines = [("summariser", "ROUGE-1", "ROUGE-2", "ROUGE-L", "loss"), ("---", *["---:"] * 4)]
    for key, label in SUMMARISERS.items():
        lines.append((label, *(f"{100 * record['rouge'][key][kind]:.1f}" for kind in KINDS), losses.get(key, "")))
    if record["gain"]:
        gains = (f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in (record["gain"][kind] for kind in KINDS))
        lines.append(("gain, 95 % interval", *gains, ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def model_card(record: dict[str, Any]) -> str:
    return f"""---
base_model: {record["base_model"]}
pipeline_tag: summarization
language: es
library_name: {"peft" if record["kind"] == "lora" else "transformers"}
tags: [summarization, leylora]
---

# {record["name"]}

Summaries of Spanish news: {record["base_model"]}, trained with leylora for {record["steps"]:,} steps on
{record["rows"]:,} rows of `{record["dataset"]}` (`{" ".join((record["recipe"], *record["overrides"]))}`). Its input is
`{record["prompt"]}`, a line break and the article. A summary may state what its article does not say.
Of {record["eval_rows"]} held-out articles, ROUGE F1 × 100 (words with their accents, no stemmer) and loss in nats a
token; every summary of them, before and after, is in `summaries.jsonl`, all figures and hashes in `run.json`:

{scores_table(record)}
"""
