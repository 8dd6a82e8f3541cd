from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json
from leylora.models import cards
from leylora.models.cards import (
    HUB_KERNEL,
    KNOWN_CARDS,
    Card,
    assumed_card,
    avoid_unfused_grouped_attention,
    peak_tflops,
    require_card,
    resolve_attention,
)
from leylora.project import ROOT

A100 = Card("NVIDIA A100", 79.1, bf16=True)
T4 = Card("Tesla T4", 14.6, bf16=False)


def offline(name: str) -> object:
    raise OSError("no network\nand much more")


@pytest.mark.parametrize(
    ("asked", "card", "half", "fetch", "wanted"),
    [
        ("auto", A100, True, len, (HUB_KERNEL, "prebuilt kernel from the Hub")),
        (HUB_KERNEL, A100, True, len, (HUB_KERNEL, "prebuilt kernel from the Hub")),
        ("auto", A100, True, offline, ("sdpa", f"{HUB_KERNEL} cannot be had (no network)")),
        ("auto", A100, False, len, ("sdpa", "flash attention needs bf16 or fp16")),
        ("auto", T4, True, len, ("sdpa", "Tesla T4 is older than Ampere")),
        ("auto", None, True, len, ("sdpa", "no NVIDIA card here")),
        (None, None, True, len, ("sdpa", "no NVIDIA card here")),
        ("eager", A100, True, len, ("eager", "as the recipe asks")),
        ("flash_attention_2", A100, True, offline, ("flash_attention_2", "as the recipe asks")),
    ],
)
def test_the_kernel_is_taken_where_card_precision_and_network_allow(
    asked: str | None, card: Card | None, half: bool, fetch: object, wanted: tuple[str, str]
) -> None:
    assert resolve_attention(asked, card, half_precision=half, fetch=fetch) == wanted  # type: ignore[arg-type]


def test_without_the_kernels_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leylora.models.cards.find_spec", lambda name: None)
    assert resolve_attention("auto", A100, half_precision=True) == (
        "sdpa",
        'faster with flash attention: pip install "leylora[gpu]"',
    )


@pytest.mark.parametrize(
    ("text", "name", "gib", "bf16"),
    [
        ("T4 16GB", "T4", 14.6, False),
        ("Tesla T4", "T4", 14.6, False),
        ("NVIDIA GeForce RTX 4090", "RTX 4090", 23.6, True),
        ("4090", "RTX 4090", 23.6, True),
        ("A100 40GB", "A100", 37.3, True),
        ("T4 32 GB", "T4", 29.8, False),
        ("24GB", "a card", 22.4, True),
        ("Brand-New 48GB", "Brand-New", 44.7, True),
    ],
)
def test_cards_as_people_write_them(text: str, name: str, gib: float, bf16: bool) -> None:
    card = assumed_card(text)
    assert (card.name, round(card.memory_gib, 1), card.bf16) == (name, gib, bf16)


@pytest.mark.parametrize("name", KNOWN_CARDS)
def test_every_known_card_can_be_assumed_and_has_a_speed(name: str) -> None:
    card = assumed_card(name)
    assert (card.name, card.memory_gib, card.bf16, peak_tflops(card.name)) == (name, *KNOWN_CARDS[name])


def test_a_card_without_a_size_is_asked_for_one() -> None:
    with pytest.raises(UsageError, match=r"'Voodoo' says no size; write 'NAME NNGB' or one of: T4, RTX 2080 Ti"):
        assumed_card("Voodoo")


@pytest.mark.parametrize(("card", "shared"), [(T4, False), (A100, True), (None, True)])
def test_grouped_keys_and_values_are_shared_only_where_a_fused_kernel_can(
    monkeypatch: pytest.MonkeyPatch, card: Card | None, shared: bool
) -> None:
    import torch
    from transformers.integrations import sdpa_attention

    monkeypatch.setattr(sdpa_attention, "use_gqa_in_sdpa", sdpa_attention.use_gqa_in_sdpa)  # put back afterwards
    monkeypatch.setattr("leylora.models.cards.find_card", lambda: card)
    avoid_unfused_grouped_attention()
    key = torch.zeros(1, 2, 8, 64)
    assert sdpa_attention.use_gqa_in_sdpa(None, key, key) is shared


