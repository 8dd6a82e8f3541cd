"""The data card: a README.md as the Hugging Face Hub reads it, from the report of a build."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.data.conversation import Conversation
from leylora.data.plots import draw_plots
from leylora.data.split import Split
from leylora.files import write_text

if TYPE_CHECKING:
    from leylora.data.build import BuildReport

SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"), (10**12, "n>1M")]
HUB_LICENSES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-sa-3.0", "odc-by", "cc-by-nc-4.0"}


def write_card(folder: Path, report: "BuildReport", splits: Mapping[Split, Sequence[Conversation]]) -> None:
    """Write ``README.md`` and the pictures it shows into ``folder``."""
    pictures = draw_plots(folder / "plots", report, splits)
    parts = [_header(report), f"# {report.name}\n\n{report.description}", _rows(report), _row_shape()]
    if report.laws:
        parts.append(_laws(report))
    if report.gates or report.refused_sources or report.skipped_sources:
        parts.append(_sources(report))
    parts.append(_dropped(report))
    parts.append("\n\n".join(f"![{name.removesuffix('.png')}](plots/{name})" for name in pictures))
    parts.append(_limits(report))
    write_text(folder / "README.md", "\n\n".join(parts) + "\n")


def _header(report: "BuildReport") -> str:
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


def _rows(report: "BuildReport") -> str:
    names = list(report.rows)
    tasks = sorted({task for part in report.by_task.values() for task in part})
    lines = [f"| task | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for task in tasks:
        lines.append(f"| {task} | " + " | ".join(f"{report.by_task[name].get(task, 0):,}" for name in names) + " |")
    lines.append("| **all** | " + " | ".join(f"**{report.rows[name]:,}**" for name in names) + " |")
    share = f"{report.instruction_share:.0%} general instructions, {1 - report.instruction_share:.0%} questions on law."
    return "## Rows\n\n" + "\n".join(lines) + f"\n\n{share} Seed {report.seed}; the same mixture gives the same bytes."


def _row_shape() -> str:
    return """## A row

`id`, `messages` (a list of `role` and `content`), `task`, `source`, `license`, and for questions on law `law_id`,
`article`, `edition` and `source_sha256` (empty text elsewhere). The Parquet files hold the same rows.

```python
from datasets import load_dataset

rows = load_dataset("json", data_files={"train": "train.jsonl", "test": "test.jsonl"})
```"""


def _laws(report: "BuildReport") -> str:
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


def _sources(report: "BuildReport") -> str:
    lines = ["| instruction source | rows read | rows that passed |", "|---|---:|---:|"]
    lines += [f"| {name} | {gate.rows_in:,} | {gate.rows_out:,} |" for name, gate in report.gates.items()]
    left_out = {**report.refused_sources, **report.skipped_sources}
    notes = "".join(f"\n- Left out: {name}: {reason}" for name, reason in left_out.items())
    licenses = ", ".join(f"{name} ({count:,} rows)" for name, count in report.by_license.items())
    return "## Instruction sources\n\n" + "\n".join(lines) + f"\n\nLicences: {licenses}.{notes}"


def _dropped(report: "BuildReport") -> str:
    lines = ["| where | why | rows |", "|---|---|---:|"]
    lines += [f"| {where} | {why} | {count:,} |" for where, why, count in report.dropped()]
    if len(lines) == 2:
        return "## Left out\n\nNothing."
    return "## Left out\n\n" + "\n".join(lines) + "\n\n`report.json` holds samples of each."


def _limits(report: "BuildReport") -> str:
    text = "## Limits\n\n"
    if report.laws:
        text += (
            "This is no legal advice. Laws change: every answer holds for the edition it names and for no other. "
            "The questions follow fixed wordings, and answers quote; a model trained on them learns to answer from an "
            "article it is given, to cite it, and to say when it is not there. It does not learn the law by heart.\n\n"
        )
    return text + "Built with leylora (`scripts/build_dataset.py`)."
