"""Whatever the parents look like, the merged delta is the exact sum, computed densely in float64."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leylora.adapters.merge import merge

WEIGHTS = st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.7, -0.3, 2.0])
MODULES = ["self_attn.q_proj", "self_attn.k_proj", "mlp.down_proj"]
UNCUT = 99


@st.composite
def parents(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments for ``make_adapter``: rank, alpha, scaling rule, patterns, and the modules and layers it has."""
    return {
        "r": draw(st.integers(1, 8)),
        "lora_alpha": draw(st.integers(1, 32)),
        "use_rslora": draw(st.booleans()),
        "rank_pattern": draw(st.dictionaries(st.sampled_from(["q_proj", r"layers.1.*.k_proj"]), st.integers(1, 6))),
        "alpha_pattern": draw(st.dictionaries(st.sampled_from(["k_proj", "0.mlp.down_proj"]), st.integers(1, 20))),
        "layers": draw(st.integers(1, 3)),
        "only": draw(st.lists(st.sampled_from(MODULES), min_size=1, unique=True)),
        "seed": draw(st.integers(0, 5)),
    }


@pytest.mark.parametrize("method", ["concat", "svd", "dare", "compress"])
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(first=parents(), second=parents(), weights=st.tuples(WEIGHTS, WEIGHTS).filter(any))
def test_an_uncut_merge_is_the_exact_sum(
    method: Any,
    first: dict[str, Any],
    second: dict[str, Any],
    weights: tuple[float, float],
    make_adapter: Callable[..., Path],
    dense: Any,
    tmp_path: Path,
) -> None:
    folders = [make_adapter("a", **first), make_adapter("b", **second)]
    rank = None if method == "concat" else UNCUT
    report = merge(
        list(zip(folders, weights, strict=True)),
        tmp_path / "c",
        method,
        rank,
        density=1.0,
        overwrite=True,
        picture=False,
    )
    found = dense.deltas(tmp_path / "c")
    for module, wanted in dense.sum(folders, list(weights)).items():
        delta = found.pop(module, torch.zeros_like(wanted))  # a module whose every weight is 0 is left out
        assert float((delta - wanted).norm()) < 1e-5 * sum(float(d.norm()) for d in _parts(dense, folders, module))
    assert not found
    # What the report says of the parents is what the dense deltas say.
    for entry in report.modules:
        for folder, norm in zip(folders, entry.norms, strict=True):
            deltas = dense.deltas(folder)
            assert (norm is None) == (entry.module not in deltas)
            if norm is not None:
                assert norm == pytest.approx(float(deltas[entry.module].norm()), rel=1e-5)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(first=parents(), second=parents(), rank=st.integers(1, 6))
def test_svd_cuts_every_shared_module_optimally(
    first: dict[str, Any],
    second: dict[str, Any],
    rank: int,
    make_adapter: Callable[..., Path],
    dense: Any,
    tmp_path: Path,
) -> None:
    folders = [make_adapter("a", **first), make_adapter("b", **second)]
    report = merge([(folders[0], 1.0), (folders[1], 0.5)], tmp_path / "c", "svd", rank, overwrite=True, picture=False)
    found, wanted = dense.deltas(tmp_path / "c"), dense.sum(folders, [1.0, 0.5])
    for entry in report.modules:
        total = wanted[entry.module]
        best = float(torch.linalg.svdvals(total)[rank:].norm())
        error = float((found[entry.module] - total).norm())
        assert error == pytest.approx(best, rel=1e-4, abs=1e-5 * float(total.norm()))
        assert entry.truncation_error * float(total.norm()) == pytest.approx(best, rel=1e-4, abs=1e-5)
        assert entry.rank <= rank


def _parts(dense: Any, folders: list[Path], module: str) -> list[torch.Tensor]:
    return [deltas[module] for folder in folders if module in (deltas := dense.deltas(folder))]
