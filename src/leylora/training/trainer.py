"""The trainer of a run over rows that are already labelled: how it is built, run and watched."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora import console
from leylora.errors import LeyloraError
from leylora.models.cards import find_card, peak_tflops
from leylora.training.adapter import TRAINED, keep_fp32_master_weights
from leylora.training.arguments import Arguments
from leylora.training.flops import flops_per_token, matmul_parameters, mean_context
from leylora.training.packs import lengths, pack, packs_evaluation
from leylora.training.rows import Rows
from leylora.training.trackers import keep_tensorboard

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

    from leylora.training.engine import Engine
    from leylora.training.progress import ProgressBar
    from leylora.training.samples import Sampler


def build_trainer(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    train: Rows,
    evaluation: Rows | None,
    arguments: Arguments,
    work: Path,
) -> "Engine":
    """TRL's trainer over rows that are already labelled, with adapters in float32.

    Rows that nobody has packed yet are packed here.
    """
    from transformers import PrinterCallback, ProgressCallback

    from leylora.training.divergence import Watch
    from leylora.training.engine import Engine

    args = arguments.training
    args.output_dir = str(work)
    args.run_name = args.run_name or arguments.output.name
    args.include_num_input_tokens_seen = "non_padding"
    args.ddp_find_unused_parameters = False  # every adapter weight takes part in every step
    args.assistant_only_loss = False  # the rows carry their labels; TRL would look for a chat column
    args.dataset_kwargs = {"skip_prepare_dataset": True}  # they are packed too
    packed = train.packed or pack(train.dataset, args, packing=args.packing)
    packed_evaluation = None
    if evaluation is not None:
        packed_evaluation = evaluation.packed or pack(evaluation.dataset, args, packing=packs_evaluation(args))
    settle_checkpointing(args, str(model.config._attn_implementation))
    watch = Watch(train, tokenizer, stop_on_divergence=arguments.run.stop_on_divergence)
    bar = _progress_bar(model, train, arguments)
    trainer = Engine(
        watch=watch,
        bar=bar,
        model=model,
        args=args,
        train_dataset=packed,
        eval_dataset=packed_evaluation,
        processing_class=tokenizer,
    )
    keep_fp32_master_weights(model)
    for unwanted in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(unwanted)
    keep_tensorboard(trainer, arguments.output.name)
    return trainer


def settle_checkpointing(args: "SFTConfig", attention: str) -> None:
    """Drop the details of checkpointing where they would stop a run or only cost time.

    TRL refuses ``selective`` when ``gradient_checkpointing`` is off. With a flash-attention kernel there is little to
    save: attention is fast to compute again, and watching every operation costs more than that.
    """
    details = args.gradient_checkpointing_kwargs
    if not args.gradient_checkpointing:
        args.gradient_checkpointing_kwargs = None
    elif details and "flash" in attention:
        args.gradient_checkpointing_kwargs = {key: value for key, value in details.items() if key != "selective"}


def add_sampler(
    trainer: "Engine", tokenizer: "PreTrainedTokenizerBase", template: str, arguments: Arguments, work: Path
) -> "Sampler | None":
    """Have the trainer show sample answers, if the recipe asks for them.

    Args:
        template: the chat template a server uses, without training marks.
    """
    from leylora.training.samples import Sampler

    asked = arguments.run
    if not asked.sample_every:
        return None
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        console.note("No sample answers: the weights are split over the GPUs.")
        return None
    sampler = Sampler(tokenizer, template, work, asked.sample_every, asked.sample_prompts, after=trainer.bar.meter.skip)
    trainer.add_callback(sampler)
    return sampler


def packing_efficiency(trainer: "Engine") -> float | None:
    """Share of the packed rows' places that hold a token; None when rows are not packed."""
    if not trainer.args.packing:
        return None
    filled = lengths(trainer.train_dataset)
    return sum(filled) / (len(filled) * trainer.args.max_length)


def train(trainer: "Engine", checkpoint: Path | None) -> None:
    """Run the training loop, from ``checkpoint`` if there is one; memory that runs out becomes advice."""
    import torch
    from transformers import TrainerState

    from leylora.training.resume import load_trained

    try:
        if checkpoint is not None and _is_last(checkpoint):
            # Interrupted after its last step; the Trainer (transformers 5.23) would take one step more.
            load_trained(trainer.model, checkpoint, TRAINED)
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        else:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except torch.OutOfMemoryError:
        raise LeyloraError(
            "The GPU's memory ran out; halve per_device_train_batch_size (and double gradient_accumulation_steps), "
            "then lower max_length."
        ) from None
    finally:
        trainer.bar.stop()


def held_out_loss(trainer: "Engine") -> float:
    """The loss on held-out rows at the end, measured now unless the last step's evaluation did it."""
    for point in reversed(trainer.state.log_history):
        if "eval_loss" in point and point["step"] == trainer.state.global_step:
            return float(point["eval_loss"])
    return float(trainer.evaluate()["eval_loss"])


def mean_loss(log: list[dict[str, Any]]) -> float:
    """Mean training loss over all steps, also those before an interruption, from the logged means."""
    total, last = 0.0, 0
    for point in log:
        if "loss" in point:
            total, last = total + float(point["loss"]) * (point["step"] - last), point["step"]
    return total / max(1, last)


def _progress_bar(model: "PeftModel", train: Rows, arguments: Arguments) -> "ProgressBar":
    from leylora.training.progress import ProgressBar

    card = None if arguments.training.use_cpu else find_card()
    peak = peak_tflops(card.name) if card else None
    if peak is None:
        return ProgressBar(arguments.output.name)
    flops = flops_per_token(matmul_parameters(model), model.config, mean_context(lengths(train.dataset)))
    return ProgressBar(arguments.output.name, flops, peak * 1e12 * arguments.training.world_size)


def _is_last(checkpoint: Path) -> bool:
    state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    return bool(state["global_step"] >= state["max_steps"])
