"""How much of each of two adapters: a coarse-to-fine grid of weights, scored on development rows.

The base is loaded once, in 4 bits, with both adapters on it; a point of the grid only changes two numbers in every
layer (PEFT's ``scaling``), so that nothing is merged or loaded again. With both active a layer gives
W x + w1 s1 B1 A1 x + w2 s2 B2 A2 x, which is what their exact merge (``concat``) at these weights gives.

Rows are those of the validation split, never of test: what was searched on is no measure of what was found.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel

from leylora.adapters.files import adapter_sha256, open_adapter
from leylora.adapters.merge import Parent, check_mergeable
from leylora.errors import LeyloraError, UsageError, flattened
from leylora.evaluation.loss import base_identity, held_out_rows, load_for_scoring, row_losses, template_of
from leylora.files import read_json, write_json

if TYPE_CHECKING:
    from peft import PeftModel

Criterion = Literal["minimum", "mean"]
Weights = tuple[float, float]
Tick = Callable[[int, int], None]  # points scored, points in all at most

SPLIT = "validation"
COARSE = (0.25, 0.5, 0.75, 1.0, 1.25)
FINER = (0.125, 0.0625)  # the steps of the refinements: the eight neighbours of the best point at each
NEITHER, FIRST, SECOND = (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)  # base and single adapters, which retention is measured by
MOST_POINTS = 3 + len(COARSE) ** 2 + 8 * len(FINER)
ROWS = 200


class Point(BaseModel):
    """A pair of weights: loss by development set, nats per answer token, and the share of gain kept on each.

    ``score`` is the least or the mean of the shares, as the surface's ``criterion`` says.
    """

    weights: Weights
    loss: dict[str, float]
    kept: dict[str, float]
    score: float


class Surface(BaseModel):
    """A whole search.

    Attributes:
        base_loss: of the base alone, by development set.
        single_loss: of the two adapters alone, each with weight 1, by development set.
        rows, rows_sha256: how many development rows there were of each set, and which.
        points: in the order in which they were scored.
    """

    adapters: tuple[str, str]
    adapters_sha256: tuple[str, str]
    base_model: str
    criterion: Criterion
    rows: dict[str, int]
    rows_sha256: dict[str, str]
    base_loss: dict[str, float]
    single_loss: dict[str, tuple[float, float]]
    points: list[Point]

    @property
    def best(self) -> Point:
        """The point of the best score; of equal ones the one with the higher mean, then the first."""
        return max(self.points, key=lambda point: (point.score, sum(point.kept.values())))


def search_weights(
    first: Path,
    second: Path,
    development: Mapping[str, Path],
    store: Path,
    *,
    criterion: Criterion = "minimum",
    base: str | None = None,
    same_base: bool = False,
    load_in_4bit: bool = True,
    most_rows: int | None = ROWS,
    tick: Tick | None = None,
) -> Surface:
    """Score weights of two adapters on the validation rows of each dataset and give the surface.

    The share of gain kept on a set is (base - loss) / (base - the better single adapter): 1 is all that one of the
    two gains by itself. ``minimum`` looks for the weights whose worse skill keeps most, ``mean`` for the best mean.

    Args:
        development: dataset folders by the name of the skill.
        store: file that keeps every score as it comes, so that an interrupted search goes on; scores of other
            adapters, base or rows in it are dropped.
        base: by default the base that the adapters name.
        most_rows: of each set; None takes all.
        tick: told the points scored so far and the most there can be.

    Raises:
        UsageError: no development set, or an unknown criterion.
        LeyloraError: the adapters cannot be merged, a file is missing, or no adapter is better than the base on a set.
    """
    if criterion not in get_args(Criterion):
        raise UsageError(f"{criterion!r} is no criterion; there are {' and '.join(get_args(Criterion))}.")
    if not development:
        raise UsageError("Name the datasets to search on, such as: --development law=data/build/law")
    adapters = [open_adapter(folder) for folder in (first, second)]
    check_mergeable([Parent(first), Parent(second)], adapters, same_base=same_base)
    if whole := [adapter for adapter in adapters if adapter.full_tensors]:
        raise LeyloraError(f"{whole[0].folder} holds whole weights, which cannot be rescaled beside another adapter's.")
    name, revision = base or adapters[0].config.base_model_name_or_path, adapters[0].config.revision
    if name is None:
        raise LeyloraError(f"{first} does not name its base model; give it with --base.")

    sets = held_out_rows(
        name, development, [SPLIT], revision=revision, template=template_of([first, second]), most=most_rows
    )
    hashes = (adapter_sha256(first), adapter_sha256(second))
    found = {skill: rows.sha256 for skill, rows in sets.items()}
    identity = {"adapters": hashes, "base": base_identity(name, revision), "4bit": load_in_4bit, "rows": found}
    scores = Scores(store, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest())

    @cache
    def pair() -> WeightedPair:  # loaded at the first point that is not stored: a finished search needs no model
        return WeightedPair.load(name, revision, (first, second), load_in_4bit=load_in_4bit)

    def loss_at(weights: Weights) -> dict[str, float]:
        pair().weigh(weights)
        return {skill: row_losses(pair().model, rows).mean for skill, rows in sets.items()}

    surface = Surface(
        adapters=(adapters[0].name, adapters[1].name),
        adapters_sha256=hashes,
        base_model=name,
        criterion=criterion,
        rows={skill: len(rows.dataset) for skill, rows in sets.items()},
        rows_sha256=found,
        base_loss={},
        single_loss={},
        points=[],
    )
    walk(surface, lambda weights: scores.get(weights, loss_at), tick)
    return surface


def walk(surface: Surface, loss_at: Callable[[Weights], dict[str, float]], tick: Tick | None = None) -> None:
    """Fill ``surface`` with the coarse grid's points and, around the best of all so far, those of each finer step.

    Raises:
        LeyloraError: neither adapter is better than the base on some set.
    """
    done = 0

    def scored(weights: Weights) -> dict[str, float]:
        nonlocal done
        loss = loss_at(weights)
        done += 1
        if tick is not None:
            tick(done, MOST_POINTS)
        return loss

    surface.base_loss = scored(NEITHER)
    first, second = scored(FIRST), scored(SECOND)
    surface.single_loss = {skill: (first[skill], second[skill]) for skill in surface.base_loss}
    for skill, losses in surface.single_loss.items():
        if min(losses) >= surface.base_loss[skill]:
            raise LeyloraError(
                f"Neither adapter is better than the base on the rows of {skill} ({min(losses):.3f} against "
                f"{surface.base_loss[skill]:.3f}); check that these are its rows, or train longer."
            )
    for weights in ((w1, w2) for w1 in COARSE for w2 in COARSE):
        surface.points.append(_point(surface, weights, scored(weights)))
    for step in FINER:
        known = {point.weights for point in surface.points}
        for weights in neighbours(surface.best.weights, step):
            if weights not in known:
                surface.points.append(_point(surface, weights, scored(weights)))
    if tick is not None:
        tick(done, done)


def neighbours(weights: Weights, step: float) -> list[Weights]:
    """The eight pairs of weights one step away."""
    moves = (-step, 0.0, step)
    return [(weights[0] + x, weights[1] + y) for x in moves for y in moves if x or y]


def _point(surface: Surface, weights: Weights, loss: dict[str, float]) -> Point:
    kept = {
        skill: (surface.base_loss[skill] - loss[skill]) / (surface.base_loss[skill] - min(surface.single_loss[skill]))
        for skill in loss
    }
    shares = list(kept.values())
    score = min(shares) if surface.criterion == "minimum" else sum(shares) / len(shares)
    return Point(weights=weights, loss=loss, kept=kept, score=score)


class Scores:
    """Losses by weights in a JSON file, rewritten whole after every new one; another ``key`` means starting over."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        stored = read_json(path) if path.is_file() else {}
        fits = isinstance(stored, dict) and stored.get("key") == key
        self.losses: dict[str, dict[str, float]] = stored["losses"] if fits else {}

    def get(self, weights: Weights, measure: Callable[[Weights], dict[str, float]]) -> dict[str, float]:
        """The stored losses at ``weights``, or measured ones, which are stored."""
        name = f"{weights[0]:g}, {weights[1]:g}"
        if name not in self.losses:
            self.losses[name] = measure(weights)
            write_json(self.path, {"key": self.key, "losses": self.losses})
        return self.losses[name]


