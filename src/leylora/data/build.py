"""Build a dataset: gate the instructions, split the articles, ask about them, mix, check for leaks, write."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from leylora.data.card import write_card
from leylora.data.conversation import Conversation
from leylora.data.gate import GateReport
from leylora.data.generate import generate
from leylora.data.mixture import Mixture
from leylora.data.model_written import write_rows
from leylora.data.overlap import marks, union
from leylora.data.parquet import write_parquet
from leylora.data.split import SPLITS, Split, draw, split_articles, split_conversations
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_jsonl, sha256_file, staged_folder, write_json, write_jsonl
from leylora.grounding.prompt import read_grounded_prompt
from leylora.laws.law import Law
from leylora.text import one_line

Tick = Callable[[str, int, int | None], None]  # stage, units done, units in all if known
NOT_LAW_TEXT = re.compile(r"«[^«»]*»|\([^()]*ed\. [^()]*\)")


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
    sha256: dict[str, str] = {}

    def dropped(self) -> list[tuple[str, str, int]]:
        """``(where, why, rows)`` of everything that was left out, most rows first."""
        found = [
            (source, step.name, step.dropped)
            for source, gate in self.gates.items()
            for step in gate.steps
            if step.dropped
        ]
        law: Counter[str] = Counter()
        for report in self.law_tasks.values():
            law.update(report["dropped"])
        found += [("law", reason, count) for reason, count in law.items()]
        if self.leaks_removed:
            found.append(("train", "shares a run of eight words with a test answer", self.leaks_removed))
        return sorted(found, key=lambda one: (-one[2], one[0], one[1]))


def build(
    mixture: Mixture,
    laws: Sequence[Law],
    out: Path,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    offline: bool = False,
    tick: Tick = lambda stage, done, total: None,
) -> BuildReport:
    """Make the dataset of ``mixture`` and write it to the folder ``out``.

    The same mixture, laws and sources give the same bytes. ``dry_run`` counts everything, asks no
    model and writes nothing.

    Args:
        tick: called with the name of a stage and the units of it that are done, for a progress display.

    Raises:
        UsageError: ``out`` exists and ``overwrite`` is false, or the mixture wants laws and none were given.
        LeyloraError: a source is missing (before any work), or nothing is left to train on.
    """
    if not dry_run:
        _check_place(out, overwrite)
    laws = _wanted(mixture, laws)
    admitted, refused = mixture.admitted()
    for source in admitted:
        if not source.optional:
            source.check()
    benchmark = union((text for file in mixture.benchmark for text in _questions(file)), marks)

    talk, gates, skipped = _instructions(mixture, admitted, benchmark, offline, tick)
    splits: dict[Split, list[Conversation]] = split_conversations(talk, mixture.splits, mixture.seed)
    law_rows, law_reports = _law_rows(mixture, laws, benchmark, dry_run, tick)
    fraction = mixture.instructions.fraction if mixture.instructions else None
    for name in SPLITS:
        splits[name] = _mix(law_rows[name], splits[name], fraction, mixture.seed)
    splits["train"], leaks = _without_leaks(splits, laws)
    if not splits["train"]:
        raise LeyloraError(
            f"The mixture {mixture.name!r} leaves no row to train on; its report says why: "
            f"{_why_empty(gates, law_reports, refused)}."
        )

    everything = [row for name in SPLITS for row in splits[name]]
    report = BuildReport(
        name=mixture.name,
        description=mixture.description,
        seed=mixture.seed,
        rows={name: len(splits[name]) for name in SPLITS},
        by_task={name: dict(Counter(row.task for row in splits[name]).most_common()) for name in SPLITS},
        by_source=dict(Counter(row.source for row in everything).most_common()),
        by_license=dict(Counter(row.license for row in everything).most_common()),
        laws=[{**law.facts(), "articles": len(law)} for law in laws],
        held_out_laws=mixture.laws.hold_out if mixture.laws else [],
        instruction_share=round(sum(not row.law_id for row in everything) / len(everything), 4),
        refused_sources=refused,
        skipped_sources=skipped,
        gates=gates,
        law_tasks=law_reports,
        leaks_removed=leaks,
    )
    if not dry_run:
        with staged_folder(out, overwrite=overwrite) as staging:
            for done, name in enumerate(SPLITS):
                tick("write", done, len(SPLITS) + 1)
                write_jsonl(staging / f"{name}.jsonl", (row.model_dump() for row in splits[name]))
                report.sha256[f"{name}.jsonl"] = sha256_file(staging / f"{name}.jsonl")
                write_parquet(staging / f"{name}.parquet", splits[name])
            write_json(staging / "report.json", report.model_dump())
            tick("write", len(SPLITS), len(SPLITS) + 1)
            write_card(staging, report, splits)
        tick("write", len(SPLITS) + 1, len(SPLITS) + 1)
    return report


def _check_place(out: Path, overwrite: bool) -> None:
    """A dataset replaces nothing but a dataset."""
    stone = next((folder for folder in (out, *out.parents) if folder.is_file()), None)
    if stone is not None:
        raise UsageError(f"{stone} is a file, and {out} should be a folder; choose another name.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} already exists; choose another folder or ask for it to be replaced.")
    if out.exists() and any(out.iterdir()) and not (out / "report.json").exists():
        raise UsageError(f"{out} holds other things than a dataset and is not replaced; choose another folder.")


def _wanted(mixture: Mixture, laws: Sequence[Law]) -> list[Law]:
    if mixture.laws is None:
        return []
    known = [law.id for law in laws]
    missing = [name for name in (*mixture.laws.only, *mixture.laws.hold_out) if name not in known]
    if missing or not laws:
        raise UsageError(
            f"The mixture {mixture.name!r} asks for {', '.join(missing) or 'laws'}; the laws given are: "
            f"{', '.join(known) or 'none'}. Parse a law first and name its folder with --laws."
        )
    chosen = [law for law in laws if not mixture.laws.only or law.id in mixture.laws.only]
    return sorted(chosen, key=lambda law: (law.id, law.edition))


def _instructions(
    mixture: Mixture, sources: Sequence[Any], benchmark: set[int], offline: bool, tick: Tick
) -> tuple[list[Conversation], dict[str, GateReport], dict[str, str]]:
    rows: list[Conversation] = []
    gates: dict[str, GateReport] = {}
    skipped: dict[str, str] = {}
    for source in sources:
        assert mixture.instructions is not None
        try:
            found, gates[source.name] = source.load(
                mixture.instructions.gate,
                benchmark,
                offline=offline,
                tick=partial(_tell, tick, source.name, None),
            )
        except LeyloraError as error:
            if not source.optional:
                raise
            skipped[source.name] = str(error)
            continue
        if source.rows is not None and len(found) > source.rows:
            keep = {row.id for row in sorted(found, key=lambda row: draw(mixture.seed, row.id))[: source.rows]}
            found = [row for row in found if row.id in keep]
        rows += found
    return rows, gates, skipped


def _law_rows(
    mixture: Mixture, laws: Sequence[Law], benchmark: set[int], dry_run: bool, tick: Tick
) -> tuple[dict[Split, list[Conversation]], dict[str, dict[str, Any]]]:
    rows: dict[Split, list[Conversation]] = {name: [] for name in SPLITS}
    reports: dict[str, dict[str, Any]] = {}
    if mixture.laws is None:
        return rows, reports
    members = split_articles(laws, mixture.splits, mixture.seed, mixture.laws.hold_out)
    settings = mixture.laws.tasks
    total = sum(len(part) for part in members.values())
    for name in SPLITS:
        share = len(members[name]) / max(1, total)
        most = max(1, round(settings.max_rows * share)) if settings.max_rows else None
        found, report = generate(
            laws,
            settings.model_copy(update={"max_rows": most}),
            mixture.seed,
            members=members[name],
            tick=partial(_tell, tick, f"law, {name}", len(members[name])),
        )
        if mixture.laws.writer is not None and not dry_run:
            writer = mixture.laws.writer
            writer = writer.model_copy(update={"max_articles": max(1, round(writer.max_articles * share))})
            written, writing = write_rows(
                laws,
                writer,
                settings,
                mixture.seed,
                members=members[name],
                tick=partial(_tell, tick, f"model-written, {name}", writer.max_articles),
            )
            found += written
            report.add(writing)
        for row in found:
            if not benchmark.isdisjoint(marks(read_grounded_prompt(row.prompt)[0])):
                report.drop("shares eight words with the benchmark", row)
            else:
                rows[name].append(row)
        report.rows = len(rows[name])
        reports[name] = report.as_json()
    return rows, reports


def _mix(law: list[Conversation], talk: list[Conversation], fraction: float | None, seed: int) -> list[Conversation]:
    """Law and instruction rows in one stable random order, the instructions thinned to their share."""
    if fraction is not None:
        most = round(len(law) * fraction / (1 - fraction))
        talk = sorted(talk, key=lambda row: (draw(seed, "share", row.id), row.id))[:most]
    return sorted([*law, *talk], key=lambda row: (draw(seed, "order", row.id), row.id))


def _without_leaks(splits: dict[Split, list[Conversation]], laws: Sequence[Law]) -> tuple[list[Conversation], int]:
    """Train without the rows whose answer shares eight words with a test answer, text of law apart."""

    def own_words(row: Conversation) -> list[str]:
        return NOT_LAW_TEXT.split(row.answer) if row.law_id else [row.answer]

    held = union(words for row in splits["test"] for words in own_words(row))
    held -= union(one_line(row.body) for law in laws for row in law.articles)
    kept = [row for row in splits["train"] if held.isdisjoint(union(own_words(row)))]
    return kept, len(splits["train"]) - len(kept)


def _questions(file: Path) -> list[str]:
    return [str(row["question"]) for _, row in read_jsonl(file) if "question" in row]


def _tell(tick: Tick, stage: str, total: int | None, done: int) -> None:
    tick(stage, done, total)


def _why_empty(gates: dict[str, GateReport], law: dict[str, dict[str, Any]], refused: dict[str, str]) -> str:
    reasons = [f"{name}: {reason}" for name, reason in refused.items()]
    for name, gate in gates.items():
        worst = max(gate.steps, key=lambda step: step.dropped)
        if gate.rows_in == 0:
            reasons.append(f"{name}: it holds no row")
        else:
            why = f", most fell at {worst.name!r}" if worst.dropped else ""
            reasons.append(f"{name}: {gate.rows_out} of {gate.rows_in} rows passed{why}")
    reasons += [f"law, {name}: {report['dropped']}" for name, report in law.items() if report["dropped"]]
    return "; ".join(reasons) or "no source gave a row"
