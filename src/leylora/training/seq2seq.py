"""One run that teaches an encoder-decoder model to summarise, from checked arguments to a scored result.

rows       articles and summaries, checked and tokenised      (before any weight is loaded)
model      T5, Flan-T5, mT5: all weights, or a LoRA adapter over them
before     ROUGE of the base model's summaries of the held-out articles
train      transformers' Seq2SeqTrainer, with ROUGE at every evaluation
after      the same articles again; adapter or model, card and run.json, moved into place at the end
"""

import math
import shutil
import time
from typing import TYPE_CHECKING, Any

from leylora import console
from leylora.adapters.config import CONFIG_FILE, check_adapter_name, plain_config
from leylora.adapters.files import WEIGHTS_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, sha256_file, staged_folder, write_json, write_jsonl, write_text
from leylora.models.load import load_base, load_config, load_tokenizer
from leylora.project import shown
from leylora.training.data import IGNORED
from leylora.training.progress import ProgressBar
from leylora.training.record import installed_versions, peak_memory_gib
from leylora.training.seq2seq_arguments import Seq2SeqArguments
from leylora.training.seq2seq_record import RougePoint, SummaryRecord, score_rows, summary_card
from leylora.training.seq2seq_rouge import lead, score_summaries
from leylora.training.seq2seq_rows import SummaryRows, load_pairs, note_unwritable, tokenize_pairs

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, Seq2SeqTrainer

LORA_TARGETS = ("q", "v")
"""Where a recipe names none: the attention projections that Hu et al. (2021) adapt."""


def run(arguments: Seq2SeqArguments, overrides: list[str]) -> SummaryRecord:
    """Train what ``arguments`` describe, score it before and after, and save it to ``arguments.output``.

    Args:
        overrides: the command line after the recipe, for the record.

    Raises:
        UsageError: the output's name is taken, or the model is not an encoder-decoder.
        LeyloraError: what stops a run; see `seq2seq_rows` and `models.load`.
    """
    started, versions = time.monotonic(), installed_versions()
    name = check_adapter_name(arguments.output.name)
    if arguments.output.exists() and not arguments.run.overwrite:
        raise UsageError(f"{shown(arguments.output)} exists; add --overwrite true to replace it, or change output_dir.")
    asked, args = arguments.run, arguments.training
    base_name, revision = str(arguments.model.model_name_or_path), arguments.model.model_revision
    config = load_config(base_name, revision)
    if not config.is_encoder_decoder:
        raise UsageError(f"{base_name} has no encoder; train it with train/sft.py, or name a T5 model.")
    tokenizer = load_tokenizer(base_name, revision)
    train, held_out = _rows(arguments, tokenizer)
    lacking = note_unwritable(train, tokenizer)

    model = _model(arguments)
    work = arguments.output.with_name(f".{name}.run")
    trainer = _trainer(model, tokenizer, train, held_out, arguments, str(work))
    references = [pair.summary for pair in held_out.pairs]
    before, loss_before = _summarise(trainer, held_out, tokenizer)
    trained = _train(trainer, args.resume_from_checkpoint)
    if not math.isfinite(trained.training_loss):
        raise LeyloraError(f"The training loss is {trained.training_loss}; lower learning_rate and start again.")
    after, loss_after = _summarise(trainer, held_out, tokenizer)

    summaries = {"lead": [lead(pair.article) for pair in held_out.pairs], "before": before, "after": after}
    memory, device = peak_memory_gib()

    def record(weights_sha256: str) -> SummaryRecord:
        return SummaryRecord(
            name=name,
            kind="lora" if arguments.model.use_peft else "full",
            base_model=base_name,
            revision=str(getattr(config, "_commit_hash", None) or revision),
            recipe=arguments.recipe,
            overrides=overrides,
            prompt=asked.prompt,
            dataset=str(arguments.script.dataset_name),
            dataset_sha256=train.sha256,
            rows=len(train.pairs),
            rows_too_long=train.too_long,
            articles_cut=train.cut,
            eval_rows=len(held_out.pairs),
            unwritable_characters=lacking,
            steps=trainer.state.global_step,
            seed=args.seed,
            versions=versions,
            device=device,
            processes=args.world_size,
            trainable_parameters=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
            train_loss=float(trained.training_loss),
            eval_loss_before=loss_before,
            eval_loss=loss_after,
            rouge={key: score_summaries(texts, references).means for key, texts in summaries.items()},
            peak_memory_gib=memory,
            wall_seconds=time.monotonic() - started,
            weights_sha256=weights_sha256,
            log=[RougePoint.model_validate(point) for point in trainer.state.log_history if "train_loss" not in point],
        )

    if not trainer.is_world_process_zero():
        return record("")
    with staged_folder(arguments.output, overwrite=asked.overwrite) as folder:
        model.save_pretrained(folder)
        if arguments.model.use_peft:
            plain = plain_config(read_json(folder / CONFIG_FILE), place=arguments.output / CONFIG_FILE)
            write_json(folder / CONFIG_FILE, dict(sorted(plain.items())))
        tokenizer.save_pretrained(folder)
        result = record(sha256_file(folder / (WEIGHTS_FILE if arguments.model.use_peft else "model.safetensors")))
        lines = zip(held_out.pairs, before, after, strict=True)
        write_jsonl(
            folder / "summaries.jsonl",
            ({"article": pair.article, "reference": pair.summary, "before": a, "after": b} for pair, a, b in lines),
        )
        write_json(folder / "run.json", result.model_dump())
        write_text(folder / "README.md", summary_card(result))
    shutil.rmtree(work, ignore_errors=True)
    return result


