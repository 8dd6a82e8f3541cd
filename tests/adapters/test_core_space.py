"""The algebra of one module against dense matrices."""

import math

import pytest
import torch

from leylora.adapters.core_space import (
    Factors,
    best_at_rank,
    core_space,
    distances_on_rows,
    inner_products,
    nearest_on_rows,
    ties,
)


def random_parts(seed: int = 0, d_out: int = 30, d_in: int = 20, ranks: tuple[int, ...] = (4, 6)) -> list[Factors]:
    g = torch.Generator().manual_seed(seed)
    return [
        Factors(torch.randn(r, d_in, generator=g), torch.randn(d_out, r, generator=g), scaling=0.5 + at)
        for at, r in enumerate(ranks)
    ]


def dense_of(part: Factors) -> torch.Tensor:
    return part.scaling * part.b.double() @ part.a.double()


@pytest.mark.parametrize("shape", [(30, 20), (6, 20), (30, 5), (1, 1)])
def test_the_core_is_lossless(shape: tuple[int, int]) -> None:
    parts = random_parts(d_out=shape[0], d_in=shape[1])
    core = core_space(parts)
    for part, delta in zip(parts, core.deltas, strict=True):
        a, b = core.lift(delta, torch.eye(delta.shape[1], dtype=torch.float64))
        torch.testing.assert_close((b @ a).double(), dense_of(part), rtol=1e-5, atol=1e-5)
    identity = torch.eye(core.q_left.shape[1])
    torch.testing.assert_close(core.q_left.T @ core.q_left, identity, rtol=0, atol=1e-5)


def test_parents_with_the_same_a_need_no_special_case() -> None:
    """Both adapters of a pair start from one A; the stack is then rank deficient."""
    first, second = random_parts(ranks=(4, 4))
    core = core_space([first, Factors(first.a, second.b, 1.0)])
    cut = best_at_rank(core.deltas.sum(0), rank=4)
    assert cut.error < 1e-6


def test_inner_products_are_those_of_the_dense_deltas() -> None:
    parts = random_parts(ranks=(4, 6, 2))
    flat = torch.stack([dense_of(part).flatten() for part in parts])
    torch.testing.assert_close(inner_products(parts), flat @ flat.T, rtol=1e-5, atol=1e-4)


def test_energy_takes_the_smallest_rank_that_keeps_it() -> None:
    matrix = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=torch.float64))
    assert best_at_rank(matrix, energy=9 / 14).left.shape[1] == 1
    assert best_at_rank(matrix, energy=0.7).left.shape[1] == 2
    assert best_at_rank(matrix, energy=1.0).left.shape[1] == 3
    assert best_at_rank(matrix, rank=2).error == pytest.approx(math.sqrt(1 / 14))
    assert best_at_rank(torch.zeros(3, 3)).energy == 1.0
    assert best_at_rank(torch.zeros(3, 3), energy=0.5).left.shape[1] >= 1


