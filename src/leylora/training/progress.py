"""What a person watches while a run goes on: one bar with loss, speed and time left."""

import time
from typing import TYPE_CHECKING, Any

from rich.progress import Progress, TaskID
from transformers import TrainerCallback

from leylora import console

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class ProgressBar(TrainerCallback):
    """A rich progress bar in place of the Trainer's own bar and its printed dictionaries."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._begun = 0.0

    def on_train_begin(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        self._begun = time.monotonic()
        self._bar = console.progress()
        self._bar.start()
        self._task = self._bar.add_task(self._name, total=state.max_steps, completed=state.global_step)

    def on_step_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_log(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._bar is None or not logs or "loss" not in logs:
            return
        speed = logs.get("num_tokens", 0.0) / max(1e-9, time.monotonic() - self._begun)
        self._bar.update(self._task, description=f"{self._name}  loss {float(logs['loss']):.3f}  {speed:,.0f} tok/s")

    def on_train_end(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
