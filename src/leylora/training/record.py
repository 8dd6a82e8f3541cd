"""A finished run on paper: its record ``run.json``, its curves, the model card written from both; ROUGE.

Reading a record is light: torch and matplotlib are only imported where they measure and draw.
"""

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from rouge_score.rouge_scorer import RougeScorer

import leylora
from leylora.files import save_figure
from leylora.text import accented_words, one_line

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
    """One greedy answer after ``step`` steps (0: before the first)."""

    step: int
    prompt: str
    answer: str


class RunRecord(BaseModel):
    """All of ``run.json``: losses in nats a trained token, speeds in tokens that are not padding (prompt included)."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), populate_by_name=True)

    name: str
    base_model: str
    revision: str
    recipe: str
    overrides: list[str]
    instruction_template: str
    config: dict[str, Any] = {}  # the composed recipe with the command line's keys; ``--config`` takes it as a file
    # AliasChoices: as records before 0.1 call them
    frozen_adapter: str | None = Field(validation_alias=AliasChoices("frozen_adapter", "on_top_of"))
    frozen_adapter_sha256: str | None = Field(
        validation_alias=AliasChoices("frozen_adapter_sha256", "on_top_of_sha256")
    )
    resume_adapter: str | None = Field(validation_alias=AliasChoices("resume_adapter", "init_from"))
    resume_adapter_sha256: str | None = Field(
        validation_alias=AliasChoices("resume_adapter_sha256", "init_from_sha256")
    )
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
    tokens_per_second: float  # like utilization and wall_seconds of the part after resumed_from_step
    utilization: float | None = None  # share of the cards' peak that useful work reached (`leylora.training.memory`)
    peak_memory_gib: float  # of `peak_memory_gib`
    train_loss: float
    eval_loss: float | None
    adapter_sha256: str  # of adapter_model.safetensors
    wall_seconds: float
    resumed_from_step: int | None = None
    log: list[LossPoint]
    samples: list[Sample] = []


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what a run computes."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package != "leylora":
                raise
            found[package] = leylora.__version__  # run from its sources, as with PYTHONPATH=src
    return found


def peak_memory_gib() -> tuple[float, str]:
    """The most that torch allocated on the GPU so far, or that the process held on CPU; the GPU's name or ``cpu``."""
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
    """Draw three panels over the same steps into ``folder`` as `PICTURE_FILES`; the same log gives the same bytes."""
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
    save_figure(figure, *(folder / file for file in PICTURE_FILES), dpi=110)


def model_card(record: RunRecord, config: dict[str, Any]) -> str:
    """A Hugging Face model card (Markdown with a YAML head); ``config`` is the adapter's as it is saved."""
    parents = [parent for parent in (record.frozen_adapter, record.resume_adapter) if parent]
    loss = "not measured" if record.eval_loss is None else f"{record.eval_loss:.4f}"
    replay = f"`{record.replay_dataset}`, {record.replay_fraction:.0%} of the rows" if record.replay_dataset else "none"
    rows = [
        ("base model", f"{record.base_model} ({record.revision})"),
        ("recipe", f"`{record.recipe}` {' '.join(record.overrides)}".strip()),
        ("data", f"`{record.dataset}`, {record.rows} rows, sha256 `{record.dataset_sha256[:16]}…`"),
        ("replay", replay),
        ("trained over", ", ".join(f"`{parent}`" for parent in parents) or "the base alone"),
        ("LoRA", f"r {config['r']}, alpha {config['lora_alpha']}, on {', '.join(config['target_modules'])}"),
        ("4-bit share of the linear weights", f"{record.quantized_fraction:.0%}"),
        ("steps, tokens", f"{record.steps:,}, {record.tokens:,}"),
        ("packing efficiency", "off" if record.packing_efficiency is None else f"{record.packing_efficiency:.1%}"),
        ("loss in training, held out", f"{record.train_loss:.4f}, {loss}"),
        (
            "speed, peak memory",
            f"{record.tokens_per_second:,.0f} tokens/s, {record.peak_memory_gib:.2f} GiB ({record.device})",
        ),
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
    line = one_line(text).replace("|", "\\|").replace("<", "&lt;")
    return line if len(line) <= 300 else f"{line[:299]}…"


# --- overlap of a summary with its reference

KINDS = ("rouge1", "rouge2", "rougeL")
_SCORER = RougeScorer(list(KINDS), tokenizer=SimpleNamespace(tokenize=accented_words))


def rouge(text: str, reference: str) -> dict[str, float]:
    """F1, 0 to 1, of single words, of pairs of neighbours, and of the longest common subsequence (Lin 2004).

    The package's own tokenizer knows only a-z and cuts "niño" into "ni" and "o", and its stemmer is English. Here a
    word is a run of letters and digits of any script in lower case, and nothing is stemmed.
    """
    return {kind: float(score.fmeasure) for kind, score in _SCORER.score(reference, text).items()}
