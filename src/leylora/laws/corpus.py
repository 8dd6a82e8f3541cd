"""Many files at once: parse them in parallel processes and write each law beside the others."""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json
from leylora.laws.law import Law
from leylora.laws.metadata import slug


@dataclass(frozen=True)
class Outcome:
    """What became of one file: a law with the seconds it took, or the error a person can mend."""

    file: Path
    law: Law | None = None
    seconds: float = 0.0
    error: LeyloraError | None = None


def parse_files(files: Sequence[Path], law_id: str | None = None, workers: int | None = None) -> Iterator[Outcome]:
    """Parse files, each as soon as a process is free; one that fails does not stop the others.

    Raises:
        UsageError: ``law_id`` is given for more than one file, or is no name for a folder.
    """
    if law_id and slug(law_id) != law_id:
        raise UsageError(f"--law-id {law_id!r} is no name for a folder; use small letters, digits and hyphens.")
    if law_id and len(files) > 1:
        raise UsageError(f"--law-id names one law, but there are {len(files)} files; parse them one at a time.")
    workers = min(len(files), workers or os.cpu_count() or 1)
    if workers <= 1:
        yield from (_parse(file, law_id) for file in files)
        return
    with ProcessPoolExecutor(workers) as pool:
        tasks = {pool.submit(_parse, file, law_id): file for file in files}
        for task in as_completed(tasks):
            try:
                yield task.result()
            except BrokenProcessPool:
                error = LeyloraError(f"{tasks[task]}: its process was stopped (out of memory?); try it alone.")
                yield Outcome(tasks[task], error=error)


def _parse(file: Path, law_id: str | None) -> Outcome:
    start = time.perf_counter()
    try:
        return Outcome(file, Law.from_file(file, law_id), time.perf_counter() - start)
    except LeyloraError as error:
        return Outcome(file, error=error)


def save_law(law: Law, out: Path) -> Path:
    """Write a law to ``out/<law.id>``, replacing an earlier parse of the same edition.

    Raises:
        UsageError: another edition, or something else, stands there.
    """
    folder = out / law.id
    if (folder / "law.json").exists():
        there = read_json(folder / "law.json")
        if there.get("edition") != law.edition:
            raise UsageError(
                f"{folder} holds edition {there.get('edition') or 'undated'}, this is {law.edition or 'undated'}; "
                f"keep both with --law-id {law.id}-{law.edition or 'nueva'}, or delete that folder first."
            )
    return law.save(folder)


def parsed_editions(out: Path) -> dict[str, str]:
    """The ids of the laws parsed into ``out``, each with its edition ("" when undated)."""
    facts = (read_json(file) for file in sorted(out.glob("*/law.json")))
    return {str(fact.get("id", "")): str(fact.get("edition", "")) for fact in facts}
