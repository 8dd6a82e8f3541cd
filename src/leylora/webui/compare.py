"""The same prompts over several models, adapters, presets and temperatures, in one run.

Every combination is a row, with its answer or with the reason why there is none: a model that does not load costs
its rows and nothing else. The order is by model and then by LoRA, so that each is loaded once.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_jsonl, read_text, write_jsonl, write_text
from leylora.webui.client import Answer, LoraEffect, ModelInfo
from leylora.webui.compare_page import page


class Asked(Protocol):
    """What a comparison needs of a client (`leylora.webui.client.Client` has it)."""

    def info(self) -> ModelInfo: ...
    def load_model(self, name: str, args: dict[str, Any] | None = None) -> ModelInfo: ...
    def load_lora(self, name: str, args: dict[str, Any] | None = None) -> LoraEffect: ...
    def unload_lora(self, args: dict[str, Any] | None = None) -> ModelInfo: ...
    def instruct(self, instruction: str, **options: Any) -> Answer: ...
    def generate(self, prompt: str, **sampling: Any) -> Answer: ...


@dataclass(frozen=True)
class Plan:
    """What to compare; every combination is asked once.

    Attributes:
        prompts: what to ask.
        models: names on the server; empty means the one that is loaded.
        loras: names on the server, "" for none; empty means to leave what is applied.
        presets: names, "" for the server's defaults.
        temperatures: laid over the preset (which must then be one of ours); None leaves it.
        max_tokens: the length of an answer at most.
        seed: for every row the same, so that rows differ by what is compared.
        system, template: as for `Client.instruct`; ``raw`` continues the prompt without a template instead.
        load_args: how models are loaded, such as ``{"load_in_4bit": True}``.
    """

    prompts: tuple[str, ...]
    models: tuple[str, ...] = ()
    loras: tuple[str, ...] = ()
    presets: tuple[str, ...] = ("",)
    temperatures: tuple[float | None, ...] = (None,)
    max_tokens: int = 256
    seed: int = 1
    system: str | None = None
    template: str | None = None
    raw: bool = False
    load_args: dict[str, Any] | None = None

    @property
    def size(self) -> int:
        """How many rows there will be."""
        sizes = (len(self.models) or 1, len(self.loras) or 1, len(self.presets), len(self.temperatures))
        return len(self.prompts) * sizes[0] * sizes[1] * sizes[2] * sizes[3]


class Row(BaseModel):
    """One combination and what came of it; ``seconds`` is the time of the answer alone."""

    model_config = ConfigDict(protected_namespaces=())

    prompt: str
    model: str
    lora: str
    preset: str
    temperature: float | None
    max_tokens: int
    seed: int
    text: str = ""
    finish_reason: str | None = None
    tokens: int | None = None
    seconds: float | None = None
    error: str = ""


def compare(client: Asked, plan: Plan, out: Path, on_row: Callable[[Row], None] | None = None) -> list[Row]:
    """Ask everything in the plan; write ``out/results.jsonl`` and ``out/index.html``, after each model anew.

    Args:
        on_row: called with each row as it is there, for a progress bar.

    Raises:
        UsageError: the plan holds no prompt, or ``out`` holds another comparison.
    """
    if not plan.prompts:
        raise UsageError("There is nothing to ask: give a prompt, or a file of prompts.")
    if (out / "results.jsonl").exists():
        raise UsageError(f"{out} holds a comparison already; choose another --out, or delete it.")
    rows: list[Row] = []
    for model in plan.models or ("",):
        for row in _rows_of_model(client, plan, model):
            rows.append(row)
            if on_row:
                on_row(row)
        write_jsonl(out / "results.jsonl", (row.model_dump() for row in rows))
        write_text(out / "index.html", page(rows))
    return rows


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a file: of a .jsonl, its key ``prompt`` (or ``instruction``); of any other, one a line.

    Raises:
        LeyloraError: the file cannot be read, or a line of a .jsonl has no such key.
    """
    if path.suffix != ".jsonl":
        return tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    prompts = []
    for number, row in read_jsonl(path):
        prompt = row.get("prompt") or row.get("instruction")
        if not isinstance(prompt, str) or not prompt.strip():
            raise LeyloraError(f"{path}, line {number}: no text under 'prompt'; add it or remove the line.")
        prompts.append(prompt)
    return tuple(prompts)


def _rows_of_model(client: Asked, plan: Plan, model: str) -> Iterator[Row]:
    try:
        shown = client.load_model(model, plan.load_args).model_name if model else client.info().model_name
    except LeyloraError as error:
        yield from _failed(plan, model, plan.loras or ("",), str(error))
        return
    for lora in plan.loras or (None,):
        try:
            applied = _apply(client, lora, plan.load_args)
        except LeyloraError as error:
            yield from _failed(plan, shown or model, (lora or "",), str(error))
            continue
        for prompt, preset, temperature in _questions(plan):
            yield _ask(client, plan, _row(plan, prompt, shown or model, applied, preset, temperature))


def _apply(client: Asked, lora: str | None, args: dict[str, Any] | None) -> str:
    """Bring the wanted LoRA about; returns the name to show."""
    if lora is None:
        return ", ".join(client.info().lora_names)
    if lora:
        return client.load_lora(lora, args).name
    if client.info().lora_names:
        client.unload_lora(args)
    return ""


def _ask(client: Asked, plan: Plan, row: Row) -> Row:
    options: dict[str, Any] = {"max_tokens": plan.max_tokens, "seed": plan.seed}
    options |= {"preset": row.preset or None, "temperature": row.temperature}
    began = time.perf_counter()
    try:
        if plan.raw:
            answer = client.generate(row.prompt, **options)
        else:
            answer = client.instruct(row.prompt, system=plan.system, template=plan.template, **options)
    except LeyloraError as error:
        return row.model_copy(update={"error": str(error)})
    return row.model_copy(
        update={
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "tokens": answer.usage.completion_tokens if answer.usage else None,
            "seconds": round(time.perf_counter() - began, 3),
        }
    )


def _failed(plan: Plan, model: str, loras: Sequence[str], reason: str) -> Iterator[Row]:
    for lora in loras:
        for prompt, preset, temperature in _questions(plan):
            yield _row(plan, prompt, model, lora, preset, temperature).model_copy(update={"error": reason})


def _questions(plan: Plan) -> Iterator[tuple[str, str, float | None]]:
    return itertools.product(plan.prompts, plan.presets, plan.temperatures)


def _row(plan: Plan, prompt: str, model: str, lora: str, preset: str, temperature: float | None) -> Row:
    return Row(
        prompt=prompt,
        model=model,
        lora=lora,
        preset=preset,
        temperature=temperature,
        max_tokens=plan.max_tokens,
        seed=plan.seed,
    )
