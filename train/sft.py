"""Train one adapter:  accelerate launch train/sft.py --config train/recipes/MODEL/ADAPTER.yaml [--KEY VALUE ...]

Does: 4-bit QLoRA (NF4, double quantisation) of Mistral, Llama, Qwen 3 and Falcon models with loss on the answers alone,
packed rows whose documents do not see each other, bf16 or fp16 as the card allows, checkpoints, one GPU or several
through accelerate, a frozen adapter below the new one (--on_top_of), replay of a second dataset, going on with an
adapter (--init_from). Before the first step everything is checked and shown as a table; --dry_run true stops there,
with --assume_gpu "T4 16GB" for a card that is not here; --mask_report N shows which tokens of N rows carry loss. Any
key of TRL's ScriptArguments, SFTConfig and ModelConfig can be given; unknown ones are errors.

Does not: full fine-tuning, preference training, DoRA in plain adapters, embeddings or new tokens.

Writes LORA/NAME (the recipe's output_dir) when it is complete: adapter, tokenizer, chat template, card, run.json.
With no arguments it trains mistral-7b/instructions.yaml if there is a GPU for it. `accelerate launch --quiet` keeps
the launcher from adding a traceback of its own to an error.
"""

import os
import sys

from leylora import console
from leylora.training.processes import one_voice

# Before torch is imported. Packed rows are of unlike lengths; memory that can grow in place does not fall to pieces.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


@one_voice()
def main() -> None:
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        print(__doc__)
        return
    from leylora.models.load import silence_libraries
    from leylora.training.arguments import parse

    silence_libraries()
    arguments = parse(sys.argv[1:])

    from leylora.project import shown
    from leylora.training.sft import dry_run, run

    if arguments.run.dry_run:
        dry_run(arguments)
        return
    record = run(arguments, sys.argv[1:])
    if arguments.training.process_index == 0:
        held_out = "" if record.eval_loss is None else f", held-out loss {record.eval_loss:.3f}"
        losses = f"loss {record.train_loss:.3f}{held_out}"
        console.say(f"{shown(arguments.output)}: {losses}, {record.tokens:,} tokens")


if __name__ == "__main__":
    console.run(main)
