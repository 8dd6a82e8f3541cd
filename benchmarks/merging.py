"""Merging two rank-16 bfloat16 adapters of 7B models, against PEFT's add_weighted_adapter on the same inputs.

    python benchmarks/merging.py            # some eight minutes on two cores, most of it PEFT
    python benchmarks/merging.py --small    # seconds; what the tests run

The adapters are random with a decaying spectrum. Every merge runs in a process of its own, which reads, merges and
writes all layers; its time excludes the imports, its peak memory includes them; the median of three counts. PEFT's
svd would take hours for a whole model, so it is timed on one layer's k_proj and q_proj, where the best of four runs
counts, and the rest is extrapolated by the cost of a full SVD, m * n * min(m, n).
"""

import multiprocessing
import os
import platform
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import WEIGHTS_FILE, open_adapter, tensor_names
from leylora.adapters.report import Method
from leylora.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

METHODS = [method for method in get_args(Method) if method != "activations"]  # that one reads rows: activations.py

RANK, WEIGHTS, DECAY = 16, (1.0, 0.7), 0.85  # DECAY: each singular direction is this much weaker than the one before
REPEATS = 3
RESULTS = Path(__file__).with_name("merging.json")


@dataclass(frozen=True)
class Shapes:
    """The adapted modules of one layer, (d_out, d_in) by path within the layer, and how many layers there are."""

    layers: int
    prefix: str
    modules: dict[str, tuple[int, int]]


def llama_like(hidden: int, inner: int, key_value: int, layers: int) -> Shapes:
    attention = {"q_proj": (hidden, hidden), "k_proj": (key_value, hidden)}
    attention |= {"v_proj": (key_value, hidden), "o_proj": (hidden, hidden)}
    feed_forward = {"gate_proj": (inner, hidden), "up_proj": (inner, hidden), "down_proj": (hidden, inner)}
    modules = {f"self_attn.{name}": shape for name, shape in attention.items()}
    return Shapes(layers, "model.layers", modules | {f"mlp.{name}": shape for name, shape in feed_forward.items()})


def falcon_like(hidden: int, head: int, layers: int) -> Shapes:
    """Multi-query attention: queries of all heads and one key and value head in one fused matrix."""
    modules = {
        "self_attention.query_key_value": (hidden + 2 * head, hidden),
        "self_attention.dense": (hidden, hidden),
        "mlp.dense_h_to_4h": (4 * hidden, hidden),
        "mlp.dense_4h_to_h": (hidden, 4 * hidden),
    }
    return Shapes(layers, "transformer.h", modules)


FULL = {
    "Mistral-7B": llama_like(4096, 14336, 1024, 32),
    "Llama-2-7B": llama_like(4096, 11008, 4096, 32),
    "Falcon-7B": falcon_like(4544, 64, 32),
}
SMALL = {
    "Mistral-7B": llama_like(128, 448, 32, 2),
    "Llama-2-7B": llama_like(128, 344, 128, 2),
    "Falcon-7B": falcon_like(142, 2, 2),
}


@app.command()
def main(
    small: Annotated[bool, typer.Option("--small", help="Shapes 32 times smaller, two layers.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write the results; merging.json in this folder.")] = None,
) -> None:
    """Run the comparison, print it, write it as JSON."""
    results: dict[str, Any] = {"machine": machine(), "small": small, "rank": RANK, "weights": WEIGHTS, "families": {}}
    with tempfile.TemporaryDirectory(prefix="leylora-merging-") as name:
        work = Path(name)
        for family, shapes in (SMALL if small else FULL).items():
            parents = [make_adapter(work / f"parent{seed}", shapes, seed) for seed in (1, 2)]
            if not results.get("peft"):
                console.note(f"{family}: PEFT's svd on one layer's k_proj and q_proj")
                results["peft"] = time_peft(parents, shapes)
            console.note(f"{family}: merging {shapes.layers} layers")
            entry: dict[str, Any] = {
                method: measure(parents, work / "merged", method, apart=not small) for method in METHODS
            }
            entry["accuracy"] = accuracy(parents, work, shapes)
            extrapolated = sum(d_out * d_in * min(d_out, d_in) for d_out, d_in in shapes.modules.values())
            peft_seconds = shapes.layers * extrapolated * results["peft"]["seconds_by_cost"]
            entry["peft_svd_seconds_extrapolated"] = peft_seconds
            entry["svd_times_faster_than_peft"] = peft_seconds / entry["svd"]["seconds"]
            results["families"][family] = entry
            for folder in parents:
                shutil.rmtree(folder)
    write_json(out or RESULTS, results)
    show(results)


