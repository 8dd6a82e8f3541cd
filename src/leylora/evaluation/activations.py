"""What the layers of a model read on the rows of each parent: second moments for the merge method ``activations``.

moments = row_moments([folder, folder], [Path("data/build/instructions"), Path("data/build/law")])
merge(parents, out, "activations", 16, moments=moments)

The rows pass through the model layer by layer, the parent's own adapter on it; what leaves a layer is kept until the
next one is asked for, so that in memory there are the base, the rows' hidden states and the moments of one layer.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant, common_template, read_variant
from leylora.adapters.files import open_adapter
from leylora.adapters.merge import Moments, Parent, merge
from leylora.adapters.report import layer_of
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.loss import held_out_rows, row_losses
from leylora.models.bases import Load
from leylora.models.generate import evaluating
from leylora.models.load import silence_libraries

ROWS = 200
SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the first parent's rows, in a search
KEPT_BYTES = 2**31  # of moments that a search keeps in memory; larger ones are read anew for each share
BATCH_TOKENS = 4096  # passed through a layer at once, padding included

Batch = tuple[Tensor, Tensor, dict[str, Any]]  # hidden states (B, T, d), which are no padding (B, T), the layer's rest


class _FirstLayerReached(Exception):
    """Raised to stop a forward pass once the first layer's inputs are known."""


class RowMoments:
    """E[x x^T] of the inputs of every adapted module, for each parent on its own rows; to be asked layer by layer.

    Args:
        parents: adapter folders.
        rows: the token ids of each parent's rows.
    """

    def __init__(self, model: AdaptedModel, parents: Sequence[Path], rows: Sequence[Sequence[Sequence[int]]]) -> None:
        self.model = model
        self.variants = [Variant(name=folder.name, adapter=str(folder)) for folder in parents]
        self.modules = sorted({name for folder in parents for name in open_adapter(folder).modules})
        for variant in self.variants:
            model.prepare(variant)
        self.layers, self.prefix = _layers(model.model, self.modules)
        self.batches = [self._begin(variant, one) for variant, one in zip(self.variants, rows, strict=True)]
        self.done = 0  # layers passed
        self.found: list[dict[str, Tensor]] = []

    def __call__(self, module: str) -> list[Tensor]:
        """The moments (d_in, d_in), float32, one a parent. A layer that was left behind cannot be asked again."""
        layer = layer_of(module) if module.startswith(f"{self.prefix}.") else None
        if layer is None:
            raise UsageError(f"{module} lies outside the layers, where activations are not read; use --method svd.")
        while self.done <= layer:
            self.found = []
            self.found = [self._pass(at) for at in range(len(self.variants))]
            self.done += 1
        if layer != self.done - 1:
            raise ValueError(f"{module} was asked after layer {self.done - 1}")
        return [of_parent[module] for of_parent in self.found]

    def _begin(self, variant: Variant, rows: Sequence[Sequence[int]]) -> list[Batch]:
        """The inputs of the first layer."""
        batches: list[Batch] = []
        for ids, real in _padded(rows):
            caught: list[tuple[Tensor, dict[str, Any]]] = []

            def stop(_: nn.Module, args: Any, kwargs: dict[str, Any], caught: list[Any] = caught) -> None:
                hidden = args[0] if args else kwargs["hidden_states"]
                caught.append((hidden, {key: value for key, value in kwargs.items() if key != "hidden_states"}))
                raise _FirstLayerReached

            handle = self.layers[0].register_forward_pre_hook(stop, with_kwargs=True)
            try:
                with self.model.using(variant) as model, evaluating(model), torch.no_grad():
                    model(input_ids=ids.to(model.device), use_cache=False)
            except _FirstLayerReached:
                pass
            finally:
                handle.remove()
            batches.append((caught[0][0], real, caught[0][1]))
        return batches

    def _pass(self, parent: int) -> dict[str, Tensor]:
        """Send a parent's rows through the next layer, and give the moments of its modules."""
        at, layer = self.done, self.layers[self.done]
        names = [name for name in self.modules if layer_of(name) == at and name.startswith(f"{self.prefix}.")]
        sums: dict[str, Tensor] = {}
        shared: dict[str, str] = {}  # modules that read the same tensor share one sum: q, k, v, and gate, up
        seen: dict[int, tuple[str, Tensor]] = {}  # the tensor is held, lest another get its id
        real = torch.empty(0)

        def add(name: str, x: Tensor) -> None:
            if shared.setdefault(name, seen.setdefault(id(x), (name, x))[0]) == name:
                chosen = x[real].float()  # (N, d_in), padding left out
                sums[name] = sums[name].addmm_(chosen.T, chosen) if name in sums else chosen.T @ chosen

        handles = [
            self.model.model.get_submodule(name).register_forward_pre_hook(
                lambda _, args, name=name: add(name, args[0])
            )
            for name in names
        ]
        tokens = 0
        try:
            with self.model.using(self.variants[parent]) as model, evaluating(model), torch.no_grad():
                for number, (hidden, mask, rest) in enumerate(self.batches[parent]):
                    real, tokens = mask.to(hidden.device), tokens + int(mask.sum())
                    seen.clear()
                    out = layer(hidden, **rest)
                    self.batches[parent][number] = (out[0] if isinstance(out, tuple) else out, mask, rest)
        finally:
            for handle in handles:
                handle.remove()
        if missing := set(names) - shared.keys():
            raise LeyloraError(f"{min(missing)} reads nothing in a forward pass, so it has no activations to merge by.")
        for total in sums.values():
            total /= tokens
        return {name: sums[shared[name]].cpu() for name in names}


