"""The GPU: the one that is here or one that is assumed, what it can do, and whether it is enough."""

import re
from dataclasses import dataclass

from leylora.errors import LeyloraError, UsageError

GIB = 2**30

KNOWN_CARDS: dict[str, tuple[float, bool, float]] = {
    "T4": (14.6, False, 65),
    "V100": (15.8, False, 125),
    "RTX 2080 Ti": (10.8, False, 53.8),
    "RTX A4000": (15.7, True, 76.7),
    "RTX A5000": (23.7, True, 111.1),
    "RTX A6000": (47.5, True, 154.8),
    "A10G": (22.1, True, 70),
    "A10": (22.1, True, 125),
    "A30": (23.5, True, 165),
    "A40": (44.4, True, 149.7),
    "L4": (22.2, True, 121),
    "L40": (44.4, True, 181),
    "L40S": (44.4, True, 362),
    "RTX 3060": (11.8, True, 25.6),
    "RTX 3080": (9.8, True, 59.5),
    "RTX 3090": (23.7, True, 71.2),
    "RTX 4060 Ti": (15.7, True, 44.1),
    "RTX 4070": (11.7, True, 58.3),
    "RTX 4080": (15.7, True, 97.5),
    "RTX 4090": (23.6, True, 165.2),
    "RTX 6000 Ada": (47.5, True, 364.2),
    "RTX 5080": (15.5, True, 112.6),
    "RTX 5090": (31.4, True, 209.5),
    "A100": (79.1, True, 312),
    "H100 PCIe": (79.1, True, 756),
    "H100 NVL": (93.1, True, 835),
    "H100": (79.1, True, 989),
    "H200": (139.8, True, 989),
    "GH200": (94.5, True, 989),
    "B200": (178.4, True, 2250),
}
"""The one table of GPUs: memory in GiB as drivers report it (less than the box says), whether the card computes in
bfloat16, and dense fp16 or bf16 tensor TFLOP/s with fp32 accumulation, from NVIDIA's data sheets (A10G: half of A10's
rate)."""


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


def assumed_card(text: str) -> Card:
    """The card that a person describes: the name of a known one (``T4``), ``NAME NNGB``, or just ``NNGB``.

    A size that is given wins over the known one and is read as 10^9 bytes a gigabyte, unless the known card of that
    name has about as much: a "16GB" T4 is a T4.

    Raises:
        UsageError: neither a known name nor a size.
    """
    size = re.search(r"(\d+(?:\.\d+)?)\s*(?:GB|GiB|G)\s*$", text.strip(), re.IGNORECASE)
    name = text.strip()[: size.start()].strip(" ,-") if size else text.strip()
    plain = re.sub(r"[^A-Z0-9]", "", name.upper().replace("NVIDIA", "").replace("GEFORCE", "").replace("TESLA", ""))
    known = {re.sub(r"[^A-Z0-9]", "", card.upper()): card for card in KNOWN_CARDS}
    found = known.get(plain) or known.get(f"RTX{plain}") or known.get(plain.removeprefix("RTX"))
    if found is None and size is None:
        raise UsageError(f"assume_gpu '{text}' says no size; write 'NAME NNGB' or one of: {', '.join(KNOWN_CARDS)}.")
    if found is None:
        return Card(name or "a card", float(size[1]) * 1e9 / GIB, bf16=True)  # type: ignore[index]  # size is there
    memory, bf16, _ = KNOWN_CARDS[found]
    if size and abs(float(size[1]) - memory) > 0.15 * memory:
        memory = float(size[1]) * 1e9 / GIB
    return Card(found, memory, bf16)


def peak_tflops(card: str) -> float | None:
    """The peak of the card that the driver calls ``card``, or None when it is not in the table."""
    words = card.replace("-", " ").split()
    known = [
        name
        for name in KNOWN_CARDS
        if any(words[at : at + len(name.split())] == name.split() for at in range(len(words)))
    ]
    return KNOWN_CARDS[max(known, key=len)][2] if known else None


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
