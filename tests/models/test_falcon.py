"""Falcon's two silent upstream faults: each test plants the fault and sees it, then sees it mended."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from leylora.errors import LeyloraError
from leylora.models.falcon import packed_causal_mask
from leylora.models.load import check_quantized, load_base, quantized_fraction

FAMILIES = ("tiny-mistral", "tiny-llama-2", "tiny-falcon")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_linear_layer_is_four_bit(tiny_base: Callable[[str], Path], family: str) -> None:
    model = load_base(str(tiny_base(family)), compute_dtype=torch.float32)
    assert quantized_fraction(model) == (1.0, [])


def test_the_loader_alone_leaves_falcon_unquantised_and_the_guard_stops(tiny_base: Callable[[str], Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        tiny_base("tiny-falcon"), quantization_config=BitsAndBytesConfig(load_in_4bit=True), dtype=torch.float32
    )
    fraction, unquantised = quantized_fraction(model)
    assert fraction < 1.0, "upstream quantises Falcon now: models/falcon.py has one fix to lose"
    assert len(unquantised) == 4 * 4  # four linear layers in each of four blocks
    with pytest.raises(LeyloraError, match=r"0% of the linear weights .* 16 layers .*query_key_value"):
        check_quantized(model)


def test_a_single_layer_left_in_sixteen_bits_stops_the_run(tiny_base: Callable[[str], Path]) -> None:
    model = load_base(str(tiny_base("tiny-mistral")), compute_dtype=torch.float32)
    model.model.layers[2].mlp.up_proj = torch.nn.Linear(192, 512, bias=False)
    with pytest.raises(LeyloraError, match=r"1 layers .*model\.layers\.2\.mlp\.up_proj"):
        check_quantized(model)


def losses(model: torch.nn.Module, *, packed: bool) -> torch.Tensor:
    """Loss of each token of three documents, each alone or all in one packed row."""
    random = torch.Generator().manual_seed(3)
    documents = [torch.randint(300, 3000, (length,), generator=random).tolist() for length in (30, 7, 45)]
    rows = [{"input_ids": ids} for ids in documents]
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    with torch.no_grad():
        logits = [
            model(**collator(batch), use_cache=False).logits[0]
            for batch in ([rows] if packed else [[row] for row in rows])
        ]
    every = torch.cat(logits)
    kept: list[int] = []
    target: list[int] = []
    ends = 0
    for ids in documents:
        kept += range(ends, ends + len(ids) - 1)
        target += ids[1:]
        ends += len(ids)
    return torch.nn.functional.cross_entropy(every[kept], torch.tensor(target), reduction="none")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_packed_documents_do_not_see_each_other(tiny_base: Callable[[str], Path], family: str, attention: str) -> None:
    model = load_base(
        str(tiny_base(family)), compute_dtype=torch.float32, attn_implementation=attention, load="16bit"
    ).eval()
    torch.testing.assert_close(losses(model, packed=True), losses(model, packed=False), atol=1e-5, rtol=0)


def test_without_the_hook_falcon_documents_see_each_other(tiny_base: Callable[[str], Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base("tiny-falcon"), dtype=torch.float32).eval()
    difference = (losses(model, packed=True) - losses(model, packed=False)).abs().max()
    assert difference > 1e-4, "upstream separates packed Falcon documents now: models/falcon.py has one fix to lose"


def test_packed_mask_is_causal_within_each_document() -> None:
    mask = packed_causal_mask(torch.tensor([[0, 1, 2, 0, 1]]), torch.float32)
    assert mask.shape == (1, 1, 5, 5)
    seen = (mask[0, 0] == 0).int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
    assert mask.min() == torch.finfo(torch.float32).min
