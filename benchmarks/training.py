"""QLoRA training of 7B models on one GPU: our recipes against stock TRL (and Unsloth where installed), same rows.

    python benchmarks/training.py                    # three families at 2048 tokens and at their longest, as on a T4
    python benchmarks/training.py --memory-gib 0 --family mistral --length 4096 --steps 20
    python benchmarks/training.py --small            # two narrow layers, seconds on a CPU; what the tests run

Nothing is downloaded: the base has the published shapes and random weights, drawn and quantised to 4 bits layer by
layer on the card (random_base.py). Rows are synthetic, with lengths as instruction sets have them:
log-normal, median 180 tokens, sigma 0.9, cut at the row length; the last 60 % of each row carry loss. Every contender
runs in a process of its own whose memory is capped at --memory-gib; what does not fit is a row that says OOM. The cap
of 14 is what a T4 of "16 GB" (14.6 GiB) has left beside CUDA's own memory. Each row is written as soon as it is
measured; rows that the file has already, of the same card and settings, are not measured again.

Tokens are real ones (padding does not count), over the steps after the first `WARM_UP`; utilisation is useful work by
`leylora.training.memory` over the card's published peak; memory is what torch allocated at most.
The contenders are in training_contenders.py.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from training_contenders import CONTENDERS, WARM_UP, Job, ours, synthetic_rows, theirs

from leylora import console
from leylora.errors import UsageError, first_line
from leylora.files import read_json, write_json
from leylora.models.cards import GIB

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

RESULTS = Path(__file__).with_name("training.json")
LONGEST = {"mistral": 4096, "llama-2": 4096, "falcon": 2048}
"""The families, and the longest row each of their recipes takes."""


@dataclass
class Outcome:
    """What a job measured, or why it could not. Units: tokens a second, GiB, share of the card's peak."""

    tokens_per_second: float | None = None
    peak_gib: float | None = None
    utilization: float | None = None
    filled: float | None = None
    error: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)


@app.command()
def main(
    family: Annotated[list[str] | None, typer.Option(help="mistral, llama-2, falcon; all by default.")] = None,
    length: Annotated[list[int] | None, typer.Option(help="Tokens a row; 2048 and the longest by default.")] = None,
    memory_gib: Annotated[float, typer.Option(help="Cap of what torch may allocate; 0 for none.")] = 14.0,
    steps: Annotated[int, typer.Option(min=1, help=f"Timed steps, after {WARM_UP} that are not.")] = 8,
    attention: Annotated[
        str, typer.Option(help="For every contender; auto: what our recipe takes, sdpa for the others.")
    ] = "auto",
    checkpointing: Annotated[bool, typer.Option(help="Compute activations again, as recipes do.")] = True,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which a contender is given up.")] = None,
    contender: Annotated[list[str] | None, typer.Option(help=f"{', '.join(CONTENDERS)}; all by default.")] = None,
    small: Annotated[bool, typer.Option("--small", help="Two narrow layers; the only size without a GPU.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to write the results; training.json beside this file.")
    ] = None,
    job: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Time every contender, print the table, write the figures as JSON."""
    if job:
        write_json(out or RESULTS, asdict(attempt(Job(**json.loads(job)))))
        return
    import torch

    small = small or not torch.cuda.is_available()
    known = [name for name in contender or CONTENDERS if name != "unsloth" or (find_spec("unsloth") and not small)]
    jobs = [
        Job(name, model, tokens, steps, memory_gib, attention, small, checkpointing)
        for model in family or LONGEST
        for tokens in sorted({min(tokens, LONGEST[model]) for tokens in length or ([128] if small else [2048, 4096])})
        for name in known
    ]
    path = None if small and not out else out or RESULTS  # figures without a GPU never replace published ones
    results: dict[str, Any] = {"machine": machine(), "small": small, "rows": measured_before(path)}
    for one in jobs:
        if any(row | asdict(one) == row for row in results["rows"]):
            continue
        console.note(f"{one.family}, {one.length} tokens: {CONTENDERS[one.contender]}")
        results["rows"].append({**asdict(one), **asdict(apart(one, timeout))})
        if path:
            write_json(path, results)
    show(results)


def measured_before(path: Path | None) -> list[dict[str, Any]]:
    """The rows of ``path``, without those that failed for another reason than memory.

    Raises:
        UsageError: they were measured on another card.
    """
    if path is None or not path.is_file():
        return []
    before = read_json(path)
    if before["machine"]["card"] != machine()["card"]:
        raise UsageError(f"{path} holds figures of another card ({before['machine']['card']}); give another --out.")
    return [row for row in before["rows"] if row["error"] in (None, "OOM")]


def apart(job: Job, timeout: float | None = None) -> Outcome:
    """Run a job in a process of its own, so that no contender's patches, caches or memory reach the next."""
    with tempfile.TemporaryDirectory(prefix="leylora-training-") as name:
        result = Path(name) / "outcome.json"
        command = [sys.executable, __file__, "--job", json.dumps(asdict(job)), "--out", str(result)]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=timeout,
                env={"PYTORCH_ALLOC_CONF": "expandable_segments:True", **os.environ},  # as train/sft.py sets it
            )
        except subprocess.TimeoutExpired:
            return Outcome(error=f"not done after {timeout:.0f} s")
        if result.is_file():
            return Outcome(**read_json(result))
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return Outcome(error=f"exit {done.returncode}: {last[:120]}")


