"""What a build made: its report, the tables on the terminal, and the data card with its pictures.

Takes the counts of `leylora.data.build`. Gives ``report.json`` (`BuildReport`), ``README.md`` as the Hugging Face Hub
reads it, PNG files (same rows, same bytes), and the summary on the terminal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel
from rich.table import Table

from leylora import console
from leylora.data.conversation import Conversation
from leylora.data.gate import GateReport
from leylora.files import save_figure, write_text

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"), (10**12, "n>1M")]
HUB_LICENSES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "odc-by", "cc-by-nc-4.0"}
INK, ACCENT, PALE = "#1f2a37", "#2563a8", "#9db8d9"
MOST_BARS = 24

ROW_SHAPE = """## A row

`id`, `messages` (a list of `role` and `content`), `task`, `source`, `license`, and for questions on law `law_id`,
`article`, `edition` and `source_sha256` (empty text elsewhere). The Parquet files hold the same rows.

```python
from datasets import load_dataset

rows = load_dataset("json", data_files={"train": "train.jsonl", "test": "test.jsonl"})
```"""


class BuildReport(BaseModel):
    """What a build made and what it left out; written as ``report.json``."""

    name: str
    description: str
    seed: int
    rows: dict[str, int]
    by_task: dict[str, dict[str, int]]
    by_source: dict[str, int]
    by_license: dict[str, int]
    laws: list[dict[str, Any]]
    held_out_laws: list[str]
    instruction_share: float
    refused_sources: dict[str, str]
    skipped_sources: dict[str, str]
    gates: dict[str, GateReport]
    law_tasks: dict[str, dict[str, Any]]
    leaks_removed: int
    warnings: list[str] = []
    sha256: dict[str, str] = {}

    def tasks(self) -> list[tuple[str, list[str]]]:
        """Every task by name, with its rows in each split."""
        names = sorted({task for part in self.by_task.values() for task in part})
        return [(task, [f"{self.by_task[split].get(task, 0):,}" for split in self.rows]) for task in names]

    def dropped(self) -> list[tuple[str, str, int]]:
        """``(where, why, rows)`` of everything that was left out, most rows first."""
        found = [(name, step.name, step.dropped) for name, gate in self.gates.items() for step in gate.steps]
        law = sum((Counter(report["dropped"]) for report in self.law_tasks.values()), Counter[str]())
        found += [("law", reason, count) for reason, count in law.items()]
        found.append(("train", "shares a run of eight words with a test answer", self.leaks_removed))
        return sorted([one for one in found if one[2]], key=lambda one: (-one[2], one[0], one[1]))

    def left_out(self) -> dict[str, str]:
        """The sources that were refused or skipped, with the reason."""
        return {**self.refused_sources, **self.skipped_sources}


def show(report: BuildReport, folder: Path | None) -> None:
    """Print rows by task and split, what was refused or dropped and why, and where the files are."""
    table = Table("task", title=f"{report.name}: rows by task")
    for name in report.rows:
        table.add_column(name, justify="right")
    for task, counts in report.tasks():
        table.add_row(task, *counts)
    table.add_section()
    table.add_row("all", *(f"{count:,}" for count in report.rows.values()), style="bold")
    console.out.print(table)
    for source, reason in report.left_out().items():
        console.note(f"Left out: {source}: {reason}")
    for gate in report.gates.values():
        schema = gate.step("schema")
        for sample in schema.samples:
            console.note(f"Left out: {sample.place}: {sample.reason}")
        if schema.dropped > len(schema.samples):
            console.note(f"... and {schema.dropped - len(schema.samples):,} more rows that cannot be read.")
    for warning in report.warnings:
        console.note(f"Note: {warning}")
    dropped = report.dropped()
    if dropped:
        losses = Table("where", "why", title="dropped rows")
        losses.add_column("rows", justify="right")
        for place, reason, count in dropped:
            losses.add_row(place, reason, f"{count:,}")
        console.out.print(losses)
    if folder is None:
        console.out.print("Dry run: nothing was written.")
    else:
        console.out.print(f"Written: {folder}/ (train, validation, test, report.json, README.md)")


# --- the data card ----------------------------------------------------------------------------------------------


def write_card(folder: Path, report: BuildReport, rows: Sequence[Conversation]) -> None:
    """Write ``README.md`` and the pictures it shows into ``folder``."""
    totals = sum(map(Counter, report.by_task.values()), Counter[str]())
    dropped = report.dropped()
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    _lengths(plots / "lengths.png", rows)
    _bars(plots / "tasks.png", "Rows by task", totals)
    _bars(plots / "sources.png", "Rows by source", report.by_source)
    pictures = ["lengths", "tasks", "sources"]
    if dropped:
        counts = {f"{where}: {why}": count for where, why, count in dropped}
        _bars(plots / "dropped.png", "Rows left out, and why", counts)
        pictures.append("dropped")

    share = f"{report.instruction_share:.0%} general instructions, {1 - report.instruction_share:.0%} questions on law."
    task_lines = [(task, *counts) for task, counts in report.tasks()]
    task_lines.append(("**all**", *(f"**{count:,}**" for count in report.rows.values())))
    parts = [_header(report), f"# {report.name}\n\n{report.description}"]
    parts.append(f"## Rows\n\n{_table(['task'], list(report.rows), task_lines)}")
    parts += [f"{share} Seed {report.seed}; the same mixture gives the same bytes.", ROW_SHAPE]
    if report.laws:
        parts.append(_laws(report))
    if report.gates or report.left_out():
        parts.append(_sources(report))
    lines = [(where, why, f"{count:,}") for where, why, count in dropped]
    left_out = f"{_table(['where', 'why'], ['rows'], lines)}\n\n`report.json` holds samples of each."
    parts.append(f"## Left out\n\n{left_out if dropped else 'Nothing.'}")
    parts += [f"![{name}](plots/{name}.png)" for name in pictures]
    parts.append("## Limits")
    if report.laws:
        parts.append(
            "This is no legal advice. Laws change: every answer holds for the edition it names and for no other. "
            "The questions follow fixed wordings, and answers quote; a model trained on them learns to answer from an "
            "article it is given, to cite it, and to say when it is not there. It does not learn the law by heart."
        )
    parts.append("Built with leylora (`scripts/build_dataset.py`).")
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")


def _table(left: list[str], right: list[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table with these headings over text and over numbers."""
    rows = [[*left, *right], *lines]
    cells = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([cells[0], "|" + "---|" * len(left) + "---:|" * len(right), *cells[1:]])


