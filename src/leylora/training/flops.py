"""How much of a card's peak a run uses.

Useful work a token: 4 FLOPs for each weight that multiplies it (2 forward, 2 for the gradient of its input; frozen
weights need no gradient of their own, so not the 6 of full training: Chowdhery et al. 2022, PaLM, appendix B,
arXiv:2204.02311, with the weight gradients left out), and attention, whose scores and sums take 2·s·d FLOPs a layer
in a causal document of s tokens, 3.5 times that with the backward pass (Dao 2023, FlashAttention-2, arXiv:2307.08691,
section 4). What is computed again to save memory does not count as useful.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn
    from transformers import PretrainedConfig


def matmul_parameters(model: "nn.Module") -> int:
    """Weights that every token is multiplied with: all linear layers and the head, the adapters left out."""
    from torch.nn import Linear

    return sum(
        module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, Linear) and "lora_" not in name
    )


def mean_context(lengths: Iterable[int]) -> float:
    """Length of the document that an average token stands in: sum of squares over sum."""
    total = squares = 0
    for length in lengths:
        total, squares = total + length, squares + length * length
    return squares / max(1, total)


def flops_per_token(parameters: float, config: "PretrainedConfig", context: float) -> float:
    """Useful FLOPs of training an adapter on one token; see above.

    Args:
        parameters: of `matmul_parameters`.
        context: of `mean_context`, in tokens.
    """
    width = config.hidden_size  # heads x their width, in all families here
    return 4.0 * parameters + 3.5 * 2.0 * context * width * config.num_hidden_layers
