"""What a QLoRA run will need of a card's memory, and how fast it may be: an estimate from sizes alone.

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

Held against published peaks (tests/training/test_memory.py) it is up to 15 % above them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from leylora.models.cards import GIB, Card, peak_tflops
from leylora.models.families import Shape

CONTEXT_BYTES = 0.6 * GIB  # CUDA's own, cuBLAS workspaces and what the allocator cannot use
SPEED_SHARE = 0.45
"""Share of a card's peak that stock kernels reach with checkpointing, all FLOPs counted (published: 44 to 69 %)."""

TOO_HIGH = 1.15
"""The most by which the estimate exceeded a published peak; only a run beyond this is certain not to fit."""


@dataclass(frozen=True)
class Plan:
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


def estimate(plan: Plan) -> Estimate:
    """The memory of a run at its peak, in bytes; see above."""
    shape = plan.shape
    four_bit, whole = 0, shape.embedding_parameters + shape.norm_parameters
    if plan.four_bit:
        four_bit = shape.layers * sum(
            four_bit_bytes(wide * out, plan.double_quant) for wide, out in shape.linear.values()
        )
    else:
        whole += shape.linear_parameters
    trained = adapter_parameters(shape, plan.rank, plan.targets)
    below = adapter_parameters(shape, plan.frozen_rank, plan.targets) * 4  # PEFT loads adapters in float32
    return Estimate(
        weights_4bit=four_bit,
        weights_16bit=whole * (2 if plan.half else 4),
        adapter=trained * 4 + below,
        gradients=trained * 4,
        optimizer=_optimizer_bytes(plan.optimizer, trained),
        activations=_activation_bytes(plan),
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


def largest_length(plan: Plan, memory_gib: float) -> int:
    """The longest row, in steps of 256 tokens and up to the model's context, that fits ``memory_gib``; 0 for none."""
    return _largest(range(256, plan.shape.context + 1, 256), lambda n: replace(plan, length=n), memory_gib)


def largest_batch(plan: Plan, memory_gib: float) -> int:
    """The largest batch of rows of this length that fits ``memory_gib``; 0 when not even one does."""
    return _largest(range(1, 257), lambda n: replace(plan, batch=n), memory_gib)


def tokens_per_second(plan: Plan, card: Card) -> float | None:
    """The speed to expect, or None for a card whose peak is not known.

    6 FLOPs a weight and token with checkpointing (forward twice, the gradient of the input; 4 without), and attention
    over half a row 4.5 times (3.5), at `SPEED_SHARE` of the peak.
    """
    peak = peak_tflops(card.name)
    if peak is None:
        return None
    again, passes = (6, 4.5) if plan.checkpointing else (4, 3.5)
    attention = 2.0 * plan.length * plan.shape.query_width * plan.shape.layers
    return peak * 1e12 * SPEED_SHARE / (again * plan.shape.matmul_parameters + passes * attention)


def headline(plan: Plan, card: Card) -> str:
    """The row in a recipe's header."""
    speed = tokens_per_second(plan, card)
    pace = f", {rounded(speed):,} tokens/s" if speed else ""
    return f"{card.name} {estimate(plan).total / GIB:.1f} GiB of {card.memory_gib:.1f}{pace}"


def rounded(value: float) -> int:
    """To two figures: more would claim what an estimate cannot know."""
    return int(round(value, 2 - len(str(int(value)))))


def _largest(sizes: range, changed: Callable[[int], Plan], memory_gib: float) -> int:
    return max((n for n in sizes if estimate(changed(n)).total <= memory_gib * GIB), default=0)


def _optimizer_bytes(name: str, weights: int) -> int:
    """Two moments a weight in float32, as Adam keeps them; a paged optimizer may move them to the computer's memory."""
    if "8bit" in name:
        return 2 * weights + 2 * 4 * ceil(weights / 256)
    if name.startswith("sgd"):
        return 0
    return 2 * weights * 4


def _activation_bytes(plan: Plan) -> int:
    shape, tokens = plan.shape, plan.batch * plan.length
    size = 2 if plan.half else 4
    mask = 0 if "flash" in plan.attention else tokens * tokens * (1 if shape.gated else size)
    one_layer = tokens * size * (14 * shape.hidden + (8 if shape.gated else 4) * shape.mlp_width)
    if "eager" in plan.attention:
        one_layer += 4 * size * shape.heads * tokens * tokens
    largest = max(wide * out for wide, out in shape.linear.values()) * size  # one layer's weights, unpacked
    if not plan.checkpointing:
        return mask + shape.layers * one_layer + largest
    kept = shape.layers * tokens * shape.hidden * size * (2 if plan.selective else 1)
    head = min(tokens, 4096) * min(shape.vocabulary, 32768) * (size + 4)
    return mask + kept + max(one_layer + largest, head)
