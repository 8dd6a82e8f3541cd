"""When a run stops itself, and what its trainer keeps."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import TrainerState

from leylora.errors import LeyloraError
from leylora.models.load import load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import TokenizedDataset, tokenize
from leylora.training.resume import checkpoints, fault_of
from leylora.training.trainer import DivergenceCallback, LoraTrainer, diverged, mean_loss, window_means

from .conftest import row

TEMPLATE = instruction_template("leylora-mistral")


def test_a_loss_that_is_not_a_number_stops_the_run_and_names_the_rows(
    trainer: Callable[..., LoraTrainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = trainer("--save_strategy", "steps", "--save_steps", "1", "--packing", "false")
    poison_a_token_of(7, built)
    with pytest.raises(LeyloraError, match=r"The loss of step \d is not a number; .* nothing was saved as finished"):
        built.run(None)
    told = capsys.readouterr().err.splitlines()
    first = next(at for at, line in enumerate(told) if line.startswith("Rows of step"))
    assert [line.split(":")[0].strip() for line in told[first + 1 :] if "fila-" in line] == ["fila-7"]
    assert "Un quetzal." in told[first + 1]
    assert built.state.global_step > 0, "the poisoned row came first; choose another seed"
    assert all(fault_of(path) is None for path in checkpoints(tmp_path / "work"))
    assert all(parameter.isfinite().all() for parameter in built.model.parameters() if parameter.requires_grad)


def test_all_conversations_of_a_packed_row_are_named(
    trainer: Callable[..., LoraTrainer], capsys: pytest.CaptureFixture[str]
) -> None:
    built = trainer()
    poison_a_token_of(7, built)
    with pytest.raises(LeyloraError, match="is not a number"):
        built.run(None)
    named = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  fila-")]
    assert 1 < len(named) < 8
    assert any("fila-7: " in line and "quetzal" in line for line in named)


def poison_a_token_of(n: int, built: LoraTrainer) -> None:
    """Make the input embedding of a token that only this row has not a number."""
    tokenizer = built.processing_class
    others = {
        token
        for k in range(12)
        if k != n
        for token in tokenizer(f"¿Qué es el número {k}? Es el {k}.", add_special_tokens=False)["input_ids"]
    }
    word = tokenizer(" quetzal", add_special_tokens=False)["input_ids"]
    token = next(token for token in word if token not in others and len(tokenizer.decode([token])) > 1)
    with torch.no_grad():
        built.model.get_input_embeddings().weight[token] = math.nan


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
        watch = DivergenceCallback(rows, tokenizer, stop_on_divergence=stop)
        if not stop:
            feed(watch, rows, 60)
            return
        with pytest.raises(LeyloraError, match=r"diverges: at step 60 the mean loss .* 6\.1\d\d, above .*\(1\.000\)"):
            feed(watch, rows, 60)
        told = capsys.readouterr().err
        assert "Rows of step 51:" in told
        assert told.count("fila-") == 1
        assert "fila-21: " in told


def feed(watch: DivergenceCallback, rows: TokenizedDataset, steps: int) -> None:
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
    watch = DivergenceCallback(rows, tokenizer)
    watch.saw(batch, torch.tensor(1.0))
    watch.end_step(1, torch.tensor(math.inf), scaled=True)
    watch.saw(batch, torch.tensor(1.0))
    with pytest.raises(LeyloraError, match="The gradient of step 2 is not a number"):
        watch.end_step(2, torch.tensor(math.inf), scaled=False)
    watch.saw(batch, torch.tensor(math.nan))
    with pytest.raises(LeyloraError, match="The loss of step 3"):
        watch.end_step(3, torch.tensor(math.nan), scaled=True)


def test_a_tracker_writes_where_the_run_does_not_clean_up(
    trainer: Callable[..., LoraTrainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    built = trainer("--report_to", "tensorboard", "--max_steps", "2")
    built.run(None)
    events = EventAccumulator(str(tmp_path / "runs" / "watched"))
    events.Reload()
    written = [point.value for point in events.Scalars("train/loss")]
    assert written == pytest.approx([point["loss"] for point in built.state.log_history if "loss" in point])


def test_the_mean_loss_weighs_logged_means_by_their_steps() -> None:
    assert mean_loss([{"step": 10, "loss": 2.0}, {"step": 10, "eval_loss": 9.0}, {"step": 15, "loss": 1.0}]) == 25 / 15
