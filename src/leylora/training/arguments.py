"""From a recipe and a command line to checked arguments.

Recipes use TRL's own keys (`trl.ScriptArguments`, `trl.SFTConfig`, `trl.ModelConfig`) and the few of
`RunArguments`. Any key can be overridden on the command line. What is wrong is said before torch loads a model.
"""

import argparse
import difflib
import math
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from leylora.errors import LeyloraError, UsageError, flattened
from leylora.files import read_text
from leylora.models.cards import assumed_card, find_card, require_card
from leylora.project import RECIPES, shipped, shown

if TYPE_CHECKING:
    from trl import ModelConfig, ScriptArguments, SFTConfig

DEFAULT_RECIPE = RECIPES / "mistral-7b" / "instructions.yaml"
TINY_RECIPE = "make demo, or: accelerate launch train/sft.py --config train/recipes/tiny-mistral/instructions.yaml"
FP16 = ("--bf16", "false", "--fp16", "true", "--dtype", "float16")
"""What a causal model is trained in on cards without bf16 (T4, V100, RTX 20)."""

POSITIVE = {
    "learning_rate", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size",
    "gradient_accumulation_steps", "max_length", "lora_r", "lora_alpha", "max_source_length", "max_target_length",
}  # fmt: skip
"""Keys whose value must be a number above 0; torch, PEFT and transformers say so late, or never."""


@dataclass
class RunArguments:
    """The keys a recipe has besides TRL's own."""

    instruction_template: str | None = field(
        default=None, metadata={"help": "Name of a file in INSTRUCTION-TEMPLATES; default: the model family's."}
    )
    min_gpu_memory_gib: float = field(
        default=0.0, metadata={"help": "Stop at once unless the GPU has this much memory; 0 for runs on CPU."}
    )
    on_top_of: str | None = field(
        default=None,
        metadata={"help": "Folder of an adapter that stays frozen and active while the new one is trained over it."},
    )
    init_from: str | None = field(
        default=None, metadata={"help": "Folder of an adapter to go on training, such as a merged one to heal."}
    )
    replay_dataset: str | None = field(
        default=None, metadata={"help": "A second dataset mixed in, so that an earlier skill is not forgotten."}
    )
    replay_mixture: str | None = field(
        default=None, metadata={"help": "Instead of replay_dataset: the YAML of a mixture built in data/build."}
    )
    replay_fraction: float = field(default=0.5, metadata={"help": "Share of the training rows that are replayed."})
    overwrite: bool = field(
        default=False, metadata={"help": "Replace the adapter of the same name, and checkpoints of an interrupted run."}
    )
    sample_every: int = field(
        default=0, metadata={"help": "Show answers to fixed prompts every so many steps, before and after; 0: never."}
    )
    sample_prompts: list[str] | None = field(
        default=None, metadata={"help": "The prompts for that; default: five Spanish ones."}
    )
    dry_run: bool = field(
        default=False, metadata={"help": "Check everything that is checked before the first step, and stop there."}
    )
    assume_gpu: str | None = field(
        default=None,
        metadata={"help": "Estimate memory for this card ('T4 16GB', 'RTX 4090', '24GB'), not the one here."},
    )
    mask_report: int | None = field(
        default=None,
        metadata={"help": "Show of so many rows which tokens carry loss; default: two in a dry run, else none."},
    )
    stop_on_divergence: bool = field(
        default=True, metadata={"help": "Stop when the loss rises above its start and twice its lowest, and stays."}
    )


@dataclass(frozen=True)
class Arguments:
    """Everything a run was asked for.

    Attributes:
        recipe: the recipe file, as the person named it.
        output: the adapter folder to make, ``output_dir`` in the recipe.
    """

    script: "ScriptArguments"
    training: "SFTConfig"
    model: "ModelConfig"
    run: RunArguments
    recipe: str
    output: Path


def parse(argv: list[str]) -> Arguments:
    """Read ``--config RECIPE`` and overrides; with nothing, the first 7B recipe if the GPU allows.

    Raises:
        UsageError: no such recipe, an unknown key (with the nearest known one), a value that does not fit.
        LeyloraError: the GPU is missing or too small for the recipe.
    """
    from trl import ModelConfig, ScriptArguments, SFTConfig

    kinds = (ScriptArguments, SFTConfig, ModelConfig, RunArguments)
    recipe, output, (script, training, model, run) = fill(argv, kinds, DEFAULT_RECIPE, FP16)
    if model.model_name_or_path is None:
        raise UsageError(f"{shown(recipe)}: model_name_or_path is missing; name a folder or a Hub model.")
    if script.dataset_name is None:
        raise UsageError(f"{shown(recipe)}: dataset_name is missing; name a folder made by scripts/build_dataset.py.")
    if run.on_top_of and run.init_from:
        raise UsageError("on_top_of and init_from exclude each other: train over a frozen adapter, or go on with one.")
    if run.replay_mixture:
        if run.replay_dataset:
            raise UsageError("replay_dataset and replay_mixture name the same thing; give one of them.")
        from leylora.data.mixture import built_dataset

        run.replay_dataset = str(built_dataset(Path(run.replay_mixture)))
    if not 0.0 < run.replay_fraction < 1.0:
        raise UsageError(f"replay_fraction must lie between 0 and 1, not {run.replay_fraction:g}.")
    if run.assume_gpu and not run.dry_run:
        raise UsageError("assume_gpu only makes sense with --dry_run true: a run takes the card that is there.")
    if run.sample_every < 0:
        raise UsageError(f"sample_every counts steps and cannot be {run.sample_every}; 0 switches samples off.")
    return Arguments(script, training, model, run, shown(recipe), output)


