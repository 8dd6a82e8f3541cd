"""Train one adapter:  accelerate launch train/sft.py --model MODEL --adapter ADAPTER [--KEY VALUE ...]

MODEL is a file of train/recipes (mistral-7b, llama-2-7b, falcon-7b ...), ADAPTER one of train/recipes/adapters
(instructions, law, combined-on-top, combined-heal); --config FILE takes one whole recipe of your own instead.
--show_config true prints the recipe as it is put together and stops; saved, it is such a file.

Does: 4-bit QLoRA (NF4, double quantisation) of Mistral, Llama, Qwen 3 and Falcon models with loss on the answers alone,
packed rows whose documents do not see each other, bf16 or fp16 as the card allows, checkpoints, one GPU or several
through accelerate, a frozen adapter below the new one (--frozen_adapter), replay of a second dataset, continuing an
adapter (--resume_adapter). Before the first step everything is checked and shown as a table; --dry_run true stops
there, with --assume_gpu "T4 16GB" for a card that is not here; --mask_report N shows which tokens of N rows carry loss.
Any key of TRL's ScriptArguments, SFTConfig and ModelConfig can be given; unknown ones are errors.

Does not: full fine-tuning, preference training, DoRA in plain adapters, embeddings or new tokens.

Writes LORA/NAME (the recipe's output_dir) when it is complete: adapter, tokenizer, chat template, card, run.json.
With no arguments it trains mistral-7b's instructions if there is a GPU for it. `accelerate launch --quiet` keeps the
launcher from adding a traceback of its own to an error.
"""

import os
import sys

from leylora import console
from leylora.training.distributed import rank_zero_output, use_all_cores
from leylora.training.recipe import recipe_of, wants_config

# Before torch is imported. Packed rows are of unlike lengths; memory that can grow in place does not fragment.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
use_all_cores()


@rank_zero_output()
def main() -> None:
    words = sys.argv[1:]
    if "--help" in words or "-h" in words:
        print(__doc__)
        return
    if wants_config(words):
        console.say(recipe_of(words).as_yaml().rstrip())
        return
    from leylora.models.load import silence_libraries
    from leylora.project import shown
    from leylora.training.config import parse
    from leylora.training.sft import dry_run, run

    silence_libraries()
    arguments = parse(words)
    if arguments.run.dry_run:
        dry_run(arguments)
        return
    record = run(arguments, words)
    if arguments.training.process_index == 0:
        held_out = "" if record.eval_loss is None else f", held-out loss {record.eval_loss:.3f}"
        losses = f"loss {record.train_loss:.3f}{held_out}"
        console.say(f"{shown(arguments.output)}: {losses}, {record.tokens:,} tokens")


if __name__ == "__main__":
    console.run(main)
