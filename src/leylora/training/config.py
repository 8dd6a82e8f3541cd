"""From a recipe and a command line, which overrides any key of it, to checked arguments."""

import argparse
import difflib
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser

from leylora.errors import UsageError, flattened
from leylora.models.cards import assumed_card, find_card, require_card
from leylora.redact import is_secret
from leylora.training.recipe import Recipe, recipe_of, unexpected

WHAT_RUNS_HERE = "make demo, or: accelerate launch train/sft.py --model tiny-mistral"
CPU = {"bf16": "false", "dtype": "float32", "optim": "adamw_torch", "gradient_checkpointing": "false"}
"""What changes where a recipe that needs no card runs without one: float32, and an optimizer that runs there."""

FP16 = ("--bf16", "false", "--fp16", "true", "--dtype", "float16")
"""What a causal model is trained in on cards without bf16 (T4, RTX 20)."""

POSITIVE = re.compile(
    r"learning_rate|num_train_epochs|per_device_(train|eval)_batch_size|gradient_accumulation_steps|max_length|lora_r|"
    r"lora_alpha|max_(source|target)_length"
)
"""Keys whose value must be a number above 0; torch, PEFT and transformers say so late, or never."""


@dataclass
class RunArguments:
    """The keys a recipe has besides TRL's own."""

    instruction_template: str | None = None  # a file in INSTRUCTION-TEMPLATES; None: the model family's
    min_gpu_memory_gib: float = 0.0  # stop at once unless the GPU has this much memory; 0 for runs on CPU
    frozen_adapter: str | None = None  # folder of an adapter that stays frozen and active below the new one
    resume_adapter: str | None = None  # folder of an adapter to continue training, such as a merged one
    replay_dataset: str | None = None  # mixed in, so that an earlier skill is not forgotten
    replay_fraction: float = 0.5  # share of the training rows that are replayed
    overwrite: bool = False  # replace the adapter of the same name, and checkpoints of an interrupted run
    sample_every: int = 0  # answer fixed prompts every so many steps, before and after; 0: never
    sample_prompts: list[str] | None = None  # None: five Spanish ones
    dry_run: bool = False  # check everything that is checked before the first step, and stop there
    assume_gpu: str | None = None  # estimate memory for this card ('T4 16GB', 'RTX 4090', '24GB')
    mask_report: int | None = None  # show of so many rows which tokens carry loss; None: two in a dry run
    stop_on_divergence: bool = True  # stop when the loss rises above its start and twice its lowest, and stays


@dataclass(frozen=True)
class Arguments:
    """Everything a run was asked for."""

    script: ScriptArguments
    training: SFTConfig
    model: ModelConfig
    run: RunArguments
    recipe: str  # its name for messages
    config: dict[str, Any]  # the composed recipe with the command line's overrides, as ``run.json`` keeps it
    output: Path  # the adapter folder to make, ``output_dir`` in the recipe
    template_asked: bool = True  # False: the base is not the recipe's own, and nobody named a template for it


def parse(words: list[str]) -> Arguments:
    """Read ``--model NAME --adapter NAME`` or ``--config FILE``, and overrides.

    With nothing, the first 7B recipe if the GPU allows.

    Raises:
        UsageError: no such recipe, an unknown key (with the nearest known one), a value that does not fit.
        LeyloraError: the GPU is missing or too small for the recipe.
    """
    recipe = recipe_of(words)
    script, training, model, run = fill(recipe, (ScriptArguments, SFTConfig, ModelConfig, RunArguments), FP16)
    if model.model_name_or_path is None:
        raise UsageError(f"{recipe.name}: model_name_or_path is missing; name a folder or a Hub model.")
    if script.dataset_name is None:
        raise UsageError(f"{recipe.name}: dataset_name is missing; name a folder made by scripts/build_dataset.py.")
    if run.frozen_adapter and run.resume_adapter:
        raise UsageError(
            "frozen_adapter and resume_adapter exclude each other: train over a frozen adapter, or continue one."
        )
    if not 0.0 < run.replay_fraction < 1.0:
        raise UsageError(f"replay_fraction must lie between 0 and 1, not {run.replay_fraction:g}.")
    if run.assume_gpu and not run.dry_run:
        raise UsageError("assume_gpu only makes sense with --dry_run true: a run takes the card that is there.")
    if not 0 <= training.seed < 2**32:
        raise UsageError(f"seed must lie between 0 and 4294967295, not {training.seed}.")
    if run.sample_every < 0:
        raise UsageError(f"sample_every counts steps and cannot be {run.sample_every}; 0 switches samples off.")
    output = Path(str(recipe.whole.get("output_dir") or ""))
    asked = "instruction_template" in recipe.overrides or "model_name_or_path" not in recipe.overrides
    return Arguments(
        script, training, model, run, recipe.name, recipe.whole, output, asked and bool(run.instruction_template)
    )


def fill(recipe: Recipe, kinds: tuple[Any, ...], without_bf16: tuple[str, ...]) -> tuple[Any, ...]:
    """Fill the dataclasses ``kinds`` from a recipe and its overrides; one object a kind.

    ``without_bf16`` is appended to the command line where the recipe asks for bf16 and the card has none.
    """
    known = {item.name for kind in kinds for item in fields(kind)}
    for key in recipe.whole:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else "see `python train/sft.py --help` for those there are."
            raise UsageError(f"{recipe.name}: unknown key '{key}'; {hint}")
        if is_secret(key) and recipe.whole[key]:
            raise UsageError(
                f"{recipe.name}: {key} is a secret, and a run's keys are written into run.json and the model card; "
                "leave it out, and log in with `hf auth login` or set HF_TOKEN."
            )
    words, card, assumed = list(recipe.words), find_card(), recipe.whole.get("assume_gpu")
    if recipe.is_true("dry_run"):
        if card is None:
            words.append("--use_cpu=true")  # transformers refuses bf16 and fp16 where there is no GPU
    else:
        least = recipe.whole.get("min_gpu_memory_gib") or 0
        try:
            require_card(card, float(least), instead=WHAT_RUNS_HERE)
        except (TypeError, ValueError):
            raise UsageError(f"{recipe.name}: min_gpu_memory_gib must be a number, not {least}.") from None
        if card is None and not recipe.is_true("use_cpu"):
            words.append("--use_cpu=true")
            words += [f"--{key}={value}" for key, value in CPU.items() if key in known and key not in recipe.overrides]
    card = assumed_card(str(assumed)) if assumed else card
    if card is not None and not card.bf16 and recipe.is_true("bf16"):
        words += without_bf16
    parser = TrlParser(kinds, exit_on_error=False)
    parser.set_defaults_with_config(**recipe.settings)
    try:
        filled: tuple[Any, ...] = parser.parse_args_into_dataclasses(words)
    except (argparse.ArgumentError, ValueError, TypeError, ImportError) as error:
        if stray := re.search(r"not used by the HfArgumentParser: \['(.+?)'", str(error)):
            raise unexpected(stray[1]) from None
        told = re.sub(r"^argument --(\w+)[^:]*: ", r"\1: ", flattened(error, 300))
        raise UsageError(f"{recipe.name}: {told}") from None
    for key, value in ((key, value) for part in filled for key, value in vars(part).items()):
        if POSITIVE.fullmatch(key) and value is not None and not 0 < value < math.inf:
            raise UsageError(f"{recipe.name}: {key} must be a number above 0, not {value:g}.")
    return filled
