"""A finished run on paper: its record ``run.json``, its curves, and the model card written from both."""

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

import leylora
from leylora.files import save_figure

if TYPE_CHECKING:  # reading a record is light
    from matplotlib.figure import Figure

PICTURE_FILES = ("training.png", "training.svg")
BLUE, ORANGE, GREY = "#1f5f8b", "#d1662b", "0.35"
PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "leylora")


class LossPoint(BaseModel):
    """One logged step: training loss over the steps since the last point, or a loss on held-out rows."""

    step: int
    loss: float | None = None
    eval_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None


class Sample(BaseModel):
    """One greedy answer after ``step`` steps (0: before the first), cut short if it is long."""

    step: int
    prompt: str
    answer: str


def _renamed(now: str, before: str) -> Any:
    return Field(validation_alias=AliasChoices(now, before))


class RunRecord(BaseModel):
    """All of ``run.json``.

    Losses are means in nats per trained token, speeds in tokens that are not padding (prompt included).
    ``peak_memory_gib`` is GPU memory that torch allocated, or the process's resident memory on CPU, as
    ``device`` says. ``utilization`` is the share of the cards' peak that useful work reached
    (`leylora.training.memory`). Speed, utilization and ``wall_seconds`` are of the part after
    ``resumed_from_step``, everything else of the whole run. ``adapter_sha256`` is the hash of
    ``adapter_model.safetensors``. ``config`` is the composed recipe with the command line's keys, which
    ``train/sft.py --config`` takes as a file. Records before 0.1 call ``frozen_adapter`` ``on_top_of`` and
    ``resume_adapter`` ``init_from``.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=True)

    name: str
    base_model: str
    revision: str
    recipe: str
    overrides: list[str]
    instruction_template: str
    config: dict[str, Any] = {}
    frozen_adapter: str | None = _renamed("frozen_adapter", "on_top_of")
    frozen_adapter_sha256: str | None = _renamed("frozen_adapter_sha256", "on_top_of_sha256")
    resume_adapter: str | None = _renamed("resume_adapter", "init_from")
    resume_adapter_sha256: str | None = _renamed("resume_adapter_sha256", "init_from_sha256")
    seed: int
    versions: dict[str, str]
    device: str
    processes: int
    dataset: str
    dataset_sha256: str
    replay_dataset: str | None
    replay_fraction: float | None
    rows: int
    rows_too_long: int
    eval_rows: int
    tokens: int
    steps: int
    quantized_fraction: float
    trainable_parameters: int
    packing_efficiency: float | None
    tokens_per_second: float
    utilization: float | None = None
    peak_memory_gib: float
    train_loss: float
    eval_loss: float | None
    adapter_sha256: str
    wall_seconds: float
    resumed_from_step: int | None = None
    log: list[LossPoint]
    samples: list[Sample] = []


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        if package == "leylora":  # run from its sources, as with PYTHONPATH=src
            return leylora.__version__
        raise


def peak_memory_gib() -> tuple[float, str]:
    """The most memory used so far, in GiB, and what it was measured on: the GPU's name or ``cpu``."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30, torch.cuda.get_device_name()
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0, "cpu"
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, "cpu"


def draw(log: Sequence[LossPoint], name: str, folder: Path) -> None:
    """Draw the curves into ``folder`` as `PICTURE_FILES`; the same log gives the same bytes."""
    save_figure(curves(log, name), *(folder / file for file in PICTURE_FILES), dpi=110)


def curves(log: Sequence[LossPoint], name: str) -> "Figure":
    """Three panels over the same steps; the loss on held-out rows is drawn as points."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    trained = [point for point in log if point.loss is not None]
    held_out = [(point.step, point.eval_loss) for point in log if point.eval_loss is not None]
    steps = [point.step for point in trained]
    mark = "." if len(trained) <= 60 else ""
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    loss, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=[2, 1, 1])
    loss.plot(steps, [point.loss for point in trained], color=BLUE, marker=mark, linewidth=1.4, label="training")
    if held_out:
        loss.plot(*zip(*held_out, strict=True), "o", color=ORANGE, markersize=6, label="held out")
        loss.legend(frameon=False, fontsize=9)
    loss.set_title(name, fontsize=11, loc="left")
    loss.set_ylabel("loss (nats a token)")
    rate.plot(steps, [point.learning_rate for point in trained], color=GREY, marker=mark, linewidth=1.2)
    rate.set_ylabel("learning rate")
    rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    norm.plot(steps, [point.grad_norm for point in trained], color=GREY, marker=mark, linewidth=1.2)
    norm.set_ylabel("gradient norm")
    norm.set_xlabel("step")
    norm.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (loss, rate, norm):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9", linewidth=0.8)
        axis.tick_params(labelsize=8)
    norm.set_ylim(bottom=0)
    return figure


def model_card(record: RunRecord, config: dict[str, Any]) -> str:
    """A Hugging Face model card (Markdown with a YAML head) that says what was trained on what, and how it went.

    Args:
        config: the adapter's config as it is saved.
    """
    parents = [parent for parent in (record.frozen_adapter, record.resume_adapter) if parent]
    loss = "not measured" if record.eval_loss is None else f"{record.eval_loss:.4f}"
    packing = "off" if record.packing_efficiency is None else f"{record.packing_efficiency:.1%}"
    replay = f"`{record.replay_dataset}`, {record.replay_fraction:.0%} of the rows" if record.replay_dataset else "none"
    speed = f"{record.tokens_per_second:,.0f} tokens/s, {record.peak_memory_gib:.2f} GiB ({record.device})"
    rows = [
        ("base model", f"{record.base_model} ({record.revision})"),
        ("recipe", f"`{record.recipe}` {' '.join(record.overrides)}".strip()),
        ("data", f"`{record.dataset}`, {record.rows} rows, sha256 `{record.dataset_sha256[:16]}…`"),
        ("replay", replay),
        ("trained over", ", ".join(f"`{parent}`" for parent in parents) or "the base alone"),
        ("LoRA", f"r {config['r']}, alpha {config['lora_alpha']}, on {', '.join(config['target_modules'])}"),
        ("4-bit share of the linear weights", f"{record.quantized_fraction:.0%}"),
        ("steps, tokens", f"{record.steps:,}, {record.tokens:,}"),
        ("packing efficiency", packing),
        ("loss in training, held out", f"{record.train_loss:.4f}, {loss}"),
        ("speed, peak memory", speed),
        ("seed", str(record.seed)),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    note = ""
    if record.frozen_adapter:
        note = (
            f"\nThis adapter was trained with `{record.frozen_adapter}` active below it and only means something "
            "together with it. Their sum as one adapter: "
            f"`python scripts/merge_adapters.py {record.frozen_adapter} LORA/{record.name} --out LORA/NAME`.\n"
        )
    return f"""---