def test_ties_by_hand() -> None:
    deltas = torch.tensor([[[4.0, -1.0, 3.0, 0.1]], [[2.0, 5.0, -1.0, 0.2]]], dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    # agree: mean; disagree: the stronger sign's value alone
    torch.testing.assert_close(ties(deltas, ones, 1.0), deltas.new_tensor([[3.0, 5.0, 3.0, 0.15]]))
    # half density keeps 4, 3 and 2, 5: what was trimmed has no vote
    torch.testing.assert_close(ties(deltas, ones, 0.5), deltas.new_tensor([[3.0, 5.0, 3.0, 0.0]]))
    # a common weight is the paper's lambda; a heavier parent wins the vote
    torch.testing.assert_close(ties(deltas, 0.5 * ones, 1.0), 0.5 * ties(deltas, ones, 1.0))
    heavy = ties(deltas, deltas.new_tensor([1.0, 4.0]), 1.0)
    assert heavy[0, 2] == -4.0


def moment(x: torch.Tensor) -> torch.Tensor:
    return x.T @ x / x.shape[0]


@pytest.mark.parametrize("rank", [1, 4, 7, 10])
def test_with_inputs_in_all_directions_alike_activations_is_svd_at_one_half_each(rank: int) -> None:
    parts, eye = random_parts(), torch.eye(20, dtype=torch.float64)
    _, a, b = nearest_on_rows(parts, [1.0, 1.0], [eye, eye], 0.01, rank)
    half = 0.5 * (dense_of(parts[0]) + dense_of(parts[1]))
    u, s, vh = torch.linalg.svd(half)
    torch.testing.assert_close(b @ a, (u[:, :rank] * s[:rank]) @ vh[:rank], rtol=1e-9, atol=1e-9)


def test_inputs_that_one_parents_rows_alone_use_give_that_parents_output() -> None:
    """At rank r1 + r2 and vanishing ridge."""
    parts, g = random_parts(), torch.Generator().manual_seed(5)
    directions = torch.linalg.qr(torch.randn(20, 20, generator=g, dtype=torch.float64))[0]
    rows = [torch.randn(50, 10, generator=g, dtype=torch.float64) @ half.T for half in directions.split(10, dim=1)]
    _, a, b = nearest_on_rows(parts, [1.0, 3.0], [moment(x) for x in rows], 1e-12, 10)
    for x, part in zip(rows, parts, strict=True):
        torch.testing.assert_close(x @ (b @ a).T, x @ dense_of(part).T, rtol=1e-8, atol=1e-8)
    assert float((b @ a - dense_of(parts[0])).norm()) > 1  # elsewhere it is another


@pytest.mark.parametrize("rank", [2, 5, 10])
def test_no_other_delta_of_the_rank_is_nearer_on_the_rows(rank: int) -> None:
    """Against the dense closed form, and against random steps away from the result."""
    parts, g = random_parts(), torch.Generator().manual_seed(6)
    moments = [
        moment(torch.randn(60, 20, generator=g, dtype=torch.float64) * torch.rand(20, generator=g)) for _ in "ab"
    ]
    shares = [0.3, 0.7]
    spread = [c + 0.01 * c.diagonal().mean() * torch.eye(20, dtype=torch.float64) for c in moments]
    metric = shares[0] * spread[0] + shares[1] * spread[1]
    wanted = sum(w * dense_of(p) @ c for w, p, c in zip(shares, parts, spread, strict=True))
    whole = torch.linalg.solve(metric, wanted.T).T

    def cost(delta: torch.Tensor) -> float:
        gaps = [(w, delta - dense_of(p), c) for w, p, c in zip(shares, parts, spread, strict=True)]
        return sum(w * float(((gap @ c) * gap).sum()) for w, gap, c in gaps)

    _, a, b = nearest_on_rows(parts, [3.0, 7.0], moments, 0.01, rank)
    if rank == 10:
        torch.testing.assert_close(b @ a, whole, rtol=1e-9, atol=1e-9)
    u, s, vh = torch.linalg.svd(whole)
    assert cost(b @ a) <= cost((u[:, :rank] * s[:rank]) @ vh[:rank]) + 1e-9
    for _ in range(20):
        near_a = a + 0.01 * torch.randn(a.shape, generator=g, dtype=torch.float64)
        near_b = b + 0.01 * torch.randn(b.shape, generator=g, dtype=torch.float64)
        assert cost(near_b @ near_a) > cost(b @ a)


def test_the_distance_on_rows_is_that_of_the_outputs() -> None:
    parts, g = random_parts(), torch.Generator().manual_seed(7)
    rows = [torch.randn(40, 20, generator=g, dtype=torch.float64) for _ in parts]
    merged = random_parts(seed=9)[0]
    found = distances_on_rows(merged, [*parts, None], [*(moment(x) for x in rows), moment(rows[0])])
    for x, part, distance in zip(rows, parts, found, strict=False):
        wanted = (x @ (dense_of(merged) - dense_of(part)).T).norm() / (x @ dense_of(part).T).norm()
        assert distance == pytest.approx(float(wanted))
    assert found[2] is None