@dataclass
class WeightedPair:
    """Two adapters active at once on one base, and the scaling each was trained with, layer by layer."""

    model: "PeftModel"
    scalings: list[tuple[dict[str, float], str, int, float]]

    @classmethod
    def load(
        cls, base: str, revision: str | None, folders: Sequence[Path], *, load_in_4bit: bool = True
    ) -> "WeightedPair":
        """Load the base and both adapters.

        Raises:
            LeyloraError: the base cannot be loaded or an adapter does not fit it.
        """
        from peft import PeftModel
        from peft.tuners.lora import LoraLayer

        from leylora.models.load import silence_libraries

        silence_libraries()
        loaded = load_for_scoring(base, revision, load_in_4bit=load_in_4bit)
        names = ["first", "second"]
        try:
            model = PeftModel.from_pretrained(loaded, str(folders[0]), adapter_name=names[0])
            model.load_adapter(str(folders[1]), adapter_name=names[1])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise LeyloraError(
                f"The adapters do not load on {base} ({flattened(error)}); check that it is their base."
            ) from None
        model.base_model.set_adapter(names)
        scalings = [
            (layer.scaling, name, at, layer.scaling[name])
            for layer in model.modules()
            if isinstance(layer, LoraLayer)
            for at, name in enumerate(names)
            if name in layer.scaling
        ]
        return cls(model, scalings)

    def weigh(self, weights: Weights) -> None:
        """Give the adapters these weights, in place."""
        for scaling, name, at, trained in self.scalings:
            scaling[name] = trained * weights[at]
