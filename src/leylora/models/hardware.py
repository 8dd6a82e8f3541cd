"""The card that is there, and whether it is enough."""

from dataclasses import dataclass

from leylora.errors import LeyloraError

GIB = 2**30


@dataclass(frozen=True)
class Card:
    """An NVIDIA GPU.

    Attributes:
        name: as the driver tells it.
        memory_gib: all of its memory. A "16 GB" T4 reports 14.6.
        bf16: whether it computes in bfloat16 (Ampere and later).
    """

    name: str
    memory_gib: float
    bf16: bool


def find_card() -> Card | None:
    """The CUDA device this process would train on, or None."""
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    # By compute capability: torch's own question also counts slow emulation on older cards as support.
    return Card(properties.name, properties.total_memory / GIB, bf16=properties.major >= 8)


def require_card(card: Card | None, memory_gib: float, *, instead: str) -> None:
    """Stop before anything is downloaded when the card is missing or too small.

    Args:
        memory_gib: what the run needs.
        instead: what the person can run here and now, as a command.

    Raises:
        LeyloraError: names what is missing and the alternative.
    """
    if memory_gib <= 0:
        return
    if card is None:
        raise LeyloraError(
            f"This recipe needs an NVIDIA GPU with {memory_gib:g} GiB and none was found (on a GPU machine: check "
            f"`nvidia-smi` and that torch is a CUDA build). What runs here: {instead}"
        )
    if card.memory_gib < memory_gib:
        raise LeyloraError(
            f"This recipe needs {memory_gib:g} GiB of GPU memory and {card.name} has {card.memory_gib:.1f}; lower "
            f"max_length, then min_gpu_memory_gib in the recipe. What runs here as it is: {instead}"
        )
