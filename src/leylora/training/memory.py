"""What a QLoRA run needs of a card's memory and how fast it may be, estimated from sizes; useful work a token.

Weights, adapter, gradients and optimizer are counted exactly (4 bits: Dettmers et al. 2023, arXiv:2305.14314).
Activations are modelled: checkpoints of each layer, one layer computed again at a time or a piece of the fused head,
and the mask; without checkpoints, what each layer keeps, counted term by term. Compared with published peaks and with
ours on an H200 (tests/training/test_memory.py) the sum is up to 16 % above them, for Falcon 8 % below.

Useful work a token, for the share of a card's peak: 4 FLOPs for each weight that multiplies it (2 forward, 2 for the
gradient of its input; frozen weights need no gradient of their own, so not the 6 of full training: Chowdhery et al.
2022, PaLM, appendix B, arXiv:2204.02311, with the weight gradients left out), and attention, whose scores and sums take
2·s·d FLOPs a layer in a causal document of s tokens, 3.5 times that with the backward pass (Dao 2023, FlashAttention-2,
arXiv:2307.08691, section 4). What is computed again to save memory does not count as useful.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from torch import nn
from transformers import PretrainedConfig

from leylora.models.cards import GIB, Card, peak_tflops, speed_share
from leylora.models.families import Shape

CONTEXT_BYTES = 0.6 * GIB  # CUDA's own, cuBLAS workspaces and what the allocator cannot use
TOO_HIGH = 1.16
"""The most by which the estimate exceeded a published peak; only a run beyond this is certain not to fit."""
FASTEST = 700  # TFLOP/s from which on selective checkpointing costs more than it saves: Hopper and later


@dataclass(frozen=True)
class Sizes:
    """What decides a run's memory."""

    shape: Shape
    length: int  # tokens a packed row; padding-free rows make one of ``batch * length``
    batch: int  # rows a micro-batch
    rank: int
    targets: tuple[str, ...]  # last name component of the layers with an adapter
    optimizer: str = "paged_adamw_8bit"
    four_bit: bool = True
    double_quant: bool = True
    half: bool = True  # weights outside 4 bits, and activations, take 2 bytes and not 4
    frozen_rank: int = 0  # of an adapter below; 0: there is none
    checkpointing: bool = True  # activations are computed again
    selective: bool = False  # but for those of attention
    attention: str = "sdpa"


PARTS = ("4-bit weights", "embeddings, head, norms", "adapter", "gradients", "optimizer", "activations", "CUDA context")


class Estimate(NamedTuple):
    """Bytes, by what holds them; in words: `PARTS`."""

    weights_4bit: int
    weights_16bit: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    context: int

    @property
    def total(self) -> int:
        return sum(self)


def selective_pays(attention: str, peak: float | None) -> bool:
    """Whether it is worth keeping attention's output when activations are computed again.

    With a flash-attention kernel there is little to save: attention is fast to compute again, and watching every
    operation costs more than that. On the fastest cards the run waits for Python anyway: 13 % slower with it on an H200
    (benchmarks/README.md). ``peak`` is the card's, in TFLOP/s.
    """
    return "flash" not in attention and (peak or 0) < FASTEST


def estimate(sizes: Sizes) -> Estimate:
    """The memory of a run at its peak, in bytes."""
    shape = sizes.shape
    four_bit, whole = 0, shape.embedding_parameters + shape.norm_parameters
    if sizes.four_bit:
        layer = sum(four_bit_bytes(wide * out, sizes.double_quant) for wide, out in shape.linear.values())
        four_bit = shape.layers * layer
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
    """The speed to expect, or None for a card whose peak is not known."""
    peak = peak_tflops(card.name)
    if peak is None:
        return None
    # with checkpointing forward twice and the gradient of the input; attention is over half a row
    again, passes = (6, 4.5) if sizes.checkpointing else (4, 3.5)
    attention = 2.0 * sizes.length * sizes.shape.query_width * sizes.shape.layers
    return peak * 1e12 * speed_share(card.name)[0] / (again * sizes.shape.matmul_parameters + passes * attention)


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
    """Adam's two moments a weight; a paged optimizer may move them to the computer's memory."""
    if "8bit" in name:
        return 2 * weights + 2 * 4 * ceil(weights / 256)  # and a scale for each 256
    return 0 if name.startswith("sgd") else 2 * weights * 4


def saved_bytes(sizes: Sizes) -> int:
    """What one layer keeps from its forward pass until its backward pass, in bytes, the mask left out.

    A LoRA pair casts its input to float32 and autocast casts it back: each adapted layer keeps a copy of its own, also
    where three of them share one input. Gated blocks keep the inputs of their norms in float32.
    """
    shape, size, gated = sizes.shape, 2 if sizes.half else 4, sizes.shape.gated
    adapted = [wide for name, (wide, _) in shape.linear.items() if name in sizes.targets]
    attention = 4 * shape.query_width  # queries, output, and keys and values, which a mask makes as wide
    kept = sum(adapted) + len(adapted) * sizes.rank + attention + (3 if gated else 1) * shape.mlp_width
    return sizes.batch * sizes.length * (kept * size + (2 * 4 if gated else size) * shape.hidden + 4 * shape.heads)


def _activation_bytes(sizes: Sizes) -> int:
    shape, tokens = sizes.shape, sizes.batch * sizes.length
    size = 2 if sizes.half else 4
    masked = "flash" not in sizes.attention
    mask = masked * tokens * tokens * (1 if shape.gated else size)
    copy = masked * shape.gated * tokens * tokens * size  # the mask as numbers to add: each layer makes its own
    # One layer at work: the inputs of norms and of both factors of every LoRA pair, the gate's products, and their
    # gradients: 14 vectors of the hidden width and 8 of the MLP's a token.
    one_layer = tokens * size * (14 * shape.hidden + 8 * shape.mlp_width)
    if "eager" in sizes.attention:
        one_layer += 4 * size * shape.heads * tokens * tokens
    largest = max(wide * out for wide, out in shape.linear.values()) * size  # one layer's weights, unpacked
    head = min(tokens, 4096) * min(shape.vocabulary, 32768) * (size + 4)  # fused: logits of so many tokens at a time
    if not sizes.checkpointing:
        kept = shape.layers * (saved_bytes(sizes) + copy)
        if "eager" in sizes.attention:
            kept += shape.layers * 2 * size * shape.heads * tokens * tokens
        return mask + kept + max(largest, head)
    kept = shape.layers * tokens * shape.hidden * size * (2 if sizes.selective else 1)
    return mask + copy + kept + max(one_layer + largest, head)


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
    """Useful FLOPs of training an adapter on one token; of `matmul_parameters` and `mean_context`."""
    width = config.hidden_size  # heads x their width, in all families here
    return 4.0 * parameters + 3.5 * 2.0 * context * width * config.num_hidden_layers
