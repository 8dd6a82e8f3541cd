"""Three faults of Falcon in transformers 5, and the fixes. Without these the faults are silent.

1. ``FalconLinear`` subclasses ``nn.Linear`` but the 4-bit loader replaces only exact ``nn.Linear`` layers, so
   ``load_in_4bit`` leaves the whole model in 16 bits (seen in transformers 5.23,
   ``integrations/bitsandbytes.py: replace_with_bnb_linear``).
2. ``FalconModel.forward`` builds its causal mask without ``position_ids``, so the documents of a packed row see
   each other unless a flash-attention kernel is used (``models/falcon/modeling_falcon.py``; Llama and Mistral
   pass them and are right).
3. ``FalconAttention`` gives scaled dot-product attention 71 query heads and one key and value head. No fused kernel
   takes that; torch falls back to plain matrix products in float32, which for two rows of 2,048 tokens need 13 GiB
   in one layer (``modeling_falcon.py: FalconAttention.forward``).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

HookInputs = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def plain_linear_layers(config: PretrainedConfig) -> Iterator[None]:
    """Fault 1: while the block runs, a Falcon model is built from plain ``nn.Linear`` layers.

    ``FalconLinear.forward`` computes ``x @ W.T + b``, exactly what ``nn.Linear`` computes.
    """
    if config.model_type != "falcon":
        yield
        return
    from transformers.models.falcon import modeling_falcon  # two seconds of imports

    upstream = modeling_falcon.FalconLinear
    modeling_falcon.FalconLinear = torch.nn.Linear
    try:
        yield
    finally:
        modeling_falcon.FalconLinear = upstream


def isolate_packed_documents(model: PreTrainedModel) -> None:
    """Fault 2: give the decoder a block-diagonal mask when positions come without a mask.

    That is what a padding-free collator sends. Flash-attention kernels separate documents by ``position_ids``.
    """
    if model.config.model_type != "falcon" or "flash" in str(model.config._attn_implementation):
        return

    def add_mask(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> HookInputs:
        position_ids = kwargs.get("position_ids")
        if position_ids is not None and kwargs.get("attention_mask") is None and kwargs.get("past_key_values") is None:
            kwargs["attention_mask"] = packed_causal_mask(position_ids, dtype=module.word_embeddings.weight.dtype)
        return args, kwargs

    model.get_decoder().register_forward_pre_hook(add_mask, with_kwargs=True)


def packed_causal_mask(position_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(B, 1, T, T), query by key, of ``position_ids`` (B, T): 0 within a document and not after the query, else min.

    A document starts wherever its position is 0. A float mask, because Falcon's eager attention adds it: a boolean one
    would be added as 0 and 1.
    """
    document = (position_ids == 0).cumsum(dim=-1)  # (B, T): 1, 1, 1, 2, 2, ...
    same_document = document[:, :, None] == document[:, None, :]  # (B, T, T)
    length = position_ids.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=position_ids.device).tril()
    mask = torch.full(same_document.shape, torch.finfo(dtype).min, dtype=dtype, device=position_ids.device)
    return mask.masked_fill(same_document & causal, 0)[:, None]


def widen_keys_and_values(model: PreTrainedModel) -> None:
    """Fault 3: show keys and values to attention once for each query head, as views that copy nothing."""
    if model.config.model_type != "falcon" or model.config._attn_implementation != "sdpa":
        return
    from transformers.models.falcon.modeling_falcon import FalconAttention

    def widen(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> HookInputs:
        return args, {**kwargs, "layer_past": _Widened(kwargs.get("layer_past"), module.num_heads)}

    for module in model.modules():
        if isinstance(module, FalconAttention):
            module.register_forward_pre_hook(widen, with_kwargs=True)


class _Widened:
    """What ``FalconAttention`` asks for all keys and values so far. The cache itself holds the model's one head."""

    def __init__(self, cache: Any, heads: int) -> None:
        self.cache, self.heads = cache, heads

    def update(self, key: torch.Tensor, value: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self.cache is not None:
            key, value = self.cache.update(key, value, *rest)
        return key.expand(-1, self.heads, -1, -1), value.expand(-1, self.heads, -1, -1)
