import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from leylora.adapters.config import BASE_KEYS
from leylora.adapters.files import adapter_sha256, open_adapter
from leylora.adapters.merge import merge


def test_concat_is_the_exact_weighted_sum(make_adapter: Callable[..., Path], dense: Any, tmp_path: Path) -> None:
    parents = [make_adapter("a", r=4, seed=1), make_adapter("b", r=6, seed=2, use_rslora=True)]
    report = merge(list(zip(parents, (1.0, -0.7), strict=True)), tmp_path / "c", picture=False)
    wanted = dense.sum(parents, [1.0, -0.7])
    found = dense.deltas(tmp_path / "c")
    assert found.keys() == wanted.keys()
    for module, delta in wanted.items():
        assert dense.error(found[module], delta) < 1e-6
    config = json.loads((tmp_path / "c" / "adapter_config.json").read_text())
    assert sorted(config) == sorted(BASE_KEYS)
    assert config["r"] == config["lora_alpha"] == 10
    assert report.output_sha256 == adapter_sha256(tmp_path / "c")


@pytest.mark.parametrize("rank", [1, 4, 7, 99])
def test_svd_is_the_dense_optimum(make_adapter: Callable[..., Path], dense: Any, tmp_path: Path, rank: int) -> None:
    parents = [make_adapter("a", r=4, seed=1), make_adapter("b", r=4, seed=2)]
    report = merge([(parents[0], 1.0), (parents[1], 0.5)], tmp_path / "c", "svd", rank, picture=False)
    found = dense.deltas(tmp_path / "c")
    for module, wanted in dense.sum(parents, [1.0, 0.5]).items():
        u, s, vh = torch.linalg.svd(wanted, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ vh[:rank]
        assert dense.error(found[module], best) < 1e-5
        entry = next(m for m in report.modules if m.module == module)
        assert entry.truncation_error == pytest.approx(float((best - wanted).norm() / wanted.norm()), abs=1e-5)
        assert entry.rank == min(rank, 8)


def test_same_inputs_same_bytes(make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]
    hashes = {merge(parents, tmp_path / name, "svd", picture=False).output_sha256 for name in ("c", "d")}
    assert len(hashes) == 1


def test_the_merged_folder_opens_like_any_other(make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    merge([(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)], tmp_path / "c", picture=False)
    adapter = open_adapter(tmp_path / "c")
    assert all(module.scaling == 1.0 for module in adapter.modules.values())
