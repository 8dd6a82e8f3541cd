"""From two skills to one adapter: the ways there are, the steps that lead there, and what each way keeps.

    sum      both adapters trained apart, their exact sum                               nothing more to train
    search   the same with the weights that keep most on the validation rows            nothing more to train
    activations  each layer nearest to both adapters on their own rows    nothing more to train, rows read once
    on-top   law trained over the frozen instructions adapter with replayed rows, then the exact sum of the two
    heal     a merge of both at one adapter's rank, trained on for half a run with rows of both kinds

A step (a training or a merge) is done unless its output is there and its inputs are the same. What was made from
what is kept in a stamp, ``data/build/made/NAME.json``: a hash of the step's settings and input files, and the hash of
the adapter that came out. An adapter without a stamp, or other than its stamp says, was made by a person: it is kept
unless the caller says otherwise.

Trainings follow the family's recipes and write where these say, so that what was trained by hand counts. Which way
keeps how much is measured in benchmarks/combining.py; `DEFAULT_WAY` is its winner.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel
from rich import box
from rich.table import Table

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.discover import BASE, Variant, common_template, read_variant
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256
from leylora.adapters.merge import Parent, merge
from leylora.adapters.report import Method
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.activations import best_share, row_moments, search_shares
from leylora.evaluation.loss import compare_losses, held_out_rows
from leylora.evaluation.statistics import kept_share, ratio_interval
from leylora.evaluation.weight_search import Criterion, Surface, save_surface, search_weights, surface_table
from leylora.files import read_json_object, sha256_file, write_json
from leylora.models.bases import Load, base_sha256
from leylora.models.load import silence_libraries
from leylora.project import ROOT, shown
from leylora.training.config import parse
from leylora.training.recipe import compose, slug
from leylora.training.sft import run

Way = Literal["sum", "search", "activations", "on-top", "heal"]
WAYS: tuple[Way, ...] = get_args(Way)
DEFAULT_WAY: Way = "on-top"
TRAININGS: dict[Way, tuple[str, ...]] = {
    "sum": ("instructions", "law"),
    "search": ("instructions", "law"),
    "activations": ("instructions", "law"),
    "on-top": ("instructions", "combined-on-top"),
    "heal": ("instructions", "law", "combined-heal"),
}
"""The recipes that a way trains, in order."""
HEAL_WEIGHTS = (0.5, 0.7)  # instructions, law: less than whole, for two whole adapters disturb each other
SKILLS = ("law", "instructions")
LABELS = {
    "sum": "sum of the two",
    "search": "sum, weights searched",
    "activations": "nearest on both's rows",
    "on-top": "law on top, with replay",
    "heal": "merge, healed",
}

STAMPS = Path("data/build/made")
UNTOUCHED = ("overwrite", "output_dir", "logging_steps", "report_to")  # keys that leave the weights as they are

Launch = Callable[[list[str]], None]


class State(Enum):
    """What is at a step's output."""

    MISSING = "missing"
    CURRENT = "made from these inputs"
    OUTDATED = "made from other inputs"
    FOREIGN = "made by hand"


@dataclass(frozen=True)
class Training:
    """One run of train/sft.py: a recipe (`leylora.training.recipe.compose`), with ``changes`` to its keys."""

    model: str
    adapter: str
    output: Path
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        return {**compose(self.model, self.adapter), **self.changes}

    @property
    def words(self) -> list[str]:
        """The command line after train/sft.py."""
        recipe = {"model": self.model, "adapter": self.adapter}
        keys = {**recipe, **self.changes, "output_dir": str(self.output), "overwrite": "true"}
        return [f"--{key}={value}" for key, value in keys.items()]

    def fingerprint(self) -> str:
        """A hash of everything the weights depend on: settings, base, rows, the adapter below or before."""
        settings = {key: value for key, value in self.settings.items() if key not in UNTOUCHED}
        parts = [json.dumps(settings, sort_keys=True, default=str)]
        parts.append(base_sha256(str(settings.get("model_name_or_path")), settings.get("model_revision")))
        for key in ("dataset_name", "replay_dataset"):
            rows = Path(str(settings.get(key) or "")) / "train.jsonl"
            parts.append(sha256_file(rows) if rows.is_file() else "")
        for key in ("frozen_adapter", "resume_adapter"):
            folder = Path(str(settings.get(key) or ""))
            parts.append(adapter_sha256(folder) if (folder / WEIGHTS_FILE).is_file() else "")
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Merging:
    """One call of `leylora.adapters.merge.merge`."""

    output: Path
    parents: tuple[Parent, ...]
    method: Method = "concat"
    rank: int | None = None
    picture: bool = True
    rows: tuple[Path, ...] = ()  # for activations: the dataset of each parent
    load: Load = "4bit"

    def fingerprint(self) -> str:
        parts = [self.method, str(self.rank), *(sha256_file(folder / "train.jsonl") for folder in self.rows)]
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


