"""What a merge did, in numbers: the model written as ``merge_report.json``."""

from statistics import fmean
from typing import Literal

from pydantic import BaseModel

Method = Literal["concat", "svd", "ties", "dare", "compress", "depth"]

REPORT_FILE = "merge_report.json"
DROWNS = 5.0  # a parent whose delta is this many times larger decides the merge alone


class ParentReport(BaseModel):
    """A parent: its folder's name, where it lies seen from the merged folder, what it is and how much of it went in."""

    name: str
    path: str
    sha256: str
    weight: float
    overrides: list[tuple[str, float]]
    scaled_norm: float  # Frobenius norm over all modules of weight * delta


class ModuleReport(BaseModel):
    """One module of the merged adapter. ``weights`` and ``norms`` have one entry a parent, null where it has no part.

    norms: Frobenius norm of the parent's delta, before its weight.
    cosine: between the deltas of the first two parents.
    energy_kept, truncation_error: share of the squared norm kept and relative error of cutting the rule's result
        to ``rank``.
    sum_error: relative Frobenius distance to the exact weighted sum; null where that is zero.
    rounding: relative error of storing the two factors in ``dtype``, root of the sum of squares.
    """

    module: str
    rank: int
    d_out: int
    d_in: int
    weights: list[float | None]
    norms: list[float | None]
    cosine: float | None
    energy_kept: float
    truncation_error: float
    sum_error: float | None
    rounding: float


class MergeReport(BaseModel):
    """A merge: its settings, its parents, every module, and what a user should hear about it."""

    method: Method
    rank: int | None
    energy: float | None
    density: float | None
    seed: int | None
    dtype: str
    base_model: str | None
    leylora: str
    parents: list[ParentReport]
    modules: list[ModuleReport]
    seconds: float
    output_sha256: str | None = None
    carried_files: list[str] = []
    picture: bool = False
    warnings: list[str] = []

    def mean(self, field: str) -> float:
        """The mean of a `ModuleReport` field over the modules that have it, 0 where none has."""
        values = [value for module in self.modules if (value := getattr(module, field)) is not None]
        return fmean(values) if values else 0.0


def drowning(names: list[str], norms: list[float]) -> list[str]:
    """A warning for each parent that adds nothing, or whose part another's exceeds more than `DROWNS` times.

    ``norms``: Frobenius norm of weight * delta over all modules, one a parent.
    """
    largest = max(norms)
    loudest = names[norms.index(largest)]
    warnings = []
    for name, norm in zip(names, norms, strict=True):
        if norm == 0:
            warnings.append(f"{name} adds nothing: its weight or all its deltas are 0; was it trained?")
        elif norm * DROWNS < largest:
            times = largest / norm
            warnings.append(
                f"{loudest} drowns {name}: its weighted delta is {times:.1f} times as large; lower its weight or "
                "check how both were trained."
            )
    return warnings


def uneven_ranks(ranks: set[int]) -> list[str]:
    """A warning where modules end up at different ranks, for not every program that loads LoRA knows patterns."""
    if len(ranks) == 1:
        return []
    return [
        f"The modules have ranks from {min(ranks)} to {max(ranks)}, so the config holds rank_pattern: PEFT since 0.6 "
        "and vLLM load it exactly; llama.cpp's LoRA converter would scale the smaller ranks up, so fold it with "
        "--into-base for GGUF."
    ]
