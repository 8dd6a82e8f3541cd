"""How much of each parent goes into a merge: one number, or one by layer or by module."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path

from leylora.errors import UsageError

#: `depth`: the weight of the task adapter over the layers, first to last; the domain adapter's runs the other way.
TASK_OVER_DEPTH = (1.0, 0.6)

_LAYERS = re.compile(r"(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Parent:
    """An adapter folder and its weight; a later entry of ``overrides`` that matches a module takes its place.

    An override's pattern is a layer (``7``), a range of layers with both ends (``0-15``), or a shell pattern on
    the module's path (``*.down_proj``).
    """

    folder: Path
    weight: float = 1.0
    overrides: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not all(isfinite(weight) for weight in (self.weight, *(weight for _, weight in self.overrides))):
            raise UsageError(f"{self.folder}: a weight must be a finite number.")

    def weight_in(self, module: str) -> float:
        """The weight of this parent in a module, given by its path in the base model."""
        for pattern, weight in reversed(self.overrides):
            if matches(pattern, module):
                return weight
        return self.weight


def parse_parent(text: str) -> Parent:
    """``LORA/A`` or ``LORA/A=0.7``.

    Raises:
        UsageError: what follows ``=`` is no finite number.
    """
    folder, equals, weight = text.rpartition("=")
    return Parent(Path(folder), _number(weight, text)) if equals else Parent(Path(text))


def with_overrides(parents: Sequence[Parent], overrides: Sequence[str]) -> list[Parent]:
    """Give each ``NAME:PATTERN=WEIGHT`` to the parent whose folder has that name.

    Raises:
        UsageError: an entry has another form, or names no parent.
    """
    changed = list(parents)
    for text in overrides:
        target, equals, weight = text.rpartition("=")
        name, colon, pattern = target.partition(":")
        at = [index for index, parent in enumerate(changed) if parent.folder.resolve().name == name]
        if not (equals and colon and pattern):
            raise UsageError(f"{text!r} is no weight by module; write NAME:PATTERN=WEIGHT, such as law:0-15=0.5.")
        if len(at) != 1:
            names = ", ".join(parent.folder.resolve().name for parent in changed)
            raise UsageError(f"{text!r} names {len(at) or 'no'} parents; the parents are {names}.")
        parent = changed[at[0]]
        changed[at[0]] = Parent(parent.folder, parent.weight, (*parent.overrides, (pattern, _number(weight, text))))
    return changed


def parse_rank(text: str) -> tuple[int | None, float | None]:
    """``16`` or ``energy:0.99``, as (rank, energy).

    Raises:
        UsageError: it is neither.
    """
    kind, colon, share = text.partition(":")
    if kind == "energy" and colon:
        return None, _number(share, text)
    if not text.isdecimal():
        raise UsageError(f"{text!r} is no rank; give a number, such as 16, or a share of energy, such as energy:0.99.")
    return int(text), None


def layer_of(module: str) -> int | None:
    """The layer number in a module's path: the first part that is a number."""
    return next((int(part) for part in module.split(".") if part.isdigit()), None)


def matches(pattern: str, module: str) -> bool:
    """Whether an override's pattern (see `Parent`) covers a module."""
    if layers := _LAYERS.fullmatch(pattern):
        layer, first = layer_of(module), int(layers[1])
        return layer is not None and first <= layer <= int(layers[2] or first)
    return fnmatchcase(module, pattern)


def depth_factors(module: str, n_layers: int) -> tuple[float, float]:
    """Factors for a (task, domain) pair at a module's depth: the domain gains what the task loses.

    TaDA (To et al., arXiv 2606.05016) finds that the domain adapter matters more the deeper the layer and the task
    adapter more in the shallow ones. The paper reads a gate per layer and projection from probe inputs and drops
    conflicting singular directions; this is only its finding, as a straight line over depth, without probes.
    """
    layer = layer_of(module)
    position = 0.5 if layer is None or n_layers < 2 else layer / (n_layers - 1)
    first, last = TASK_OVER_DEPTH
    return first + (last - first) * position, last + (first - last) * position


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{place!r}: {text!r} is no number; write one, such as 0.7.") from None