def show(record: SummaryRecord) -> None:
    """The table of a run: its summaries before and after against the article's own beginning."""
    from rich.table import Table

    table = Table(title=f"{record.name}: {record.eval_rows} held-out articles", title_justify="left")
    table.add_column("summariser")
    for title in ("ROUGE-1", "ROUGE-2", "ROUGE-L", "loss"):
        table.add_column(title, justify="right")
    for row in score_rows(record):
        table.add_row(*row)
    console.out.print(table)


def _rows(arguments: Seq2SeqArguments, tokenizer: "PreTrainedTokenizerBase") -> tuple[SummaryRows, SummaryRows]:
    """Training and held-out rows; says what was cut and left out."""
    script, asked = arguments.script, arguments.run
    both = []
    for split, limit in (
        (script.dataset_train_split, asked.max_train_rows),
        (script.dataset_test_split, asked.max_eval_rows),
    ):
        columns = (asked.text_column, asked.summary_column)
        pairs = load_pairs(str(script.dataset_name), split, script.dataset_config, columns, limit)
        rows = tokenize_pairs(pairs, tokenizer, asked.prompt, asked.max_source_length, asked.max_target_length)
        console.note(
            f"{split}: {len(rows.pairs):,} articles, {rows.cut:,} cut at {asked.max_source_length} tokens, "
            f"{rows.too_long:,} left out for a summary of more than {asked.max_target_length}."
        )
        both.append(rows)
    return both[0], both[1]


def _model(arguments: Seq2SeqArguments) -> "PreTrainedModel":
    """The base in float32, with a LoRA adapter if the recipe says so. Autocast computes in bf16 where asked."""
    import torch
    from transformers import set_seed

    asked = arguments.model
    set_seed(arguments.training.seed)
    name = str(asked.model_name_or_path)
    model = load_base(name, "16bit", revision=asked.model_revision, compute_dtype=torch.float32, device_map=False)
    if not asked.use_peft:
        return model
    from peft import LoraConfig, get_peft_model

    targets = asked.lora_target_modules or list(LORA_TARGETS)
    config = LoraConfig(
        task_type="SEQ_2_SEQ_LM",
        r=asked.lora_r,
        lora_alpha=asked.lora_alpha,
        lora_dropout=asked.lora_dropout,
        target_modules=[targets] if isinstance(targets, str) else targets,
        bias="none",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UsageError(f"lora_target_modules {targets} do not fit {asked.model_name_or_path}: {error}") from None


def _trainer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: SummaryRows,
    held_out: SummaryRows,
    arguments: Seq2SeqArguments,
    work: str,
) -> "Seq2SeqTrainer":
    """Transformers' trainer, which generates at every evaluation and has its summaries scored."""
    from transformers import DataCollatorForSeq2Seq, PrinterCallback, ProgressCallback, Seq2SeqTrainer

    args = arguments.training
    args.output_dir = work
    args.predict_with_generate = True
    args.generation_max_length = arguments.run.max_target_length
    args.include_num_input_tokens_seen = "non_padding"
    args.ddp_find_unused_parameters = False
    references = [pair.summary for pair in held_out.pairs]

    def rouge(prediction: Any) -> dict[str, float]:
        return score_summaries(_texts(prediction.predictions, tokenizer), references).means

    class Trainer(Seq2SeqTrainer):
        def evaluation_loop(self, *positional: Any, **named: Any) -> Any:
            # Seq2SeqTrainer (transformers 5.23) gathers with `accelerator.gather`, which keeps the rows that were
            # repeated to give every process as many: more summaries than articles, and a loss that counts some twice.
            self.gather_function = self.accelerator.gather_for_metrics
            return super().evaluation_loop(*positional, **named)

    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=train.dataset,
        eval_dataset=held_out.dataset,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED, pad_to_multiple_of=8),
        processing_class=tokenizer,
        compute_metrics=rouge,
        compute_loss_func=token_loss,
    )
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    trainer.add_callback(ProgressBar(arguments.output.name))
    return trainer


def token_loss(outputs: Any, labels: "torch.Tensor", num_items_in_batch: "torch.Tensor | int | None" = None) -> Any:
    """Cross-entropy summed over a micro-batch, divided by the tokens of the whole step.

    T5's forward (transformers 5.23) takes ``num_items_in_batch`` and ignores it. Its own mean would count a step of k
    micro-batches, or of k processes, k times.

    Args:
        labels: ``(B, T)``.
        num_items_in_batch: labels of all micro-batches and processes of the step; of this batch alone when None.
    """
    import torch

    logits = outputs.logits.float()  # (B, T, vocabulary)
    total = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (num_items_in_batch if num_items_in_batch is not None else (labels != IGNORED).sum())


def _train(trainer: "Seq2SeqTrainer", resume: str | None) -> Any:
    import torch

    try:
        return trainer.train(resume_from_checkpoint={"true": True, "false": None}.get(str(resume).lower(), resume))
    except torch.OutOfMemoryError:
        raise LeyloraError(
            "The GPU's memory ran out; halve per_device_train_batch_size (and double gradient_accumulation_steps), "
            "then lower max_source_length."
        ) from None


def _summarise(
    trainer: "Seq2SeqTrainer", rows: SummaryRows, tokenizer: "PreTrainedTokenizerBase"
) -> tuple[list[str], float]:
    """The model's summary of every held-out article, and its loss on the references in nats a token."""
    predicted = trainer.predict(rows.dataset, metric_key_prefix="held_out")
    return _texts(predicted.predictions, tokenizer), float(predicted.metrics["held_out_loss"])


def _texts(predictions: Any, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Token ids ``(N, T)``, padded with -100 where batches differ in length, as text."""
    ids = [[token for token in row if token != IGNORED] for row in predictions.tolist()]
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
