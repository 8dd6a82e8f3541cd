"""Which questions a comparison asks: the three suites put together, bounded, and described for the record."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pydantic import ValidationError

from leylora.data.benchmark import load_benchmark
from leylora.data.conversation import Conversation
from leylora.data.laws import load_laws
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.choices import choices_from_law
from leylora.evaluation.language_items import (
    FORMATS,
    SPANISH,
    format_items,
    held_out_instruction_items,
    spanish_items,
)
from leylora.evaluation.law_items import benchmark_items, held_out_law_items
from leylora.evaluation.results import Item, Suite
from leylora.files import read_jsonl
from leylora.laws.law import Law
from leylora.project import ROOT, shown

SUITES = ("law", "instructions", "spanish")
BENCHMARK = ROOT / "data" / "benchmark" / "ecuador.jsonl"
MOST_HELD_OUT = 200  # rows of one dataset, drawn by seed, unless a limit asks for fewer


@dataclass(frozen=True)
class Sources:
    """Where questions come from.

    Attributes:
        benchmark: JSON Lines file of benchmark items; None leaves it out.
        laws: folders of parsed laws; without them nothing can be asked grounded.
        law_rows, instruction_rows: folders made by scripts/build_dataset.py, whose test rows are asked.
    """

    benchmark: Path | None = BENCHMARK
    laws: tuple[Path, ...] = ()
    law_rows: tuple[Path, ...] = ()
    instruction_rows: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Questions:
    """The items of some suites, what is known about them, and the laws that answers may cite."""

    items: dict[str, list[Item]]
    suites: list[Suite]
    laws: list[Law] = field(default_factory=list)


def questions(names: Sequence[str], sources: Sources, *, limit: int | None = None, seed: int = 0) -> Questions:
    """The items of the suites ``names``.

    Args:
        limit: most items of one suite, spread over its tasks and settings.

    Raises:
        UsageError: there is no such suite.
        LeyloraError: a source cannot be read, or a suite has no item.
    """
    if not names:
        raise UsageError(f"Name at least one suite; there are {', '.join(SUITES)}.")
    if unknown := [name for name in names if name not in SUITES]:
        raise UsageError(f"There is no suite '{unknown[0]}'; there are {', '.join(SUITES)}.")
    laws = [law for folder in sources.laws for law in load_laws(folder)]
    items: dict[str, list[Item]] = {}
    suites: list[Suite] = []
    for name in dict.fromkeys(names):
        found, files, notes = _gather(name, sources, laws, seed)
        if not found:
            raise LeyloraError(f"The suite '{name}' has no items: {' '.join(notes) or 'its sources are empty.'}")
        if repeated := [key for key, count in Counter(item.id for item in found).items() if count > 1]:
            raise LeyloraError(f"The suite '{name}' holds {repeated[0]} twice; name each dataset once.")
        chosen = found if limit is None else spread(found, limit, seed)
        items[name] = chosen
        suites.append(Suite(
            name=name, sources=[shown(file) for file in files], sha256=items_sha256(chosen), items=len(chosen),
            tasks=dict(sorted(Counter(item.task for item in chosen).items())), notes=notes,
        ))  # fmt: skip
    return Questions(items, suites, laws)


def items_sha256(items: Iterable[Item]) -> str:
    """What identifies the questions of a suite."""
    lines = (json.dumps(item.model_dump(), ensure_ascii=False, sort_keys=True) for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def spread(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """At most ``limit`` items, in their own order: of each task and setting as the root of its size."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault((item.task, item.setting), []).append(at)
    for key, group in groups.items():
        Random(f"{seed} {key}").shuffle(group)
    sizes = {key: math.sqrt(len(group)) for key, group in groups.items()}
    taken = dict.fromkeys(groups, 0)
    kept: list[int] = []
    while len(kept) < min(limit, len(items)):
        key = min((key for key in groups if groups[key]), key=lambda key: (taken[key] + 1) / sizes[key])
        kept.append(groups[key].pop())
        taken[key] += 1
    return [items[at] for at in sorted(kept)]


def _gather(name: str, sources: Sources, laws: Sequence[Law], seed: int) -> tuple[list[Item], list[Path], list[str]]:
    if name == "spanish":
        return list(spanish_items()), [SPANISH], []
    if name == "instructions":
        rows, notes = _held_out(sources.instruction_rows, seed)
        if not rows:
            notes.append("No instruction dataset found (--instructions): only format tasks are asked.")
        return [*held_out_instruction_items(rows), *format_items()], [*sources.instruction_rows, FORMATS], notes
    found: list[Item] = []
    files: list[Path] = []
    notes = []
    if sources.benchmark is not None:
        found, notes = benchmark_items(load_benchmark(sources.benchmark), laws)
        files.append(sources.benchmark)
    rows, more = _held_out(sources.law_rows, seed)
    held = list(held_out_law_items(rows))
    asked = {(item.law_id, item.edition) for item in found}
    for law in laws:
        if (law.id, law.edition) not in asked:
            numbers = {row.article for row in rows if (row.law_id, row.edition) == (law.id, law.edition)}
            found += benchmark_items(choices_from_law(law, numbers, seed), [law])[0]
    return [*found, *held], [*files, *sources.law_rows, *sources.laws], [*notes, *more]


def _held_out(folders: Sequence[Path], seed: int) -> tuple[list[Conversation], list[str]]:
    rows: list[Conversation] = []
    notes: list[str] = []
    for folder in folders:
        path = folder / "test.jsonl"
        mine: list[Conversation] = []
        for line, row in read_jsonl(path):
            try:
                mine.append(Conversation.model_validate(row))
            except ValidationError as error:
                raise LeyloraError(
                    f"{path}, line {line}: {error.errors()[0]['msg']}; build the dataset again."
                ) from None
        if len(mine) > MOST_HELD_OUT:
            drawn = sorted(Random(seed).sample(range(len(mine)), MOST_HELD_OUT))
            notes.append(f"{shown(folder)}: {MOST_HELD_OUT} of {len(mine)} test rows, drawn with seed {seed}.")
            mine = [mine[at] for at in drawn]
        rows += mine
    return rows, notes
