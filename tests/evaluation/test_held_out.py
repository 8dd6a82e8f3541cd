from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from leylora.errors import LeyloraError
from leylora.evaluation.held_out import (
    RowLosses,
    Variant,
    compare,
    interval,
    retention,
    retention_interval,
    row_losses,
)
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import IGNORED, TokenizedDataset, tokenize


def losses(values: list[float], tokens: list[int]) -> RowLosses:
    return RowLosses(np.array(values), np.array(tokens))


@pytest.fixture
def rows(tiny_base: Callable[[str], Path]) -> TokenizedDataset:
    conversations = [
        {"messages": [{"role": "user", "content": "¿Plazo?"}, {"role": "assistant", "content": "Son tres días " * n}]}
        for n in (1, 2, 5)
    ]
    template = training_template(instruction_template("leylora-mistral"))
    return tokenize(conversations, load_tokenizer(str(tiny_base("tiny-mistral"))), template, 256)


def test_row_losses_are_the_models_own(tiny_base: Callable[[str], Path], rows: TokenizedDataset) -> None:
    model = load_base(str(tiny_base("tiny-mistral")), compute_dtype=torch.float32)
    measured = row_losses(model, rows)
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
        Variant("base", None),
        Variant("a", tmp_path / "a"),
        Variant("b", tmp_path / "b"),
        Variant("again", None),
    ]
    together = compare(load_base(str(base), compute_dtype=torch.float32), variants, {"law": rows})
    alone = compare(load_base(str(base), compute_dtype=torch.float32), variants[2:3], {"law": rows})
    assert together["b"]["law"].mean == pytest.approx(alone["b"]["law"].mean, rel=1e-6)
    assert together["again"]["law"].mean == pytest.approx(together["base"]["law"].mean, rel=1e-6)
    assert abs(together["a"]["law"].mean - together["b"]["law"].mean) > 1e-3


def test_a_missing_adapter_is_one_sentence(
    tiny_base: Callable[[str], Path], rows: TokenizedDataset, tmp_path: Path
) -> None:
    base = load_base(str(tiny_base("tiny-mistral")), compute_dtype=torch.float32)
    with pytest.raises(LeyloraError, match="does not load on this base as an adapter"):
        compare(base, [Variant("x", tmp_path / "none")], {"law": rows})


def test_retention_is_the_share_of_the_gain() -> None:
    base, single = losses([10, 20], [5, 5]), losses([5, 10], [5, 5])
    assert retention(base, single, single) == 1.0
    assert retention(base, single, base) == 0.0
    assert retention(base, single, losses([6, 12], [5, 5])) == pytest.approx(0.8)
    assert np.isnan(retention(single, base, base))


def test_intervals_hold_the_truth_and_shrink_with_rows() -> None:
    random = np.random.default_rng(0)
    few, many = (losses(list(random.gamma(4, 5, n)), [10] * n) for n in (30, 3000))
    for measured in (few, many):
        low, high = interval(measured)
        assert low < measured.mean < high
        assert low < 2.0 < high
    assert np.diff(interval(many)) < np.diff(interval(few)) / 5
    gains = losses(list(few.nll * 0.5), [10] * 30)
    low, high = retention_interval(few, gains, losses(list(few.nll * 0.6), [10] * 30))
    assert low == pytest.approx(0.8)  # every row keeps the same share, so resampling rows cannot move it
    assert high == pytest.approx(0.8)
