"""The merging rules: from the deltas of one module in core coordinates to one merged core matrix.

Each takes ``deltas`` (n, k_b, k_a) and ``weights`` (n,) and returns a (k_b, k_a) matrix; see `core`. The published
rules were made for dense weights; here they see the same deltas in other coordinates, without loss (Core Space,
arXiv 2509.17786). With all weights 1 each is the published rule.
"""

import math

import torch
from torch import Tensor

#: The share of entries kept when none is asked for.
DENSITY = {"ties": 0.5, "dare": 0.9}


def weighted_sum(deltas: Tensor, weights: Tensor) -> Tensor:
    """Task arithmetic (Ilharco et al., arXiv 2212.04089): sum of w_i delta_i."""
    return torch.einsum("n,nij->ij", weights, deltas)


def ties(deltas: Tensor, weights: Tensor, density: float) -> Tensor:
    """TIES (Yadav et al., arXiv 2306.01708): trim, elect a sign, average those who agree.

    Each delta keeps its ``density`` share of largest entries. An entry's sign is that of the weighted sum; the result
    is the mean of the weighted values that have this sign, over as many as they are. Equal weights w give the
    paper's result with its lambda = w.
    """
    trimmed = torch.stack([_largest(delta, density) for delta in deltas]) * weights[:, None, None]
    agrees = (trimmed.sign() == trimmed.sum(dim=0).sign()) & (trimmed != 0)
    return (trimmed * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)


def dare(deltas: Tensor, weights: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """DARE (Yu et al., arXiv 2311.03099): drop entries at random, rescale the rest by 1 / density, sum.

    Right in expectation; a single draw is off by about sqrt((1 - density) / density) of the norm: 100 % at 0.5, a
    third at 0.9. The paper's dense deltas spread that noise over millions of directions and a core has only R, so
    keep the density high here. ``generator`` makes the draw repeatable.
    """
    kept = torch.rand(deltas.shape, generator=generator, dtype=deltas.dtype) < density
    return weighted_sum(deltas * kept / density, weights)


def compress(deltas: Tensor, weights: Tensor, rank: int, sweeps: int = 8) -> Tensor:
    """Compress then merge (He et al., arXiv 2606.03723): shared rank-r subspaces first, then the sum inside them.

    Finds orthonormal P (k_b, r) and Q (k_a, r) that keep most of every weighted delta, the maximum of
    sum_i |P^T w_i delta_i Q|^2, by alternating eigenvectors (each sweep solves one side exactly), starting from the
    left subspace of all deltas. The result, P (sum_i P^T w_i delta_i Q) Q^T, has rank r by construction. Where `svd`
    serves the sum, this serves the parts: a direction in which the deltas cancel still counts.
    """
    weighted = deltas * weights[:, None, None]
    p = _top_eigenvectors(torch.einsum("nij,nkj->ik", weighted, weighted), rank)
    for _ in range(sweeps):
        projected = torch.einsum("ir,nij->nrj", p, weighted)
        q = _top_eigenvectors(torch.einsum("nri,nrj->ij", projected, projected), rank)
        projected = weighted @ q
        p = _top_eigenvectors(torch.einsum("nir,njr->ij", projected, projected), rank)
    return p @ (p.T @ weighted.sum(dim=0) @ q) @ q.T


def _largest(delta: Tensor, density: float) -> Tensor:
    """``delta`` with all but its ``density`` share of largest absolute values set to zero."""
    keep = max(1, math.ceil(density * delta.numel()))
    threshold = delta.abs().flatten().kthvalue(delta.numel() - keep + 1).values
    return torch.where(delta.abs() >= threshold, delta, 0.0)


def _top_eigenvectors(symmetric: Tensor, rank: int) -> Tensor:
    """The eigenvectors of the ``rank`` largest eigenvalues, (k, min(k, rank))."""
    return torch.linalg.eigh(symmetric).eigenvectors[:, -rank:]
