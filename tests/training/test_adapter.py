from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from leylora.errors import LeyloraError, UsageError
from leylora.models.cards import assumed_card, peak_tflops
from leylora.models.families import FAMILIES, KNOWN
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training import checks
from leylora.training.adapter import attach, without_rslora
from leylora.training.config import Arguments, parse
from leylora.training.data import filled, tokenize
from leylora.training.trainer import build_trainer, settle_checkpointing

MISTRAL = FAMILIES["mistral"]


def arguments(*words: str) -> Arguments:
    return parse(["--model", "tiny-mistral", *words])


def base(folder: Path) -> Any:
    return load_base(str(folder), compute_dtype=torch.float32, attn_implementation="sdpa")


def trainable(model: PeftModel) -> dict[str, torch.Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_same_seed_gives_both_adapters_of_a_pair_the_same_start(tiny_base: Callable[[str], Path]) -> None:
    first = trainable(attach(base(tiny_base("tiny-mistral")), arguments(), MISTRAL))
    second = trainable(attach(base(tiny_base("tiny-mistral")), arguments(), MISTRAL))
    other = trainable(attach(base(tiny_base("tiny-mistral")), arguments("--seed", "43"), MISTRAL))
    a = next(name for name in first if "lora_A" in name)
    assert torch.equal(first[a], second[a])
    assert not torch.equal(first[a], other[a])
    assert len(first) == 2 * 7 * 4  # A and B, seven layers, four blocks


def test_an_adapter_below_stays_frozen_and_active(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    below = attach(base(tiny_base("tiny-mistral")), arguments(), MISTRAL)
    for name, parameter in below.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    below.save_pretrained(tmp_path / "below")
    ids = torch.arange(300, 320)[None]
    with torch.no_grad():
        wanted = below(ids).logits
    model = attach(base(tiny_base("tiny-mistral")), arguments("--frozen_adapter", str(tmp_path / "below")), MISTRAL)
    assert all(".default." in name for name in trainable(model))
    assert len(trainable(model)) == 2 * 7 * 4
    with torch.no_grad():  # the new adapter starts at zero, so the sum is the one below
        torch.testing.assert_close(model(ids).logits, wanted)
        with model.disable_adapter():
            assert not torch.allclose(model(ids).logits, wanted, atol=1e-3)


def test_going_on_with_an_adapter_starts_from_its_weights(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    first = attach(base(tiny_base("tiny-mistral")), arguments("--seed", "5"), MISTRAL)
    first.save_pretrained(tmp_path / "first")
    second = attach(base(tiny_base("tiny-mistral")), arguments("--resume_adapter", str(tmp_path / "first")), MISTRAL)
    for name, parameter in trainable(first).items():
        assert torch.equal(parameter, trainable(second)[name])


def test_an_adapter_that_is_not_there_or_does_not_fit(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="none is not an adapter folder"):
        attach(base(tiny_base("tiny-mistral")), arguments("--frozen_adapter", str(tmp_path / "none")), MISTRAL)
    falcon = attach(base(tiny_base("tiny-falcon")), arguments("--lora_target_modules", "dense"), FAMILIES["falcon"])
    falcon.save_pretrained(tmp_path / "falcon")
    with pytest.raises(LeyloraError, match="does not fit this base model"):
        attach(base(tiny_base("tiny-mistral")), arguments("--resume_adapter", str(tmp_path / "falcon")), MISTRAL)
    with pytest.raises(UsageError, match=r"lora_target_modules .*query_key_value.* do not fit a llama-2 model"):
        attach(
            base(tiny_base("tiny-llama-2")), arguments("--lora_target_modules", "query_key_value"), FAMILIES["llama"]
        )


def trainer(folder: Path, work: Path, *words: str) -> Any:
    asked = arguments("--max_steps", "1", "--eval_strategy", "no", *words)
    tokenizer = load_tokenizer(str(folder))
    conversations = [
        {"messages": [{"role": "user", "content": f"¿Cuánto es {n}?"}, {"role": "assistant", "content": f"Es {n}."}]}
        for n in range(40)
    ]
    rows = tokenize(conversations, tokenizer, training_template(instruction_template("leylora-mistral")), 128)
    model = attach(base(folder), asked, MISTRAL)
    return build_trainer(model, tokenizer, rows, None, asked, work)


def test_adapters_are_float32_whatever_the_run_computes_in(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    """TRL 1.16 casts them to bf16 always: an fp16 run then dies at its first step, a bf16 run loses small updates."""
    from trl import SFTTrainer

    asked = arguments("--fp16", "true", "--bf16", "false", "--assistant_only_loss", "false", "--eval_strategy", "no")
    asked.training.output_dir = str(tmp_path / "planted")
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    rows = tokenize(
        [{"messages": [{"role": "user", "content": "¿Sí?"}, {"role": "assistant", "content": "Sí."}]}] * 4,
        tokenizer,
        training_template(instruction_template("leylora-mistral")),
        128,
    )
    model = attach(base(tiny_base("tiny-mistral")), asked, MISTRAL)
    SFTTrainer(model=model, args=asked.training, train_dataset=rows.dataset, processing_class=tokenizer)
    cast = {parameter.dtype for parameter in trainable(model).values()}
    assert cast == {torch.bfloat16}, "TRL no longer casts adapters: training/adapter.py has one fix to lose"

    for half, other in (("fp16", "bf16"), ("bf16", "fp16")):
        mended = trainer(tiny_base("tiny-mistral"), tmp_path / half, f"--{half}", "true", f"--{other}", "false")
        assert {parameter.dtype for parameter in trainable(mended.model).values()} == {torch.float32}
        before = {name: weight.detach().clone() for name, weight in trainable(mended.model).items()}
        if half == "bf16":  # a CPU trains no fp16
            mended.args.max_steps = 4  # B moves in the second, after warm-up; A in the third, for B was zero
            mended.train()
            assert all(not torch.equal(weight, before[name]) for name, weight in trainable(mended.model).items())


@pytest.mark.parametrize(
    ("words", "attention", "wanted"),
    [
        (["--gradient_checkpointing", "false"], "sdpa", None),
        ([], "kernels-community/flash-attn2", {"use_reentrant": False}),
        ([], "sdpa", {"use_reentrant": False, "selective": True}),
        ([], "sdpa on an H200", {"use_reentrant": False}),
    ],
)
def test_selective_checkpointing_is_dropped_where_it_cannot_pay(
    words: list[str], attention: str, wanted: dict[str, bool] | None
) -> None:
    asked = parse(["--model", "mistral-7b", "--adapter", "law", "--dry_run", *words])
    card = assumed_card("H200" if "H200" in attention else "RTX A4000")
    sizes = checks.sizes_of(asked, KNOWN["mistralai/Mistral-7B-v0.1"], attention, card)
    assert sizes.selective == bool(wanted and "selective" in wanted)  # what is estimated is what is run
    settle_checkpointing(asked.training, attention, peak_tflops(card.name))
    assert asked.training.gradient_checkpointing_kwargs == wanted


def test_a_recipe_of_a_large_model_trains_without_checkpointing(
    tiny_base: Callable[[str], Path], tmp_path: Path
) -> None:
    details = '{"use_reentrant": false, "selective": true}'  # as in the 7B recipes; TRL alone stops with a traceback
    off = ("--gradient_checkpointing", "false", "--gradient_checkpointing_kwargs", details, "--max_steps", "1")
    trainer(tiny_base("tiny-mistral"), tmp_path, *off).train()


def test_rows_are_packed_and_the_efficiency_is_their_share(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    built = trainer(tiny_base("tiny-mistral"), tmp_path, "--max_length", "128")
    packed = [len(ids) for ids in built.train_dataset["input_ids"]]
    assert len(packed) < 40 / 3
    assert max(packed) <= 128
    assert filled(built.train_dataset, 128) == sum(packed) / (128 * len(packed)) > 0.8


def test_rank_stabilised_alpha_is_folded() -> None:
    assert without_rslora({"use_rslora": True, "r": 16, "lora_alpha": 32}) == {
        "use_rslora": False,
        "r": 16,
        "lora_alpha": 128,
    }
    folded = without_rslora({"use_rslora": True, "r": 8, "lora_alpha": 16})
    assert folded["lora_alpha"] / 8 == pytest.approx(16 / 8**0.5)
    with pytest.raises(LeyloraError, match="rank_pattern"):
        without_rslora({"use_rslora": True, "r": 8, "lora_alpha": 16, "rank_pattern": {"q_proj": 4}})