def row_moments(
    parents: Sequence[Path],
    rows: Sequence[Path],
    *,
    base: str | None = None,
    load: Load = "4bit",
    most_rows: int = ROWS,
    model: AdaptedModel | None = None,
) -> RowMoments:
    """Load the base, and get ready to read what its layers see on each parent's training rows, at most ``most_rows``.

    Args:
        rows: a dataset folder for each parent, in their order.
        base: by default the base that the adapters name; ``model`` where it is loaded already.
    """
    if len(rows) != len(parents):
        raise UsageError(
            f"{len(parents)} adapters need {len(parents)} datasets, and {len(rows)} are named; give each its own, in "
            "the same order, such as: --rows data/build/instructions --rows data/build/law"
        )
    first = open_adapter(parents[0])
    name, revision = first.base(base), first.config.revision
    silence_libraries()
    template = common_template([read_variant(folder) for folder in parents])
    folders = {str(at): folder for at, folder in enumerate(rows)}
    sets = held_out_rows(name, folders, ["train"], revision=revision, template=template, most=most_rows)
    model = model or AdaptedModel(name, load, revision=revision)
    return RowMoments(model, parents, [list(one.dataset["input_ids"]) for one in sets.values()])


def search_shares(
    parents: Sequence[Path],
    rows: Mapping[str, Path],
    *,
    rank: int | None = None,
    base: str | None = None,
    load: Load = "4bit",
    most_rows: int = ROWS,
    model: AdaptedModel | None = None,
) -> dict[float, dict[str, float]]:
    """What a merge by activations keeps of each skill on the validation rows, by the first parent's share of the rows.

    Args:
        rows: the dataset of each parent, by its skill and in the parents' order: moments are read on its training
            rows, and losses, at most ``most_rows`` of each too, on its validation rows.
    """
    first = open_adapter(parents[0])
    name, revision = first.base(base), first.config.revision
    silence_libraries()
    model = model or AdaptedModel(name, load, revision=revision)
    how: dict[str, Any] = {"base": name, "most_rows": most_rows, "model": model}
    template = common_template([read_variant(folder) for folder in parents])
    sets = held_out_rows(name, rows, ["validation"], revision=revision, template=template, most=most_rows)

    def losses(folder: Path | None) -> dict[str, float]:
        variant = BASE if folder is None else Variant(name=folder.name, adapter=str(folder))
        return {skill: row_losses(model, variant, one).mean for skill, one in sets.items()}

    of_base = losses(None)
    alone = dict(zip(rows, map(losses, parents), strict=True))
    gains = {skill: of_base[skill] - alone[skill][skill] for skill in sets}
    if useless := [skill for skill, gain in gains.items() if gain <= 0]:
        raise LeyloraError(
            f"The adapter of {useless[0]} is no better than the base on its own validation rows; check that these are "
            "its rows, or train longer."
        )
    modules = {name: module for folder in parents for name, module in open_adapter(folder).modules.items()}
    small = 4 * len(parents) * sum(module.d_in**2 for module in modules.values()) < KEPT_BYTES
    kept_moments: Moments | None = cache(row_moments(parents, list(rows.values()), **how)) if small else None
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for share in SHARES:
            folder = Path(scratch) / f"share-{round(100 * share)}"
            moments = kept_moments or row_moments(parents, list(rows.values()), **how)
            weighted = [Parent(parents[0], share), Parent(parents[1], 1 - share)]
            merge(weighted, folder, "activations", rank, moments=moments, picture=False)
            loss = losses(folder)
            found[share] = {skill: (of_base[skill] - loss[skill]) / gain for skill, gain in gains.items()}
    return found


def best_share(found: Mapping[float, Mapping[str, float]]) -> float:
    """The share whose lesser-kept skill keeps most."""
    return max(found, key=lambda share: min(found[share].values()))


def _layers(model: nn.Module, modules: Sequence[str]) -> tuple[nn.ModuleList, str]:
    """The list of the model's layers, and its path: the part before the number in most modules' paths."""
    for name in modules:
        parts = name.split(".")
        number = next((at for at, part in enumerate(parts) if part.isdecimal()), None)
        if number:
            path = ".".join(parts[:number])
            found = model.get_submodule(path)
            if isinstance(found, nn.ModuleList):
                return found, path
    raise LeyloraError("The adapters have no module inside a list of layers, so there are no activations to merge by.")


def _padded(rows: Sequence[Sequence[int]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Token ids (B, T), longest rows first, padded on the right, where no token before sees it; and what is none."""
    waiting = sorted(rows, key=len, reverse=True)
    while waiting:
        count = max(1, BATCH_TOKENS // len(waiting[0]))
        batch, waiting = waiting[:count], waiting[count:]
        ids = torch.zeros(len(batch), len(batch[0]), dtype=torch.long)
        real = torch.zeros(ids.shape, dtype=torch.bool)
        for at, row in enumerate(batch):
            ids[at, : len(row)] = torch.tensor(row)
            real[at, : len(row)] = True
        yield ids, real
