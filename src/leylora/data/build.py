"""Build a dataset: gate the instructions, split the articles, ask about them, mix, check for leaks, write.

Takes a `Mixture` and parsed laws. Gives a folder with ``train``, ``validation`` and ``test`` as JSON Lines and Parquet,
``report.json``, and a data card. The same mixture, laws and sources give the same bytes.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from leylora.data.card import BuildReport, measure, write_card, write_samples
from leylora.data.compose import LawFactsByEdition, draw, law_facts
from leylora.data.conversation import Conversation
from leylora.data.duplicates import marks, union
from leylora.data.gate import GateReport, clean
from leylora.data.generate import generate, written_rows
from leylora.data.mixture import SPLITS, Mixture, Split, Splits
from leylora.data.model_written import write_rows
from leylora.data.readers import InstructionSource
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_jsonl, sha256_file, write_json, write_jsonl
from leylora.folders import staged_folder
from leylora.grounding.prompt import read_grounded_prompt
from leylora.laws.law import Law
from leylora.text import one_line

Rows = dict[Split, list[Conversation]]
UNEVEN = 0.5  # of the instruction rows from one source, when there are several: worth a warning
Tick = Callable[[str, int | None, int], None]  # stage, units in all if known, units done
NOT_LAW_TEXT = re.compile(r"«[^«»]*»|\([^()]*ed\. [^()]*\)")
READING_TEXT = 200  # characters; a longer paragraph is a text that several questions may share


def build(
    mixture: Mixture,
    laws: Sequence[Law],
    out: Path,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
    offline: bool = False,
    tick: Tick = lambda stage, total, done: None,
) -> BuildReport:
    """Make the dataset of ``mixture`` and write it to the folder ``out``; a dry run only counts and asks no model.

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
    asked = (str(row["question"]) for file in mixture.benchmark for _, row in read_jsonl(file) if "question" in row)
    benchmark = union(asked, marks)

    instructions, gates, skipped = _instructions(mixture, admitted, benchmark, offline, tick)
    warnings = [warning for gate in gates.values() for warning in gate.warnings]
    if mixture.instructions is not None:
        instructions, uneven = _capped(instructions, mixture.instructions.max_source_share, mixture.seed)
        warnings += uneven
    splits = split_conversations(instructions, mixture.splits, mixture.seed)
    facts = law_facts(laws)
    law_rows, law_reports = _law_rows(mixture, laws, facts, benchmark, dry_run, tick)
    fraction = mixture.instructions.fraction if mixture.instructions else None
    for name in SPLITS:
        splits[name] = _mix(law_rows[name], splits[name], fraction, mixture.seed)
    splits["train"], leaks = _without_leaks(splits, laws)
    if not splits["train"]:
        raise LeyloraError(
            f"The mixture {mixture.name!r} leaves no row to train on: {_why_empty(gates, law_reports, refused)}."
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
        measures=measure(everything, laws),
        warnings=warnings,
    )
    if not dry_run:
        with staged_folder(out, overwrite=overwrite) as staging:
            for done, name in enumerate(SPLITS):
                tick("write", 4, done)
                write_jsonl(staging / f"{name}.jsonl", (row.model_dump() for row in splits[name]))
                report.sha256[f"{name}.jsonl"] = sha256_file(staging / f"{name}.jsonl")
                _write_parquet(staging / f"{name}.parquet", splits[name])
            write_json(staging / "report.json", report.model_dump())
            tick("write", 4, 3)
            write_card(staging, report, everything)
            if laws:
                write_json(staging / "rules.json", _rules(laws, facts))
                write_samples(staging / "samples.md", everything)
        tick("write", 4, 4)
    return report


def _check_place(out: Path, overwrite: bool) -> None:
    """A dataset replaces nothing but a dataset."""
    file = next((place for place in (out, *out.parents) if place.is_file()), None)
    if file is not None:
        inside = "" if file == out else f", so {out} cannot be a folder in it"
        raise UsageError(f"{file} is a file and not a folder{inside}; choose another name.")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} already exists; choose another folder or replace it with --overwrite.")
    if out.exists() and any(out.iterdir()) and not (out / "report.json").exists():
        raise UsageError(f"{out} holds other things than a dataset and is not replaced; choose another folder.")