def make_adapter(folder: Path, shapes: Shapes, seed: int) -> Path:
    """A random adapter whose deltas have singular values falling by `DECAY` a step, as trained ones do."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    names = [f"{shapes.prefix}.{layer}.{path}" for layer in range(shapes.layers) for path in shapes.modules]

    decay = DECAY ** torch.arange(RANK)
    tensors = {}
    for name in names:
        d_out, d_in = shapes.modules[name.removeprefix(f"{shapes.prefix}.").partition(".")[2]]
        key_a, key_b = tensor_names(name)
        tensors[key_a] = (torch.randn(RANK, d_in, generator=generator) / d_in**0.5).bfloat16()
        tensors[key_b] = (torch.randn(d_out, RANK, generator=generator) * 0.05 * decay).bfloat16()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "shapes-only",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "target_modules": sorted({path.rpartition(".")[2] for path in shapes.modules}),
    }
    write_json(folder / CONFIG_FILE, config)
    save_file(tensors, folder / WEIGHTS_FILE)
    return folder


def measure(parents: list[Path], out: Path, method: str, *, apart: bool) -> dict[str, Any]:
    """Merge `REPEATS` times, ``apart`` in a process of its own: median seconds, every run's, peak memory."""
    if not apart:
        return _merge_here(parents, out, method)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_merge_here, (parents, out, method))


def _merge_here(parents: list[Path], out: Path, method: Any) -> dict[str, Any]:
    from leylora.adapters.merge import merge

    rank = RANK if method == "svd" else None
    runs, error = [], 0.0
    for _ in range(REPEATS):
        started = time.perf_counter()
        report = merge(list(zip(parents, WEIGHTS, strict=True)), out, method, rank, overwrite=True, picture=False)
        runs.append(time.perf_counter() - started)
        error = report.mean("sum_error")
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    # VmHWM, unlike ru_maxrss, starts anew in a child process.
    peak = int(status["VmHWM"].split()[0]) / 2**20
    return {"seconds": statistics.median(runs), "runs": runs, "peak_gib": peak, "error_against_sum": error}


def time_peft(parents: list[Path], shapes: Shapes) -> dict[str, Any]:
    """Seconds of PEFT's add_weighted_adapter(svd) for the first layer's k_proj and q_proj, its best of four runs."""
    import peft
    import torch
    from torch import nn

    torch.linalg.svd(torch.randn(64, 64))  # starts the threads
    seconds, cost = {}, 0
    default = torch.get_num_threads()
    for path in ("self_attn.k_proj", "self_attn.q_proj"):
        d_out, d_in = shapes.modules[path]
        name = path.rpartition(".")[2]
        model = nn.Module()
        model.add_module(name, nn.Linear(d_in, d_out, bias=False))
        config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=[name])
        adapted = peft.PeftModel(model, config, adapter_name="0")
        adapted.add_adapter("1", config)
        for at, folder in enumerate(parents):
            a, b = open_adapter(folder).factors(f"{shapes.prefix}.0.{path}")
            layer = adapted.base_model.model.get_submodule(name)
            layer.lora_A[str(at)].weight.data = a.float()
            layer.lora_B[str(at)].weight.data = b.float()
        runs = []
        for run, threads in enumerate((default, 1, default, 1)):
            torch.set_num_threads(threads)
            merged = f"merged{run}"  # under a name it knows PEFT would silently do nothing
            started = time.perf_counter()
            adapted.add_weighted_adapter(["0", "1"], list(WEIGHTS), merged, combination_type="svd", svd_rank=RANK)
            runs.append(time.perf_counter() - started)
        torch.set_num_threads(default)
        seconds[name] = min(runs)
        cost += d_out * d_in * min(d_out, d_in)
    return {"version": peft.__version__, "svd_seconds": seconds, "seconds_by_cost": sum(seconds.values()) / cost}


