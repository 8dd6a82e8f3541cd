"""Teach Flan-T5 to summarise Spanish news:  accelerate launch train/seq2seq.py --config RECIPE.yaml

Does: LoRA (use_peft: true) or full training of T5, Flan-T5 and mT5 models on pairs of article and summary, from MLSUM
on the Hub, a folder of splits or one JSONL file; ROUGE of generated summaries at every evaluation; base against
fine-tuned and the article's own first sentences, in a table. Any key of TRL's ScriptArguments and ModelConfig and of
transformers' Seq2SeqTrainingArguments can be given (--KEY VALUE); unknown ones are errors.

Does not: 4-bit weights, float16 (T5 overflows in it), FSDP and ZeRO-3, packing.

Writes the recipe's output_dir when it is complete: an adapter with LoRA, else a whole model; tokenizer, card, run.json,
and summaries.jsonl with every held-out summary. With no arguments it runs
train/recipes/seq2seq/flan-t5-small.yaml.
"""

import sys

from leylora import console
from leylora.training.distributed import rank_zero_output
from leylora.training.recipe import DEFAULT_SUMMARY_RECIPE, recipe_of, wants_config


@rank_zero_output()
def main() -> None:
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        print(__doc__)
        return
    if wants_config(sys.argv[1:]):
        console.say(recipe_of(sys.argv[1:], model=None, config=DEFAULT_SUMMARY_RECIPE).as_yaml().rstrip())
        return
    from leylora.models.load import silence_libraries
    from leylora.training.seq2seq import run

    silence_libraries()
    run(sys.argv[1:])


if __name__ == "__main__":
    console.run(main)
