import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from leylora.adapters.core import Factors, best_at_rank, core_space, inner_products
from leylora.adapters.merge import merge
from leylora.adapters.rules import compress, dare, ties, weighted_sum
from leylora.adapters.weights import Parent, depth_factors, matches, with_overrides
from leylora.errors import UsageError

Maker = Callable[..., Path]


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


def test_parents_with_the_same_a_are_no_special_case() -> None:
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


def test_dare_is_right_on_average_and_repeatable() -> None:
    deltas = torch.randn(2, 40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.tensor([1.0, -0.5], dtype=torch.float64)
    draws = [dare(deltas, weights, 0.5, torch.Generator().manual_seed(at)) for at in range(400)]
    exact = weighted_sum(deltas, weights)
    assert float((torch.stack(draws).mean(0) - exact).norm() / exact.norm()) < 0.1
    torch.testing.assert_close(draws[3], dare(deltas, weights, 0.5, torch.Generator().manual_seed(3)))


def kept_of_the_parts(deltas: torch.Tensor, merged: torch.Tensor, rank: int) -> float:
    """sum_i |P^T delta_i Q|^2 for the column and row spaces P, Q of a merged matrix."""
    u, _, vh = torch.linalg.svd(merged)
    return float((u[:, :rank].T @ deltas @ vh[:rank].T).square().sum())


def test_compress_serves_the_parts_and_svd_the_sum() -> None:
    g = torch.Generator().manual_seed(1)
    first = torch.randn(10, 10, generator=g, dtype=torch.float64)
    deltas = torch.stack([first, torch.randn(10, 10, generator=g, dtype=torch.float64) - first])  # they half cancel
    ones = torch.ones(2, dtype=torch.float64)
    merged, total = compress(deltas, ones, rank=4), deltas.sum(0)
    assert int(torch.linalg.matrix_rank(merged)) == 4
    cut = best_at_rank(total, rank=4)
    assert kept_of_the_parts(deltas, merged, 4) > kept_of_the_parts(deltas, cut.left @ cut.right, 4)
    assert float((merged - total).norm()) > float((cut.left @ cut.right - total).norm())


def test_compress_is_exact_when_the_parts_share_their_subspaces() -> None:
    g = torch.Generator().manual_seed(2)
    left, right = (torch.randn(10, 4, generator=g, dtype=torch.float64) for _ in range(2))
    deltas = torch.stack([left @ torch.randn(4, 4, generator=g, dtype=torch.float64) @ right.T for _ in range(3)])
    weights = torch.tensor([1.0, -0.5, 0.2], dtype=torch.float64)
    torch.testing.assert_close(compress(deltas, weights, rank=4), weighted_sum(deltas, weights))


@pytest.mark.parametrize(
    ("pattern", "module", "hit"),
    [
        ("3", "model.layers.3.mlp.up_proj", True),
        ("3", "model.layers.13.mlp.up_proj", False),
        ("0-15", "model.layers.15.mlp.up_proj", True),
        ("0-15", "model.layers.16.mlp.up_proj", False),
        ("0-15", "lm_head", False),
        ("*.down_proj", "model.layers.3.mlp.down_proj", True),
        ("*.self_attn.*", "transformer.h.0.self_attention.dense", False),
    ],
)
def test_patterns(pattern: str, module: str, hit: bool) -> None:
    assert matches(pattern, module) is hit


def test_the_last_matching_override_wins() -> None:
    (law, other) = with_overrides([Parent(Path("LORA/law"), 0.7), Parent(Path("LORA/x"))], ["law:0-3=0", "law:2=5"])
    assert [law.weight_in(f"model.layers.{at}.q") for at in (1, 2, 4)] == [0.0, 5.0, 0.7]
    assert other.weight_in("model.layers.1.q") == 1.0
    for text in ("law=1", "law:=1", "law:0-3", "nobody:0-3=1", "law:0-3=x"):
        with pytest.raises(UsageError):
            with_overrides([Parent(Path("LORA/law"))], [text])


def test_weights_by_layer_and_module(make_adapter: Maker, dense: Any, tmp_path: Path) -> None:
    a, b = make_adapter("a"), make_adapter("b", seed=1)
    parents = with_overrides([Parent(a), Parent(b, 0.5)], ["b:1=2", "a:*.k_proj=0"])
    merge(parents, tmp_path / "c", picture=False)
    found, first, second = (dense.deltas(folder) for folder in (tmp_path / "c", a, b))
    for module, delta in found.items():
        wanted = (0 if "k_proj" in module else 1) * first[module] + (2 if ".1." in module else 0.5) * second[module]
        assert dense.error(delta, wanted) < 1e-6


def test_depth_shifts_from_task_to_domain(make_adapter: Maker, dense: Any, tmp_path: Path) -> None:
    assert depth_factors("model.layers.0.mlp.up_proj", 5) == (1.0, 0.6)
    assert depth_factors("model.layers.2.mlp.up_proj", 5) == pytest.approx((0.8, 0.8))
    assert depth_factors("model.layers.4.mlp.up_proj", 5) == pytest.approx((0.6, 1.0))
    assert depth_factors("lm_head", 5) == pytest.approx((0.8, 0.8))
    a, b = make_adapter("a", layers=3), make_adapter("b", layers=3, seed=1)
    merge([(a, 1.0), (b, 0.5)], tmp_path / "c", "depth", picture=False)
    found, first, second = (dense.deltas(folder) for folder in (tmp_path / "c", a, b))
    for module, delta in found.items():
        at = int(module.split(".")[2]) / 2
        assert dense.error(delta, (1 - 0.4 * at) * first[module] + 0.5 * (0.6 + 0.4 * at) * second[module]) < 1e-6


@pytest.mark.parametrize("method", ["svd", "ties", "dare", "compress", "depth"])
def test_every_method_cuts_to_the_rank_asked_for(make_adapter: Maker, tmp_path: Path, method: Any) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1, r=6), 1.0)]
    report = merge(parents, tmp_path / "c", method, 3, picture=False)
    assert {module.rank for module in report.modules} == {3}
    assert report.mean("sum_error") > 0.1
    again = merge(parents, tmp_path / "d", method, 3, picture=False)
    assert again.output_sha256 == report.output_sha256


def test_default_ranks(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1, r=6), 1.0)]
    ranks = {
        method: {module.rank for module in merge(parents, tmp_path / method, method, picture=False).modules}
        for method in ("concat", "depth", "ties", "dare", "svd", "compress")
    }
    assert ranks == {"concat": {10}, "depth": {10}, "ties": {10}, "dare": {10}, "svd": {6}, "compress": {6}}


def test_dare_depends_on_its_seed_only(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]
    torch.manual_seed(1)
    one = merge(parents, tmp_path / "c", "dare", picture=False).output_sha256
    torch.manual_seed(2)
    two = merge(parents, tmp_path / "d", "dare", picture=False).output_sha256
    three = merge(parents, tmp_path / "e", "dare", seed=1, picture=False).output_sha256
    assert one == two != three
