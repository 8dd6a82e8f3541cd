"""`scripts/harness.py`: which model, variants, questions and tasks go to the harness, and its results as a table."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from leylora.evaluation.lm_eval_bridge import SPANISH_TASKS, HarnessResult, require_harness, run_harness
from leylora.evaluation.local import LocalModel
from leylora.evaluation.plans import Settings, filled, make_plans
from leylora.evaluation.results import Item
from leylora.evaluation.suites import Sources, questions
from leylora.evaluation.variants import LORA
from leylora.models.bases import Load
from leylora.models.templates import instruction_template


def run(
    name: str, out: Path, adapters: str, tasks: Sequence[str], suites: str, load: Load, limit: int | None,
    batch_size: int,
) -> list[HarnessResult]:  # fmt: skip
    """Run the harness; see `leylora.evaluation.lm_eval_bridge.run_harness`.

    Args:
        tasks: of the harness; ``spanish`` stands for `SPANISH_TASKS`.
        suites: ours, separated by commas, or ``none``.
    """
    require_harness()
    settings = Settings(load=load, limit=limit)
    (plan,), _ = make_plans([name], adapters, [], settings, LORA)
    wanted = [word.strip() for word in suites.split(",") if word.strip() not in ("", "none")]
    items: list[Item] = []
    if wanted:
        asked = questions(wanted, filled(Sources(), [plan]), limit=limit)
        items = [item for suite in wanted for item in asked.items[suite]]
    names = [one for task in tasks for one in (SPANISH_TASKS if task == "spanish" else (task,))]
    model = LocalModel(name, instruction_template(plan.template), load=load)
    return run_harness(model, plan.variants, items, out, tasks=names, limit=limit if names else None,
                       batch_size=batch_size)  # fmt: skip


def table(results: Sequence[HarnessResult]) -> Table:
    """A line for each task and metric, a column for each variant."""
    shown = Table(title="lm-evaluation-harness", box=box.SIMPLE_HEAD)
    variants = list(dict.fromkeys(one.variant for one in results))
    for column in ("task", "metric", *variants):
        shown.add_column(column, justify="left" if column in ("task", "metric") else "right")
    by = {(one.task, one.metric, one.variant): one for one in results}
    for task, metric in dict.fromkeys((one.task, one.metric) for one in results):
        cells = [by.get((task, metric, variant)) for variant in variants]
        shown.add_row(task, metric, *("" if cell is None else f"{cell.value:.3f}" for cell in cells))
    return shown
