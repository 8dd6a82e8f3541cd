"""What a build made: its report, the tables on the terminal, and the data card with its pictures.

Takes the counts of `leylora.data.build`. Gives ``report.json`` (`BuildReport`), ``README.md`` as the Hugging Face Hub
reads it, PNG files (same rows, same bytes), and the summary on the terminal.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import BaseModel
from rich.table import Table

from leylora import console
from leylora.data.conversation import Conversation
from leylora.data.gate import GateReport
from leylora.data.verify import QUOTE, WHOLE_LAW
from leylora.files import save_figure, write_text
from leylora.grounding.prompt import CANONICAL, read_grounded_prompt
from leylora.laws.law import Law
from leylora.text import fold, words

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"), (10**12, "n>1M")]
HUB_LICENSES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "odc-by", "cc-by-nc-4.0"}
INK, ACCENT, PALE = "#1f2a37", "#2563a8", "#9db8d9"
MOST_BARS = 24

ROW_SHAPE = """## A row

`id`, `messages` (a list of `role` and `content`), `task`, `source`, `license`, and for questions on law `law_id`,
`article`, `edition` and `source_sha256` (empty text elsewhere), `articles` (all that the answer rests on as
`law_id:number`, the main one first) and `rule` (the kind of rule the answer was read off, or empty). The Parquet files
hold the same rows.

