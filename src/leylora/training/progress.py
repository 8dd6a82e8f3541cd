"""What a person sees during a run: a bar with loss, speed, use of the card and time left, and sample answers."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from rich.console import RenderableType
from rich.progress import Progress, TaskID
from rich.text import Text
from transformers import PreTrainedTokenizerBase, TrainerCallback, TrainerState

from leylora import console
from leylora.files import read_jsonl, write_jsonl
from leylora.models.generate import generate
from leylora.models.presets import GREEDY
from leylora.text import one_line
from leylora.training.record import Sample, peak_memory_gib

LOG_SECONDS = 60.0  # where there is no terminal (a log file of a cluster) a line is printed at most this often

PROMPTS = (
    "Explica en dos oraciones qué es una constitución.",
    "Escribe una carta corta para pedir un certificado de residencia en el municipio.",
    "¿Qué derechos reconoce la Constitución del Ecuador a la naturaleza?",
    "Resume en una oración: la junta se reunió el lunes, aprobó el presupuesto y nombró a una nueva tesorera.",
    "¿Qué dice el artículo 40 de la Ley Orgánica de Cometas y Volantines del Ecuador?",
)
"""Two of each skill, and one on a law that does not exist, to which the right answer is that it does not."""
MAX_NEW_TOKENS = 96
SAMPLES_FILE = "samples.jsonl"


@dataclass
class Meter:
    """Tokens that are not padding, and the seconds of training they took.

    Evaluation, checkpoints and sample answers do not count: `skip`, called when they end, leaves out their time.
    """

    tokens: int = 0
    seconds: float = 0.0
    _seen: int = 0
    _mark: float = 0.0

    def start(self, seen: int) -> None:  # tokens, those of an interrupted run
        self._seen, self._mark = seen, time.monotonic()

    def step(self, seen: int) -> None:  # tokens since the run began
        now = time.monotonic()
        self.tokens, self._seen = self.tokens + seen - self._seen, seen
        self.seconds, self._mark = self.seconds + now - self._mark, now

    def skip(self) -> None:
        self._mark = time.monotonic()

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


class BarAndFigures(Progress):
    """The usual bar with a line of figures below it, so that neither is cut off at 80 columns."""

    figures = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.figures:
            yield Text(f"  {self.figures}", no_wrap=True, overflow="ellipsis")


class ProgressBar(TrainerCallback):
    """A rich progress bar in place of the Trainer's own bar and its printed dictionaries.

    ``peak_flops`` is of all cards together, a second; None on CPU and on cards not in the table.
    """

    def __init__(self, name: str, flops_per_token: float = 0.0, peak_flops: float | None = None) -> None:
        self.meter = Meter()
        self._name = name
        self._flops, self._peak = flops_per_token, peak_flops
        self._bar: BarAndFigures | None = None
        self._task = TaskID(0)
        self._printed = 0.0

    @property
    def utilization(self) -> float | None:
        """Share of the peak that useful work reached; None without a peak to compare with."""
        return self.meter.tokens_per_second * self._flops / self._peak if self._peak else None

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.meter.start(state.num_input_tokens_seen)
        self._printed = time.monotonic()
        if state.is_world_process_zero:
            self._bar = BarAndFigures(*console.progress().columns, console=console.err)
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.meter.step(state.num_input_tokens_seen)
        if self._bar is not None:
            self._bar.update(self._task, completed=state.global_step)

    def on_evaluate(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.meter.skip()

    on_save = on_evaluate

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if self._bar is None or not logs or "loss" not in logs:
            return
        figures = [f"loss {float(logs['loss']):.3f}", f"{self.meter.tokens_per_second:,.0f} tok/s"]
        if self.utilization is not None:
            figures.append(f"{self.utilization:.0%} of peak")
        figures.append(f"{peak_memory_gib()[0]:.1f} GiB")
        self._bar.figures = "  ".join(figures)
        if not console.err.is_terminal and time.monotonic() - self._printed > LOG_SECONDS:
            self._printed = time.monotonic()
            console.note(f"{self._name}  step {state.global_step} of {state.max_steps}  {self._bar.figures}")

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Free the terminal of the bar; also to be called when training fails."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class SampleCallback(TrainerCallback):
    """Asks the same prompts before the first step, every so many steps and at the end, and prints the answers.

    ``template`` is the one a server uses, without training marks. ``work`` keeps the answers given before an
    interruption. ``after`` is called when answers have been given, so that their time does not count as training.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template: str,
        work: Path,
        every: int,
        prompts: Sequence[str] | None = None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._tokenizer, self._template, self._file = tokenizer, template, work / SAMPLES_FILE
        self._every, self._prompts, self._after = every, list(prompts or PROMPTS), after
        self.samples: list[Sample] = []

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.global_step > 0 and self._file.is_file():
            kept = [Sample.model_validate(row) for _, row in read_jsonl(self._file)]
            self.samples = [sample for sample in kept if sample.step <= state.global_step]
        if state.global_step == 0:
            self._ask(kwargs["model"], state)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        if state.global_step % self._every == 0 or control.should_training_stop:
            self._ask(kwargs["model"], state)

    def _ask(self, model: PeftModel, state: TrainerState) -> None:
        if any(sample.step == state.global_step for sample in self.samples):
            return
        answers = answer(model, self._tokenizer, self._template, self._prompts)
        made = [Sample(step=state.global_step, prompt=p, answer=a) for p, a in zip(self._prompts, answers, strict=True)]
        self.samples += made
        if state.is_world_process_zero:
            write_jsonl(self._file, (sample.model_dump() for sample in self.samples))
            console.note(f"Answers after {state.global_step} of {state.max_steps} steps:")
            for sample in made:
                line = one_line(sample.answer)
                console.note(f"  {sample.prompt}\n    -> {line if len(line) <= 160 else f'{line[:159]}…'}")
        self._after()


def answer(model: PeftModel, tokenizer: PreTrainedTokenizerBase, template: str, prompts: Sequence[str]) -> list[str]:
    """Greedy answers to ``prompts`` in one batch; the training's random state stays as it was."""
    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], chat_template=template, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        for prompt in prompts
    ]
    sampling = replace(GREEDY, max_new_tokens=MAX_NEW_TOKENS)
    return [one.text for one in generate(model, tokenizer, asked, sampling)]