def accuracy(parents: list[Path], work: Path, shapes: Shapes) -> dict[str, float]:
    """Worst relative Frobenius distance over one layer's modules, in float32 output, to the dense truth in float64.

    The dense optimum comes from the dense sum itself, by subspace iteration (exact here: its rank is 32 at most).
    """
    import torch

    from leylora.adapters.merge import merge

    pairs = list(zip(parents, WEIGHTS, strict=True))
    merge(pairs, work / "exact", "concat", dtype="float32", picture=False, overwrite=True)
    merge(pairs, work / "best", "svd", RANK, dtype="float32", picture=False, overwrite=True)
    adapters = [open_adapter(folder) for folder in parents]
    exact, best = open_adapter(work / "exact"), open_adapter(work / "best")
    worst = {"concat_to_exact_sum": 0.0, "svd_to_dense_optimum": 0.0}
    torch.manual_seed(0)
    for path in shapes.modules:
        name = f"{shapes.prefix}.0.{path}"
        dense = sum(w * _delta(adapter, name) for adapter, w in zip(adapters, WEIGHTS, strict=True))
        gap = float((_delta(exact, name) - dense).norm() / dense.norm())
        worst["concat_to_exact_sum"] = max(worst["concat_to_exact_sum"], gap)
        u, s, v = torch.svd_lowrank(dense, q=2 * RANK + 8, niter=4)
        optimum = (u[:, :RANK] * s[:RANK]) @ v[:, :RANK].T
        gap = float((_delta(best, name) - optimum).norm() / optimum.norm())
        worst["svd_to_dense_optimum"] = max(worst["svd_to_dense_optimum"], gap)
    return worst


def _delta(adapter: Any, name: str) -> "Tensor":
    a, b = adapter.factors(name)
    return adapter.modules[name].scaling * (b.double() @ a.double())


def machine() -> dict[str, Any]:
    import torch

    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def show(results: dict[str, Any]) -> None:
    """The results as tables."""
    table = Table(
        title="Two rank-16 bfloat16 adapters into one: read, merge and write", title_justify="left", box=SIMPLE_HEAD
    )
    table.add_column("model", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for title in ("seconds", "peak GiB", "off the sum", "PEFT svd*", "faster"):
        table.add_column(title, justify="right")
    for family, entry in results["families"].items():
        for method in METHODS:
            row, is_svd = entry[method], method == "svd"
            table.add_row(
                family if method == "concat" else "",
                method,
                f"{row['seconds']:.2f}",
                f"{row['peak_gib']:.2f}",
                f"{row['error_against_sum']:.2%}",
                f"{entry['peft_svd_seconds_extrapolated']:,.0f} s" if is_svd else "",
                f"{entry['svd_times_faster_than_peft']:,.0f}" if is_svd else "",
            )
    console.out.print(table)
    timed = ", ".join(f"{name} in {seconds:.2f} s" for name, seconds in results["peft"]["svd_seconds"].items())
    version = results["peft"]["version"]
    console.out.print(f"* PEFT {version} merged one layer's {timed}; the rest is extrapolated.", soft_wrap=True)
    for family, entry in results["families"].items():
        gaps = entry["accuracy"]
        console.out.print(
            f"{family}, float32: svd {gaps['svd_to_dense_optimum']:.1e} from the dense optimum, "
            f"concat {gaps['concat_to_exact_sum']:.1e} from the exact sum.",
            soft_wrap=True,
        )
    console.out.print(f"{results['machine']['cpu']}, {results['machine']['cores']} cores")


if __name__ == "__main__":
    console.run(app)
