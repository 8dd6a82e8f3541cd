"""Recipe and command line of a summary run: TRL's and transformers' keys, and the few of `SummaryArguments`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.errors import UsageError
from leylora.models.cards import find_card
from leylora.project import RECIPES
from leylora.training.config import fill
from leylora.training.recipe import recipe_of

if TYPE_CHECKING:
    from transformers import Seq2SeqTrainingArguments
    from trl import ModelConfig, ScriptArguments

DEFAULT_RECIPE = RECIPES / "seq2seq" / "flan-t5-small.yaml"
ON_CPU = ("--use_cpu", "true", "--bf16", "false")
FLOAT32 = ("--bf16", "false")
"""T5 overflows in float16 (huggingface/transformers#9295), so cards without bfloat16 compute in float32."""


@dataclass
class SummaryArguments:
    """The keys a summary recipe has besides TRL's and transformers' own."""

    prompt: str = field(
        default="Resume el siguiente artículo:", metadata={"help": "What stands in the line above each article."}
    )
    text_column: str = field(default="text", metadata={"help": "Column of the article."})
    summary_column: str = field(default="summary", metadata={"help": "Column of the summary."})
    max_source_length: int = field(default=512, metadata={"help": "Tokens of an article; what is longer is cut."})
    max_target_length: int = field(
        default=96, metadata={"help": "Tokens of a summary; rows with a longer one are left out."}
    )
    max_train_rows: int | None = field(default=None, metadata={"help": "Use only so many training rows."})
    max_eval_rows: int | None = field(default=None, metadata={"help": "Score only so many held-out rows."})
    min_gpu_memory_gib: float = field(
        default=0.0, metadata={"help": "Stop at once unless the GPU has this much memory; 0 for runs on CPU."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace the output of the same name."})


@dataclass(frozen=True)
class Seq2SeqArguments:
    """Everything a summary run was asked for; see `leylora.training.config.Arguments`."""

    script: "ScriptArguments"
    training: "Seq2SeqTrainingArguments"
    model: "ModelConfig"
    run: SummaryArguments
    recipe: str
    output: Path


def parse(argv: list[str]) -> Seq2SeqArguments:
    """Read ``--config RECIPE`` and overrides; with nothing, LoRA of Flan-T5 small.

    Raises:
        UsageError: as `leylora.training.config.fill`; or a key that summary runs cannot honour.
        LeyloraError: the GPU is missing or too small for the recipe.
    """
    from transformers import Seq2SeqTrainingArguments
    from trl import ModelConfig, ScriptArguments

    if find_card() is None:
        argv = [*argv, *ON_CPU]
    kinds = (ScriptArguments, Seq2SeqTrainingArguments, ModelConfig, SummaryArguments)
    recipe = recipe_of(argv, model=None, config=DEFAULT_RECIPE)
    script, training, model, run = fill(recipe, kinds, FLOAT32)
    place, output = recipe.name, Path(str(recipe.whole["output_dir"]))
    if model.model_name_or_path is None:
        raise UsageError(f"{place}: model_name_or_path is missing; name a folder or a Hub model.")
    if script.dataset_name is None:
        raise UsageError(f"{place}: dataset_name is missing; name a JSONL file, a folder or a Hub dataset.")
    if model.load_in_4bit or model.load_in_8bit:
        raise UsageError(f"{place}: T5 models are small and are trained in full precision here; drop load_in_4bit.")
    if training.fp16:
        raise UsageError(f"{place}: T5 overflows in float16; use --bf16 true, or neither for float32.")
    if training.eval_strategy == "no":
        raise UsageError(f"{place}: eval_strategy 'no' leaves nothing to compare with; use 'epoch' or 'steps'.")
    if run.max_source_length < 8 or run.max_target_length < 2:
        raise UsageError(f"{place}: max_source_length and max_target_length are numbers of tokens, at least 8 and 2.")
    return Seq2SeqArguments(script, training, model, run, place, output)