def do(step: Step, *, launch: Launch | None = None, overwrite: bool = False) -> bool:
    """Do the step unless it was done from the same inputs, and say which; False when its output was kept.

    ``launch`` runs train/sft.py with a command line, by default through ``accelerate launch``. What a person made is
    replaced only with ``overwrite``: without it a training is skipped and a merge refused (UsageError).
    """
    state = state_of(step)
    if state is State.CURRENT:
        kept = "adapter       kept from the last time" if isinstance(step, Training) else "merged        unchanged"
        console.say(f"{kept} -> {shown(step.output)}")
        return False
    if state is State.FOREIGN and not overwrite:
        if isinstance(step, Merging):
            raise UsageError(
                f"{shown(step.output)} was not made by this command; move it, or replace it with --overwrite."
            )
        console.say(f"adapter       kept as you made it -> {shown(step.output)}")
        return False
    key = step.fingerprint()
    if isinstance(step, Training):
        words, stamp = step.words, _read_stamp(step.output)
        checkpoints = list(step.output.with_name(f".{step.output.name}.run").glob("checkpoint-*"))
        if checkpoints and stamp.get("begun") == key:  # interrupted, from the same inputs
            words = [*words, "--resume_from_checkpoint=true"]
        write_json(_stamp(step.output), {**stamp, "begun": key})  # an older adapter stays what it is until the end
        (launch or accelerate_launch(step.settings))(words)
    else:
        exists = step.output.exists()
        folders = [parent.folder for parent in step.parents]
        moments = row_moments(folders, step.rows, load=step.load) if step.rows else None
        how: dict[str, Any] = {"overwrite": exists, "picture": step.picture, "moments": moments}
        made = merge(step.parents, step.output, step.method, step.rank, **how)
        names = [f"{p.weight:g} x {p.folder.name}" if p.weight != 1 else p.folder.name for p in step.parents]
        console.say(f"merged        {' + '.join(names)} in {made.seconds:.2f} s -> {shown(step.output)}")
    write_json(_stamp(step.output), {"inputs": key, "output": adapter_sha256(step.output)})
    return True


def accelerate_launch(settings: Mapping[str, Any]) -> Launch:
    """``accelerate launch train/sft.py`` as a process: on one CPU where the recipe says so, else as configured."""

    def launch(words: list[str]) -> None:
        on_cpu = str(settings.get("use_cpu", "")).lower() == "true"
        config = [f"--config_file={ROOT / 'train' / 'accelerate' / 'cpu.yaml'}"] if on_cpu else []
        start = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--quiet"]
        console.note(f"$ accelerate launch train/sft.py {' '.join(words)}")
        threads = {"OMP_NUM_THREADS": str(min(4, os.cpu_count() or 1))}  # small matrices gain nothing from more
        command = [*start, *config, str(ROOT / "train" / "sft.py"), *words]
        if subprocess.run(command, env={**(threads if on_cpu else {}), **os.environ}, check=False).returncode:
            raise LeyloraError("The training stopped; its message stands above.")

    return launch


def in_this_process(words: list[str]) -> None:
    """Train without a process of its own: for many short runs after each other, on one device."""
    silence_libraries()
    run(parse(words), words)


def _stamp(output: Path) -> Path:
    return STAMPS / f"{output.name}.json"


def _read_stamp(output: Path) -> dict[str, Any]:
    path = _stamp(output)
    stamp = read_json_object(path) if path.is_file() else {}
    return stamp if isinstance(stamp, dict) else {}


class Cell(BaseModel):
    """One variant on one held-out set: loss per answer token with a 95 % interval, and the share of gain kept."""

    variant: str
    held_out: str
    rows: int
    loss: float
    low: float
    high: float
    kept: float | None = None
    kept_low: float | None = None
    kept_high: float | None = None


