"""What a person sees of a run."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from transformers import TrainerControl, TrainerState, TrainingArguments

from leylora import console
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, served_template
from leylora.training import progress
from leylora.training.progress import Meter, ProgressBar, SampleCallback
from leylora.training.trainer import LoraTrainer

TEMPLATE = instruction_template("leylora-mistral")


def test_a_prompt_is_answered_the_same_alone_and_in_a_batch(
    tiny_base: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts are answered in one batch, padded on the left; that must not change an answer, nor anything else."""
    monkeypatch.setattr(progress, "MAX_NEW_TOKENS", 6)
    for family, template in (("tiny-mistral", "leylora-mistral"), ("tiny-falcon", "leylora-falcon")):
        folder = tiny_base(family)
        tokenizer = load_tokenizer(str(folder))
        model = load_base(str(folder), compute_dtype=torch.float32, attn_implementation="sdpa").train()
        served = served_template(instruction_template(template))
        torch.manual_seed(3)
        before = torch.get_rng_state()
        together = progress.answer(model, tokenizer, served, progress.PROMPTS)
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training
        alone = [progress.answer(model, tokenizer, served, [p])[0] for p in progress.PROMPTS]
        assert together == alone
    assert len(progress.PROMPTS) == 5


def test_answers_come_before_during_and_after(
    trainer: Callable[..., LoraTrainer],
    tiny_base: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "MAX_NEW_TOKENS", 3)
    built = trainer()
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    sampler = SampleCallback(tokenizer, served_template(TEMPLATE), tmp_path / "work", 4, ["¿Uno?", "¿Dos?"])
    built.add_callback(sampler)
    built.run(None)
    assert [(sample.step, sample.prompt) for sample in sampler.samples] == [
        (step, prompt) for step in (0, 4, 6) for prompt in ("¿Uno?", "¿Dos?")
    ]
    assert "Answers after 4 of 6 steps:\n  ¿Uno?\n    -> " in capsys.readouterr().err


def test_the_meter_counts_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 12.0, 100.0, 102.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    meter = Meter()
    meter.start(5_000)  # where an interrupted run stood
    meter.step(5_300)
    meter.skip()  # 88 seconds of evaluation
    meter.step(5_500)
    assert meter.tokens_per_second == 500 / 4


def test_the_bar_shows_loss_speed_use_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=terminal, force_terminal=True, width=80))
    clock = iter([0.0, 0.0, 2.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(progress, "peak_memory_gib", lambda: (7.94, "card"))
    bar = ProgressBar("mistral-7b-instructions", flops_per_token=30e9, peak_flops=65e12)
    state = TrainerState(global_step=0, max_steps=100, is_world_process_zero=True)
    args, control = TrainingArguments(), TrainerControl()
    bar.on_train_begin(args, state, control)
    state.global_step, state.num_input_tokens_seen = 1, 1_300
    bar.on_step_end(args, state, control)
    bar.on_log(args, state, control, logs={"loss": 1.23456})
    bar.on_train_end(args, state, control)
    shown = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", terminal.getvalue())
    line, figures = shown.strip().splitlines()[-2:]
    assert re.search(r"mistral-7b-instructions .* 1/100 +0:00:\d\d ", line)
    assert figures.strip() == "loss 1.235  650 tok/s  30% of peak  7.9 GiB"
    assert bar.utilization == pytest.approx(0.3)
    assert ProgressBar("on CPU").utilization is None


def test_only_rank_0_shows_a_bar() -> None:
    bar = ProgressBar("second")
    bar.on_train_begin(TrainingArguments(), TrainerState(is_world_process_zero=False), TrainerControl())
    assert bar._bar is None
