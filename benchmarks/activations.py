"""Merging by activations at 7B shapes, with random inputs: time and memory of one layer, on two cores.

    python benchmarks/activations.py              # one layer of Mistral 7B, 20,000 tokens a side

What is timed is what the merge adds to a forward pass: summing x x^T for both sides, then the closed form. The forward
passes themselves (200 rows a side through a base in 4 bits) are not in it.
"""

import resource
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from leylora import console
from leylora.adapters.core_space import RIDGE, Factors, MergeSettings, merge_module
from leylora.files import write_json

RESULTS = Path(__file__).with_name("activations.json")
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

HIDDEN, KEY_VALUE, INNER, LAYERS, RANK = 4096, 1024, 14336, 32, 16
READS = {"q, k, v": HIDDEN, "o": HIDDEN, "gate, up": HIDDEN, "down": INNER}  # modules that read one input share a sum
MODULES = {
    "q_proj": (HIDDEN, "q, k, v"),
    "k_proj": (KEY_VALUE, "q, k, v"),
    "v_proj": (KEY_VALUE, "q, k, v"),
    "o_proj": (HIDDEN, "o"),
    "gate_proj": (INNER, "gate, up"),
    "up_proj": (INNER, "gate, up"),
    "down_proj": (HIDDEN, "down"),
}


@app.command()
def main(
    tokens: Annotated[int, typer.Option(help="Of each side.")] = 20_000,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 2,
    out: Annotated[Path, typer.Option(help="Where the figures go.")] = RESULTS,
) -> None:
    """Time one layer, module by module, and write the figures."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    settings = MergeSettings("activations", RANK, None, 0.5, torch.bfloat16, RIDGE)
    summing, solving = {}, {}
    for read, width in READS.items():
        x = torch.randn(min(tokens, 2048), width, generator=generator)
        batches = -(-tokens // len(x))
        begun = time.perf_counter()
        moments = [torch.zeros(width, width), torch.zeros(width, width)]
        for total in moments:
            for _ in range(batches):
                total.addmm_(x.T, x)
            total /= batches * len(x)
        summing[read] = round(time.perf_counter() - begun, 2)
        for name in (name for name, (_, own) in MODULES.items() if own == read):
            d_out = MODULES[name][0]
            parts = [
                Factors(
                    torch.randn(RANK, width, generator=generator), torch.randn(d_out, RANK, generator=generator), 2.0
                )
                for _ in "ab"
            ]
            begun = time.perf_counter()
            merge_module(name, parts, [1.0, 1.0], settings, moments)
            solving[name] = round(time.perf_counter() - begun, 2)
            console.note(f"{name}: {solving[name]} s")
        del moments
    layer = sum(summing.values()) + sum(solving.values())
    figures = {
        "tokens_a_side": tokens,
        "threads": threads,
        "summing_s": summing,
        "closed_form_s": solving,
        "layer_s": round(layer, 1),
        "all_layers_min": round(layer * LAYERS / 60, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "torch": torch.__version__,
    }
    write_json(out, figures)
    console.say(f"{figures['layer_s']} s a layer, {figures['all_layers_min']} min in all, {figures['peak_gib']} GiB")


if __name__ == "__main__":
    console.run(app)
