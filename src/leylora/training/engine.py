"""TRL's SFTTrainer with checkpoints that are whole or absent, exact resume, and an eye on every step.

The Trainer's methods with a leading underscore that are overridden here are those of transformers 5.23; the pins in
constraints.txt hold them still.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints
from trl import SFTTrainer

from leylora import console
from leylora.errors import LeyloraError, first_line
from leylora.project import shown
from leylora.training.adapter import TRAINED
from leylora.training.divergence import Watch
from leylora.training.progress import ProgressBar
from leylora.training.resume import checkpoints, load_trained, seal, step_of


class Engine(SFTTrainer):
    """One adapter's trainer.

    Attributes:
        watch: sees each micro-batch and stops the run when a loss or a gradient is no number.
        bar: what the person sees, and the meter of tokens and seconds.
        keep: how many checkpoints stay on disk; None for all.
    """

    def __init__(self, *, watch: Watch, bar: ProgressBar, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.watch, self.bar = watch, bar
        # The Trainer would delete the last good checkpoint before the new one is sealed.
        self.keep, self.args.save_total_limit = self.args.save_total_limit, None
        for callback in (LogAtCheckpoints(), bar, watch):
            self.add_callback(callback)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, seal it, and only then remove older ones.

        Raises:
            LeyloraError: it could not be written; the ones before are untouched.
        """
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
            load_trained(self.model, Path(resume_from_checkpoint), TRAINED)

    def _load_best_model(self) -> None:
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_best_model()
        elif self.state.best_model_checkpoint is not None:
            load_trained(self.model, Path(self.state.best_model_checkpoint), TRAINED)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            forget_paging(self.optimizer)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        self.watch.saw(inputs, loss)
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm)
        # fp16's gradient scaler answers overflowing gradients itself, by skipping the step
        self.watch.end_step(self.state.global_step + 1, norm, scaled=self.accelerator.scaler is not None)
        return norm


class LogAtCheckpoints(TrainerCallback):
    """Log wherever a run may be cut and at its end.

    A logged loss is the mean since the last one. Without this the first one after a resume would be the mean of
    fewer steps than in a run that was never interrupted, and the last steps would be in no log.
    """

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if control.should_save or control.should_evaluate or control.should_training_stop:
            control.should_log = True
        return control

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        return self.on_step_end(args, state, control, **kwargs)


def forget_paging(optimizer: torch.optim.Optimizer) -> None:
    """Take bitsandbytes' marks of paged memory off state that was loaded into ordinary memory.

    The marks are attributes of a tensor, which torch saves with it. Where several processes load a checkpoint straight
    onto their cards they stay, and bitsandbytes 0.50 would have CUDA move pages that are none, which ends the process.
    """
    for state in optimizer.state.values():
        for tensor in state.values():
            for mark in ("is_paged", "page_deviceid"):
                getattr(tensor, "__dict__", {}).pop(mark, None)


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
