"""Falcon's two silent upstream faults: each test plants the fault and sees it, then sees it mended."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from leylora.errors import LeyloraError
from leylora.models.falcon import packed_causal_mask, widen_keys_and_values
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


def attention_kernels(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, **inputs: Any) -> set[int]:
    """Which of torch's kernels a model's attention takes: 0 is the one that multiplies plain matrices."""
    chosen = set()
    attend = torch.nn.functional.scaled_dot_product_attention

    def noted(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
        chosen.add(torch._fused_sdp_choice(query, key, value, **options))
        return attend(query, key, value, **options)

    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", noted)
        model(**inputs)
    return chosen


def test_falcon_takes_a_fused_kernel(tiny_base: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {"input_ids": torch.arange(300, 340)[None], "use_cache": False}
    upstream = AutoModelForCausalLM.from_pretrained(tiny_base("tiny-falcon"), dtype=torch.float32).eval()
    mended = load_base(str(tiny_base("tiny-falcon")), compute_dtype=torch.float32, load="16bit").eval()
    with torch.no_grad():
        plain = attention_kernels(upstream, monkeypatch, **ids)
        assert plain == {0}, "upstream widens keys and values now: models/falcon.py has one fix to lose"
        assert 0 not in attention_kernels(mended, monkeypatch, **ids)


def test_falcon_s_logits_are_upstream_s(tiny_base: Callable[[str], Path]) -> None:
    upstream = AutoModelForCausalLM.from_pretrained(tiny_base("tiny-falcon"), dtype=torch.float32).eval()
    mended = AutoModelForCausalLM.from_pretrained(tiny_base("tiny-falcon"), dtype=torch.float32).eval()
    widen_keys_and_values(mended)
    ids = torch.randint(300, 3000, (2, 24), generator=torch.Generator().manual_seed(5))
    left = torch.ones_like(ids)
    left[0, :9] = 0
    ways: list[dict[str, Any]] = [
        {"input_ids": ids},
        {"input_ids": ids, "attention_mask": left, "position_ids": (left.cumsum(-1) - 1).clamp(min=0)},
    ]
    with torch.no_grad():
        for inputs in ways:
            torch.testing.assert_close(mended(**inputs).logits, upstream(**inputs).logits, atol=1e-5, rtol=0)
        first, whole = mended(input_ids=ids[:, :20], use_cache=True), mended(input_ids=ids).logits
        assert first.past_key_values.layers[0].keys.shape[1] == 1, "the cache holds one head"
        later = mended(input_ids=ids[:, 20:21], past_key_values=first.past_key_values).logits
        torch.testing.assert_close(later[:, 0], whole[:, 20], atol=1e-5, rtol=0)
        written = [
            model.generate(ids, attention_mask=left, max_new_tokens=8, do_sample=False) for model in (upstream, mended)
        ]
    assert torch.equal(*written)


def test_falcon_s_gradients_are_upstream_s(tiny_base: Callable[[str], Path]) -> None:
    models = [AutoModelForCausalLM.from_pretrained(tiny_base("tiny-falcon"), dtype=torch.float32) for _ in range(2)]
    widen_keys_and_values(models[1])
    models[1].gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.arange(300, 340)[None]
    for model in models:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    for expected, found in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-6, rtol=1e-4)
