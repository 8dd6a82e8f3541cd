"""The steps on the way to one adapter: a training or a merge, done unless it is there and its inputs are the same.

What was made from what stands in a stamp, ``data/build/made/NAME.json``: a hash of the step's settings and input
files, and the hash of the adapter that came out. An adapter that has no stamp, or is another than its stamp says, was
made by a person: it is kept unless the caller says otherwise.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from leylora import console
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256
from leylora.adapters.merge import merge
from leylora.adapters.report import Method
from leylora.adapters.weights import Parent
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.loss import base_identity
from leylora.files import read_json, sha256_file, write_json
from leylora.project import ROOT, shown
from leylora.training.arguments import read_recipe

STAMPS = Path("data/build/made")
UNTOUCHED = ("overwrite", "output_dir", "logging_steps", "report_to")  # keys that leave the weights as they are

Launch = Callable[[list[str]], None]


class State(Enum):
    """What is to be found at a step's output."""

    MISSING = "missing"
    CURRENT = "made from these inputs"
    OUTDATED = "made from other inputs"
    FOREIGN = "made by hand"


@dataclass(frozen=True)
class Training:
    """One run of train/sft.py.

    Attributes:
        changes: TRL's keys that differ from the recipe's.
    """

    recipe: Path
    output: Path
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """All keys of the run: the recipe's with the changes."""
        return {**read_recipe(self.recipe), **self.changes}

    @property
    def words(self) -> list[str]:
        """The command line after train/sft.py."""
        changes = {**self.changes, "output_dir": str(self.output), "overwrite": "true"}
        return [f"--config={shown(self.recipe)}", *(f"--{key}={value}" for key, value in changes.items())]

    def fingerprint(self) -> str:
        """A hash of everything the weights depend on: settings, base, rows, the adapter below or before."""
        settings = {key: value for key, value in self.settings.items() if key not in UNTOUCHED}
        parts = [json.dumps(settings, sort_keys=True, default=str)]
        parts.append(base_identity(str(settings.get("model_name_or_path")), settings.get("model_revision")))
        for key in ("dataset_name", "replay_dataset"):
            rows = Path(str(settings.get(key) or "")) / "train.jsonl"
            parts.append(sha256_file(rows) if rows.is_file() else "")
        for key in ("on_top_of", "init_from"):
            folder = Path(str(settings.get(key) or ""))
            parts.append(adapter_sha256(folder) if (folder / WEIGHTS_FILE).is_file() else "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Merging:
    """One merge; see `leylora.adapters.merge.merge`."""

    output: Path
    parents: tuple[Parent, ...]
    method: Method = "concat"
    rank: int | None = None
    picture: bool = True

    def fingerprint(self) -> str:
        """A hash of everything the weights depend on."""
        parts = [self.method, str(self.rank)]
        for parent in self.parents:
            parts += [adapter_sha256(parent.folder), str(parent.weight), str(parent.overrides)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


Step = Training | Merging


def state_of(step: Step) -> State:
    """Whether the step must be done; its inputs must be there."""
    if not (step.output / WEIGHTS_FILE).is_file() or not (step.output / CONFIG_FILE).is_file():
        return State.MISSING
    stamp = _read_stamp(step.output)
    if stamp.get("output") != adapter_sha256(step.output):
        return State.FOREIGN
    return State.CURRENT if stamp.get("inputs") == step.fingerprint() else State.OUTDATED


def do(step: Step, *, launch: "Launch | None" = None, force: bool = False) -> bool:
    """Do the step unless it was done from the same inputs, and say which; False when its output was kept.

    Args:
        launch: runs train/sft.py with these words; by default through ``accelerate launch``.
        force: replace what a person made.

    Raises:
        UsageError: a merge would replace what a person made.
        LeyloraError: what stops the training or the merge.
    """
    state = state_of(step)
    if state is State.CURRENT:
        kept = "adapter       kept from the last time" if isinstance(step, Training) else "merged        unchanged"
        console.say(f"{kept} -> {shown(step.output)}")
        return False
    if state is State.FOREIGN and not force:
        if isinstance(step, Merging):
            raise UsageError(f"{shown(step.output)} was not made by this command; move it, or replace it with --force.")
        console.say(f"adapter       kept as you made it -> {shown(step.output)}")
        return False
    key = step.fingerprint()
    if isinstance(step, Training):
        _train(step, key, launch or accelerate_launch(step.settings))
    else:
        report = merge(
            step.parents, step.output, step.method, step.rank,
            overwrite=step.output.exists(), picture=step.picture,
        )  # fmt: skip
        names = " + ".join(_weighed(parent) for parent in step.parents)
        console.say(f"merged        {names} in {report.seconds:.2f} s -> {shown(step.output)}")
    write_json(_stamp(step.output), {"inputs": key, "output": adapter_sha256(step.output)})
    return True


def accelerate_launch(settings: Mapping[str, Any]) -> Launch:
    """``accelerate launch train/sft.py`` as a process: on one CPU where the recipe says so, else as configured."""

    def launch(words: list[str]) -> None:
        on_cpu = str(settings.get("use_cpu", "")).lower() == "true"
        config = [f"--config_file={ROOT / 'train' / 'accelerate' / 'cpu.yaml'}"] if on_cpu else []
        start = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--quiet"]
        console.note(f"$ accelerate launch train/sft.py {' '.join(words)}")
        # Small matrices gain nothing from more threads, and threads that spin while they wait make a busy machine
        # several times slower.
        threads = {"OMP_NUM_THREADS": str(min(4, os.cpu_count() or 1)), "OMP_WAIT_POLICY": "PASSIVE"}
        command = [*start, *config, str(ROOT / "train" / "sft.py"), *words]
        if subprocess.run(command, env={**(threads if on_cpu else {}), **os.environ}, check=False).returncode:
            raise LeyloraError("The training stopped; its message stands above.")

    return launch


def in_this_process(words: list[str]) -> None:
    """Train without a process of its own: for many short runs after each other, on one device."""
    from leylora.training.arguments import parse
    from leylora.training.quiet import hush

    hush()
    arguments = parse(words)

    from leylora.training.sft import run

    run(arguments, words)


def _train(step: Training, key: str, launch: Launch) -> None:
    """Train; a run of the same inputs that was interrupted goes on from its last checkpoint."""
    words, stamp = step.words, _read_stamp(step.output)
    checkpoints = list(step.output.with_name(f".{step.output.name}.run").glob("checkpoint-*"))
    if checkpoints and stamp.get("begun") == key:
        words = [*words, "--resume_from_checkpoint=true"]
    write_json(_stamp(step.output), {**stamp, "begun": key})  # an older adapter stays what it is until the end
    launch(words)


def _weighed(parent: Parent) -> str:
    return parent.folder.name if parent.weight == 1 else f"{parent.weight:g} x {parent.folder.name}"


def _stamp(output: Path) -> Path:
    return STAMPS / f"{output.name}.json"


def _read_stamp(output: Path) -> dict[str, Any]:
    path = _stamp(output)
    stamp = read_json(path) if path.is_file() else {}
    return stamp if isinstance(stamp, dict) else {}
