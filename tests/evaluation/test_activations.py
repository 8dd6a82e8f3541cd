"""Moments read layer by layer against those of whole forward passes, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import Variant
from leylora.adapters.merge import merge
from leylora.errors import UsageError
from leylora.evaluation.activations import RowMoments, best_share
from leylora.models.load import load_base

ROWS = [[[5, 9, 300, 12, 44, 7], [8, 20, 31]], [[40, 41, 42, 43, 300], [6, 7], [100, 90, 80, 70]]]
LEAVES = {"tiny-mistral": ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"], "tiny-falcon": ["query_key_value"]}
LEAVES["tiny-falcon"] += ["dense", "dense_h_to_4h", "dense_4h_to_h"]


def parents(base: Path, leaves: list[str], out: Path) -> list[Path]:
    for name, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=leaves, init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(out / name)
    return [out / "a", out / "b"]


@pytest.mark.parametrize("family", sorted(LEAVES))
def test_moments_are_those_of_whole_forward_passes(
    family: str, tiny_base: Callable[[str], Path], tmp_path: Path
) -> None:
    base = tiny_base(family)
    folders = parents(base, LEAVES[family], tmp_path)
    model = AdaptedModel(str(base), model=load_base(str(base), compute_dtype=torch.float32))
    moments = RowMoments(model, folders, ROWS)
    for module in sorted(moments.modules, key=lambda name: [int(part) for part in name.split(".") if part.isdecimal()]):
        found = moments(module)
        for folder, rows, of_parent in zip(folders, ROWS, found, strict=True):
            inputs: list[torch.Tensor] = []
            with model.using(Variant(name=folder.name, adapter=str(folder))) as active, torch.no_grad():
                handle = active.get_submodule(module).register_forward_pre_hook(
                    lambda _, args, inputs=inputs: inputs.append(args[0][0])
                )
                for row in rows:  # one at a time: no padding
                    active(input_ids=torch.tensor([row]))
                handle.remove()
            x = torch.cat(inputs)
            torch.testing.assert_close(of_parent, x.T @ x / len(x), rtol=1e-3, atol=1e-4)

    report = merge(
        [(folder, 1.0) for folder in folders],
        tmp_path / "c",
        "activations",
        8,
        moments=RowMoments(model, folders, ROWS),
        picture=False,
    )
    assert {module.rank for module in report.modules} == {8}
    assert all(error is not None and 0 < error < 1 for module in report.modules for error in module.row_errors)


def test_what_activations_refuse(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    base = tiny_base("tiny-mistral")
    folders = parents(base, ["q_proj"], tmp_path)
    both = [(folder, 1.0) for folder in folders]
    with pytest.raises(UsageError, match="needs the rows of each parent"):
        merge(both, tmp_path / "c", "activations")
    with pytest.raises(UsageError, match="no other method takes them"):
        merge(both, tmp_path / "c", "svd", moments=lambda module: [])
    with pytest.raises(UsageError, match="A ridge of 0"):
        merge(both, tmp_path / "c", "activations", moments=lambda module: [], ridge=0.0)
    with pytest.raises(UsageError, match="no negative weight"):
        merge([(folders[0], -1.0), both[1]], tmp_path / "c", "activations", moments=lambda module: [])
    moments = RowMoments(AdaptedModel(str(base), "16bit"), folders, ROWS)
    with pytest.raises(UsageError, match="lm_head lies outside the layers"):
        moments("lm_head")
    assert not (tmp_path / "c").exists()


def test_the_best_share_gives_up_no_skill() -> None:
    found = {0.2: {"a": 0.5, "b": 1.0}, 0.5: {"a": 0.7, "b": 0.72}, 0.8: {"a": 0.99, "b": 0.6}}
    assert best_share(found) == 0.5
