"""The 7B shapes, with random weights, in the memory of a 16 GB GPU: real 4 bits, isolated documents, steps that fit.

Not yet run. `pytest tests/gpu` takes some minutes on one GPU and downloads nothing.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from leylora.models.cards import GIB
from leylora.models.load import quantized_fraction

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))
FAMILIES, random_base, shape = attrgetter("FAMILIES", "random_base", "shape")(importlib.import_module("random_base"))
CARD = 14.0 * GIB  # of the 14.6 GiB of a "16 GB" T4, CUDA's own memory takes the rest
LONGEST = {"mistral": 4096, "llama-2": 4096, "falcon": 2048}
NF4_GIB = {"mistral": 3.35, "llama-2": 3.11, "falcon": 3.18}  # linear weights at 4 bits and double-quantised scales
OUTER_GIB = {"mistral": 0.49, "llama-2": 0.49, "falcon": 0.55}  # embeddings and head in 16 bits
ONE_MATRIX_GIB = 0.5  # the largest matrix in 16 bits, and what quantising it needs beside it


def attentions() -> list[str]:
    """sdpa, and whichever flash-attention kernels are installed."""
    flash = {"flash_attention_2": "flash_attn", "kernels-community/flash-attn2": "kernels"}
    return ["sdpa", *(name for name, package in flash.items() if find_spec(package))]


def half() -> torch.dtype:
    return torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16


@pytest.fixture(autouse=True)
def _card_of_16_gb() -> Iterator[None]:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, CARD / total))
    torch.cuda.reset_peak_memory_stats()
    yield
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def contenders(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("training_contenders")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_weight_is_in_4_bits_and_none_was_ever_whole_in_16(family: str) -> None:
    model = random_base(shape(family), compute_dtype=half(), device="cuda")
    assert quantized_fraction(model) == (1.0, [])
    held = NF4_GIB[family] + OUTER_GIB[family]
    assert torch.cuda.memory_allocated() / GIB == pytest.approx(held, rel=0.03)
    assert torch.cuda.max_memory_allocated() / GIB < held + ONE_MATRIX_GIB


@pytest.mark.parametrize("attention", attentions())
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_do_not_see_each_other(family: str, attention: str) -> None:
    dtype = torch.float32 if attention == "sdpa" else half()
    model = random_base(
        shape(family, small=True), compute_dtype=dtype, device="cuda", attn_implementation=attention
    ).eval()
    first, second = (torch.randint(10, 500, (1, length), device="cuda") for length in (37, 91))
    places = [torch.arange(37, device="cuda"), torch.arange(91, device="cuda")]
    with torch.inference_mode():
        # use_cache=False, as in training: with a cache, transformers does not look for packed documents
        packed = model(
            input_ids=torch.cat([first, second], 1), position_ids=torch.cat(places)[None], use_cache=False
        ).logits[:, 37:]
        alone = model(input_ids=second, position_ids=places[1][None]).logits
        seen = model(input_ids=torch.cat([first, second], 1)).logits[:, 37:]
    contaminated = (seen - alone).abs().max().item()
    assert (packed - alone).abs().max().item() < (1e-4 if dtype == torch.float32 else 0.1 * contaminated)
    assert contaminated > 0.01


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_recipe_s_steps_fit_16_gb_and_learn(
    family: str, precision: str, contenders: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of the family's longest rows; with fp16 as on a T4, whatever this card could do."""
    if precision == "bf16" and half() != torch.bfloat16:
        pytest.skip("this card has no bf16")
    if precision == "fp16":
        no_bf16(monkeypatch)
    job = contenders.Job("ours", family, LONGEST[family], 0, 14.0, "sdpa", False)
    trainer = contenders.ours(job, contenders.synthetic_rows(job), tmp_path)
    assert (trainer.args.fp16, trainer.args.bf16) == (precision == "fp16", precision == "bf16")
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters() if "lora_B" in name}
    trainer.train()
    losses = [point["loss"] for point in trainer.state.log_history if "loss" in point] or [
        trainer.state.log_history[-1]["train_loss"]
    ]
    assert all(torch.isfinite(torch.tensor(losses)))
    moved = [name for name, weight in trainer.model.named_parameters() if name in before and (weight != 0).any()]
    assert len(moved) == len(before), "every layer's adapter takes part"
    assert torch.cuda.max_memory_allocated() < CARD


def no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recipes see this card as one without bf16, which makes them choose fp16."""
    import leylora.training.config as config
    from leylora.models.cards import Card

    def card(**_: Any) -> Card:
        return Card("a card without bf16", 14.6, bf16=False)

    monkeypatch.setattr(config, "find_card", card)
