"""The trainer of a run: TRL's, with checkpoints that are whole or absent, exact resume, and a stop when a run is lost.

The Trainer's methods with a leading underscore that are overridden here are those of transformers 5.23; the pins in
constraints.txt hold them still.

Two rules stop a run, both before anything is saved as finished, and show the conversations of the batch at fault:

* a loss or a gradient that is not a finite number (with fp16 the scaler may skip a step whose gradient overflows; a
  loss must be finite there too);
* divergence: a mean loss over `WINDOW` steps above that of the first `WINDOW` and above `FACTOR` times the lowest.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from safetensors import SafetensorError
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_utils import rotate_checkpoints
from trl import SFTConfig, SFTTrainer

from leylora import console
from leylora.errors import LeyloraError, UsageError, first_line, flattened
from leylora.models.cards import find_card, peak_tflops
from leylora.project import shown
from leylora.text import one_line
from leylora.training.adapter import TRAINED, keep_fp32_master_weights, load_trained
from leylora.training.config import Arguments
from leylora.training.data import IGNORED, TokenizedDataset, lengths, pack, packs_evaluation
from leylora.training.memory import flops_per_token, matmul_parameters, mean_context, selective_pays
from leylora.training.progress import ProgressBar
from leylora.training.resume import checkpoints, seal, step_of

OUT_OF_MEMORY = (
    "The GPU's memory ran out; halve per_device_train_batch_size (and double gradient_accumulation_steps), then lower"
)
WINDOW, FACTOR = 20, 2.0
SHOWN_DOCUMENTS, SHOWN_CHARACTERS = 8, 90
TENSORBOARD = Path("runs")
"""Where TensorBoard's files go, a folder a run, unless TENSORBOARD_LOGGING_DIR says otherwise."""