```python
from datasets import load_dataset

rows = load_dataset("json", data_files={"train": "train.jsonl", "test": "test.jsonl"})
```"""


class Measures(BaseModel):
    """What the rows on law are like. Shares are of these rows, between 0 and 1.

    ``own_words`` is of all words of the answers the share outside any run of four words that the cited articles have
    too; citations, numbers and names are not counted. ``openings`` are first three words, ``forms`` what is left of an
    answer without quotations, citations and numbers.
    """

    rows: int = 0
    own_words: float = 0
    question_openings: int = 0
    answer_openings: int = 0
    answer_forms: int = 0
    largest_form: float = 0
    several_articles: float = 0
    several_laws: float = 0
    several_turns: float = 0
    laws_per_prompt: float = 0
    citations_per_answer: float = 0
    turns: float = 0


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
    measures: Measures = Measures()
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


# --- what the rows are like -------------------------------------------------------------------------------------

RUN = 4  # words in a row that make a copy
ONLY_WORDS = re.compile(r"[^\W\d_]+")


def measure(rows: Iterable[Conversation], laws: Sequence[Law]) -> Measures:
    """The measures of the rows on law, whose articles are in ``laws``."""
    known = {(law.id, law.edition): law for law in laws}
    others = {law.id: law for law in laws}
    runs: dict[tuple[str, str, str], set[tuple[str, ...]]] = {}
    forms, openings, asked = Counter[str](), set[str](), set[str]()
    own = all_words = articles = abroad = dialogues = 0
    given, cited, turns = list[int](), list[int](), list[int]()
    for row in rows:
        if not row.law_id:
            continue
        shared: set[tuple[str, ...]] = set()
        for name in row.articles:
            law_id, _, number = name.partition(":")
            law = known[row.law_id, row.edition] if law_id == row.law_id else others[law_id]
            key = (law.id, law.edition, number)
            if key not in runs:
                text = fold(f"{law[number].rubric or ''} {law[number].body}")
                runs[key] = set(_runs(ONLY_WORDS.findall(text)))
            shared |= runs[key]
        said = WHOLE_LAW.sub(" ", CANONICAL.sub(" ", row.answer))
        told = [fold(match[0]) for match in ONLY_WORDS.finditer(said) if not _is_name(said, match)]
        copied = {at + step for at, run in enumerate(_runs(told)) if run in shared for step in range(RUN)}
        own, all_words = own + len(told) - len(copied), all_words + len(told)

        users = [turn.content for turn in row.messages if turn.role == "user"]
        question, passages = read_grounded_prompt(users[-1])
        from_laws = {one.citation.split(", ", 1)[1] for one in passages}
        given += [len(from_laws)] if passages else []
        abroad += len(from_laws) > 1
        articles += len(row.articles) > 1
        dialogues += len(users) > 1
        turns.append(len(users))
        cited.append(len(CANONICAL.findall(row.answer)))
        forms[" ".join(ONLY_WORDS.findall(fold(QUOTE.sub(" ", said))))] += 1
        openings.add(" ".join(words(row.answer)[:3]))
        asked.add(" ".join(words(question)[:3]))
    count = len(turns)
    if not count:
        return Measures()
    return Measures(
        rows=count,
        own_words=round(own / max(1, all_words), 4),
        question_openings=len(asked),
        answer_openings=len(openings),
        answer_forms=len(forms),
        largest_form=round(forms.most_common(1)[0][1] / count, 4),
        several_articles=round(articles / count, 4),
        several_laws=round(abroad / count, 4),
        several_turns=round(dialogues / count, 4),
        laws_per_prompt=round(mean(given), 2) if given else 0,
        citations_per_answer=round(mean(cited), 2),
        turns=round(mean(turns), 2),
    )


def _runs(words: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]


def _is_name(text: str, match: re.Match[str]) -> bool:
    """Whether a word has a capital though no sentence begins with it."""
    before = text[: match.start()].rstrip(' «"“(¿¡')
    return match[0][0].isupper() and bool(before) and before[-1] not in ".:?!\n"


def write_samples(path: Path, rows: Iterable[Conversation], count: int = 10) -> None:
    """``count`` rows of each task, to be read by people: question, given articles by citation, answer."""
    found: dict[str, list[Conversation]] = defaultdict(list)
    for row in rows:
        if len(found[row.task]) < count:
            found[row.task].append(row)
    parts = [f"# {count} rows of each task"]
    for task, chosen in sorted(found.items()):
        parts.append(f"## {task}")
        for row in chosen:
            lines = [f"`{row.id}`"]
            for turn in row.messages:
                if turn.role == "user":
                    question, passages = read_grounded_prompt(turn.content)
                    lines.append(f"**{question}**")
                    lines += [f"*Given: {'; '.join(one.citation for one in passages)}*"] if passages else []
                elif turn.role == "assistant":
                    lines.append(turn.content)
            parts.append("\n\n".join(lines))
    write_text(path, "\n\n".join(parts) + "\n")


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
        parts += [_laws(report), _measured(report)]
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
            "Most questions follow fixed wordings and the answers support themselves with quotations; a model trained "
            "on them learns to answer from the articles it is given, to cite each, and to say when they do not answer. "
            "It does not learn the law by heart. No jurist has reviewed the rows."
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


def _measured(report: BuildReport) -> str:
    found = report.measures
    lines = [
        ("rows on law", f"{found.rows:,}"),
        ("words of the answers outside any four in a row that the cited articles have too", f"{found.own_words:.1%}"),
        ("different first three words of questions", f"{found.question_openings:,}"),
        ("different first three words of answers", f"{found.answer_openings:,}"),
        ("different answers without their quotations, citations and numbers", f"{found.answer_forms:,}"),
        ("rows with the commonest of these", f"{found.largest_form:.1%}"),
        ("rows that rest on two articles or more", f"{found.several_articles:.1%}"),
        ("rows with articles of two laws or more in the prompt", f"{found.several_laws:.1%}"),
        ("rows of two turns or more", f"{found.several_turns:.1%}"),
        ("laws in a prompt that has articles, mean", f"{found.laws_per_prompt:.2f}"),
        ("citations in an answer, mean", f"{found.citations_per_answer:.2f}"),
        ("turns, mean", f"{found.turns:.2f}"),
    ]
    return (
        f"## What the questions on law are like\n\n{_table(['measure'], ['figure'], lines)}\n\nTen rows of each task "
        "to read: `samples.md`. What was read off each law's articles, and what was not and why: `rules.json`."
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
