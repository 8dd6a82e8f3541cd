"""The algebra of merging one module: everything happens in a core of (r1 + r2) x (r1 + r2), no dense delta ever exists.

Stack the factors of one module, B = [B1 B2 ...] of shape (d_out, R) and A = [A1; A2; ...] of shape (R, d_in), with
R = r1 + r2 + ... With orthonormal bases ``left`` (d_out, k_b) of B's columns and ``right`` (k_a, d_in) of A's rows,

    delta_i = s_i B_i A_i = left @ M_i @ right,      M_i of shape (k_b, k_a), k_b = min(d_out, R), k_a = min(d_in, R)

is exact, and norms, angles and singular values of the deltas are those of the M_i. Any method may work on the M_i
and what it gives is cut to rank r optimally by an SVD of that one small matrix (Eckart and Young, 1936).
`nearest_on_rows` measures distance on the parents' own inputs instead of on all directions alike.
The bases are the singular vectors of the stacked factors, as in Core Space (Panariello et al., arXiv 2509.17786).
Published methods were made for dense weights; here they see the same deltas in other coordinates, without loss.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from leylora.adapters.files import is_finite
from leylora.adapters.report import Method, ModuleReport
from leylora.errors import LeyloraError

RIDGE = 0.01  # of an input's mean square, added to every direction of it


class Factors(NamedTuple):
    """One adapter's part in one module: delta = scaling * B @ A."""

    a: Tensor  # (r, d_in)
    b: Tensor  # (d_out, r)
    scaling: float


class MergeSettings(NamedTuple):
    """How to merge: ``rank`` and ``energy`` exclude each other; without both, see `leylora.adapters.merge.merge`."""

    method: Method
    rank: int | None
    energy: float | None
    density: float
    dtype: torch.dtype
    ridge: float = RIDGE


class Merged(NamedTuple):
    """A merged module, of scaling 1, in the output type."""

    a: Tensor  # (r, d_in)
    b: Tensor  # (d_out, r)
    report: ModuleReport


