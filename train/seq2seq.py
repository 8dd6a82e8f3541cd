"""Teach Flan-T5 to summarise Spanish news:  accelerate launch train/seq2seq.py --config train/recipes/MODEL/RUN.yaml

Does: LoRA (use_peft: true) or full training of T5, Flan-T5 and mT5 models on pairs of article and summary, from MLSUM
on the Hub, a folder of splits or one JSONL file; ROUGE of generated summaries at every evaluation; a table of the
summaries before and after, beside the article's own first sentences. Any key of TRL's ScriptArguments and ModelConfig
and of transformers' Seq2SeqTrainingArguments can be given (--KEY VALUE); unknown ones are errors.

Does not: 4-bit weights, float16 (T5 overflows in it), FSDP and ZeRO-3, packing.

Writes the recipe's output_dir when it is complete: an adapter with LoRA, else a whole model; tokenizer, card, run.json,
and summaries.jsonl with every held-out summary. With no arguments it runs flan-t5-small/resumen.yaml.
"""

import sys

from leylora import console
from leylora.training.distributed import rank_zero_output


@rank_zero_output()
def main() -> None:
    if "--help" in sys.argv[1:] or "-h" in sys.argv[1:]:
        print(__doc__)
        return
    from leylora.models.load import silence_libraries
    from leylora.training.seq2seq_arguments import parse

    silence_libraries()
    arguments = parse(sys.argv[1:])

    from leylora.project import shown
    from leylora.training.seq2seq import run, show

    show(run(arguments, sys.argv[1:]))
    console.say(f"Wrote {shown(arguments.output)}.")


if __name__ == "__main__":
    console.run(main)
