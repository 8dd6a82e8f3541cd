"""The GPU: the one that is here or one that is assumed, what it can do, whether it is enough, and how it attends.

``auto`` attention means the flash-attention kernel of the Hub where the card, the ``kernels`` package and the network
(or its cache) allow it, else PyTorch's own scaled dot-product attention. Both keep the documents of a packed row apart:
flash attention by their positions, sdpa by a block-diagonal mask that transformers makes from the positions (and
`leylora.models.falcon` for Falcon).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from leylora.errors import LeyloraError, UsageError, first_line

GIB = 2**30
HUB_KERNEL = "kernels-community/flash-attn2"

# The one table of GPUs: memory in GiB as drivers report it (less than the box says), whether the card computes in
# bfloat16, and dense fp16 or bf16 tensor TFLOP/s with fp32 accumulation, from NVIDIA's data sheets (A10G: half of A10's
# rate).
KNOWN_CARDS: dict[str, tuple[float, bool, float]] = {
    "T4": (14.6, False, 65),
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


# The share of its peak that a card reaches in training with checkpointing, all FLOPs counted. Measured:
# benchmarks/training.json. Estimated: published runs reach 0.44 to 0.69; a T4 is held back by its 70 W.
MEASURED_SHARES = {"H200": 0.27}
ESTIMATED_SHARES = {"T4": 0.30, "H100": 0.27, "GH200": 0.27, "B200": 0.27}
ESTIMATED_SHARE = 0.45


def speed_share(name: str) -> tuple[float, bool]:
    """The share of its peak that the card of this name reaches in training, and whether that was measured."""
    known = _known(name)
    if known in MEASURED_SHARES:
        return MEASURED_SHARES[known], True
    return ESTIMATED_SHARES.get(known or "", ESTIMATED_SHARE), False


class Card(NamedTuple):
    """An NVIDIA GPU, by the name the driver reports. All of its memory: a "16 GB" T4 has 14.6 GiB."""

    name: str
    memory_gib: float
    bf16: bool  # computes in bfloat16 (Ampere and later)
    supported: bool = True  # by the CUDA that torch was built with


def find_card() -> Card | None:
    """The CUDA device this process would train on."""
    import torch

    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    # By compute capability: torch's own question also counts slow emulation on older cards as support.
    return Card(
        properties.name,
        properties.total_memory / GIB,
        bf16=properties.major >= 8,
        supported=10 * properties.major + properties.minor >= _oldest_architecture(torch.cuda.get_arch_list()),
    )


def _oldest_architecture(built_for: list[str]) -> int:
    """Of ``["sm_75", "sm_90", ...]``, the first: a build for CUDA 13 begins at 75, so that a V100 (70) is too old."""
    return min((int(found[1]) for arch in built_for if (found := re.match(r"sm_(\d+)", arch))), default=0)


def assumed_card(text: str) -> Card:
    """The card that a person describes: the name of a known one (``T4``), ``NAME NNGB``, or just ``NNGB``.

    A size that is given wins over the known one and is read as 10^9 bytes a gigabyte, unless the known card of that
    name has about as much: a "16GB" T4 is a T4.

    Raises:
        UsageError: neither a known name nor a size.
    """
    size = re.search(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)\s*(?:GB|GiB|G)\s*$", text.strip(), re.IGNORECASE)
    name = text.strip()[: size.start()].strip(" ,-") if size else text.strip()
    plain = re.sub(r"[^A-Z0-9]", "", name.upper().replace("NVIDIA", "").replace("GEFORCE", "").replace("TESLA", ""))
    known = {re.sub(r"[^A-Z0-9]", "", card.upper()): card for card in KNOWN_CARDS}
    found = known.get(plain) or known.get(f"RTX{plain}") or known.get(plain.removeprefix("RTX"))
    if found is None:
        if size is None:
            known_names = ", ".join(KNOWN_CARDS)
            raise UsageError(f"assume_gpu '{text}' says no size; write 'NAME NNGB' or one of: {known_names}.")
        return Card(name or "a card", float(size[1]) * 1e9 / GIB, bf16=True)
    memory, bf16, _ = KNOWN_CARDS[found]
    if size and abs(float(size[1]) - memory) > 0.15 * memory:
        memory = float(size[1]) * 1e9 / GIB
    return Card(found, memory, bf16)


def peak_tflops(card: str) -> float | None:
    """The peak of the card that the driver calls ``card``, or None when it is not in the table."""
    known = _known(card)
    return KNOWN_CARDS[known][2] if known else None


def _known(card: str) -> str | None:
    """The name in the table of the card that the driver calls ``card``."""
    words = f" {card.replace('-', ' ')} "
    return max((name for name in KNOWN_CARDS if f" {name} " in words), key=len, default=None)


def require_card(card: Card | None, memory_gib: float, *, instead: str) -> None:
    """Raise LeyloraError when the card is missing or has less than ``memory_gib``, before anything is downloaded.

    ``instead`` is the command that a person can run here and now.
    """
    if memory_gib <= 0:
        return
    if card is None:
        raise LeyloraError(
            f"This recipe needs an NVIDIA GPU with {memory_gib:g} GiB and none was found{_why_none()}. What runs here: "
            f"{instead}"
        )
    if not card.supported:
        raise LeyloraError(
            f"{card.name} is older than the cards this torch was built for (CUDA {_cuda()}); install torch for CUDA "
            f"12.6 from PyTorch's index. What runs here as it is: {instead}"
        )
    if card.memory_gib < memory_gib:
        raise LeyloraError(
            f"This recipe needs {memory_gib:g} GiB of GPU memory and {card.name} has {card.memory_gib:.1f}; lower "
            f"max_length, then min_gpu_memory_gib in the recipe. What runs here as it is: {instead}"
        )


def _cuda() -> str | None:
    import torch

    return torch.version.cuda


def driver(place: Path = Path("/proc/driver/nvidia/version")) -> str | None:
    """The version of the NVIDIA driver on this machine, or None where there is none to be seen."""
    with suppress(OSError):
        if found := re.search(r"Kernel Module.*?\b(\d{3}\.\d+(?:\.\d+)?)\b", place.read_text("utf-8", "replace")):
            return found[1]
    return None


OLDEST_DRIVERS = {"13": 580, "12": 525}
"""By CUDA's major version: the first driver that runs it (NVIDIA's release notes)."""


def _why_none() -> str:
    """What keeps torch from seeing a card that may be there."""
    cuda, version = _cuda(), driver()
    if version is None:
        return " (on a GPU machine: check `nvidia-smi`)"
    if cuda is None:
        return f": the driver {version} is here, but this torch is a build for CPUs; install its CUDA build"
    least = OLDEST_DRIVERS.get(cuda.partition(".")[0], 0)
    if int(version.partition(".")[0]) < least:
        return f": torch was built for CUDA {cuda}, which needs driver {least} or newer, and {version} is here"
    return f": the driver {version} and torch for CUDA {cuda} fit; check `nvidia-smi` and CUDA_VISIBLE_DEVICES"


def resolve_attention(
    asked: str | None, card: Card | None, *, half_precision: bool, fetch: Callable[[str], object] | None = None
) -> tuple[str, str]:
    """The implementation to load a model with, and one line on why.

    ``asked`` is the recipe's ``attn_implementation``; anything but ``auto``, None and `HUB_KERNEL` is taken as it is.
    ``fetch`` gets a kernel by its name and raises if it cannot; by default transformers' own.
    """
    if asked not in (None, "auto", HUB_KERNEL):
        return str(asked), "as the recipe asks"
    if card is None:
        return "sdpa", "no NVIDIA card here"
    if not card.bf16:
        return "sdpa", f"{card.name} is older than Ampere"
    if not half_precision:
        return "sdpa", "flash attention needs bf16 or fp16"
    if fetch is None:
        if find_spec("kernels") is None:
            return "sdpa", 'faster with flash attention: pip install "leylora[gpu]"'
        from transformers.integrations.hub_kernels import load_and_register_attn_kernel

        fetch = load_and_register_attn_kernel  # knows which version of the kernel this transformers wants
    try:
        fetch(HUB_KERNEL)
    except Exception as error:  # no network, no build for this torch or driver: each raises another type
        return "sdpa", f"{HUB_KERNEL} cannot be had ({first_line(error)})"
    return HUB_KERNEL, "prebuilt kernel from the Hub"


def avoid_unfused_grouped_attention() -> None:
    """On a card older than Ampere, give every query head its own keys and values before attention.

    Where no mask is needed, transformers 5 leaves grouped keys and values as they are and asks torch to share them
    (``integrations/sdpa_attention.py: use_gqa_in_sdpa``). Only flash attention does, which these cards cannot run, so
    torch falls back to plain matrix products in float32, 4 GiB a layer at 4,096 tokens, and generation takes half
    as long again or more (transformers#48633).
    """
    card = find_card()
    if card is not None and not card.bf16:
        from transformers.integrations import sdpa_attention

        sdpa_attention.use_gqa_in_sdpa = lambda *_, **__: False
