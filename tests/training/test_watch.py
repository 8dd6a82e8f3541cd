"""What a person sees of a run, and when a run stops itself."""

import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import (
    FalconConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.models.cards import peak_tflops
from leylora.models.families import FAMILIES
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, served_template, training_template
from leylora.project import RECIPES
from leylora.training import progress, samples
from leylora.training.adapter import attach
from leylora.training.arguments import parse
from leylora.training.divergence import Watch, diverged, window_means
from leylora.training.engine import Engine
from leylora.training.flops import flops_per_token, matmul_parameters, mean_context
from leylora.training.plots import PICTURE_FILES, draw
from leylora.training.progress import Meter, ProgressBar
from leylora.training.record import LossPoint
from leylora.training.resume import checkpoints, fault_of
from leylora.training.rows import Rows, tokenize
from leylora.training.trackers import check_trackers
from leylora.training.trainer import add_sampler, build_trainer, mean_loss, train

TEMPLATE = instruction_template("leylora-mistral")


@pytest.fixture
def engine(tiny_base: Callable[[str], Path], tmp_path: Path) -> Callable[..., Engine]:
    """``engine("--key", "value")``: a trainer over twelve rows of which one speaks of a quetzal."""
    folder = tiny_base("tiny-mistral")
    tokenizer = load_tokenizer(str(folder))

    def make(*more: str) -> Engine:
        asked = parse(
            ["--config", str(RECIPES / "tiny-mistral" / "instructions.yaml"), "--max_length", "64",
             "--gradient_accumulation_steps", "2", "--max_steps", "6", "--eval_strategy", "no", "--logging_steps", "1",
             "--output_dir", str(tmp_path / "LORA" / "watched"), *more]
        )  # fmt: skip
        rows = [row(n, "Un quetzal." if n == 7 else f"Es el {n}.") for n in range(12)]
        model = attach(load_base(str(folder), compute_dtype=torch.float32), asked, FAMILIES["mistral"])
        made = tokenize(rows, tokenizer, training_template(TEMPLATE), 64)
        trainer = build_trainer(model, tokenizer, made, None, asked, tmp_path / "work")
        add_sampler(trainer, tokenizer, served_template(TEMPLATE), asked, tmp_path / "work")
        return trainer

    return make


def row(n: int, answer: str) -> dict[str, Any]:
    question = f"¿Qué es el número {n}?"
    return {
        "id": f"fila-{n}",
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
    }


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_rows(
    engine: Callable[..., Engine], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = engine("--save_strategy", "steps", "--save_steps", "1", "--packing", "false")
    poison_a_token_of(7, trainer)
    with pytest.raises(LeyloraError, match=r"The loss of step \d is not a number; .* nothing was saved as finished"):
        train(trainer, None)
    told = capsys.readouterr().err.splitlines()
    first = next(at for at, line in enumerate(told) if line.startswith("Rows of step"))
    assert [line.split(":")[0].strip() for line in told[first + 1 :] if "fila-" in line] == ["fila-7"]
    assert "Un quetzal." in told[first + 1]
    assert trainer.state.global_step > 0, "the poisoned row came first; choose another seed"
    assert all(fault_of(path) is None for path in checkpoints(tmp_path / "work"))
    assert all(parameter.isfinite().all() for parameter in trainer.model.parameters() if parameter.requires_grad)


def test_all_conversations_of_a_packed_row_are_named(
    engine: Callable[..., Engine], capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = engine()
    poison_a_token_of(7, trainer)
    with pytest.raises(LeyloraError, match="is not a number"):
        train(trainer, None)
    named = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  fila-")]
    assert 1 < len(named) < 8
    assert any("fila-7: " in line and "quetzal" in line for line in named)


def poison_a_token_of(n: int, trainer: Engine) -> None:
    """Make the input embedding of a token that only this row has not a number."""
    tokenizer = trainer.processing_class
    others = {
        token
        for k in range(12)
        if k != n
        for token in tokenizer(f"¿Qué es el número {k}? Es el {k}.", add_special_tokens=False)["input_ids"]
    }
    word = tokenizer(" quetzal", add_special_tokens=False)["input_ids"]
    token = next(token for token in word if token not in others and len(tokenizer.decode([token])) > 1)
    with torch.no_grad():
        trainer.model.get_input_embeddings().weight[token] = math.nan


def log(*losses: float, every: int = 1) -> list[dict[str, float]]:
    return [{"step": every * (at + 1), "loss": loss} for at, loss in enumerate(losses)]


def test_what_counts_as_divergence() -> None:
    assert window_means(log(*[1.0] * 39, every=1)) == [1.0]
    assert window_means(log(3.0, 1.0, 5.0, every=10)) == [2.0]
    assert window_means(log(3.0, 1.0, every=50)) == [3.0, 1.0]
    healthy = log(2.0, 1.2, 1.0, 1.9, 0.8, 1.5, every=20)  # noise, and always below the start
    assert not any(diverged(window_means(healthy[:at])) for at in range(7))
    assert diverged(window_means(log(2.0, 1.2, 1.0, 2.5, every=20)))
    assert not diverged(window_means(log(2.0, 1.5, 2.5, every=20)))  # above the start but not twice the lowest
    assert not diverged(window_means(log(9.0, *[1.0] * 30, *[8.0] * 8)))  # eight steps are no window
    assert diverged(window_means(log(*[1.0] * 40, *[9.0] * 20)))


def test_a_run_that_diverges_stops_on_its_worst_rows(
    tiny_base: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    rows = tokenize([row(n, "Sí.") for n in range(30)], tokenizer, training_template(TEMPLATE), 64)
    for stop in (True, False):
        watch = Watch(rows, tokenizer, stop_on_divergence=stop)
        if not stop:
            feed(watch, rows, 60)
            return
        with pytest.raises(LeyloraError, match=r"diverges: at step 60 the mean loss .* 6\.1\d\d, above .*\(1\.000\)"):
            feed(watch, rows, 60)
        told = capsys.readouterr().err
        assert "Rows of step 51:" in told
        assert told.count("fila-") == 1
        assert "fila-21: " in told


def feed(watch: Watch, rows: Rows, steps: int) -> None:
    """A loss of 1 for forty steps, then 6, with 8 at step 51; row ``step % 30`` makes the step."""
    state = TrainerState()
    for step in range(1, steps + 1):
        loss = 1.0 if step <= 40 else 8.0 if step == 51 else 6.0
        batch = {key: torch.tensor([rows.dataset[step % 30][key]]) for key in ("input_ids", "labels")}
        watch.saw(batch, torch.tensor(loss))
        watch.end_step(step, torch.tensor(1.0), scaled=False)
        state.global_step = step
        state.log_history.append({"step": step, "loss": loss})
        watch.on_log(args=None, state=state, control=None, logs={"loss": loss})


def test_the_scaler_of_fp16_may_meet_gradients_that_overflow(tiny_base: Callable[[str], Path]) -> None:
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    rows = tokenize([row(1, "Sí.")], tokenizer, training_template(TEMPLATE), 64)
    batch = {key: torch.tensor([rows.dataset[0][key]]) for key in ("input_ids", "labels")}
    watch = Watch(rows, tokenizer)
    watch.saw(batch, torch.tensor(1.0))
    watch.end_step(1, torch.tensor(math.inf), scaled=True)
    watch.saw(batch, torch.tensor(1.0))
    with pytest.raises(LeyloraError, match="The gradient of step 2 is not a number"):
        watch.end_step(2, torch.tensor(math.inf), scaled=False)
    watch.saw(batch, torch.tensor(math.nan))
    with pytest.raises(LeyloraError, match="The loss of step 3"):
        watch.end_step(3, torch.tensor(math.nan), scaled=True)


def test_the_same_step_answers_with_and_without_company(
    tiny_base: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts are answered in one batch, padded on the left; that must not change an answer, nor anything else."""
    monkeypatch.setattr(samples, "MAX_NEW_TOKENS", 6)
    for family, template in (("tiny-mistral", "leylora-mistral"), ("tiny-falcon", "leylora-falcon")):
        folder = tiny_base(family)
        tokenizer = load_tokenizer(str(folder))
        model = load_base(str(folder), compute_dtype=torch.float32, attn_implementation="sdpa").train()
        served = served_template(instruction_template(template))
        torch.manual_seed(3)
        before = torch.get_rng_state()
        together = samples.generate(model, tokenizer, served, samples.PROMPTS)
        assert torch.equal(torch.get_rng_state(), before)
        assert model.training
        alone = [samples.generate(model, tokenizer, served, [p])[0] for p in samples.PROMPTS]
        assert together == alone
    assert len(samples.PROMPTS) == 5


def test_answers_come_before_during_and_after(
    engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(samples, "MAX_NEW_TOKENS", 3)
    trainer = engine("--sample_every", "4", "--sample_prompts", "¿Uno?", "¿Dos?")
    train(trainer, None)
    sampler = trainer.callback_handler.callbacks[-1]
    assert [(sample.step, sample.prompt) for sample in sampler.samples] == [
        (step, prompt) for step in (0, 4, 6) for prompt in ("¿Uno?", "¿Dos?")
    ]
    assert "Answers after 4 of 6 steps:\n  ¿Uno?\n    -> " in capsys.readouterr().err


def test_a_tracker_writes_where_the_run_does_not_clean_up(
    engine: Callable[..., Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    trainer = engine("--report_to", "tensorboard", "--max_steps", "2")
    train(trainer, None)
    events = EventAccumulator(str(tmp_path / "runs" / "watched"))
    events.Reload()
    written = [point.value for point in events.Scalars("train/loss")]
    assert written == pytest.approx([point["loss"] for point in trainer.state.log_history if "loss" in point])


def test_a_missing_tracker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers([])
    check_trackers(["tensorboard"])
    monkeypatch.setattr("transformers.integrations.integration_utils.is_mlflow_available", lambda: False)
    with pytest.raises(UsageError, match="report_to: mlflow is not installed; `pip install mlflow`, or use"):
        check_trackers(["tensorboard", "mlflow"])
    with pytest.raises(UsageError, match=r"there is no tracker 'notebook'; there are .*tensorboard.*, or none"):
        check_trackers(["notebook"])


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


def test_peaks_by_the_names_drivers_give() -> None:
    assert peak_tflops("Tesla T4") == 65
    assert peak_tflops("NVIDIA A10G") == 70
    assert peak_tflops("NVIDIA A10") == 125
    assert peak_tflops("NVIDIA A100-SXM4-80GB") == 312
    assert peak_tflops("Tesla V100-SXM2-16GB") == 125
    assert peak_tflops("NVIDIA H100 80GB HBM3") == 989
    assert peak_tflops("NVIDIA H100 PCIe") == 756
    assert peak_tflops("NVIDIA L40S") == 362
    assert peak_tflops("NVIDIA GeForce RTX 3090") == 71.2
    assert peak_tflops("NVIDIA RTX A4000") == 76.7
    assert peak_tflops("NVIDIA Tomorrow 1") is None


SHAPES: list[tuple[PretrainedConfig, float, float, float]] = [
    (LlamaConfig(), 6.61e9, 28.3, 30.2),
    (MistralConfig(), 7.11e9, 30.3, 32.2),
    (FalconConfig(hidden_size=4544, num_hidden_layers=32), 6.92e9, 29.8, 31.8),
]


@pytest.mark.parametrize(("config", "parameters", "at_2048", "at_4096"), SHAPES)
def test_useful_work_of_the_7b_models(
    config: PretrainedConfig, parameters: float, at_2048: float, at_4096: float
) -> None:
    """GFLOP a token, worked out by hand from the layer shapes."""
    assert flops_per_token(parameters, config, 2048) / 1e9 == pytest.approx(at_2048, abs=0.1)
    assert flops_per_token(parameters, config, 4096) / 1e9 == pytest.approx(at_4096, abs=0.15)


def test_what_flops_are_counted_from(tiny_base: Callable[[str], Path]) -> None:
    assert mean_context([100, 100]) == 100
    assert mean_context([10, 90]) == 82  # nine tokens of ten stand in the long document
    model = load_base(str(tiny_base("tiny-mistral")), compute_dtype=torch.float32)
    hidden, inner, vocabulary = model.config.hidden_size, model.config.intermediate_size, model.config.vocab_size
    kv = hidden // model.config.num_attention_heads * model.config.num_key_value_heads
    layer = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * inner
    assert matmul_parameters(model) == model.config.num_hidden_layers * layer + hidden * vocabulary


def test_the_mean_loss_weighs_logged_means_by_their_steps() -> None:
    assert mean_loss([{"step": 10, "loss": 2.0}, {"step": 10, "eval_loss": 9.0}, {"step": 15, "loss": 1.0}]) == 25 / 15


def test_curves_are_the_same_files_for_the_same_log(tmp_path: Path) -> None:
    points = [LossPoint(step=n, loss=2 / n, learning_rate=1e-4, grad_norm=0.5) for n in range(1, 9)]
    points.append(LossPoint(step=8, eval_loss=0.4))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw(points, "mistral-7b-law", tmp_path / name)
    for file in PICTURE_FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    draw([], "no step was logged", tmp_path / "a")