def _wanted(mixture: Mixture, laws: Sequence[Law]) -> list[Law]:
    if mixture.laws is None:
        return []
    known = [law.id for law in laws]
    missing = [name for name in (*mixture.laws.only, *mixture.laws.hold_out) if name not in known]
    if not laws:
        raise UsageError(f"The mixture {mixture.name!r} asks for laws, but no laws were given; add --laws DIR.")
    if missing:
        raise UsageError(
            f"The mixture {mixture.name!r} asks for {', '.join(missing)}; the laws given are: "
            f"{', '.join(known)}. Parse a law first and name its folder with --laws."
        )
    chosen = [law for law in laws if not mixture.laws.only or law.id in mixture.laws.only]
    return sorted(chosen, key=lambda law: (law.id, law.edition))


def _instructions(
    mixture: Mixture, sources: Sequence[InstructionSource], benchmark: set[int], offline: bool, tick: Tick
) -> tuple[list[Conversation], dict[str, GateReport], dict[str, str]]:
    rows: list[Conversation] = []
    gates: dict[str, GateReport] = {}
    skipped: dict[str, str] = {}
    for source in sources:
        assert mixture.instructions is not None
        try:
            found, gates[source.name] = clean(
                source.drafts(offline=offline),
                source=source.name,
                license=source.license,
                settings=mixture.instructions.gate,
                benchmark=benchmark,
                tick=partial(tick, source.name, None),
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


def _capped(rows: list[Conversation], share: float | None, seed: int) -> tuple[list[Conversation], list[str]]:
    """The rows with no source above ``share`` of them, and a warning for a source that fills more than half."""
    counts = Counter(row.source for row in rows)
    if len(counts) < 2:
        return rows, []
    source, count = counts.most_common(1)[0]
    most = share or UNEVEN
    allowed = max(1, int((len(rows) - count) * most / (1 - most)))
    if count <= allowed:
        return rows, []
    if share is None:
        return rows, [
            f"{source} makes up {count / len(rows):.0%} of the instruction rows; `max_source_share:` under "
            "`instructions:`, or `rows:` of the source, caps it."
        ]
    mine = sorted((row for row in rows if row.source == source), key=lambda row: draw(seed, row.id))
    gone = {row.id for row in mine[allowed:]}
    left = [row for row in rows if row.id not in gone]
    return left, [f"{source}: {len(gone):,} of {count:,} rows were left out, so that it stays at {share:.0%}."]


def _law_rows(
    mixture: Mixture, laws: Sequence[Law], facts: LawFactsByEdition, benchmark: set[int], dry_run: bool, tick: Tick
) -> tuple[Rows, dict[str, dict[str, Any]]]:
    rows: Rows = {name: [] for name in SPLITS}
    reports: dict[str, dict[str, Any]] = {}
    if mixture.laws is None:
        return rows, reports
    members = split_articles(laws, mixture.splits, mixture.seed, mixture.laws.hold_out)
    settings, writer = mixture.laws.tasks, mixture.laws.writer
    total = sum(len(part) for part in members.values())
    for name in SPLITS:
        mine, count = members[name], len(members[name])
        share = count / max(1, total)
        most = max(1, round(settings.max_rows * share)) if settings.max_rows else None
        found, report = generate(
            laws,
            settings.model_copy(update={"max_rows": most}),
            mixture.seed,
            members=mine,
            facts=facts,
            tick=partial(tick, f"law, {name}", count),
        )
        if settings.written_questions:
            asked, asking = written_rows(laws, settings, mixture.seed, members=mine, unanswerable=name == "train")
            found += asked
            report.add(asking)
        if writer is not None and not dry_run:
            most = max(1, round(writer.max_articles * share))
            written, writing = write_rows(
                laws,
                writer.model_copy(update={"max_articles": most}),
                settings,
                mixture.seed,
                members=mine,
                tick=partial(tick, f"model-written, {name}", most),
            )
            found += written
            report.add(writing)
        for row in found:
            said = " ".join(read_grounded_prompt(turn.content)[0] for turn in row.messages if turn.role == "user")
            if not benchmark.isdisjoint(marks(said)):
                report.drop("shares eight words with the benchmark", row)
            else:
                rows[name].append(row)
        report.rows = len(rows[name])
        reports[name] = report.as_json()
    return rows, reports


def _rules(laws: Sequence[Law], facts: LawFactsByEdition) -> dict[str, dict[str, dict[str, int]]]:
    """What was read off the articles of each law, and what was refused and why, commonest first."""
    found: dict[str, dict[str, Counter[str]]] = {}
    for law in laws:
        counted = found.setdefault(law.id, {"read": Counter(), "refused": Counter()})
        for article in law.articles:
            rules = facts[law.id, law.edition].rules(article)
            counted["read"] += rules.counts()
            counted["refused"] += rules.refused
    return {law_id: {name: dict(one.most_common()) for name, one in both.items()} for law_id, both in found.items()}


def _mix(law: list[Conversation], others: list[Conversation], fraction: float | None, seed: int) -> list[Conversation]:
    """Law and instruction rows in one stable random order, the instructions thinned to their share."""
    if fraction is not None:
        most = round(len(law) * fraction / (1 - fraction))
        others = sorted(others, key=lambda row: (draw(seed, "share", row.id), row.id))[:most]
    return sorted([*law, *others], key=lambda row: (draw(seed, "order", row.id), row.id))


def _without_leaks(splits: Rows, laws: Sequence[Law]) -> tuple[list[Conversation], int]:
    """The training rows that share no eight words with a test answer, outside quoted law text; and how many did.

    Rows made from the wordings of `leylora.data.families` share those, and no article: they leak nothing.
    """

    def own_words(row: Conversation) -> list[str]:
        return NOT_LAW_TEXT.split(row.answer) if row.law_id else [row.answer]

    written = (row for row in splits["test"] if not row.source.startswith("law:"))
    held = union(words for row in written for words in own_words(row))
    held -= union(one_line(row.body) for law in laws for row in law.articles)
    kept = [row for row in splits["train"] if held.isdisjoint(union(own_words(row)))]
    return kept, len(splits["train"]) - len(kept)


def _why_empty(gates: dict[str, GateReport], law: dict[str, dict[str, Any]], refused: dict[str, str]) -> str:
    reasons = [f"{name}: {reason}" for name, reason in refused.items()]
    for name, gate in gates.items():
        worst = max(gate.steps, key=lambda step: step.dropped)
        why = f", most fell at {worst.name!r}" if worst.dropped else ""
        passed = f"{gate.rows_out} of {gate.rows_in} rows passed{why}" if gate.rows_in else "it holds no row"
        reasons.append(f"{name}: {passed}")
    reasons += [f"law, {name}: {report['dropped']}" for name, report in law.items() if report["dropped"]]
    return "; ".join(reasons) or "no source gave a row"


def _write_parquet(path: Path, rows: Sequence[Conversation]) -> None:
    """The rows with the one schema that every split of every mixture has."""
    text = pyarrow.string()
    turns = pyarrow.list_(pyarrow.struct([("role", text), ("content", text)]))
    kinds = {"messages": turns, "articles": pyarrow.list_(text)}
    fields = [pyarrow.field(name, kinds.get(name, text)) for name in Conversation.model_fields]
    table = pyarrow.Table.from_pylist([row.model_dump() for row in rows], schema=pyarrow.schema(fields))
    pyarrow.parquet.write_table(table, path, compression="zstd")


# --- who goes to train, validation and test ---------------------------------------------------------------------


def split_articles(
    laws: Sequence[Law], splits: Splits, seed: int, hold_out: Iterable[str] = ()
) -> dict[Split, set[tuple[str, str]]]:
    """``(law id, article number)`` of each split; all articles of ``hold_out`` laws are test."""
    members: dict[Split, set[tuple[str, str]]] = {name: set() for name in SPLITS}
    for law in laws:
        numbers = [row.number for row in law.articles]
        order = sorted(numbers, key=lambda number: (draw(seed, law.id, number), number))
        test, validation = (len(order), len(order)) if law.id in hold_out else _bounds(len(order), splits)
        members["test"] |= {(law.id, number) for number in order[:test]}
        members["validation"] |= {(law.id, number) for number in order[test:validation]}
        members["train"] |= {(law.id, number) for number in order[validation:]}
    return members


def split_conversations(rows: Sequence[Conversation], splits: Splits, seed: int) -> Rows:
    """Conversations by split, each source apart; questions on one reading text stay together."""
    out: Rows = {name: [] for name in SPLITS}
    by_source: dict[str, dict[str, list[Conversation]]] = {}
    for row in rows:
        longest = max(row.prompt.split("\n\n"), key=len, default="")
        group = longest if len(longest) > READING_TEXT else row.id
        by_source.setdefault(row.source, {}).setdefault(group, []).append(row)
    for source, groups in by_source.items():
        test, validation = _bounds(sum(map(len, groups.values())), splits)
        place = 0
        for key in sorted(groups, key=lambda key: (draw(seed, source, key), key)):
            out["test" if place < test else "validation" if place < validation else "train"] += groups[key]
            place += len(groups[key])
    return out


def _bounds(count: int, splits: Splits) -> tuple[int, int]:
    """Ends of the test and the validation part; a share above zero gets at least one of three or more."""
    test = max(round(count * splits.test), 1 if splits.test and count > 2 else 0)
    validation = max(round(count * splits.validation), 1 if splits.validation and count > 2 else 0)
    return test, test + validation
