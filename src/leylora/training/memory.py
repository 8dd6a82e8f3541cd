"""What a QLoRA run needs of a card's memory and how fast it may be, estimated from sizes; useful work a token.

Bytes of weights, adapter, gradients and optimizer are counted exactly:

    4-bit weights   n/2, a scale for each 64 of them (4 bytes; with double quantisation 1 byte, and 4 for each 256
                    scales) and the tables, for every linear layer but the head (Dettmers et al. 2023, arXiv:2305.14314)
    adapter         r · (in + out) a layer, in float32, as are its gradients
    optimizer       8 bytes a weight for Adam, 2 in 8 bits (and 8 for each 256)

Activations are modelled, with T tokens of h numbers in flight:

    checkpoints     2·T·h bytes a layer are kept; with ``selective`` the attention's output too, as much again
    one layer       is computed again at a time: 14 vectors of h and 8 of the MLP's width a token (4 without a gate),
                    in bf16: the inputs of norms and of both factors of every LoRA pair, the gate's products, and
                    their gradients
    fused head      logits of 4,096 tokens by 32,768 words at a time, where one layer is not in flight
    mask            T x T, 1 byte (Falcon: 2), unless a flash-attention kernel is used

Compared with published peaks (tests/training/test_memory.py) it is up to 15 % above them.

Useful work a token, for the share of a card's peak: 4 FLOPs for each weight that multiplies it (2 forward, 2 for the
gradient of its input; frozen weights need no gradient of their own, so not the 6 of full training: Chowdhery et al.
2022, PaLM, appendix B, arXiv:2204.02311, with the weight gradients left out), and attention, whose scores and sums take
2·s·d FLOPs a layer in a causal document of s tokens, 3.5 times that with the backward pass (Dao 2023, FlashAttention-2,
arXiv:2307.08691, section 4). What is computed again to save memory does not count as useful.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil

from torch import nn
from transformers import PretrainedConfig

from leylora.models.cards import GIB, Card, peak_tflops
from leylora.models.families import Shape

CONTEXT_BYTES = 0.6 * GIB  # CUDA's own, cuBLAS workspaces and what the allocator cannot use
SPEED_SHARE = 0.45
"""Share of a card's peak that stock kernels reach with checkpointing, all FLOPs counted (published: 44 to 69 %)."""

TOO_HIGH = 1.15
"""The most by which the estimate exceeded a published peak; only a run beyond this is certain not to fit."""


@dataclass(frozen=True)
class Sizes:
    """What decides a run's memory.

    Attributes:
        length, batch: tokens a packed row, rows a micro-batch; padding-free rows make one of ``batch * length``.
        targets: last name component of the layers with an adapter.
        half: whether weights outside 4 bits and activations take 2 bytes, not 4.
        frozen_rank: of an adapter below, 0 without one.
        checkpointing, selective: activations are computed again; but for those of attention.
    """

    shape: Shape
    length: int
    batch: int
    rank: int
    targets: tuple[str, ...]
    optimizer: str = "paged_adamw_8bit"
    four_bit: bool = True
    double_quant: bool = True
    half: bool = True
    frozen_rank: int = 0
    checkpointing: bool = True
    selective: bool = False
    attention: str = "sdpa"


@dataclass(frozen=True)
class Estimate:
    """Bytes, by what holds them."""

    weights_4bit: int
    weights_16bit: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    context: int

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """In the order of the table a person sees."""
        return {
            "4-bit weights": self.weights_4bit,
            "embeddings, head, norms": self.weights_16bit,
            "adapter": self.adapter,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": self.activations,
            "CUDA context": self.context,
        }


def estimate(sizes: Sizes) -> Estimate:
    """The memory of a run at its peak, in bytes; see above."""
    shape = sizes.shape
    four_bit, whole = 0, shape.embedding_parameters + shape.norm_parameters
    if sizes.four_bit:
        four_bit = shape.layers * sum(
            four_bit_bytes(wide * out, sizes.double_quant) for wide, out in shape.linear.values()
        )
    else:
        whole += shape.linear_parameters
    trained = adapter_parameters(shape, sizes.rank, sizes.targets)
    below = adapter_parameters(shape, sizes.frozen_rank, sizes.targets) * 4  # PEFT loads adapters in float32
    return Estimate(
        weights_4bit=four_bit,
        weights_16bit=whole * (2 if sizes.half else 4),
        adapter=trained * 4 + below,
        gradients=trained * 4,
        optimizer=_optimizer_bytes(sizes.optimizer, trained),
        activations=_activation_bytes(sizes),
        context=int(CONTEXT_BYTES),
    )