def fill(
    argv: list[str], kinds: tuple[Any, ...], default: Path, without_bf16: tuple[str, ...]
) -> tuple[Path, Path, tuple[Any, ...]]:
    """Fill the dataclasses ``kinds`` from a recipe and the command line.

    Args:
        default: the recipe when the command line names none.
        without_bf16: what to append to the command line where the recipe asks for bf16 and the card has none.

    Returns:
        The recipe's path, its ``output_dir``, and one object a kind.

    Raises:
        UsageError: no such recipe, an unknown key (with the nearest known one), a value that does not fit.
        LeyloraError: the GPU is missing or too small for the recipe.
    """
    argv = list(argv)
    recipe = shipped(_take_recipe(argv, default))
    config = read_recipe(recipe)
    card = find_card()
    assumed = _last(argv, "assume_gpu", config)
    if _is_true(_last(argv, "dry_run", config)):
        if card is None:
            argv.append("--use_cpu=true")  # transformers refuses bf16 and fp16 where there is no GPU
    else:
        require_card(card, float(_last(argv, "min_gpu_memory_gib", config)), instead=TINY_RECIPE)
    card = assumed_card(str(assumed)) if assumed else card
    if card is not None and not card.bf16 and _wants_bf16(argv, config):
        argv = [*argv, *without_bf16]

    from trl import TrlParser

    known = {item.name for kind in kinds for item in fields(kind)}
    for key in [*config, *(_option_name(word) for word in argv if word.startswith("--"))]:
        if key not in known:
            raise UsageError(f"{shown(recipe)}: unknown key '{key}'{_nearest(key, known)}.")
    output = Path(str(_last(argv, "output_dir", config)))
    parser = TrlParser(kinds, exit_on_error=False)
    parser.set_defaults_with_config(**config)
    try:
        filled = parser.parse_args_into_dataclasses(argv)
    except (argparse.ArgumentError, ValueError, TypeError) as error:
        raise UsageError(f"{shown(recipe)}: {flattened(error, 300)}") from None
    for key, value in ((key, value) for part in filled for key, value in vars(part).items() if key in POSITIVE):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{shown(recipe)}: {key} must be a number above 0, not {value:g}.")
    return recipe, output, filled


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe's keys and values.

    Raises:
        UsageError: the file is missing; the message lists the recipes there are.
        LeyloraError: it is not a YAML mapping.
    """
    if not path.is_file():
        known = ", ".join(sorted(str(file.relative_to(RECIPES)) for file in RECIPES.glob("*/*.yaml")))
        raise UsageError(f"There is no recipe {path}; those of train/recipes are: {known}.")
    try:
        config = yaml.load(read_text(path), Loader=_RecipeLoader)
    except yaml.YAMLError as error:
        raise LeyloraError(f"{shown(path)} is not YAML: {flattened(error, 300)}") from None
    if not isinstance(config, dict):
        raise LeyloraError(f"{shown(path)} must hold 'key: value' lines, found {type(config).__name__}.")
    return config


class _RecipeLoader(yaml.SafeLoader):
    """Safe YAML in which 2e-4 is a number (YAML 1.1 wants 2.0e-4 and silently gives text otherwise)."""


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _take_recipe(argv: list[str], default: Path) -> Path:
    """Remove ``--config PATH`` (or ``--config=PATH``) from ``argv`` and give the path; else ``default``."""
    for position, word in enumerate(argv):
        if word == "--config":
            if position + 1 == len(argv):
                raise UsageError("--config needs the path of a recipe, such as train/recipes/mistral-7b/law.yaml.")
            path = Path(argv[position + 1])
            del argv[position : position + 2]
            return path
        if word.startswith("--config="):
            del argv[position]
            return Path(word.removeprefix("--config="))
    return default


def _wants_bf16(argv: list[str], config: dict[str, Any]) -> bool:
    return _is_true(_last(argv, "bf16", config))


def _is_true(value: Any) -> bool:
    return str(value).lower() in {"true", "1", "yes"}


def _last(argv: list[str], key: str, config: dict[str, Any]) -> Any:
    """The value of ``key``: the last one on the command line, else the recipe's, else 0."""
    value = config.get(key, 0)
    for position, word in enumerate(argv):
        if word == f"--{key}":
            value = argv[position + 1] if position + 1 < len(argv) and not argv[position + 1].startswith("--") else True
        elif word.startswith(f"--{key}="):
            value = word.split("=", 1)[1]
    return value


def _option_name(word: str) -> str:
    name = word.removeprefix("--").split("=", 1)[0].replace("-", "_")
    return name.removeprefix("no_") if name.startswith("no_") else name


def _nearest(key: str, known: set[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else "; see `python train/sft.py --help` for those there are"
