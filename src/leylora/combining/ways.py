"""From two skills to one adapter: the ways there are, each as the steps that lead to it.

    sum      both adapters trained apart, their exact sum                               nothing more to train
    search   the same with the weights that keep most on the validation rows            nothing more to train
    on-top   law trained over the frozen instructions adapter with replayed rows, then the exact sum of the two
    heal     a merge of both at one adapter's rank, trained on for half a run with rows of both kinds

Trainings follow the family's recipes and write where these say, so that what was trained by hand counts.
Which way keeps how much is measured in benchmarks/combining.py; `DEFAULT_WAY` is its winner.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from leylora import console
from leylora.adapters.weights import Parent
from leylora.combining.comparison import Cell, compare_variants
from leylora.combining.steps import Launch, Merging, State, Step, Training, do, state_of
from leylora.errors import UsageError
from leylora.evaluation.loss import template_of
from leylora.evaluation.weight_search import MOST_POINTS, Criterion, Surface, search_weights
from leylora.evaluation.weight_surface import save_surface, surface_table
from leylora.project import RECIPES, shown
from leylora.training.arguments import read_recipe

Way = Literal["sum", "search", "on-top", "heal"]
WAYS: tuple[Way, ...] = get_args(Way)
DEFAULT_WAY: Way = "on-top"
TRAININGS: dict[Way, tuple[str, ...]] = {
    "sum": ("instructions", "law"),
    "search": ("instructions", "law"),
    "on-top": ("instructions", "combined-on-top"),
    "heal": ("instructions", "law", "combined-heal"),
}
"""The recipes that a way trains, in order."""
HEAL_WEIGHTS = (0.5, 0.7)  # instructions, law: less than whole, for two whole adapters disturb each other
SKILLS = ("law", "instructions")
LABELS = {
    "sum": "sum",
    "search": "sum, weights searched",
    "on-top": "law on top, with replay",
    "heal": "merge, healed",
}


@dataclass
class Combination:
    """A family's two adapters and the ways to one.

    Attributes:
        recipes: folder with ``instructions.yaml``, ``law.yaml``, ``combined-on-top.yaml``, ``combined-heal.yaml``.
        changes: TRL's keys that differ from the recipes' in every training.
        criterion: what ``search`` looks for.
        force: replace what a person made.
        launch: see `leylora.combining.steps.do`.
    """

    recipes: Path
    changes: Mapping[str, str] = field(default_factory=dict)
    criterion: Criterion = "minimum"
    force: bool = False
    launch: Launch | None = None

    @classmethod
    def of_family(cls, family: str, **options: Any) -> "Combination":
        """The combination of a folder in train/recipes, or of a folder of recipes anywhere.

        Raises:
            UsageError: there is no such folder, or it holds no pair of recipes.
        """
        pairs = sorted(file.parent.name for file in RECIPES.glob("*/combined-on-top.yaml"))
        folder = RECIPES / family if family in pairs else Path(family)
        if not (folder / "instructions.yaml").is_file() or not (folder / "law.yaml").is_file():
            raise UsageError(
                f"There is no family {family!r} with a recipe for each skill; there are {', '.join(pairs)}."
            )
        return cls(folder, **options)

    @property
    def name(self) -> str:
        """The family's name, which its adapters begin with."""
        return self.recipes.resolve().name

    def adapter(self, skill: str) -> Path:
        """The folder of the adapter of one skill."""
        return self._training(skill).output

    def result(self, way: str) -> Path:
        """The folder of the one adapter that a way leads to."""
        return self.adapter("instructions").with_name(f"{self.name}-combined-{way}")

    def dataset(self, skill: str) -> Path:
        """The folder of the rows of one skill."""
        return Path(str(self._training(skill).settings["dataset_name"]))

    def steps(self, way: Way) -> Iterator[Step]:
        """The steps of a way, in order; ``search`` finds its weights when its last step is asked for.

        Raises:
            UsageError: the family has no recipe for this way.
        """
        trainings = self.trainings(way)
        yield from trainings[:2]
        if way == "heal":
            start, rank = Path(str(trainings[2].settings["init_from"])), read_recipe(trainings[1].recipe)["lora_r"]
            yield self._merging(start, *HEAL_WEIGHTS, method="svd", rank=rank)
            yield trainings[2]
        elif way == "on-top":
            yield Merging(self.result(way), tuple(Parent(training.output) for training in trainings))
        elif way == "search":
            yield self._merging(self.result(way), *self._search().best.weights)
        else:
            yield self._merging(self.result(way), 1.0, 1.0)

    def trainings(self, way: Way) -> list[Training]:
        """The runs of train/sft.py that a way needs, in order.

        Raises:
            UsageError: the family has no recipe for this way.
        """
        runs = [self._training(recipe) for recipe in TRAININGS[way]]
        return [*runs[:2], replace(runs[2], output=self.result(way))] if way == "heal" else runs

    def run(self, way: Way) -> Path:
        """Go one way to its adapter; steps that were done before from the same inputs are kept.

        Raises:
            LeyloraError: whatever stops a step.
        """
        for step in self.steps(way):
            do(step, launch=self.launch, force=self.force)
        if way == "search":
            surface = self._search()
            save_surface(surface, self.result(way))
            console.out.print(surface_table(surface))
        return self.result(way)

    def tell(self, way: Way) -> None:
        """Print a way's steps and whether their adapters are there, without doing any."""
        console.say(f"{way}: {LABELS[way]}")
        for run in self.trainings(way):
            state = state_of(run)
            keep = state is State.CURRENT or (state is State.FOREIGN and not self.force)
            console.say(f"  {'keep' if keep else 'train':<6} {run.output} ({state.value}): {shown(run.recipe)}")
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
            template=template_of(list(singles.values())),
            max_length=settings.get("max_length"),
            load_in_4bit=bool(settings.get("load_in_4bit", True)),
        )

    def _training(self, recipe: str) -> Training:
        path = self.recipes / f"{recipe}.yaml"
        if not path.is_file():
            raise UsageError(f"{shown(self.recipes)} has no {path.name}, so this way is not open to {self.name}.")
        return Training(path, Path(str(read_recipe(path)["output_dir"])), self.changes)

    def _merging(self, output: Path, instructions: float, law: float, **how: Any) -> Merging:
        parents = Parent(self.adapter("instructions"), instructions), Parent(self.adapter("law"), law)
        return Merging(output, parents, **how)

    def _search(self) -> Surface:
        settings = self._training("law").settings
        out = self.result("search")
        with console.progress() as bar:
            task = bar.add_task("weights", total=MOST_POINTS)
            return search_weights(
                self.adapter("instructions"),
                self.adapter("law"),
                {skill: self.dataset(skill) for skill in SKILLS},
                out.with_name(f".{out.name}.search.json"),
                criterion=self.criterion,
                load_in_4bit=bool(settings.get("load_in_4bit", True)),
                tick=lambda done, total: bar.update(task, completed=done, total=total),
            )
