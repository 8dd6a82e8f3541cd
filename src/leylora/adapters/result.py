"""The config of a merged adapter: plain LoRA with lora_alpha = r, and patterns only where ranks differ."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from leylora.adapters.config import BASE_DEFAULTS
from leylora.adapters.files import Adapter


def merged_config(adapters: Sequence[Adapter], ranks: Mapping[str, int]) -> dict[str, Any]:
    """The ``adapter_config.json`` of a merge.

    Args:
        adapters: the parents; what they share (base model, revision, task) is taken from the first that says it.
        ranks: the rank of every merged module. The largest becomes ``r``, by which servers such as vLLM set
            their room aside; smaller ones go to ``rank_pattern`` and ``alpha_pattern``, so that every scaling is 1.
    """
    rank = max(ranks.values())
    saved = sorted({name for adapter in adapters for name in adapter.config.modules_to_save or []})
    config = dict(BASE_DEFAULTS) | {
        "base_model_name_or_path": _first(adapters, "base_model_name_or_path"),
        "revision": _first(adapters, "revision"),
        "task_type": _first(adapters, "task_type"),
        "fan_in_fan_out": adapters[0].config.fan_in_fan_out,
        "modules_to_save": saved or None,
        "r": rank,
        "lora_alpha": rank,
        "target_modules": target_modules(adapters, list(ranks)),
    }
    if smaller := _smaller_ranks(ranks, rank):
        config |= {"rank_pattern": smaller, "alpha_pattern": dict(smaller)}
    return config


def target_modules(adapters: Sequence[Adapter], modules: Sequence[str]) -> list[str]:
    """An explicit list that makes PEFT adapt exactly ``modules``.

    The last part of a path (``q_proj``) is enough where some parent was trained with it as a plain target, for then
    the adapters hold every module of that name; otherwise full paths are listed.
    """
    plain: set[str] = set()
    for adapter in adapters:
        config = adapter.config
        restricted = config.layers_to_transform is not None or config.exclude_modules
        if isinstance(config.target_modules, list) and not restricted:
            plain |= set(config.target_modules)
    held = {name for adapter in adapters for name in adapter.modules}
    dropped = {_leaf(name) for name in held - set(modules)}  # modules whose every weight is 0
    return sorted({_leaf(name) if _leaf(name) in plain - dropped else name for name in modules})


def _first(adapters: Sequence[Adapter], key: str) -> str | None:
    return next((value for adapter in adapters if (value := getattr(adapter.config, key)) is not None), None)


def _smaller_ranks(ranks: Mapping[str, int], largest: int) -> dict[str, int]:
    """Pattern to rank, for ranks below the largest: by last part where all modules of that name agree."""
    by_leaf: dict[str, set[int]] = defaultdict(set)
    for name, rank in ranks.items():
        by_leaf[_leaf(name)].add(rank)
    # PEFT reads a key as a regular expression, but its releases 0.6 to 0.13 look a whole path up as it stands; an
    # unescaped dot serves both.
    keys = {name: _leaf(name) if len(by_leaf[_leaf(name)]) == 1 else name for name in ranks}
    return {keys[name]: rank for name, rank in ranks.items() if rank != largest}


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
