from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant
from leylora.errors import LeyloraError
from leylora.evaluation.loss import RowLosses, compare_losses, row_losses
from leylora.evaluation.statistics import kept_share, ratio_interval
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import IGNORED, TokenizedDataset, tokenize


def losses(values: list[float], tokens: list[int]) -> RowLosses:
    return RowLosses(np.array(values), np.array(tokens))


def in_float32(base: Path) -> AdaptedModel:
    return AdaptedModel(str(base), model=load_base(str(base), compute_dtype=torch.float32))


@pytest.fixture
def rows(tiny_base: Callable[[str], Path]) -> TokenizedDataset:
    conversations = [
        {"messages": [{"role": "user", "content": "¿Plazo?"}, {"role": "assistant", "content": "Son tres días " * n}]}
        for n in (1, 2, 5)
    ]
    template = training_template(instruction_template("leylora-mistral"))
    return tokenize(conversations, load_tokenizer(str(tiny_base("tiny-mistral"))), template, 256)


def test_row_losses_are_the_models_own(tiny_base: Callable[[str], Path], rows: TokenizedDataset) -> None:
    adapted = in_float32(tiny_base("tiny-mistral"))
    measured, model = row_losses(adapted, BASE, rows), adapted.model
    for number, row in enumerate(rows.dataset):
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        with torch.no_grad():
            mean = model(input_ids=ids, labels=labels).loss.item()
        assert measured.tokens[number] == sum(label != IGNORED for label in row["labels"])
        assert measured.nll[number] / measured.tokens[number] == pytest.approx(mean, rel=1e-5)
    assert measured.mean == pytest.approx(measured.nll.sum() / measured.tokens.sum())


def test_switching_adapters_leaves_no_trace(
    tiny_base: Callable[[str], Path], rows: TokenizedDataset, tmp_path: Path
) -> None:
    base = tiny_base("tiny-mistral")
    for name, seed in (("a", 1), ("b", 2)):
        torch.manual_seed(seed)
        config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
        get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(tmp_path / name)
    variants = [
        BASE,
        *(Variant(name=name, adapter=str(tmp_path / name)) for name in "ab"),
        Variant(name="again", role="base"),
    ]
    together = compare_losses(in_float32(base), variants, {"law": rows})
    alone = compare_losses(in_float32(base), variants[2:3], {"law": rows})
    assert together["b"]["law"].mean == pytest.approx(alone["b"]["law"].mean, rel=1e-6)
    assert together["again"]["law"].mean == pytest.approx(together["base"]["law"].mean, rel=1e-6)
    assert abs(together["a"]["law"].mean - together["b"]["law"].mean) > 1e-3


def test_a_missing_adapter_is_one_sentence(
    tiny_base: Callable[[str], Path], rows: TokenizedDataset, tmp_path: Path
) -> None:
    model = in_float32(tiny_base("tiny-mistral"))
    with pytest.raises(LeyloraError, match=r"none does not load on .* as an adapter"):
        compare_losses(model, [Variant(name="x", adapter=str(tmp_path / "none"))], {"law": rows})


def test_the_kept_share_is_that_of_the_gain() -> None:
    base, single = losses([10, 20], [5, 5]).sums, losses([5, 10], [5, 5]).sums
    assert kept_share(base, single, single)[0] == 1.0
    assert kept_share(base, single, base)[0] == 0.0
    assert kept_share(base, single, losses([6, 12], [5, 5]).sums)[0] == pytest.approx(0.8)
    assert np.isnan(kept_share(base, base, single)[0])  # no gain to keep


def test_intervals_hold_the_truth_and_shrink_with_rows() -> None:
    random = np.random.default_rng(0)
    few, many = (losses(list(random.gamma(4, 5, n)), [10] * n) for n in (30, 3000))
    for measured in (few, many):
        low, high = ratio_interval(measured.sums)
        assert low < measured.mean < high
        assert low < 2.0 < high
    assert np.diff(ratio_interval(many.sums)) < np.diff(ratio_interval(few.sums)) / 5
    gains, kept = losses(list(few.nll * 0.5), [10] * 30), losses(list(few.nll * 0.6), [10] * 30)
    _, low, high = kept_share(few.sums, gains.sums, kept.sums)
    assert low == pytest.approx(0.8)  # every row keeps the same share, so resampling rows cannot move it
    assert high == pytest.approx(0.8)