@pytest.mark.parametrize(
    ("card", "message"),
    [(None, "none was found"), (Card("NVIDIA GeForce GTX 1650", 3.9, bf16=False), "GTX 1650 has 3.9")],
)
def test_a_missing_or_small_card_stops_with_an_alternative(card: Card | None, message: str) -> None:
    with pytest.raises(LeyloraError, match=rf"{message}.*make demo"):
        require_card(card, 14, instead="make demo")
    require_card(card, 0, instead="make demo")
    require_card(Card("Tesla T4", 14.6, bf16=False), 14, instead="make demo")


def test_peaks_by_the_names_drivers_give() -> None:
    assert peak_tflops("Tesla T4") == 65
    assert peak_tflops("NVIDIA A10G") == 70
    assert peak_tflops("NVIDIA A10") == 125
    assert peak_tflops("NVIDIA A100-SXM4-80GB") == 312
    assert peak_tflops("Tesla V100-SXM2-16GB") is None
    assert peak_tflops("NVIDIA H100 80GB HBM3") == 989
    assert peak_tflops("NVIDIA H100 PCIe") == 756
    assert peak_tflops("NVIDIA L40S") == 362
    assert peak_tflops("NVIDIA GeForce RTX 3090") == 71.2
    assert peak_tflops("NVIDIA RTX A4000") == 76.7
    assert peak_tflops("NVIDIA Tomorrow 1") is None


@pytest.mark.parametrize(
    ("text", "cuda", "sentence"),
    [
        (None, "13.0", "on a GPU machine: check `nvidia-smi`"),
        ("Kernel Module  535.104.05  Release", "13.0", "needs driver 580 or newer, and 535.104.05 is here"),
        ("Open Kernel Module for x86_64  580.65.06  Rel", "13.0", "fit; check `nvidia-smi` and CUDA_VISIBLE_DEVICES"),
        ("Kernel Module  580.65.06", None, "this torch is a build for CPUs"),
    ],
)
def test_why_no_card_is_seen_is_said(
    text: str | None, cuda: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "version"
    if text:
        file.write_text(f"NVRM version: NVIDIA UNIX {text}\n")
    found = cards.driver(file)
    assert (found is None) == (text is None)
    monkeypatch.setattr(cards, "driver", lambda: found)
    monkeypatch.setattr(cards, "_cuda", lambda: cuda)
    with pytest.raises(LeyloraError) as error:
        require_card(None, 10, instead="make demo")
    assert sentence in str(error.value)
    assert "make demo" in str(error.value)


def test_a_card_older_than_torch_s_build_is_named() -> None:
    assert cards._oldest_architecture(["sm_75", "sm_90a", "sm_120", "compute_120"]) == 75
    assert cards._oldest_architecture([]) == 0
    with pytest.raises(LeyloraError, match=r"V100-SXM2 is older than the cards .* torch for CUDA 12\.6"):
        require_card(Card("Tesla V100-SXM2", 15.8, bf16=False, supported=False), 10, instead="make demo")


def test_speed_shares_say_whether_they_were_measured() -> None:
    assert cards.speed_share("NVIDIA H200") == (0.27, True)
    assert cards.speed_share("Tesla T4") == (0.30, False)
    assert cards.speed_share("NVIDIA GeForce RTX 4090") == (0.45, False)
    assert cards.speed_share("none such") == (0.45, False)
    rows = read_json(ROOT / "benchmarks" / "training.json")["rows"]
    best = max(row["utilization"] for row in rows if row["contender"] == "ours" and row["checkpointing"])
    assert cards.MEASURED_SHARES["H200"] == pytest.approx(best * 6 / 4, abs=0.01), (
        "useful work, counted with recomputing"
    )