library_name: peft
base_model: {record.base_model}
pipeline_tag: text-generation
language: es
tags: [lora, qlora, leylora]
---

# {record.name}

A LoRA adapter for Spanish, trained with leylora. What it writes is not legal advice; laws change, so check the edition
that an answer cites.
{note}
| | |
|---|---|
{table}

![Loss, learning rate and gradient norm over the steps](training.png)
{_answers(record)}
Prompt format: the `chat_template.jinja` beside this file, which is leylora's
`INSTRUCTION-TEMPLATES/{record.instruction_template}.yaml`. All figures and hashes of the run: `run.json`.
"""


def _answers(record: RunRecord) -> str:
    """A table of the first and the last answer to each sample prompt; empty when none were asked."""
    if not record.samples:
        return ""
    steps = [sample.step for sample in record.samples]
    first, last = min(steps), max(steps)
    answers = {(sample.step, sample.prompt): _cell(sample.answer) for sample in record.samples}
    prompts = dict.fromkeys(sample.prompt for sample in record.samples)
    rows = "\n".join(
        f"| {_cell(prompt)} | {answers.get((first, prompt), '')} | {answers.get((last, prompt), '')} |"
        for prompt in prompts
    )
    return (
        f"\nGreedy answers to fixed prompts (all of them, whole: `run.json`):\n\n"
        f"| prompt | after {first} steps | after {last} steps |\n|---|---|---|\n{rows}\n"
    )


def _cell(text: str) -> str:
    """One line that a Markdown table can hold, cut to a size one still reads."""
    line = " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= 300 else f"{line[:299]}…"


# --- of summaries

KINDS = ("rouge1", "rouge2", "rougeL")
"""Overlap of single words, of pairs of neighbours, and of the longest common subsequence (Lin 2004)."""
SUMMARISERS = {"lead": "the article's first three sentences", "before": "base model", "after": "after training"}


class SummaryRecord(BaseModel):
    """All of a summary run's ``run.json``.

    ``rouge`` holds mean F1 by summariser (``lead``: the article's first three sentences; ``before`` and ``after``
    training) and kind; ``gain`` the 95 % bootstrap interval over articles of after less before, by kind.
    ``weights_sha256`` is the hash of the adapter's or model's safetensors file.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str
    kind: str
    base_model: str
    revision: str
    recipe: str
    overrides: list[str]
    prompt: str
    dataset: str
    dataset_sha256: str
    rows: int
    rows_too_long: int
    articles_cut: int
    eval_rows: int
    unwritable_characters: str
    steps: int
    seed: int
    versions: dict[str, str]
    device: str
    processes: int
    trainable_parameters: int
    train_loss: float
    eval_loss_before: float
    eval_loss: float
    rouge: dict[str, dict[str, float]]
    gain: dict[str, tuple[float, float]] = {}
    peak_memory_gib: float
    wall_seconds: float
    weights_sha256: str = ""
    log: list[dict[str, Any]]

    def table(self) -> list[tuple[str, ...]]:
        """Summariser, ROUGE-1, ROUGE-2, ROUGE-L (times 100), loss; last the gain with its interval."""
        losses = {"before": f"{self.eval_loss_before:.3f}", "after": f"{self.eval_loss:.3f}"}
        lines = [
            (label, *(f"{100 * self.rouge[key][kind]:.1f}" for kind in KINDS), losses.get(key, ""))
            for key, label in SUMMARISERS.items()
        ]
        gains = (f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in map(self.gain.__getitem__, KINDS))
        return [*lines, ("gain, 95 % interval", *gains, "")] if self.gain else lines

    def card(self) -> str:
        """A Hugging Face model card (Markdown with a YAML head)."""
        scores = "\n".join(f"| {' | '.join(row)} |" for row in self.table())
        lora = self.kind == "lora"
        return f"""---
base_model: {self.base_model}
pipeline_tag: summarization
language: es
library_name: {"peft" if lora else "transformers"}
tags: [summarization, leylora]
---

# {self.name}

{"A LoRA adapter" if lora else "A whole model, all weights trained"}: summaries of Spanish news, trained with leylora
(`{" ".join((self.recipe, *self.overrides))}`). The input is `{self.prompt}`, a line break and the article.

ROUGE F1 × 100 on {self.eval_rows} held-out articles (words with their accents, no stemmer), and loss in nats a token:

| summariser | ROUGE-1 | ROUGE-2 | ROUGE-L | loss |
|---|---|---|---|---|
{scores}

Trained for {self.steps:,} steps on {self.rows:,} rows of `{self.dataset}`. Every held-out summary, before and after:
`summaries.jsonl`. All figures and hashes: `run.json`. A summary may state what its article does not say; read it
against the article.
"""
