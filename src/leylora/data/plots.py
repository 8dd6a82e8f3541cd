"""The pictures of a data card: row lengths, tasks, sources, and what was left out. Same rows, same bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leylora.data.conversation import Conversation
from leylora.data.split import Split

if TYPE_CHECKING:
    from leylora.data.build import BuildReport

INK, ACCENT, PALE = "#1f2a37", "#2563a8", "#9db8d9"
MOST_BARS = 24


def draw_plots(folder: Path, report: "BuildReport", splits: Mapping[Split, Sequence[Conversation]]) -> list[str]:
    """Write the PNG files into ``folder`` and return their names in the order of the card."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    names = [_lengths(folder, splits)]
    totals: dict[str, int] = {}
    for part in report.by_task.values():
        for task, count in part.items():
            totals[task] = totals.get(task, 0) + count
    names.append(_bars(folder / "tasks.png", "Rows by task", totals))
    names.append(_bars(folder / "sources.png", "Rows by source", report.by_source))
    dropped = {f"{where}: {why}": count for where, why, count in report.dropped()}
    if dropped:
        names.append(_bars(folder / "dropped.png", "Rows left out, and why", dropped))
    return names


def _lengths(folder: Path, splits: Mapping[Split, Sequence[Conversation]]) -> str:
    figure, axes = _figure(7, 3.2)
    rows = [row for part in splits.values() for row in part]
    prompts = [row.characters - len(row.answer) for row in rows]
    answers = [len(row.answer) for row in rows]
    longest = max([*prompts, *answers], default=1)
    bins = [longest * step / 40 for step in range(41)]
    axes.hist([prompts, answers], bins=bins, label=["prompt", "answer"], color=[PALE, ACCENT], stacked=False)
    axes.set_xlabel("characters")
    axes.set_ylabel("rows")
    axes.set_title("Length of prompts and answers", loc="left", color=INK)
    axes.legend(frameon=False)
    return _save(figure, folder / "lengths.png")


def _bars(path: Path, title: str, counts: Mapping[str, int]) -> str:
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
    return _save(figure, path)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(width, height), dpi=120, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, colors=INK)
    return figure, axes


def _save(figure: Any, path: Path) -> str:
    import matplotlib.pyplot as plt

    figure.savefig(path, metadata={"Software": None})  # the version's name would be the only thing to change
    plt.close(figure)
    return path.name