def attempt(job: Job) -> Outcome:
    """Measure a job; memory that runs out, or a contender that cannot do it, is a result too."""
    from leylora.models.load import silence_libraries

    if job.contender == "unsloth":
        import unsloth  # noqa: F401 -- it must be imported before transformers and TRL, which it patches
    silence_libraries()
    import torch

    if torch.cuda.is_available() and job.memory_gib:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, job.memory_gib * GIB / total))
    try:
        with tempfile.TemporaryDirectory(prefix="leylora-training-") as work:
            return measure(job, Path(work))
    except torch.OutOfMemoryError:
        return Outcome(error="OOM")
    except Exception as error:  # whatever another library raises is its result
        return Outcome(
            error="OOM" if "memory ran out" in str(error) else f"{type(error).__name__}: {first_line(error)}"
        )


def measure(job: Job, work: Path) -> Outcome:
    """Build a contender's trainer, run it, and read speed and memory off it."""
    import torch
    from transformers import TrainerCallback

    from leylora.models.cards import find_card, peak_tflops
    from leylora.training.memory import flops_per_token, matmul_parameters, mean_context
    from leylora.training.record import peak_memory_gib

    rows = synthetic_rows(job)
    trainer = ours(job, rows, work) if job.contender == "ours" else theirs(job, rows, work)
    clock: list[tuple[float, int]] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            clock.append((time.perf_counter(), state.num_input_tokens_seen))

    trainer.add_callback(Clock())
    trainer.train()
    (begin, first), (end, last) = clock[WARM_UP - 1], clock[-1]
    speed = (last - first) / (end - begin)
    card = find_card()
    peak = peak_tflops(card.name) if card else None
    context = mean_context(len(ids) for ids in rows["input_ids"])
    work_per_token = flops_per_token(matmul_parameters(trainer.model), trainer.model.config, context)
    args = trainer.args
    places = args.per_device_train_batch_size * args.gradient_accumulation_steps * job.length * (len(clock) - WARM_UP)
    return Outcome(
        tokens_per_second=speed,
        peak_gib=peak_memory_gib()[0],
        utilization=speed * work_per_token / (peak * 1e12) if peak else None,
        filled=(last - first) / places,
        settings={
            "batch": args.per_device_train_batch_size,
            "accumulation": args.gradient_accumulation_steps,
            "packing": args.packing,
            "optim": str(getattr(args.optim, "value", args.optim)),
            "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
            "gradient_checkpointing": bool(args.gradient_checkpointing),
            "attention": trainer.model.config._attn_implementation,
        },
    )


def machine() -> dict[str, Any]:
    from datetime import date

    import torch

    from leylora.training.record import installed_versions

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {"card": card, "date": date.today().isoformat(), "os": platform.platform(), **installed_versions()}


def show(results: dict[str, Any]) -> None:
    """The results as a table; the ratio is to TRL's defaults, or to TRL with one row where those do not fit."""
    table = Table(title=f"QLoRA training, {results['machine']['card']}", title_justify="left", box=SIMPLE_HEAD)
    for title in ("model", "tokens a row", "cap GiB", "checkpoints", "contender"):
        table.add_column(title, no_wrap=True)
    for title in ("tokens/s", "peak GiB", "of peak", "filled", "times TRL"):
        table.add_column(title, justify="right")
    for row in results["rows"]:
        setting = ("family", "length", "memory_gib", "checkpointing")
        same = [r for r in results["rows"] if all(r[key] == row[key] for key in setting)]
        stock = next((r["tokens_per_second"] for r in same if r["contender"] == "trl" and not r["error"]), None)
        stock = stock or next((r["tokens_per_second"] for r in same if r["contender"] == "trl-1"), None)
        model = row["family"] if row["contender"] == same[0]["contender"] else ""
        cap = f"{row['memory_gib']:g}" if row["memory_gib"] else "none"
        place = [model, str(row["length"]), cap, "yes" if row["checkpointing"] else "no"]
        if row["error"]:
            table.add_row(*place, CONTENDERS[row["contender"]], row["error"])
            continue
        used = f"{row['utilization']:.0%}" if row["utilization"] else ""
        ratio = f"{row['tokens_per_second'] / stock:.2f}" if stock else ""
        figures = [f"{row['tokens_per_second']:,.0f}", f"{row['peak_gib']:.2f}", used, f"{row['filled']:.0%}", ratio]
        table.add_row(*place, CONTENDERS[row["contender"]], *figures)
    console.out.print(table)
    if results["small"]:
        console.say("Two narrow layers: this shows that the program works and says nothing of 7B models.")


if __name__ == "__main__":
    console.run(app)
