"""The algebra of merging: everything happens in a core of (r1 + r2) x (r1 + r2), and no dense delta ever exists.

Stack the factors of one module, B = [B1 B2 ...] of shape (d_out, R) and A = [A1; A2; ...] of shape (R, d_in), with
R = r1 + r2 + ... With orthonormal bases ``left`` (d_out, k_b) of B's columns and ``right`` (k_a, d_in) of A's rows,

    delta_i = s_i B_i A_i = left @ M_i @ right,      M_i of shape (k_b, k_a), k_b = min(d_out, R), k_a = min(d_in, R)

is exact, and norms, angles and singular values of the deltas are those of the M_i. Any rule may work on the M_i
and what it gives is cut to rank r optimally by an SVD of that one small matrix (Eckart and Young, 1936).
The bases are the singular vectors of the stacked factors, as in Core Space (Panariello et al., arXiv 2509.17786).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """One adapter's part in one module: delta = scaling * B @ A, with A (r, d_in) and B (d_out, r)."""

    a: Tensor
    b: Tensor
    scaling: float


@dataclass(frozen=True)
class Core:
    """The deltas of one module in common bases: delta_i = left @ deltas[i] @ right.

    The bases are kept as products, left = q_left @ u_left and right = u_right @ q_right, so that a result of rank r
    is brought back with one tall product. q_left: (d_out, k_b) and q_right: (k_a, d_in) in float32; u_left,
    u_right and deltas, (n, k_b, k_a), in float64.
    """

    q_left: Tensor
    u_left: Tensor
    u_right: Tensor
    q_right: Tensor
    deltas: Tensor

    def lift(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """A (r, d_in) and B (d_out, r), float32, of the core matrix left @ right with left (k_b, r), right (r, k_a)."""
        return (right @ self.u_right).float() @ self.q_right, self.q_left @ (self.u_left @ left).float()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: these kernels are too small to share, and two threads now and then stall on them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def core_space(parts: Sequence[Factors]) -> Core:
    """Bring the deltas of one module into common orthonormal bases."""
    q_b, u_b, b_parts = _basis(torch.cat([part.b.float() for part in parts], dim=1), [p.b.shape[1] for p in parts])
    q_a, u_a, a_parts = _basis(torch.cat([part.a.float() for part in parts]).T, [p.a.shape[0] for p in parts])
    deltas = [p.scaling * b @ a.T for p, b, a in zip(parts, b_parts, a_parts, strict=True)]
    return Core(q_b, u_b, u_a.T, q_a.T, torch.stack(deltas))


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


@dataclass(frozen=True)
class Cut:
    """The best approximation of a core matrix at some rank r: ``left @ right``, with what it costs.

    left: (k_b, r) and right: (r, k_a), each carrying the square root of the singular values.
    error: Frobenius norm of what was cut over that of the whole; energy: the share of the squared norm kept.
    """

    left: Tensor
    right: Tensor
    error: float
    energy: float


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


def _basis(stacked: Tensor, widths: Sequence[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Orthonormal q (d, k), rotation u (k, k) and coordinates c_i (k, r_i): stacked (d, R) = q u [c_1 c_2 ...].

    The columns of q u are the left singular vectors of the stack: QR of the tall matrix, SVD of its small factor.
    """
    q, r = torch.linalg.qr(stacked)
    u, s, vh = torch.linalg.svd(r.double(), full_matrices=False)
    return q, u, list((s[:, None] * vh).split(list(widths), dim=1))
