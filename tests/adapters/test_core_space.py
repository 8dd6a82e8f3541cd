"""The algebra of one module against dense matrices."""

import math

import pytest
import torch

from leylora.adapters.core_space import Factors, best_at_rank, core_space, inner_products, ties


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