def merge_module(
    name: str,
    parts: Sequence[Factors | None],
    weights: Sequence[float],
    settings: MergeSettings,
    moments: Sequence[Tensor] | None = None,
) -> Merged | None:
    """Merge what the parents have in one module (None where one has nothing); None when every weight is 0.

    ``moments`` are those of the module's inputs on each parent's rows, for the method ``activations``.
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

    energy_kept, truncation_error = 1.0, 0.0
    sum_error: float | None = 0.0
    row_errors: list[float | None] = []
    uncut = settings.rank is None and settings.energy is None
    alone_fits = len(used) == 1 and (uncut or (settings.rank or 0) >= used[0][0].a.shape[0])  # nothing to reconcile
    if moments is not None:
        largest = max(part.a.shape[0] for part, _ in used)
        rank = largest if uncut else settings.rank
        cut, a, b = nearest_on_rows(parts, weights, moments, settings.ridge, rank, settings.energy)
        energy_kept, truncation_error, sum_error = cut.energy, cut.error, None
        row_errors = distances_on_rows(Factors(a, b, 1.0), parts, moments)
        a, b = a.float(), b.float()
    elif alone_fits or (len(used) > 1 and settings.method == "concat"):
        # exact, at rank r1 + r2 + ...: A's stacked, w_i s_i B_i side by side
        a = torch.cat([part.a.float() for part, _ in used])
        b = torch.cat([part.b.float() * (weight * part.scaling) for part, weight in used], dim=1)
    else:
        core = core_space([part for part, _ in used])
        shares = torch.tensor([weight for _, weight in used], dtype=torch.float64)
        rank = settings.rank
        if uncut and settings.method == "svd":
            rank = max(part.a.shape[0] for part, _ in used)
        # task arithmetic (Ilharco et al., arXiv 2212.04089): sum of w_i delta_i
        exact = torch.einsum("n,nij->ij", shares, core.deltas)
        is_sum = len(used) == 1 or settings.method != "ties"
        cut = best_at_rank(exact if is_sum else ties(core.deltas, shares, settings.density), rank, settings.energy)
        a, b = core.lift(cut.left, cut.right)
        norm = float(exact.norm())
        energy_kept, truncation_error = cut.energy, cut.error
        sum_error = float((cut.left @ cut.right - exact).norm()) / norm if norm > 0 else None
    stored_a, stored_b = a.to(settings.dtype), b.to(settings.dtype)
    if not (is_finite(stored_a) and is_finite(stored_b)):
        remedy = "use --dtype bfloat16 or float32" if settings.dtype == torch.float16 else "lower the weights"
        raise LeyloraError(f"{name}: the merged values overflow {settings.dtype}; {remedy}.")
    scale = float(norms[0] * norms[1]) if len(present) > 1 else 0.0
    report = ModuleReport(
        module=name,
        rank=a.shape[0],
        d_out=b.shape[0],
        d_in=a.shape[1],
        weights=given,
        norms=by_parent,
        cosine=max(-1.0, min(1.0, float(inner[0, 1]) / scale)) if scale > 0 else None,
        energy_kept=energy_kept,
        truncation_error=truncation_error,
        sum_error=sum_error,
        row_errors=row_errors,
        rounding=math.hypot(_rounding(a, stored_a), _rounding(b, stored_b)),
    )
    return Merged(stored_a, stored_b, report)


def _rounding(exact: Tensor, stored: Tensor) -> float:
    """Relative error of storing a tensor in another type."""
    norm = 0.0 if stored.dtype == exact.dtype else float(exact.norm())
    return float((stored.float() - exact).norm()) / norm if norm > 0 else 0.0


def inner_products(parts: Sequence[Factors]) -> Tensor:
    """The matrix of <delta_i, delta_j>, (n, n) in float64, from the factors alone.

    tr(A_j^T B_j^T B_i A_i) = sum((B_i^T B_j) * (A_i A_j^T)), times both scalings. It needs no basis, so that an
    exact merge, which only reports it, stays cheap.
    """
    b = torch.cat([part.scaling * part.b.float() for part in parts], dim=1)
    a = torch.cat([part.a.float() for part in parts])
    product = (b.T @ b).double() * (a @ a.T).double()  # (R, R); one block (r_i, r_j) sums to one inner product
    ranks = [part.a.shape[0] for part in parts]
    return torch.stack([torch.stack([cell.sum() for cell in row.split(ranks, 1)]) for row in product.split(ranks)])


class Core(NamedTuple):
    """The deltas of one module in common bases: delta_i = left @ deltas[i] @ right.

    The bases are kept as products, left = q_left @ u_left and right = u_right @ q_right, so that a result of rank r
    is brought back with one tall product.
    """

    q_left: Tensor  # (d_out, k_b), float32
    u_left: Tensor  # (k_b, k_b), float64
    u_right: Tensor  # (k_a, k_a), float64
    q_right: Tensor  # (k_a, d_in), float32
    deltas: Tensor  # (n, k_b, k_a), float64

    def lift(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """A (r, d_in) and B (d_out, r), float32, of the core matrix left @ right with left (k_b, r), right (r, k_a)."""
        return (right @ self.u_right).float() @ self.q_right, self.q_left @ (self.u_left @ left).float()


def core_space(parts: Sequence[Factors]) -> Core:
    """Bring the deltas of one module into common orthonormal bases."""
    q_b, u_b, b_parts = _basis(torch.cat([part.b.float() for part in parts], dim=1), [p.b.shape[1] for p in parts])
    q_a, u_a, a_parts = _basis(torch.cat([part.a.float() for part in parts]).T, [p.a.shape[0] for p in parts])
    deltas = [p.scaling * b @ a.T for p, b, a in zip(parts, b_parts, a_parts, strict=True)]
    return Core(q_b, u_b, u_a.T, q_a.T, torch.stack(deltas))


def _basis(stacked: Tensor, widths: list[int]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Orthonormal q (d, k), rotation u (k, k) and coordinates c_i (k, r_i): stacked (d, R) = q u [c_1 c_2 ...].

    The columns of q u are the left singular vectors of the stack: QR of the tall matrix, SVD of its small factor.
    """
    q, r = torch.linalg.qr(stacked)
    u, s, vh = torch.linalg.svd(r.double(), full_matrices=False)
    return q, u, (s[:, None] * vh).split(widths, dim=1)


class Cut(NamedTuple):
    """The best approximation of a core matrix at some rank r: ``left @ right``, with what it costs."""

    left: Tensor  # (k_b, r), carries the square root of the singular values, as does right
    right: Tensor  # (r, k_a)
    error: float  # Frobenius norm of what was cut over that of the whole
    energy: float  # share of the squared norm kept


def best_at_rank(matrix: Tensor, rank: int | None = None, energy: float | None = None) -> Cut:
    """Cut a (k_b, k_a) matrix to ``rank``, or to the smallest rank that keeps the share ``energy`` of its square.

    At least rank 1 is kept, so that a module whose deltas cancel is still a module.
    """
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    squares = s.square()
    total = float(squares.sum())
    keep = len(s) if rank is None else min(rank, len(s))
    if energy is not None and total > 0:
        enough = torch.nonzero(squares.cumsum(0) >= energy * total)
        keep = min(keep, int(enough[0]) + 1 if len(enough) else len(s))
    keep = max(keep, 1)
    lost = float(squares[keep:].sum()) / total if total > 0 else 0.0
    root = s[:keep].sqrt()
    return Cut(u[:, :keep] * root, root[:, None] * vh[:keep], error=lost**0.5, energy=1.0 - lost)


