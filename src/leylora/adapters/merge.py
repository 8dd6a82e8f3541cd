"""Merge adapters into one, from their folders alone: no base model, no dense delta, one module at a time."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import torch

from leylora import __version__
from leylora.adapters.card import CARD_FILE, merged_card
from leylora.adapters.compatible import check_mergeable, shared_files, union_of_modules
from leylora.adapters.config import CONFIG_FILE, check_adapter_name
from leylora.adapters.core import Factors, one_thread
from leylora.adapters.files import (
    WEIGHTS_FILE,
    Adapter,
    adapter_sha256,
    check_replaceable,
    open_adapter,
    tensor_names,
)
from leylora.adapters.one_module import Merged, Settings, merge_module
from leylora.adapters.picture import draw
from leylora.adapters.report import REPORT_FILE, MergeReport, Method, ModuleReport, ParentReport, drowning, uneven_ranks
from leylora.adapters.result import merged_config
from leylora.adapters.rules import DENSITY
from leylora.adapters.stream import TensorWriter
from leylora.adapters.weights import Parent, depth_factors, layer_of
from leylora.errors import UsageError
from leylora.files import staged_folder, write_json, write_text

Progress = Callable[[int, int], None]  # modules done, modules in all


def merge(
    parents: Sequence[Parent | tuple[Path | str, float]],
    out: Path,
    method: Method = "concat",
    rank: int | None = None,
    *,
    energy: float | None = None,
    density: float | None = None,
    dtype: str | None = None,
    seed: int = 0,
    same_base: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    picture: bool = True,
    progress: Progress | None = None,
) -> MergeReport:
    """Merge adapters of one base model into a plain LoRA adapter, written to ``out`` in one step.

    Every parent's alpha / r, rank-stabilised scaling and patterns are folded in. A module that only one parent has
    keeps its own rank. Tall matrices are float32, cores float64, on one thread; the same inputs give the same bytes.

    Args:
        parents: folder and weight of each, or `Parent` for weights by layer or module.
        out: the folder to make; its name must be one text-generation-webui can load.
        method: ``concat`` is the exact weighted sum at rank r1 + r2; ``svd`` the best adapter of ``rank`` for it;
            ``ties``, ``dare``, ``compress`` as in `rules`; ``depth`` the sum with weights that shift from
            the first parent (task) to the second (domain) over the layers.
        rank: rank to cut to. Without it and ``energy``, svd and compress cut to the parents' largest rank and the
            others cut nothing. ``concat`` takes none.
        energy: instead of ``rank``: keep this share of each module's squared norm, at the smallest rank that does.
        density: the share of entries ties (0.5) and dare (0.9) keep.
        dtype: ``float32``, ``float16`` or ``bfloat16``; by default the parents', or float32 where they differ.
        seed: of dare's draw.
        same_base: take the caller's word that different names of the base model mean the same weights.
        overwrite: replace an adapter at ``out``.
        dry_run: compute and report, write nothing.
        picture: also draw the report as ``merge_report.png`` and ``.svg``.
        progress: called after each module.

    Raises:
        UsageError: the arguments contradict each other or ``out`` cannot be used.
        LeyloraError: the adapters cannot be read or do not go together. Nothing has been written then.
    """
    started = time.perf_counter()
    _check_arguments(method, rank, energy, density, dtype)
    check_adapter_name(out.name)
    chosen = [p if isinstance(p, Parent) else Parent(Path(p[0]), float(p[1])) for p in parents]
    _check_out(out, chosen, overwrite=overwrite, dry_run=dry_run)
    adapters = [open_adapter(parent.folder) for parent in chosen]
    check_mergeable(chosen, adapters, same_base=same_base)
    if method == "depth" and len(adapters) != 2:
        raise UsageError("depth weighs a task adapter against a domain adapter; name exactly two, the task first.")

    kinds = {adapter.dtype for adapter in adapters}
    name = dtype or (kinds.pop() if len(kinds) == 1 else "float32")
    settings = Settings(method, rank, energy, density or DENSITY.get(method, 1.0), seed, getattr(torch, name))
    job = _Job(chosen, adapters, settings, progress)
    with one_thread():
        if dry_run:
            for _ in job.modules():
                pass
            return _report(job, out, name, started)
        with staged_folder(out, overwrite=overwrite) as folder:
            _write_weights(job, folder / WEIGHTS_FILE)
            config = merged_config(adapters, {module.module: module.rank for module in job.reports})
            write_json(folder / CONFIG_FILE, dict(sorted(config.items())))
            report = _report(job, out, name, started)
            for carried in report.carried_files:
                shutil.copyfile(adapters[0].folder / carried, folder / carried)
            report.output_sha256 = adapter_sha256(folder)
            report.seconds = round(time.perf_counter() - started, 3)
            report.picture = picture
            if picture:
                draw(report, folder)
            write_json(folder / REPORT_FILE, report.model_dump())
            write_text(folder / CARD_FILE, merged_card(out.name, report, config))
    return report


@dataclass
class _Job:
    """A merge under way: its inputs, and the reports of the modules done so far."""

    parents: list[Parent]
    adapters: list[Adapter]
    settings: Settings
    progress: Progress | None
    reports: list[ModuleReport] = field(default_factory=list)

    def modules(self) -> Iterator[Merged]:
        """Merge module after module; only one is in memory."""
        names = union_of_modules(self.adapters)
        layers = [layer for name in names if (layer := layer_of(name)) is not None]
        n_layers = max(layers, default=0) + 1
        for done, name in enumerate(names, start=1):
            weights = [parent.weight_in(name) for parent in self.parents]
            if self.settings.method == "depth":
                weights = [w * at for w, at in zip(weights, depth_factors(name, n_layers), strict=True)]
            merged = merge_module(name, [_factors(adapter, name) for adapter in self.adapters], weights, self.settings)
            if merged is not None:
                self.reports.append(merged.report)
                yield merged
            if self.progress is not None:
                self.progress(done, len(names))
        if not self.reports:
            raise UsageError("Every weight is 0, so nothing is left to merge; give at least one other weight.")


def _factors(adapter: Adapter, name: str) -> Factors | None:
    if name not in adapter.modules:
        return None
    a, b = adapter.factors(name)
    return Factors(a, b, adapter.modules[name].scaling)


def _check_arguments(
    method: Method, rank: int | None, energy: float | None, density: float | None, dtype: str | None
) -> None:
    if method not in get_args(Method):
        raise UsageError(f"{method!r} is no merging method; there are {', '.join(get_args(Method))}.")
    if rank is not None and energy is not None:
        raise UsageError("Give a rank or an energy, not both.")
    if rank is not None and rank < 1:
        raise UsageError(f"A rank of {rank} is not possible; give 1 or more.")
    if energy is not None and not 0 < energy <= 1:
        raise UsageError(f"An energy of {energy} is not a share; give a number above 0 and at most 1, such as 0.99.")
    if method == "concat" and (rank is not None or energy is not None):
        raise UsageError("concat keeps every direction, so it takes no rank; use --method svd to cut to a rank.")
    if method == "compress" and energy is not None:
        raise UsageError("compress works inside a fixed rank; give --rank a number.")
    if density is not None and not 0 < density <= 1:
        raise UsageError(f"A density of {density} is not a share; give a number above 0 and at most 1.")
    if dtype not in (None, "float32", "float16", "bfloat16"):
        raise UsageError(f"{dtype!r} is no type for an adapter; use float32, float16 or bfloat16.")


def _check_out(out: Path, parents: Sequence[Parent], *, overwrite: bool, dry_run: bool) -> None:
    for parent in parents:
        folder, target = parent.folder.resolve(), out.resolve()
        if target == folder or target in folder.parents or folder in target.parents:
            raise UsageError(f"{out} is, holds or lies in the parent {parent.folder}; choose another folder.")
    if overwrite:
        check_replaceable(out)
    elif out.exists() and not dry_run:
        raise UsageError(f"{out} already exists; choose another name, or replace it with --force.")


def _write_weights(job: _Job, path: Path) -> None:
    """Write the merged modules, then the whole weights that a parent may bring."""
    keys = {name: _keys(job.adapters, name) for name in union_of_modules(job.adapters)}
    full = {key: adapter for adapter in job.adapters for key in adapter.full_tensors}
    with TensorWriter(path, [*(key for pair in keys.values() for key in pair), *full]) as writer:
        for merged in job.modules():
            key_a, key_b = keys[merged.report.module]
            writer.write(key_a, merged.a)
            writer.write(key_b, merged.b)
        for key, adapter in full.items():
            writer.write(key, adapter.tensor(key))


def _keys(adapters: Sequence[Adapter], name: str) -> tuple[str, str]:
    owner = next(adapter.modules[name] for adapter in adapters if name in adapter.modules)
    return tensor_names(name, embedding=owner.embedding)


def _report(job: _Job, out: Path, dtype: str, started: float) -> MergeReport:
    settings, adapters = job.settings, job.adapters
    norms = [
        sum((m.norms[i] or 0.0) ** 2 * (m.weights[i] or 0.0) ** 2 for m in job.reports) ** 0.5
        for i in range(len(adapters))
    ]
    carried, why_not = shared_files(adapters)
    return MergeReport(
        method=settings.method,
        rank=settings.rank,
        energy=settings.energy,
        density=settings.density if settings.method in ("ties", "dare") else None,
        seed=settings.seed if settings.method == "dare" else None,
        dtype=dtype,
        base_model=adapters[0].config.base_model_name_or_path,
        leylora=__version__,
        parents=[
            ParentReport(
                name=adapter.name,
                path=os.path.relpath(parent.folder.resolve(), out.resolve()),
                sha256=adapter_sha256(parent.folder),
                weight=parent.weight,
                overrides=list(parent.overrides),
                scaled_norm=norm,
            )
            for parent, adapter, norm in zip(job.parents, adapters, norms, strict=True)
        ],
        modules=job.reports,
        seconds=round(time.perf_counter() - started, 3),
        carried_files=carried,
        warnings=[
            *drowning([adapter.name for adapter in adapters], norms),
            *uneven_ranks({module.rank for module in job.reports}),
            *([why_not] if why_not else []),
        ],
    )