def four_bit_bytes(weights: int, double_quant: bool) -> int:
    """Bytes of one layer in bitsandbytes' 4-bit form, scales and tables included."""
    scales = ceil(weights / 64)
    scale_bytes = scales + 4 * ceil(scales / 256) + 256 * 4 + 4 if double_quant else 4 * scales
    return ceil(weights / 2) + scale_bytes + 16 * 4


def adapter_parameters(shape: Shape, rank: int, targets: tuple[str, ...]) -> int:
    """Weights of A and B of all adapted layers."""
    return shape.layers * sum(rank * sum(size) for name, size in shape.linear.items() if name in targets)


def largest_length(sizes: Sizes, memory_gib: float) -> int:
    """The longest row, in steps of 256 tokens and up to the model's context, that fits ``memory_gib``; 0 for none."""
    return _largest(range(256, sizes.shape.context + 1, 256), lambda n: replace(sizes, length=n), memory_gib)


def largest_batch(sizes: Sizes, memory_gib: float) -> int:
    """The largest batch of rows of this length that fits ``memory_gib``; 0 when not even one does."""
    return _largest(range(1, 257), lambda n: replace(sizes, batch=n), memory_gib)


def tokens_per_second(sizes: Sizes, card: Card) -> float | None:
    """The speed to expect, or None for a card whose peak is not known.

    6 FLOPs a weight and token with checkpointing (forward twice, the gradient of the input; 4 without), and attention
    over half a row 4.5 times (3.5), at `SPEED_SHARE` of the peak.
    """
    peak = peak_tflops(card.name)
    if peak is None:
        return None
    again, passes = (6, 4.5) if sizes.checkpointing else (4, 3.5)
    attention = 2.0 * sizes.length * sizes.shape.query_width * sizes.shape.layers
    return peak * 1e12 * SPEED_SHARE / (again * sizes.shape.matmul_parameters + passes * attention)


def headline(sizes: Sizes, card: Card) -> str:
    """The row in a recipe's header."""
    speed = tokens_per_second(sizes, card)
    pace = f", {rounded(speed):,} tokens/s" if speed else ""
    return f"{card.name} {estimate(sizes).total / GIB:.1f} GiB of {card.memory_gib:.1f}{pace}"


def rounded(value: float) -> int:
    """To two figures: more would claim what an estimate cannot know."""
    return int(round(value, 2 - len(str(int(value)))))


def _largest(sizes: range, changed: Callable[[int], Sizes], memory_gib: float) -> int:
    return max((n for n in sizes if estimate(changed(n)).total <= memory_gib * GIB), default=0)


def _optimizer_bytes(name: str, weights: int) -> int:
    """Two moments a weight in float32, as Adam keeps them; a paged optimizer may move them to the computer's memory."""
    if "8bit" in name:
        return 2 * weights + 2 * 4 * ceil(weights / 256)
    if name.startswith("sgd"):
        return 0
    return 2 * weights * 4


def _activation_bytes(sizes: Sizes) -> int:
    shape, tokens = sizes.shape, sizes.batch * sizes.length
    size = 2 if sizes.half else 4
    mask = 0 if "flash" in sizes.attention else tokens * tokens * (1 if shape.gated else size)
    one_layer = tokens * size * (14 * shape.hidden + (8 if shape.gated else 4) * shape.mlp_width)
    if "eager" in sizes.attention:
        one_layer += 4 * size * shape.heads * tokens * tokens
    largest = max(wide * out for wide, out in shape.linear.values()) * size  # one layer's weights, unpacked
    if not sizes.checkpointing:
        return mask + shape.layers * one_layer + largest
    kept = shape.layers * tokens * shape.hidden * size * (2 if sizes.selective else 1)
    head = min(tokens, 4096) * min(shape.vocabulary, 32768) * (size + 4)
    return mask + kept + max(one_layer + largest, head)


def matmul_parameters(model: nn.Module) -> int:
    """Weights that every token is multiplied with: all linear layers and the head, without the adapters."""
    return sum(
        module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name
    )


def mean_context(lengths: Iterable[int]) -> float:
    """Length of the document that an average token belongs to: sum of squares over sum."""
    total = squares = 0
    for length in lengths:
        total, squares = total + length, squares + length * length
    return squares / max(1, total)


def flops_per_token(parameters: float, config: PretrainedConfig, context: float) -> float:
    """Useful FLOPs of training an adapter on one token.

    Args:
        parameters: of `matmul_parameters`.
        context: of `mean_context`, in tokens.
    """
    width = config.hidden_size  # heads x their width, in all families here
    return 4.0 * parameters + 3.5 * 2.0 * context * width * config.num_hidden_layers
