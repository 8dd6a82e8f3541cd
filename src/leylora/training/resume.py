"""Resuming after an interruption: which checkpoint is complete, and whether it is still the same run.

A run keeps its checkpoints in a work folder beside its output, ``LORA/.NAME.run``. A checkpoint counts once the list
of its files' hashes (``complete.json``) has been written, as the last thing; what is there without one was cut off.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object, sha256_file, write_json
from leylora.project import shown
from leylora.training.config import Arguments

COMPLETE, ASKED = "complete.json", "asked.json"

FREE_KEYS = re.compile(
    r"output_dir|run_name|project|report_to|log_.*|logging_.*|disable_tqdm|save_.*|eval_.*|per_device_eval_batch_size|"
    r"dataset_num_proc|dataloader_(num_workers|pin_memory|persistent_workers|prefetch_factor|multiprocessing_context)|"
    r"resume_from_checkpoint|push_to_hub|hub_.*|trackio_.*|local_rank|ddp_timeout|overwrite|sample_.*|"
    r"min_gpu_memory_gib|stop_on_divergence|dry_run|mask_report|assume_gpu|skip_memory_metrics|include_.*|"
    r"prediction_loss_only|do_.*|debug|"
    r"load_best_model_at_end|metric_for_best_model|greater_is_better|enable_jit_checkpoint|"
    r"model_name_or_path|model_revision|frozen_adapter|resume_adapter|dataset_name|replay_dataset|trust_remote_code"
)
"""Keys that may differ when a run resumes: they change no loss, or what they name is compared by its hash."""


@contextmanager
def only_one(work: Path) -> Iterator[None]:
    """Keep other runs out of ``work`` while the block runs, by a lock that the system drops when a process dies.

    A launcher that was killed leaves its workers running, and the next run would write between their files.
    """
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise LeyloraError(
            f"A run that writes to {shown(work)} is still going on, perhaps of a launcher that was killed; wait "
            "for it or end its process, or change output_dir."
        ) from None
    except (NotImplementedError, OSError):  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()
        (work / "lock").unlink(missing_ok=True)
        with suppress(OSError):  # gone, or it holds something to go on from
            work.rmdir()


def checkpoints(work: Path) -> list[Path]:
    """The checkpoint folders of a run, whole or not, the earliest first."""
    found = [path for path in work.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-"))


def seal(checkpoint: Path) -> None:
    """Declare a checkpoint complete, with the SHA-256 of each of its files."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    write_json(checkpoint / COMPLETE, {str(path.relative_to(checkpoint)): sha256_file(path) for path in files})


def fault_of(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be used, or None when it is just as it was written."""
    if not (checkpoint / COMPLETE).is_file():
        return "was cut off while it was written"
    try:
        hashes: dict[str, str] = json.loads((checkpoint / COMPLETE).read_text("utf-8"))
    except ValueError:
        return f"is damaged ({COMPLETE} is not JSON)"
    for name, wanted in hashes.items():
        if not (checkpoint / name).is_file():
            return f"is damaged ({name} is missing)"
        if sha256_file(checkpoint / name) != wanted:
            return f"is damaged ({name} is not what was written)"
    return None


def find_checkpoint(arguments: Arguments, work: Path) -> Path | None:
    """The checkpoint to go on from, or None to begin at step 0. To be asked before anything is loaded.

    ``--resume_from_checkpoint true`` takes the last one that is whole, and begins anew when there is none yet, so that
    a job that may be requeued can always ask for it. A path takes that very one.
    """
    asked = str(arguments.training.resume_from_checkpoint or "false")
    found = checkpoints(work)
    if asked.lower() == "false":
        if found and not arguments.run.overwrite:
            raise UsageError(
                f"A run of this name was interrupted; {shown(work)} holds its checkpoint of step {step_of(found[-1])}. "
                "Add --resume_from_checkpoint true to go on, or --overwrite true to begin again."
            )
        return None
    if asked.lower() != "true":
        named = Path(asked)
        if not named.is_dir() or named.resolve() not in [path.resolve() for path in found]:
            names = ", ".join(path.name for path in found) or "none"
            raise UsageError(
                f"{named} is not a checkpoint of this run (in {shown(work)}: {names}); to train on from the adapter of "
                "another run use --resume_adapter."
            )
        if fault := fault_of(named):
            raise LeyloraError(
                f"The checkpoint {named} {fault}; --resume_from_checkpoint true takes the last whole one."
            )
        return named
    for checkpoint in reversed(found):
        if (fault := fault_of(checkpoint)) is None:
            return checkpoint
        console.note(f"The checkpoint of step {step_of(checkpoint)} {fault}; going back to the one before.")
    if found:
        raise LeyloraError(f"No checkpoint in {shown(work)} is whole; --overwrite true begins again at step 0.")
    console.note(f"There is no checkpoint in {shown(work)} yet; beginning at step 0.")
    return None


def begin(work: Path, checkpoint: Path | None, arguments: Arguments, made_from: dict[str, Any]) -> None:
    """Make ``work`` ready: a resumed run must be the one that was interrupted; a new one writes down what it is.

    Checkpoints later than ``checkpoint`` are removed, all of them when the run begins anew. ``made_from`` holds hashes
    of rows, base model and adapters below, by the name shown to a person.
    """
    keys = {**arguments.training.to_dict(), **asdict(arguments.model), **asdict(arguments.run)}
    kept = {key: value for key, value in keys.items() if not FREE_KEYS.fullmatch(key)}
    kept["number of processes"] = arguments.training.world_size
    asked = json.loads(json.dumps({**kept, **made_from}, default=str))
    if checkpoint is not None:
        if changed := what_changed(read_json_object(work / ASKED), asked):
            raise LeyloraError(
                f"{shown(work)} cannot go on, because this changed since the run began: {'; '.join(changed)}. Undo "
                "the change to go on, or begin again with --overwrite true."
            )
        console.note(f"Going on from step {step_of(checkpoint)}.")
    if arguments.training.should_save:
        for later in checkpoints(work):
            if checkpoint is None or step_of(later) > step_of(checkpoint):
                shutil.rmtree(later)
        write_json(work / ASKED, asked)


def what_changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Names of the entries that differ, with both values where these say something to a person."""
    changed = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old != new:
            hashed = any(re.fullmatch(r"(sha256:)?[0-9a-f]{40,64}", str(value)) for value in (old, new))
            changed.append(key if hashed else f"{key} ({old} before, {new} now)")
    return changed