class LoraTrainer(SFTTrainer):
    """One adapter's trainer, with what stops a lost run (``watch``) and what a person sees (``bar``)."""

    def __init__(self, *, watch: "DivergenceCallback", bar: ProgressBar, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch, self.bar = watch, bar
        # The Trainer would delete the last good checkpoint before the new one is sealed.
        self.keep, self.args.save_total_limit = self.args.save_total_limit, None
        for callback in (LogAtCheckpoints(), bar, watch):
            self.add_callback(callback)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, seal it, and only then remove older ones."""
        work = Path(self.args.output_dir)
        checkpoint = work / f"checkpoint-{self.state.global_step}"
        try:
            # Past SFTTrainer's own method, which writes a model card for a run that is not finished.
            super(SFTTrainer, self)._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                seal(checkpoint)
        except torch.OutOfMemoryError:
            raise
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(checkpoint, ignore_errors=True)
            raise _not_written(checkpoint, error) from None
        if self.args.should_save:
            rotate_checkpoints(str(work), self.keep, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The trained adapter alone, as safetensors: no frozen one, no tokenizer, no pickled arguments."""
        if self.args.should_save:
            model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
            model.save_pretrained(output_dir, state_dict=state_dict, selected_adapters=[TRAINED])

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_trained(self.model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_best_model()
        elif self.state.best_model_checkpoint is not None:
            load_trained(self.model, Path(self.state.best_model_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None:
            return
        # bitsandbytes marks paged memory by attributes of a tensor, which torch saves with it. Where several processes
        # load a checkpoint straight onto their cards the marks stay on ordinary memory, and bitsandbytes 0.50 would
        # have CUDA move pages that do not exist, which ends the process.
        for tensor in (tensor for state in self.optimizer.state.values() for tensor in state.values()):
            for mark in ("is_paged", "page_deviceid"):
                getattr(tensor, "__dict__", {}).pop(mark, None)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.watch.saw(inputs, loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        # fp16's gradient scaler answers overflowing gradients itself, by skipping the step
        self.watch.end_step(self.state.global_step + 1, norm, scaled=self.accelerator.scaler is not None)
        return norm

    def run(self, checkpoint: Path | None) -> None:
        """Train, from ``checkpoint`` if there is one; memory that runs out becomes advice."""
        try:
            state = None if checkpoint is None else TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
            if checkpoint is not None and state is not None and state.global_step >= state.max_steps:
                # Interrupted after its last step; the Trainer (transformers 5.23) would take one step more.
                load_trained(self.model, checkpoint)
                self.state = state
            else:
                self.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except torch.OutOfMemoryError:
            raise LeyloraError(f"{OUT_OF_MEMORY} max_length.") from None
        finally:
            self.bar.stop()

    def held_out_loss(self) -> float | None:
        """The loss on held-out rows at the end, measured now unless the last step's evaluation did it."""
        if self.eval_dataset is None:
            return None
        for point in reversed(self.state.log_history):
            if "eval_loss" in point and point["step"] == self.state.global_step:
                return float(point["eval_loss"])
        return float(self.evaluate()["eval_loss"])


def build_trainer(
    model: PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    train: TokenizedDataset,
    held_out: TokenizedDataset | None,
    arguments: Arguments,
    work: Path,
) -> LoraTrainer:
    """TRL's trainer over rows that are labelled already, and packed here if they are not yet; adapters in float32."""
    args, name = arguments.training, arguments.output.name
    args.output_dir = str(work)
    args.run_name = args.run_name or name
    args.include_num_input_tokens_seen = "non_padding"
    args.ddp_find_unused_parameters = False  # every adapter weight takes part in every step
    args.assistant_only_loss = False  # the rows carry their labels; TRL would look for a chat column
    args.dataset_kwargs = {"skip_prepare_dataset": True}  # they are packed too
    card = None if args.use_cpu else find_card()
    peak = peak_tflops(card.name) if card else None
    settle_checkpointing(args, str(model.config._attn_implementation), peak)
    flops = flops_per_token(matmul_parameters(model), model.config, mean_context(lengths(train.dataset)))
    bar = ProgressBar(name, flops, peak * 1e12 * args.world_size if peak else None)
    evaluated = held_out and (held_out.packed or pack(held_out.dataset, args, packing=packs_evaluation(args)))
    try:
        trainer = LoraTrainer(
            watch=DivergenceCallback(train, tokenizer, stop_on_divergence=arguments.run.stop_on_divergence),
            bar=bar,
            model=model,
            args=args,
            train_dataset=train.packed or pack(train.dataset, args, packing=args.packing),
            eval_dataset=evaluated,
            processing_class=tokenizer,
        )
    except (ValueError, ImportError) as error:  # keys that TRL or transformers refuse only here
        raise UsageError(f"{arguments.recipe}: {flattened(error, 300)}") from None
    keep_fp32_master_weights(model)
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(TENSORBOARD / name)  # by default inside the checkpoints, and gone with them
    return trainer


def settle_checkpointing(args: SFTConfig, attention: str, peak: float | None = None) -> None:
    """Drop ``selective``, which TRL refuses when ``gradient_checkpointing`` is off, where it would only cost time."""
    details = args.gradient_checkpointing_kwargs
    if not args.gradient_checkpointing:
        args.gradient_checkpointing_kwargs = None
    elif details and not selective_pays(attention, peak):
        args.gradient_checkpointing_kwargs = {key: value for key, value in details.items() if key != "selective"}


class LogAtCheckpoints(TrainerCallback):
    """Log wherever a run may be cut and at its end.

    A logged loss is the mean since the last one. Without this the first one after a resume would be the mean of
    fewer steps than in a run that was never interrupted, and the last steps would be in no log.
    """

    def on_step_end(self, args: Any, state: Any, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        if control.should_save or control.should_evaluate or control.should_training_stop:
            control.should_log = True
        return control

    on_epoch_end = on_step_end


def _not_written(checkpoint: Path, error: Exception) -> LeyloraError:
    work = checkpoint.parent
    if console.NO_SPACE in str(error) or shutil.disk_usage(work).free < 2**20:
        why = "the disk is full"
    elif "inline_container" in str(error):  # all that torch.save says when a write fails
        why = "writing failed; the disk may be full"
    else:
        why = first_line(error).rstrip(".")
    before = [step_of(path) for path in checkpoints(work)]
    kept = f"the checkpoint of step {before[-1]} is intact" if before else "there is no earlier one"
    return LeyloraError(
        f"The checkpoint of step {step_of(checkpoint)} could not be written to {shown(work)} ({why}); {kept}. "
        "Make room, then go on with --resume_from_checkpoint true."
    )


# --- when a run is lost


def mean_loss(log: Sequence[dict[str, Any]]) -> float:
    """Mean training loss over all steps, also those before an interruption."""
    windows = list(loss_windows(log, 1))
    return sum(total for _, total in windows) / max(1, sum(steps for steps, _ in windows))


def window_means(log: Sequence[dict[str, Any]]) -> list[float]:
    """Mean losses over successive windows of at least `WINDOW` steps; an incomplete last window is ignored."""
    return [total / steps for steps, total in loss_windows(log, WINDOW)]


def loss_windows(log: Sequence[dict[str, Any]], least: int) -> Iterator[tuple[int, float]]:
    """Steps and summed loss of successive windows; a logged loss is itself a mean, over the steps since the last."""
    total, begin, last = 0.0, 0, 0
    for point in log:
        if "loss" in point:
            total, last = total + float(point["loss"]) * (point["step"] - last), point["step"]
            if last - begin >= least:
                yield last - begin, total
                total, begin = 0.0, last


def diverged(means: Sequence[float]) -> bool:
    """Whether the last of these window means is above the first and above `FACTOR` times the lowest."""
    return len(means) > 1 and means[-1] > max(means[0], FACTOR * min(means))


class MicroBatch(NamedTuple):
    """What one forward and backward pass saw: ids and labels ``(B, T)``, positions within documents or None, loss."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor | None
    loss: torch.Tensor

    def documents(self) -> list[list[int]]:
        """The token ids of each document; position 0 begins one."""
        if self.positions is None:
            return [row.tolist() for row in self.ids]
        documents: list[list[int]] = []
        for ids, positions in zip(self.ids.tolist(), self.positions.tolist(), strict=True):
            for token, position in zip(ids, positions, strict=True):
                if position == 0:
                    documents.append([])
                documents[-1].append(token)
        return documents


class DivergenceCallback(TrainerCallback):
    """Sees the micro-batches of each step, and stops the run by one of the two rules above."""

    def __init__(
        self, rows: TokenizedDataset, tokenizer: PreTrainedTokenizerBase, *, stop_on_divergence: bool = True
    ) -> None:
        self._rows, self._tokenizer, self._stop = rows, tokenizer, stop_on_divergence
        self._step: list[MicroBatch] = []
        self._worst: tuple[float, int, MicroBatch] | None = None  # of the current window
        self._windows = 0

    def saw(self, inputs: dict[str, Any], loss: torch.Tensor) -> None:
        """Note a micro-batch and its loss."""
        self._step.append(MicroBatch(inputs["input_ids"], inputs["labels"], inputs.get("position_ids"), loss))

    def end_step(self, step: int, gradient_norm: Any, *, scaled: bool) -> None:
        """Judge the micro-batches since the last step, before the weights are changed.

        All ranks see the same gradient norm, and a NaN loss makes it NaN, so they all decide the same without
        communicating.
        """
        batches, self._step = self._step, []
        if gradient_norm is not None and not math.isfinite(float(gradient_norm)):  # DeepSpeed may give none
            bad = [batch for batch in batches if not math.isfinite(float(batch.loss))]
            lost = bool(sum(gather_object([len(bad)])))
            if lost or not scaled:
                what = "loss" if lost else "gradient"
                self._tell(step, bad if lost else batches)
                raise LeyloraError(
                    f"The {what} of step {step} is not a number; the run stopped before that step changed a weight, "
                    "and nothing was saved as finished. Look at the rows above, lower learning_rate, or train in bf16 "
                    "instead of fp16; then begin again with --overwrite true."
                )
        for batch in batches:
            # a trained token's loss, up to a factor that all micro-batches of a step have in common
            mean = float(batch.loss) / max(1, int((batch.labels != IGNORED).sum()))
            if self._worst is None or mean > self._worst[0]:
                self._worst = (mean, step, batch)

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not self._stop or not logs or "loss" not in logs:
            return
        means = window_means(state.log_history)
        if len(means) == self._windows:
            return
        self._windows = len(means)
        if diverged(means):
            if self._worst is not None:
                self._tell(self._worst[1], [self._worst[2]])
            raise LeyloraError(
                f"The run diverges: at step {state.global_step} the mean loss of the last {WINDOW} steps is "
                f"{means[-1]:.3f}, above that of the first ({means[0]:.3f}) and above {FACTOR:g} times the lowest "
                f"({min(means):.3f}); nothing was saved as finished. Look at the rows above, lower learning_rate, "
                "then begin again with --overwrite true (--stop_on_divergence false switches this rule off)."
            )
        self._worst = None

    def _tell(self, step: int, batches: list[MicroBatch]) -> None:
        """Print the conversations of ``batches`` of all processes."""
        known = self._rows.dataset.select_columns(["input_ids", "conversation"])
        names = {tuple(row["input_ids"]): row["conversation"] for row in known}
        lines = []
        for ids in (ids for batch in batches for ids in batch.documents()):
            while ids and ids[-1] == self._tokenizer.pad_token_id:
                ids.pop()
            text = one_line(self._tokenizer.decode(ids))[:SHOWN_CHARACTERS]
            lines.append(f"{names.get(tuple(ids), 'a part of a row')}: {text}")
        lines = list(gather_object(lines))
        console.note(f"Rows of step {step}:")
        for line in lines[:SHOWN_DOCUMENTS]:
            console.note(f"  {line}")
        if len(lines) > SHOWN_DOCUMENTS:
            console.note(f"  and {len(lines) - SHOWN_DOCUMENTS} more")