@dataclass
class Combination:
    """The two adapters of a base (a model of train/recipes, or a file of one's own) and the ways to one.

    ``changes`` are to the recipes' keys in every training, ``criterion`` is what ``search`` looks for; for the others
    see `do`.
    """

    model: str
    changes: Mapping[str, str] = field(default_factory=dict)
    criterion: Criterion = "minimum"
    overwrite: bool = False
    launch: Launch | None = None

    def __post_init__(self) -> None:
        compose(self.model, "law")  # UsageError where there is no such model

    @property
    def name(self) -> str:
        """What its adapters' names begin with."""
        return slug(self.model)

    def adapter(self, skill: str) -> Path:
        return self._training(skill).output

    def result(self, way: str) -> Path:
        return self.adapter("instructions").with_name(f"{self.name}-combined-{way}")

    def dataset(self, skill: str) -> Path:
        return Path(str(self._training(skill).settings["dataset_name"]))

    def steps(self, way: Way) -> Iterator[Step]:
        """The steps of a way, in order; ``search`` finds its weights when its last step is asked for."""
        trainings = self.trainings(way)
        yield from trainings[:2]
        if way == "heal":
            start, rank = Path(str(trainings[2].settings["resume_adapter"])), compose(self.model, "law")["lora_r"]
            yield self._merging(start, *HEAL_WEIGHTS, method="svd", rank=rank)
            yield trainings[2]
        elif way == "on-top":
            yield Merging(self.result(way), tuple(Parent(training.output) for training in trainings))
        elif way == "search":
            yield self._merging(self.result(way), *self._search().best.weights)
        elif way == "activations":
            yield self._by_activations()
        else:
            yield self._merging(self.result(way), 1.0, 1.0)

    def trainings(self, way: Way) -> list[Training]:
        """The runs of train/sft.py that a way needs, in order. UsageError where a recipe is missing."""
        runs = [self._training(recipe) for recipe in TRAININGS[way]]
        return [*runs[:2], replace(runs[2], output=self.result(way))] if way == "heal" else runs

    def run(self, way: Way) -> Path:
        """Go one way to its adapter; steps that were done before from the same inputs are kept."""
        for step in self.steps(way):
            do(step, launch=self.launch, overwrite=self.overwrite)
        if way == "search":
            surface = self._search()
            save_surface(surface, self.result(way))
            console.out.print(surface_table(surface))
        return self.result(way)

    def tell(self, way: Way) -> None:
        """Print a way's steps and whether their adapters are there, without doing any."""
        console.say(f"{way}: {LABELS[way]}")
        for step in self.trainings(way):
            state = state_of(step)
            keep = state is State.CURRENT or (state is State.FOREIGN and not self.overwrite)
            console.say(f"  {'keep' if keep else 'train':<6} {step.output} ({state.value}): {self.name}/{step.adapter}")
        console.say(f"  result {self.result(way)}")

    def compare(self, ways: Sequence[Way], splits: Sequence[str] = ("test",)) -> list[Cell]:
        """Losses and kept gain of the ways' adapters, beside the base and the single ones that are there.

        On the test rows: no way has seen them, the search's weights included.
        """
        settings = self._training("law").settings
        singles = {skill: self.adapter(skill) for skill in reversed(SKILLS) if self.adapter(skill).is_dir()}
        return compare_variants(
            str(settings["model_name_or_path"]),
            {**singles, **{way: self.result(way) for way in ways}},
            {skill: self.dataset(skill) for skill in SKILLS},
            ways,
            splits,
            revision=settings.get("model_revision"),
            template=common_template([read_variant(folder) for folder in singles.values()]),
            max_length=settings.get("max_length"),
            load="4bit" if settings.get("load_in_4bit", True) else "16bit",
        )

    def _training(self, adapter: str) -> Training:
        return Training(self.model, adapter, Path(str(compose(self.model, adapter)["output_dir"])), self.changes)

    def _merging(self, output: Path, instructions: float, law: float, **how: Any) -> Merging:
        parents = Parent(self.adapter("instructions"), instructions), Parent(self.adapter("law"), law)
        return Merging(output, parents, **how)

    def _by_activations(self) -> Merging:
        """The merge at the rank of both together, with the share of rows that keeps most on the validation rows."""
        skills = ("instructions", "law")
        load: Load = "4bit" if self._training("law").settings.get("load_in_4bit", True) else "16bit"
        ranks = [compose(self.model, skill)["lora_r"] for skill in skills]
        rows = {skill: self.dataset(skill) for skill in skills}
        merging = self._merging(
            self.result("activations"),
            0.5,
            0.5,
            method="activations",
            rank=sum(ranks),
            rows=tuple(rows.values()),
            load=load,
        )
        folders = [parent.folder for parent in merging.parents]
        found = search_shares(folders, rows, rank=merging.rank, load=load)
        share = best_share(found)
        for tried, kept in found.items():
            line = ", ".join(f"{skill} {value:.0%}" for skill, value in kept.items())
            console.say(f"{'chosen' if tried == share else '':<13} share of instructions {tried:g}: keeps {line}")
        first, second = merging.parents
        return replace(merging, parents=(replace(first, weight=share), replace(second, weight=round(1 - share, 4))))

    def _search(self) -> Surface:
        settings = self._training("law").settings
        out = self.result("search")
        return search_weights(
            self.adapter("instructions"),
            self.adapter("law"),
            {skill: self.dataset(skill) for skill in SKILLS},
            out.with_name(f".{out.name}.search.json"),
            criterion=self.criterion,
            load="4bit" if settings.get("load_in_4bit", True) else "16bit",
        )


