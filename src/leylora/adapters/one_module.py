"""Merging one module: its parents' factors in, the merged factors and their report out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leylora.adapters.core import Core, Cut, Factors, best_at_rank, core_space, inner_products
from leylora.adapters.files import is_finite
from leylora.adapters.report import Method, ModuleReport
from leylora.adapters.rules import compress, dare, ties, weighted_sum
from leylora.errors import LeyloraError


@dataclass(frozen=True)
class Settings:
    """How to merge: ``rank`` and ``energy`` exclude each other; without both, see `merge.merge`."""

    method: Method
    rank: int | None
    energy: float | None
    density: float
    seed: int
    dtype: torch.dtype


@dataclass(frozen=True)
class Merged:
    """A merged module, of scaling 1: A (r, d_in) and B (d_out, r) in the output type."""

    a: Tensor
    b: Tensor
    report: ModuleReport


def merge_module(
    name: str, parts: Sequence[Factors | None], weights: Sequence[float], settings: Settings
) -> Merged | None:
    """Merge what the parents have in one module (None where one has nothing); None when every weight is 0.

    Raises:
        LeyloraError: a merged value does not fit the output type.
    """
    present = [(index, part) for index, part in enumerate(parts) if part is not None]
    used = [(part, weights[index]) for index, part in present if weights[index] != 0]
    if not used:
        return None
    inner = inner_products([part for _, part in present])
    norms = inner.diagonal().clamp(min=0).sqrt()
    by_parent: list[float | None] = [None] * len(parts)
    given: list[float | None] = [None] * len(parts)
    for row, (index, _) in enumerate(present):
        by_parent[index], given[index] = float(norms[row]), weights[index]

    factors = [part for part, _ in used]
    merged = _exact(used) if _is_exact(factors, settings) else _through_core(name, factors, used, settings)
    a, b = merged.a.to(settings.dtype), merged.b.to(settings.dtype)
    if not (is_finite(a) and is_finite(b)):
        remedy = "use --dtype bfloat16 or float32" if settings.dtype == torch.float16 else "lower the weights"
        raise LeyloraError(f"{name}: the merged values overflow {settings.dtype}; {remedy}.")
    scale = float(norms[0] * norms[1]) if len(present) > 1 else 0.0
    return Merged(
        a,
        b,
        ModuleReport(
            module=name,
            rank=a.shape[0],
            d_out=b.shape[0],
            d_in=a.shape[1],
            weights=given,
            norms=by_parent,
            cosine=max(-1.0, min(1.0, float(inner[0, 1]) / scale)) if scale > 0 else None,
            energy_kept=merged.cut_energy,
            truncation_error=merged.cut_error,
            sum_error=merged.sum_error,
            rounding=(_rounding(merged.a, a) ** 2 + _rounding(merged.b, b) ** 2) ** 0.5,
        ),
    )


@dataclass(frozen=True)
class _Result:
    """Merged factors before they are stored, and what they cost."""

    a: Tensor
    b: Tensor
    cut_energy: float = 1.0
    cut_error: float = 0.0
    sum_error: float | None = 0.0


def _is_exact(factors: Sequence[Factors], settings: Settings) -> bool:
    """Whether the stacked factors themselves are the answer."""
    uncut = settings.rank is None and settings.energy is None
    if len(factors) == 1:  # nothing to reconcile: the module keeps its own rank
        return uncut or (settings.rank is not None and factors[0].a.shape[0] <= settings.rank)
    return settings.method == "concat" or (settings.method == "depth" and uncut)


def _exact(used: Sequence[tuple[Factors, float]]) -> _Result:
    """The weighted sum at rank r1 + r2 + ...: A's stacked, w_i s_i B_i side by side."""
    b = torch.cat([part.b.float() * (weight * part.scaling) for part, weight in used], dim=1)
    return _Result(torch.cat([part.a.float() for part, _ in used]), b)


def _through_core(
    name: str, factors: Sequence[Factors], used: Sequence[tuple[Factors, float]], settings: Settings
) -> _Result:
    core = core_space(factors)
    weights = torch.tensor([weight for _, weight in used], dtype=torch.float64)
    ranks = [part.a.shape[0] for part in factors]
    rank = settings.rank
    if rank is None and settings.energy is None and settings.method in ("svd", "compress"):
        rank = max(ranks)
    matrix = _by_rule(name, core, weights, rank, settings) if len(factors) > 1 else weighted_sum(core.deltas, weights)
    cut = best_at_rank(matrix, rank, settings.energy)
    a, b = core.lift(cut.left, cut.right)
    return _Result(
        a=a,
        b=b,
        cut_energy=cut.energy,
        cut_error=cut.error,
        sum_error=_distance(cut, weighted_sum(core.deltas, weights)),
    )


def _by_rule(name: str, core: Core, weights: Tensor, rank: int | None, settings: Settings) -> Tensor:
    if settings.method == "ties":
        return ties(core.deltas, weights, settings.density)
    if settings.method == "dare":
        # One stream of random numbers a module: the draw does not depend on which other modules there are.
        digest = hashlib.sha256(f"{settings.seed}:{name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return dare(core.deltas, weights, settings.density, generator)
    if settings.method == "compress" and rank is not None:
        return compress(core.deltas, weights, rank)
    return weighted_sum(core.deltas, weights)


def _distance(cut: Cut, exact: Tensor) -> float | None:
    """Relative Frobenius distance; None where the exact sum is zero."""
    norm = float(exact.norm())
    return float((cut.left @ cut.right - exact).norm()) / norm if norm > 0 else None


def _rounding(exact: Tensor, stored: Tensor) -> float:
    if stored.dtype == exact.dtype:
        return 0.0
    norm = float(exact.norm())
    return float((stored.float() - exact).norm()) / norm if norm > 0 else 0.0
