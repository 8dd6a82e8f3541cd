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


@contextmanager
def plain_linear_layers(config: PretrainedConfig) -> Iterator[None]:
    """While the block runs, a Falcon model is built from plain ``nn.Linear`` layers, which the 4-bit loader sees.

    ``FalconLinear.forward`` computes ``x @ W.T + b``, exactly what ``nn.Linear`` computes, so nothing but the
    class changes. This replaces a name in the upstream module, for fault 1 above; for other models nothing is
    replaced, and Falcon's code (two seconds of imports) is not loaded.
    """
    if config.model_type != "falcon":
        yield
        return
    from transformers.models.falcon import modeling_falcon

    upstream = modeling_falcon.FalconLinear
    modeling_falcon.FalconLinear = torch.nn.Linear
    try:
        yield
    finally:
        modeling_falcon.FalconLinear = upstream


def isolate_packed_documents(model: PreTrainedModel) -> None:
    """Keep the documents of a packed row apart in a Falcon model, with any attention implementation.

    A hook on the decoder gives it the block-diagonal mask that upstream forgets, whenever ``position_ids`` come
    without an ``attention_mask`` (what a padding-free collator sends). Flash-attention kernels separate
    documents by ``position_ids`` themselves and are left alone.
    """
    if model.config.model_type != "falcon" or "flash" in str(model.config._attn_implementation):
        return
    decoder = model.get_decoder()

    def add_mask(
        module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        position_ids = kwargs.get("position_ids")
        if position_ids is not None and kwargs.get("attention_mask") is None and kwargs.get("past_key_values") is None:
            kwargs["attention_mask"] = packed_causal_mask(position_ids, dtype=module.word_embeddings.weight.dtype)
        return args, kwargs

    decoder.register_forward_pre_hook(add_mask, with_kwargs=True)


def widen_keys_and_values(model: PreTrainedModel) -> None:
    """Let a Falcon model's attention run in a fused kernel, for fault 3 above.

    Keys and values are shown to attention once for each query head, as views that copy nothing. The cache, if there
    is one, holds the one head that the model has.
    """
    if model.config.model_type != "falcon" or model.config._attn_implementation != "sdpa":
        return
    from transformers.models.falcon.modeling_falcon import FalconAttention

    def widen(
        module: "FalconAttention", args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "layer_past": _Widened(kwargs.get("layer_past"), module.num_heads)}

    for module in model.modules():
        if isinstance(module, FalconAttention):
            module.register_forward_pre_hook(widen, with_kwargs=True)


class _Widened:
    """What ``FalconAttention`` asks for all keys and values so far: those of ``cache``, for every query head."""

    def __init__(self, cache: Any, heads: int) -> None:
        self.cache, self.heads = cache, heads

    def update(self, key: torch.Tensor, value: torch.Tensor, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if self.cache is not None:
            key, value = self.cache.update(key, value, *rest)
        return key.expand(-1, self.heads, -1, -1), value.expand(-1, self.heads, -1, -1)


def packed_causal_mask(position_ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The additive attention mask of packed rows: 0 within a document and not after the query, else ``dtype``'s min.

    A float mask, because Falcon's eager attention adds it: a boolean one would be added as 0 and 1.

    Args:
        position_ids: ``(B, T)``; a document starts wherever its position is 0.

    Returns:
        ``(B, 1, T, T)``, query by key.
    """
    document = (position_ids == 0).cumsum(dim=-1)  # (B, T): 1, 1, 1, 2, 2, ...
    same_document = document[:, :, None] == document[:, None, :]  # (B, T, T)
    length = position_ids.shape[-1]
    causal = torch.ones(length, length, dtype=torch.bool, device=position_ids.device).tril()
    mask = torch.full(same_document.shape, torch.finfo(dtype).min, dtype=dtype, device=position_ids.device)
    return mask.masked_fill(same_document & causal, 0)[:, None]
