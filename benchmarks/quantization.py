"""What holding a base in fewer bits saves and costs: the same questions at four precisions, with an adapter or without.

    python benchmarks/quantization.py data/build/models/tiny-mistral --adapter tiny-mistral-law --limit 16

16-bit (float32 without a GPU), LLM.int8(), NF4, and NF4 with its block constants quantised again, which is what the
adapters are trained on. Each precision is loaded alone, measured and released before the next. A precision that this
machine cannot load gets a row that says so.
"""

import gc
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.adapters.discover import Variant, find_variants
from leylora.errors import LeyloraError, UsageError, first_line
from leylora.evaluation.backends import Continuation, LocalModel
from leylora.evaluation.items import LETTERS, Sources, choice_messages, questions, spread
from leylora.evaluation.results import Item
from leylora.files import write_json
from leylora.models.cards import find_card
from leylora.models.families import family_of
from leylora.models.load import load_base, load_config
from leylora.models.templates import instruction_template
from leylora.training.record import installed_versions, peak_memory_gib

PRECISIONS = ("16bit", "int8", "nf4", "nf4-double")
PROMPTS = 8  # answered one after another, as one person at a small machine asks
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def load_as(name: str, precision: str) -> Any:
    """A base at one of `PRECISIONS`, ready to answer."""
    if precision != "nf4":
        return load_base(name, {"16bit": "16bit", "int8": "8bit", "nf4-double": "4bit"}[precision])  # type: ignore[arg-type]
    card = find_card()
    dtype = torch.float32 if card is None else torch.bfloat16 if card.bf16 else torch.float16
    place = None if card is None else {"": torch.cuda.current_device()}
    model = load_base(name, double_quant=False, compute_dtype=dtype, device_map=place, attn_implementation="sdpa")
    return model.eval().requires_grad_(False)


def measure(
    name: str,
    template: str,
    items: Sequence[Item],
    adapter: Path | None = None,
    *,
    precisions: Sequence[str] = PRECISIONS,
    max_new_tokens: int = 64,
) -> list[dict[str, Any]]:
    """A row for each precision and, with an adapter, one more with it; ``problem`` says why the rest is missing.

    Raises:
        LeyloraError: there is nothing to ask, no precision loads, or the adapter does not fit the base.
    """
    spoken = [item for item in items if item.ask == "generate" and item.reference]
    choices = [item for item in items if item.ask == "choose"]
    if not spoken or not choices:
        raise LeyloraError("Measuring needs questions with an answer and with options; give more with --limit.")
    variants = [Variant(name="base", role="base")]
    if adapter is not None:
        variants.append(Variant(name=adapter.name, role="other", adapter=str(adapter)))
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        try:
            base = load_as(name, precision)
        except (LeyloraError, ImportError, NotImplementedError, RuntimeError) as error:
            rows += [{"load": precision, "adapter": one.adapter, "problem": first_line(error)} for one in variants]
            continue
        seconds = time.perf_counter() - started
        model = LocalModel(name, template, model=base, max_new_tokens=max_new_tokens)
        for variant in variants:
            model.use(variant)
            row: dict[str, Any] = {
                "load": precision,
                "adapter": variant.adapter,
                "dtype": str(base.dtype).removeprefix("torch."),
            }
            row |= {"size_gib": base.get_memory_footprint() / 2**30, "load_seconds": seconds}
            row |= {"peak_gib": torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None}
            rows.append(row | asked(model, spoken, choices))
        del model, base
        gc.collect()
        torch.cuda.empty_cache()
    if all("problem" in row for row in rows):
        raise LeyloraError(str(rows[0]["problem"]))
    return rows


def asked(model: LocalModel, spoken: Sequence[Item], choices: Sequence[Item]) -> dict[str, float]:
    """Tokens written a second, tokens read a second, bits per byte of the references, accuracy over all orders."""
    model.generate([spoken[0].messages])  # the first call chooses kernels and claims memory
    started = time.perf_counter()
    written = sum(model.generate([item.messages])[0][1] for item in spoken[:PROMPTS])
    per_second = written / (time.perf_counter() - started)
    started = time.perf_counter()
    scored = model.likelihoods([Continuation(item.messages, item.reference) for item in spoken])
    seconds = time.perf_counter() - started
    known = [(one[0], item) for one, item in zip(scored, spoken, strict=True) if one is not None]
    texts = [text for _, item in known for text in (*(turn["content"] for turn in item.messages), item.reference)]
    read = sum(map(len, model.model.tokenizer(texts)["input_ids"])) if texts else 0
    size = sum(len(item.reference.encode()) for _, item in known)
    return {
        "generated_per_second": per_second,
        "scored_per_second": read / seconds,
        "bits_per_byte": -sum(logprob for logprob, _ in known) / math.log(2) / size if size else math.nan,
        "accuracy": fmean(accuracy(model, item) for item in choices),
    }


def accuracy(model: LocalModel, item: Item) -> float:
    """The share of orders in which the right option's letter is likeliest; 0 when one does not fit the context."""
    hits = []
    for order in item.orders:
        messages = choice_messages(item, order)
        scored = model.likelihoods([Continuation(messages, letter, ends=False) for letter in LETTERS[: len(order)]])
        logprobs = [-math.inf if one is None else one[0] for one in scored]
        hits.append(math.inf not in map(abs, logprobs) and order[logprobs.index(max(logprobs))] == item.correct)
    return fmean(hits)


@app.command()
def main(
    model: Annotated[str, typer.Argument(help="Folder or Hub name of a base model.")],
    adapter: Annotated[str | None, typer.Option(help="Name in LORA, or folder, of an adapter of that base.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="16bit, int8, nf4, nf4-double; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=4, help="Questions with options, and others, at most.")] = 40,
    out: Annotated[Path, typer.Option(help="Where to write the numbers.")] = Path("data/build/quantization.json"),
    seed: Annotated[int, typer.Option(help="Seed of the draw of questions.")] = 0,
) -> None:
    """Size, speed, bits per byte and multiple-choice accuracy at each precision, as a table and as JSON."""
    if unknown := [name for name in precision or [] if name not in PRECISIONS]:
        raise UsageError(f"There is no precision '{unknown[0]}'; there are {', '.join(PRECISIONS)}.")
    folder = None if adapter is None else Path(find_variants(model, adapter)[0][1].adapter)
    template = instruction_template(family_of(load_config(model)).instruction_template)
    found = questions(["law", "spanish"], Sources(), seed=seed).items
    choices = [item for item in found["law"] if item.ask == "choose"]
    items = [*spread(choices, limit, seed), *spread(found["spanish"], limit, seed)]
    rows = measure(model, template, items, folder, precisions=precision or PRECISIONS)
    device = peak_memory_gib()[1]
    write_json(out, {"model": model, "device": device, "seed": seed, "versions": installed_versions(), "rows": rows})
    table = Table("precision", "adapter", title=f"{model} on {device}; tokens per second", box=SIMPLE_HEAD)
    shown = {
        "size_gib": "size\nGiB",
        "load_seconds": "load\ns",
        "generated_per_second": "written\nper s",
        "scored_per_second": "read\nper s",
        "bits_per_byte": "bits\nper byte",
        "accuracy": "right\noptions",
    }
    for heading in shown.values():
        table.add_column(heading, justify="right")
    for row in rows:
        numbers = [row["problem"]] if "problem" in row else [f"{row[key]:.3f}" for key in shown]
        table.add_row(row["load"], "yes" if row["adapter"] else "no", *numbers)
    console.out.print(table)
    console.note(f"Wrote {out}.")


if __name__ == "__main__":
    console.run(app)
