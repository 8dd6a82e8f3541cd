"""Which attention implementation a run uses, and why.

``auto`` means the flash-attention kernel of the Hub where the card, the ``kernels`` package and the network (or its
cache) allow it, else PyTorch's own scaled dot-product attention. Both keep the documents of a packed row apart: flash
attention by their positions, sdpa by a block-diagonal mask that transformers makes from the positions (and
`leylora.models.falcon` for Falcon).
"""

from collections.abc import Callable
from importlib.util import find_spec

from leylora.errors import first_line
from leylora.models.cards import Card, find_card

HUB_KERNEL = "kernels-community/flash-attn2"
FALLBACK = "sdpa"


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


def resolve_attention(
    asked: str | None, card: Card | None, *, half_precision: bool, fetch: Callable[[str], object] | None = None
) -> tuple[str, str]:
    """The implementation to load a model with, and one line on why.

    Args:
        asked: ``attn_implementation`` of the recipe; anything but ``auto``, None or `HUB_KERNEL` is taken as it is.
        card: what the run computes on.
        half_precision: whether it computes in bf16 or fp16; flash attention knows no float32.
        fetch: gets a kernel by its name and raises if it cannot; transformers' own by default.
    """
    if asked not in (None, "auto", HUB_KERNEL):
        return str(asked), "as the recipe asks"
    if card is None:
        return FALLBACK, "no NVIDIA card here"
    if not card.bf16:
        return FALLBACK, f"{card.name} is older than Ampere"
    if not half_precision:
        return FALLBACK, "flash attention needs bf16 or fp16"
    if fetch is None:
        if find_spec("kernels") is None:
            return FALLBACK, 'faster with flash attention: pip install "leylora[gpu]"'
        from transformers.integrations.hub_kernels import load_and_register_attn_kernel

        fetch = load_and_register_attn_kernel  # knows which version of the kernel this transformers wants
    try:
        fetch(HUB_KERNEL)
    except Exception as error:  # no network, no build for this torch or driver: each in a type of its own
        return FALLBACK, f"{HUB_KERNEL} cannot be had ({first_line(error)})"
    return HUB_KERNEL, "prebuilt kernel from the Hub"
