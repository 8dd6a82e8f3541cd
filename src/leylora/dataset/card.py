"""The data card: a README.md as the Hugging Face Hub reads it, from the report of a build."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.dataset.split import Split
from leylora.files import write_text
from leylora.instructions.conversation import Conversation

if TYPE_CHECKING:
    from leylora.dataset.build import BuildReport


def write_card(folder: Path, report: "BuildReport", splits: Mapping[Split, Sequence[Conversation]]) -> None:
    """Write ``README.md`` into ``folder``."""
    size = sum(report.rows.values())
    category = next(name for limit, name in SIZES if size < limit)
    files = "\n".join(f"      - split: {name}\n        path: {name}.jsonl" for name in splits if report.rows[name])
    header = f"""---
language: [es]
pretty_name: {report.name}
size_categories: [{category}]
task_categories: [text-generation, question-answering]
configs:
  - config_name: default
    data_files:
{files}
---
"""
    rows = "\n".join(f"| {name} | {count:,} |" for name, count in report.rows.items())
    write_text(folder / "README.md", f"{header}\n# {report.name}\n\n{report.description}\n\n| split | rows |\n"
               f"|---|---|\n{rows}\n")  # fmt: skip


SIZES = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"), (10**12, "n>1M")]