def nearest_on_rows(
    parts: Sequence[Factors | None],
    weights: Sequence[float],
    moments: Sequence[Tensor],
    ridge: float,
    rank: int | None = None,
    energy: float | None = None,
) -> tuple[Cut, Tensor, Tensor]:
    """The delta of a rank that is nearest to each parent on that parent's own rows: A (r, d_in), B (d_out, r), float64.

    With S_i = C_i + ridge * mean(diag C_i) * I, where C_i = E[x x^T] (d_in, d_in) over the inputs x of parent i's rows,
    and shares l_i (the weights over their sum), it minimises over all deltas D of the rank

        sum_i l_i |(D - delta_i) S_i^(1/2)|^2  =  |(D - D*) M^(1/2)|^2 + constant,
        M = sum_i l_i S_i,    D* = (sum_i l_i delta_i S_i) M^-1

    D* is RegMean (Jin et al., arXiv 2212.09849), as IterIS uses it for LoRA (arXiv 2411.15231). It is B A' with the
    stacked B and A' = [l_i s_i A_i S_i] M^-1, so it has rank r1 + r2 and needs no dense delta; with M = L L^T the best
    rank r of D* L is that of a core of (r1 + r2)^2 numbers, and the result is the optimum, not only of D*'s cut.
    A parent without this module has the delta 0 there, on its rows as well.
    """
    used = [at for at, weight in enumerate(weights) if weight != 0]
    total = sum(weights[at] for at in used)
    metric = torch.zeros_like(moments[0], dtype=torch.float64)
    stacked_a, stacked_b = [], []
    for at in used:
        share, part = weights[at] / total, parts[at]
        spread = ridge * float(moments[at].diagonal().mean())
        metric.add_(moments[at], alpha=share)
        metric.diagonal().add_(share * spread)
        if part is not None:
            a = part.a.double()
            seen = (a.to(moments[at].dtype) @ moments[at]).double() + spread * a
            stacked_a.append(share * part.scaling * seen)
            stacked_b.append(part.b.double())
    root = torch.linalg.cholesky(metric, out=metric)
    whitened = torch.linalg.solve_triangular(root, torch.cat(stacked_a).T, upper=False)  # (d_in, R): (D* L)^T = it B^T
    q_b, r_b = torch.linalg.qr(torch.cat(stacked_b, dim=1))
    q_a, r_a = torch.linalg.qr(whitened)
    cut = best_at_rank(r_b @ r_a.T, rank, energy)
    a = torch.linalg.solve_triangular(root.T, q_a @ cut.right.T, upper=True).T
    return cut, a, q_b @ cut.left


def distances_on_rows(
    merged: Factors, parts: Sequence[Factors | None], moments: Sequence[Tensor]
) -> list[float | None]:
    """How far the merged module's output is from each parent's on that parent's rows, over the size of the latter."""
    found: list[float | None] = []
    for part, moment in zip(parts, moments, strict=True):
        if part is None:
            found.append(None)
            continue
        b = torch.cat([merged.scaling * merged.b.double(), -part.scaling * part.b.double()], dim=1)
        a = torch.cat([merged.a.double(), part.a.double()])
        product = (b.T @ b) * ((a.to(moment.dtype) @ moment).double() @ a.T)
        r = merged.a.shape[0]
        own = float(product[r:, r:].sum())
        found.append((max(float(product.sum()), 0.0) / own) ** 0.5 if own > 0 else None)
    return found


def ties(deltas: Tensor, weights: Tensor, density: float) -> Tensor:
    """TIES (Yadav et al., arXiv 2306.01708): trim, elect a sign, average those who agree.

    Each delta keeps its ``density`` share of largest entries. An entry's sign is that of the weighted sum; the result
    is the mean of the weighted values that have this sign, over as many as they are. Equal weights w give the
    paper's result with its lambda = w.
    """
    keep = max(1, math.ceil(density * deltas[0].numel()))
    sizes = deltas.abs()
    thresholds = sizes.flatten(1).kthvalue(deltas[0].numel() - keep + 1).values  # (n)
    trimmed = torch.where(sizes >= thresholds[:, None, None], deltas, 0.0) * weights[:, None, None]
    agrees = (trimmed.sign() == trimmed.sum(dim=0).sign()) & (trimmed != 0)
    return (trimmed * agrees).sum(dim=0) / agrees.sum(dim=0).clamp(min=1)