def compare_variants(
    base: str,
    adapters: Mapping[str, Path],
    datasets: Mapping[str, Path],
    combined: Collection[str],
    splits: Sequence[str],
    *,
    revision: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
    load: Load = "4bit",
) -> list[Cell]:
    """Losses of the base and its adapters on the held-out rows of each dataset, the base loaded once.

    Args:
        adapters: folders by name; those named like a dataset are the single adapters.
        datasets: dataset folders by the name of the skill, which is also the name of its own adapter.
        combined: the adapters whose share of the single adapters' gain is asked for; it stays None for a skill
            whose own adapter is not among ``adapters`` or gained nothing.
        splits: which rows, such as ``["test"]``.
    """
    silence_libraries()
    sets = held_out_rows(base, datasets, splits, revision=revision, template=template, max_length=max_length)
    model = AdaptedModel(base, load, revision=revision)
    variants = [BASE, *(Variant(name=name, adapter=str(folder)) for name, folder in adapters.items())]
    losses = compare_losses(model, variants, sets)
    cells = []
    for name in ("base", *adapters):
        for skill in sets:
            measured, base_loss, single = losses[name][skill], losses["base"][skill], losses.get(skill, {}).get(skill)
            low, high = ratio_interval(measured.sums)
            cell = Cell(variant=name, held_out=skill, rows=len(measured.nll), loss=measured.mean, low=low, high=high)
            if name in combined and single is not None and single.mean < base_loss.mean:
                kept = kept_share(base_loss.sums, single.sums, measured.sums)
                cell.kept, cell.kept_low, cell.kept_high = kept
            cells.append(cell)
    return cells


def best_of(cells: Sequence[Cell]) -> str | None:
    """The combined variant whose worse skill keeps most of its gain; None where a share is missing."""
    kept: dict[str, list[float]] = {}
    for cell in cells:
        if cell.kept is not None:
            kept.setdefault(cell.variant, []).append(cell.kept)
    skills = len({cell.held_out for cell in cells})
    whole = {variant: min(shares) for variant, shares in kept.items() if len(shares) == skills}
    return max(whole, key=lambda variant: whole[variant]) if whole else None


def print_table(cells: Sequence[Cell], labels: Mapping[str, str]) -> None:
    """The cells as a table of 80 columns: a line a variant, loss and kept gain for each skill."""
    skills = list(dict.fromkeys(cell.held_out for cell in cells))
    by = {(cell.variant, cell.held_out): cell for cell in cells}
    table = Table(title="Loss on held-out rows, nats per answer token; less is better", box=box.SIMPLE_HEAD)
    table.add_column("adapter", no_wrap=True)
    for skill in skills:
        table.add_column(f"{skill}\n{by['base', skill].rows} rows", justify="right")
        table.add_column("gain kept", justify="right")
    for variant in dict.fromkeys(cell.variant for cell in cells):
        line = [labels.get(variant, variant)]
        for skill in skills:
            cell = by[variant, skill]
            line.append(f"{cell.loss:.2f} ±{(cell.high - cell.low) / 2:.2f}")
            kept = "" if cell.kept is None else f"{cell.kept:.0%}"
            line.append(kept and f"{kept} ±{((cell.kept_high or 0) - (cell.kept_low or 0)) / 2:.0%}")
        table.add_row(*line)
    console.out.print(table)
    console.say("± is half the 95 % interval over rows; gain kept: share of the single adapter's gain.")
