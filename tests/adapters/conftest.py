"""Random adapters for a small model of Mistral's layout, and their deltas computed densely in float64."""

import json
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from leylora.adapters.config import CONFIG_FILE, read_config
from leylora.adapters.files import WEIGHTS_FILE, tensor_names

HIDDEN, KEY_VALUE, INNER = 24, 12, 40
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KEY_VALUE, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}

AdapterMaker = Callable[..., Path]


@pytest.fixture
def make_adapter(tmp_path: Path) -> AdapterMaker:
    """``make_adapter(name, r=4, seed=0, layers=2, only=[...], dtype=..., **config)`` writes LORA/name."""

    def make(
        name: str,
        r: int = 4,
        seed: int = 0,
        layers: int = 2,
        only: Iterable[str] | None = None,
        dtype: torch.dtype = torch.float32,
        size: float = 1.0,
        **config: Any,
    ) -> Path:
        folder = tmp_path / "LORA" / name
        used = {path: shape for path, shape in SHAPES.items() if only is None or path in only}
        targets = sorted({path.rpartition(".")[2] for path in used})
        full = {
            "peft_type": "LORA",
            "r": r,
            "lora_alpha": 2 * r,
            "base_model_name_or_path": "example/tiny",
            "task_type": "CAUSAL_LM",
            "target_modules": targets,
        } | config
        generator = torch.Generator().manual_seed(seed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps(full))
        ranks = read_config(folder)
        tensors = {}
        for layer in range(layers):
            for path, (d_out, d_in) in used.items():
                module = f"model.layers.{layer}.{path}"
                key_a, key_b = tensor_names(module)
                rank = ranks.rank(module)
                tensors[key_a] = torch.randn(rank, d_in, generator=generator).to(dtype)
                tensors[key_b] = (size * torch.randn(d_out, rank, generator=generator)).to(dtype)
        save_file(tensors, folder / WEIGHTS_FILE)
        return folder

    return make


class Dense:
    """The slow, plain truth the fast code is held to: dense deltas in float64, read with the safetensors library."""

    @staticmethod
    def deltas(folder: Path) -> dict[str, Tensor]:
        """Every module's delta, (d_out, d_in), computed as PEFT defines it."""
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
        deltas = {}
        for key, a in tensors.items():
            if ".lora_A." in key:
                module = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                b = tensors[key.replace("lora_A", "lora_B")]
                rank = _lookup(config.get("rank_pattern") or {}, module, config["r"])
                alpha = _lookup(config.get("alpha_pattern") or {}, module, config["lora_alpha"])
                scaling = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
                assert a.shape[0] == rank
                deltas[module] = scaling * b.double() @ a.double()
        return deltas

    @classmethod
    def sum(cls, folders: list[Path], weights: list[float]) -> dict[str, Tensor]:
        """The weighted sum of dense deltas; a module that an adapter lacks adds nothing."""
        total: dict[str, Tensor] = {}
        for folder, weight in zip(folders, weights, strict=True):
            for module, delta in cls.deltas(folder).items():
                total[module] = total.get(module, torch.zeros_like(delta)) + weight * delta
        return total

    @staticmethod
    def error(found: Tensor, wanted: Tensor) -> float:
        """Relative Frobenius distance, absolute where the wanted matrix is zero."""
        norm = float(wanted.norm())
        return float((found - wanted).norm()) / norm if norm > 0 else float(found.norm())


@pytest.fixture
def dense() -> type[Dense]:
    return Dense


def _lookup(pattern: dict[str, float], module: str, default: float) -> float:
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", module)), default)
