"""What holding a base in fewer bits saves and what it costs: the same questions at four precisions.

16-bit (float32 without a GPU), LLM.int8(), NF4, and NF4 whose block constants are quantised once more; the last is
what the adapters are trained on. Every precision is loaded alone, measured, and let go before the next.
"""

import gc
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict

from leylora import console
from leylora.errors import LeyloraError, first_line
from leylora.evaluation.asking import Continuation
from leylora.evaluation.law_items import LETTERS, choice_messages
from leylora.evaluation.marking import choice_values
from leylora.evaluation.results import Answer, Item, Variant
from leylora.models.bases import Load

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from leylora.evaluation.local import LocalModel

QUANTIZATION_FILE = "quantization.json"
Precision = Literal["16bit", "int8", "nf4", "nf4-double"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
PROMPTS = 8  # answered one after another, as a person at one small machine asks


class QuantizationRow(BaseModel):
    """One precision, with the adapter or without.

    Attributes:
        dtype: what matrices are multiplied in.
        size_gib: parameters and buffers of the base, in GiB; ``peak_gib`` the most GPU memory torch had allocated
            from loading to the end of this row, None on CPU, where one process cannot tell its models apart.
        generated_per_second: tokens written, one prompt at a time; ``scored_per_second`` tokens read, in batches.
        bits_per_byte: loss of the reference answers.
        accuracy: share of the orders of multiple-choice questions whose likeliest letter is right.
        problem: why the rest is missing, in one sentence.
    """

    load: Precision
    adapter: str | None
    dtype: str = ""
    size_gib: float | None = None
    peak_gib: float | None = None
    load_seconds: float | None = None
    generated_per_second: float | None = None
    scored_per_second: float | None = None
    bits_per_byte: float | None = None
    accuracy: float | None = None
    problem: str = ""


class QuantizationReport(BaseModel):
    """All of ``quantization.json``. ``references`` and ``choices`` count the questions behind the last two columns."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    adapter: str | None
    device: str
    references: int
    choices: int
    seed: int
    versions: dict[str, str]
    rows: list[QuantizationRow]


def measure(
    name: str, template: str, items: Sequence[Item], adapter: Path | None = None, *,
    precisions: Sequence[Precision] = PRECISIONS, max_new_tokens: int = 64, seed: int = 0,
) -> QuantizationReport:  # fmt: skip
    """Measure a base, and an adapter on it, at each of the precisions.

    A precision that this machine cannot load gives a row that says so, and the others go on.

    Args:
        template: text of the instruction template the adapter was trained with.
        items: questions; those with a reference give bits per byte, those with options the accuracy, and the first
            `PROMPTS` of the others are answered.
        max_new_tokens: of each answer.

    Raises:
        LeyloraError: there is nothing to ask, or the adapter does not fit the base.
    """
    from leylora.models.load import silence_libraries
    from leylora.training.record import installed_versions, peak_memory_gib

    silence_libraries()
    spoken = [item for item in items if item.ask == "generate"][:PROMPTS]
    references = [item for item in items if item.ask == "generate" and item.reference]
    choices = [item for item in items if item.ask == "choose"]
    if not spoken or not references or not choices:
        raise LeyloraError("Measuring needs questions with an answer and with options; give more with --limit.")
    variants = [Variant(name="base", role="base")]
    if adapter is not None:
        variants.append(Variant(name=adapter.name, role="other", adapter=str(adapter)))
    rows: list[QuantizationRow] = []
    with console.progress() as bar:
        task = bar.add_task("precisions", total=len(precisions) * len(variants))
        for precision in precisions:
            bar.update(task, description=f"{precision}")
            try:
                rows += _measured(name, template, precision, variants, (spoken, references, choices), max_new_tokens)
            except (LeyloraError, ImportError, NotImplementedError, RuntimeError) as error:
                if precision in ("16bit", "nf4-double") and not isinstance(error, LeyloraError):
                    raise
                rows += [QuantizationRow(load=precision, adapter=variant.name if variant.adapter else None,
                                         problem=first_line(error)) for variant in variants]  # fmt: skip
            bar.advance(task, len(variants))
    if all(row.problem for row in rows):
        raise LeyloraError(rows[0].problem)
    return QuantizationReport(
        model=name, adapter=None if adapter is None else adapter.name, device=peak_memory_gib()[1],
        references=len(references), choices=len(choices), seed=seed, versions=installed_versions(), rows=rows,
    )  # fmt: skip


def _measured(
    name: str, template: str, precision: Precision, variants: Sequence[Variant],
    asked: tuple[list[Item], list[Item], list[Item]], max_new_tokens: int,
) -> list[QuantizationRow]:  # fmt: skip
    import torch

    from leylora.evaluation.local import LocalModel

    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    base = load_as(name, precision)
    seconds = time.perf_counter() - started
    size = base.get_memory_footprint() / 2**30
    model = LocalModel(name, template, model=base, max_new_tokens=max_new_tokens)
    rows = []
    try:
        for variant in variants:
            model.use(variant)
            generated, scored, bits, accuracy = _one_variant(model, *asked)
            rows.append(
                QuantizationRow(
                    load=precision, adapter=variant.name if variant.adapter else None,
                    dtype=str(base.dtype).removeprefix("torch."), size_gib=size, load_seconds=seconds,
                    peak_gib=torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
                    generated_per_second=generated, scored_per_second=scored, bits_per_byte=bits, accuracy=accuracy,
                )
            )  # fmt: skip
    finally:
        del model, base
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
    return rows


def load_as(name: str, precision: Precision) -> "PreTrainedModel":
    """A base at one of the precisions, ready to answer."""
    from leylora.models.load import load_base

    if precision == "nf4":
        return load_base(name, double_quant=False)
    loads: dict[str, Load] = {"16bit": "16bit", "int8": "8bit", "nf4-double": "4bit"}
    return load_base(name, loads[precision])


def _one_variant(
    model: "LocalModel", spoken: Sequence[Item], references: Sequence[Item], choices: Sequence[Item]
) -> tuple[float, float, float, float]:
    """Tokens written a second, tokens read a second, bits per byte, accuracy."""
    model.generate([spoken[0].messages])  # kernels are chosen and memory is claimed at the first call
    started = time.perf_counter()
    written = sum(model.generate([item.messages])[0].tokens for item in spoken)
    generated = written / (time.perf_counter() - started)
    started = time.perf_counter()
    told = model.likelihoods([Continuation.of(item.messages, item.reference) for item in references])
    seconds = time.perf_counter() - started
    known = [(one.logprob, item) for one, item in zip(told, references, strict=True) if one is not None]
    texts = [text for _, item in known for text in (*(turn["content"] for turn in item.messages), item.reference)]
    read = sum(map(len, model.tokenizer(texts)["input_ids"])) if texts else 0
    size = sum(len(item.reference.encode()) for _, item in known)
    bits = -sum(logprob for logprob, _ in known) / math.log(2) / size if size else math.nan
    return generated, read / seconds, bits, fmean(_accuracy(model, item) for item in choices)


def _accuracy(model: "LocalModel", item: Item) -> float:
    """The share of orders in which the right option's letter is likeliest; see `choice_values`."""
    by_order: list[list[float]] = []
    for order in item.orders:
        messages = choice_messages(item, order)
        letters = [Continuation.of(messages, letter, ends=False) for letter in LETTERS[: len(order)]]
        logprobs = {option: one.logprob for option, one in zip(order, model.likelihoods(letters), strict=True)
                    if one is not None}  # fmt: skip
        if len(logprobs) == len(order):
            by_order.append([logprobs[option] for option in range(len(order))])
    if len(by_order) < len(item.orders):
        return 0.0  # it does not fit the context
    answer = Answer(key="", model="", variant="", suite=item.suite, item=item.id, prompt_sha256="",
                    settings_sha256="", option_logprobs=by_order)  # fmt: skip
    return choice_values(item, answer)["accuracy"]