def _header(report: BuildReport) -> str:
    size = sum(report.rows.values())
    category = next(name for limit, name in SIZES if size < limit)
    files = "\n".join(
        f"      - split: {name}\n        path: {name}.jsonl" for name, count in report.rows.items() if count
    )
    licenses = list(report.by_license)
    license = licenses[0] if len(licenses) == 1 and licenses[0] in HUB_LICENSES else "other"
    return (
        f"---\nlanguage: [es]\npretty_name: {report.name}\nlicense: {license}\nsize_categories: ['{category}']\n"
        "task_categories: [text-generation, question-answering]\n"
        f"configs:\n  - config_name: default\n    data_files:\n{files}\n---"
    )


def _laws(report: BuildReport) -> str:
    lines = ["| law | edition | articles | source (SHA-256) |", "|---|---|---:|---|"]
    for law in report.laws:
        held = " (held out: test only)" if law["id"] in report.held_out_laws else ""
        lines.append(
            f"| {law['name']}{held} | {law['edition'] or 'not known'} | {law['articles']:,} "
            f"| `{law['source_sha256'][:16]}…` |"
        )
    return (
        "## Laws\n\n" + "\n".join(lines) + "\n\nOnly the text of the articles in force is used, without the notes and "
        "concordances of publishers. Every answer was checked against the article it cites; articles are split before "
        "any question is made."
    )


def _sources(report: BuildReport) -> str:
    lines = [(name, f"{gate.rows_in:,}", f"{gate.rows_out:,}") for name, gate in report.gates.items()]
    table = _table(["instruction source"], ["rows read", "rows that passed"], lines)
    notes = "".join(f"\n- Left out: {name}: {reason}" for name, reason in report.left_out().items())
    licenses = ", ".join(f"{name} ({count:,} rows)" for name, count in report.by_license.items())
    notes += "".join(f"\n- {warning}" for warning in report.warnings)
    return f"## Instruction sources\n\n{table}\n\nLicences: {licenses}.{notes}"


# --- pictures ---------------------------------------------------------------------------------------------------


def _lengths(path: Path, rows: Sequence[Conversation]) -> None:
    figure, axes = _figure(7, 3.2)
    prompts = [row.characters - len(row.answer) for row in rows]
    answers = [len(row.answer) for row in rows]
    longest = max([*prompts, *answers], default=1)
    bins = [longest * step / 40 for step in range(41)]
    axes.hist([prompts, answers], bins=bins, label=["prompt", "answer"], color=[PALE, ACCENT], stacked=False)
    axes.set_xlabel("characters")
    axes.set_ylabel("rows")
    axes.set_title("Length of prompts and answers", loc="left", color=INK)
    axes.legend(frameon=False)
    save_figure(figure, path, dpi=120)


def _bars(path: Path, title: str, counts: Mapping[str, int]) -> None:
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    rest = sum(count for _, count in order[MOST_BARS:])
    order = order[:MOST_BARS] + ([("the rest", rest)] if rest else [])
    figure, axes = _figure(7, 0.9 + 0.26 * len(order))
    names = [name if len(name) <= 58 else name[:57] + "…" for name, _ in order][::-1]
    values = [count for _, count in order][::-1]
    bars = axes.barh(range(len(values)), values, color=ACCENT)
    axes.set_yticks(range(len(values)), names)
    axes.bar_label(bars, labels=[f"{value:,}" for value in values], padding=3, fontsize=8, color=INK)
    axes.set_xlim(0, max(values, default=1) * 1.15)
    axes.xaxis.set_visible(False)
    axes.set_title(title, loc="left", color=INK)
    save_figure(figure, path, dpi=120)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    return figure, axes
