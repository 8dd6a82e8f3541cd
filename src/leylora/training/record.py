"""The record of a run, ``run.json``: what was asked, what it was made from, what came out."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel, ConfigDict

import leylora

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


class RunRecord(BaseModel):
    """All of ``run.json``.

    Losses are means in nats per trained token, speeds in tokens that are not padding (prompt included).
    ``peak_memory_gib`` is GPU memory that torch allocated, or the process's resident memory on CPU, as
    ``device`` says. ``utilization`` is the share of the cards' peak that useful work reached
    (`leylora.training.flops`). Speed, utilization and ``wall_seconds`` are of the part after
    ``resumed_from_step``, everything else of the whole run. ``adapter_sha256`` is the hash of
    ``adapter_model.safetensors``.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str
    base_model: str
    revision: str
    recipe: str
    overrides: list[str]
    instruction_template: str
    on_top_of: str | None
    on_top_of_sha256: str | None
    init_from: str | None
    init_from_sha256: str | None
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
