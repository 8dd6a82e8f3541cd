"""Merge adapters into one, from their folders alone: no base model, no dense delta, one module at a time.

    report = merge([("LORA/instructions", 0.7), ("LORA/law", 1.0)], Path("LORA/both"), method="svd", rank=16)

First everything is checked (`check_mergeable`: one base, one task, one vocabulary, plain LoRA), then each module is
merged (`leylora.adapters.core_space`) and written; the folder appears whole or not at all.
"""

import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import torch

from leylora import __version__
from leylora.adapters.config import BASE_DEFAULTS, CONFIG_FILE, check_adapter_name
from leylora.adapters.core_space import RIDGE, Factors, Merged, MergeSettings, merge_module
from leylora.adapters.files import (
    WEIGHTS_FILE,
    Adapter,
    TensorWriter,
    adapter_sha256,
    open_adapter,
    tensor_names,
)
from leylora.adapters.report import (
    CARD_FILE,
    REPORT_FILE,
    MergeReport,
    Method,
    ModuleReport,
    ParentReport,
    draw,
    layer_of,
    merge_warnings,
    merged_card,
)
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object, write_json, write_text
from leylora.folders import staged_folder

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
Progress = Callable[[int, int], None]  # modules done, modules in all
Moments = Callable[[str], Sequence[torch.Tensor]]
"""Of a module: E[x x^T] (d_in, d_in) of its inputs on each parent's rows; asked for layer by layer."""


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
        return next((weight for pattern, weight in reversed(self.overrides) if matches(pattern, module)), self.weight)


def matches(pattern: str, module: str) -> bool:
    """Whether an override's pattern (see `Parent`) covers a module."""
    if layers := re.fullmatch(r"(\d+)(?:-(\d+))?", pattern):
        layer, first = layer_of(module), int(layers[1])
        return layer is not None and first <= layer <= int(layers[2] or first)
    return fnmatchcase(module, pattern)


def parse_parent(text: str) -> Parent:
    """``LORA/A`` or ``LORA/A=0.7``. Raises UsageError when what follows ``=`` is not a finite number."""
    folder, equals, weight = text.rpartition("=")
    return Parent(Path(folder), _number(weight, text)) if equals else Parent(Path(text))


def with_overrides(parents: Sequence[Parent], overrides: Sequence[str]) -> list[Parent]:
    """Give each ``NAME:PATTERN=WEIGHT`` to the parent whose folder has that name, or raise UsageError."""
    changed = list(parents)
    for text in overrides:
        target, equals, weight = text.rpartition("=")
        name, colon, pattern = target.partition(":")
        at = [index for index, parent in enumerate(changed) if parent.folder.resolve().name == name]
        if not (equals and colon and pattern):
            raise UsageError(f"{text!r} is not a weight by module; write NAME:PATTERN=WEIGHT, such as law:0-15=0.5.")
        if len(at) != 1:
            names = ", ".join(parent.folder.resolve().name for parent in changed)
            raise UsageError(f"{text!r} names {len(at) or 'no'} parents; the parents are {names}.")
        parent = changed[at[0]]
        changed[at[0]] = replace(parent, overrides=(*parent.overrides, (pattern, _number(weight, text))))
    return changed


def parse_rank(text: str) -> tuple[int | None, float | None]:
    """``16`` or ``energy:0.99``, as (rank, energy). Raises UsageError when it is neither."""
    kind, colon, share = text.partition(":")
    if kind == "energy" and colon:
        return None, _number(share, text)
    if not text.isdecimal():
        raise UsageError(f"{text!r} is not a rank; give a number such as 16, or a share of energy such as energy:0.99.")
    return int(text), None


def _number(text: str, place: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{place!r}: {text!r} is not a number; write one, such as 0.7.") from None


def merge(
    parents: Sequence[Parent | tuple[Path | str, float]],
    out: Path,
    method: Method = "concat",
    rank: int | None = None,
    *,
    energy: float | None = None,
    density: float | None = None,
    dtype: str | None = None,
    same_base: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    picture: bool = True,
    progress: Progress | None = None,
    moments: Moments | None = None,
    ridge: float | None = None,
) -> MergeReport:
    """Merge adapters of one base model into a plain LoRA adapter, written to ``out`` in one step.

    Every parent's alpha / r, rank-stabilised scaling and patterns are folded in. A module that only one parent has
    keeps its own rank. Tall matrices are float32, cores float64, on one thread; the same inputs give the same bytes.

    Args:
        method: ``concat`` is the exact weighted sum at rank r1 + r2; ``svd`` the best adapter of ``rank`` for it;
            ``ties`` trims, elects signs and averages (`core_space.ties`); ``activations`` is the adapter of ``rank``
            nearest to each parent on its own rows (`core_space.nearest_on_rows`), which count by the weights.
        rank: rank to cut to. Without it and ``energy``, svd cuts to the parents' largest rank and ties cuts nothing.
            ``concat`` takes none.
        energy: instead of ``rank``: keep this share of each module's squared norm, at the smallest rank that does.
        density: the share of entries ties keeps (0.5).
        dtype: ``float32``, ``float16`` or ``bfloat16``; by default the parents', or float32 where they differ.
        same_base: take the caller's word that different names of the base model mean the same weights.
        dry_run: compute and report, write nothing.
        moments: what the layers read on each parent's rows (`leylora.evaluation.activations`), for activations.
        ridge: for activations, `core_space.RIDGE` by default.
        picture: also draw the report as ``merge_report.png`` and ``.svg``.

    Raises:
        UsageError: the arguments contradict each other or ``out`` cannot be used.
        LeyloraError: the adapters cannot be read or do not go together. Nothing has been written then.
    """
    started = time.perf_counter()
    _check_arguments(method, rank, energy, density, dtype)
    if (method == "activations") != (moments is not None):
        raise UsageError("--method activations needs the rows of each parent (--rows), and no other method takes them.")
    if ridge is not None and not (ridge > 0 and isfinite(ridge)):
        raise UsageError(f"A ridge of {ridge} is not possible; give a number above 0, such as {RIDGE}.")
    check_adapter_name(out.name)
    chosen = [p if isinstance(p, Parent) else Parent(Path(p[0]), float(p[1])) for p in parents]
    _check_out(out, chosen, overwrite=overwrite, dry_run=dry_run)
    adapters = [open_adapter(parent.folder) for parent in chosen]
    check_mergeable(chosen, adapters, same_base=same_base)

    kinds = {adapter.dtype for adapter in adapters}
    type_name = dtype or (kinds.pop() if len(kinds) == 1 else "float32")
    settings = MergeSettings(method, rank, energy, density or 0.5, getattr(torch, type_name), ridge or RIDGE)
    if method == "activations" and any(w < 0 for p in chosen for w in (p.weight, *(o for _, o in p.overrides))):
        raise UsageError("activations takes no negative weight: it says how much a parent's rows count.")
    done: list[ModuleReport] = []
    threads = torch.get_num_threads()
    if moments is None:
        torch.set_num_threads(1)  # these kernels are too small to share, and two threads now and then stall on them
    try:
        merged = _merged_modules(chosen, adapters, settings, done, progress, moments)
        if dry_run:
            for _ in merged:
                pass
            return _report(chosen, adapters, settings, done, out, started)
        with staged_folder(out, overwrite=overwrite) as folder:
            _write_weights(adapters, merged, folder / WEIGHTS_FILE)
            config = merged_config(adapters, {module.module: module.rank for module in done})
            write_json(folder / CONFIG_FILE, dict(sorted(config.items())))
            found = _report(chosen, adapters, settings, done, out, started)
            for carried in found.carried_files:
                shutil.copyfile(adapters[0].folder / carried, folder / carried)
            found.output_sha256 = adapter_sha256(folder)
            found.seconds = round(time.perf_counter() - started, 3)
            found.picture = picture
            if picture:
                draw(found, folder)
            write_json(folder / REPORT_FILE, found.model_dump())
            write_text(folder / CARD_FILE, merged_card(out.name, found, config))
    finally:
        torch.set_num_threads(threads)
    return found


def _check_arguments(
    method: Method, rank: int | None, energy: float | None, density: float | None, dtype: str | None
) -> None:
    if method not in get_args(Method):
        raise UsageError(f"{method!r} is not a merging method; there are {', '.join(get_args(Method))}.")
    if rank is not None and energy is not None:
        raise UsageError("Give a rank or an energy, not both.")
    if rank is not None and rank < 1:
        raise UsageError(f"A rank of {rank} is not possible; give 1 or more.")
    if energy is not None and not 0 < energy <= 1:
        raise UsageError(f"An energy of {energy} is not a share; give a number above 0 and at most 1, such as 0.99.")
    if method == "concat" and (rank is not None or energy is not None):
        raise UsageError("concat keeps every direction, so it takes no rank; use --method svd to cut to a rank.")
    if density is not None and not 0 < density <= 1:
        raise UsageError(f"A density of {density} is not a share; give a number above 0 and at most 1.")
    if dtype not in (None, "float32", "float16", "bfloat16"):
        raise UsageError(f"{dtype!r} is not a type for an adapter; use float32, float16 or bfloat16.")


def _check_out(out: Path, parents: Sequence[Parent], *, overwrite: bool, dry_run: bool) -> None:
    for parent in parents:
        folder, target = parent.folder.resolve(), out.resolve()
        if target == folder or target in folder.parents or folder in target.parents:
            raise UsageError(f"{out} is, holds or lies in the parent {parent.folder}; choose another folder.")
    if out.exists() and not overwrite and not dry_run:
        raise UsageError(f"{out} already exists; choose another name, or replace it with --overwrite.")
    mine = (out / CONFIG_FILE).is_file() or (out.is_dir() and not any(out.iterdir()))  # an adapter, or an empty folder
    if out.exists() and overwrite and not mine:
        raise UsageError(f"{out} exists and is not an adapter folder, so it is not replaced; choose another name.")


def _merged_modules(
    parents: Sequence[Parent],
    adapters: Sequence[Adapter],
    settings: MergeSettings,
    done: list[ModuleReport],
    progress: Progress | None,
    moments: Moments | None,
) -> Iterator[Merged]:
    """Merge module after module, layer by layer, and note each in ``done``; only one is in memory."""
    held = dict.fromkeys(name for adapter in adapters for name in adapter.modules)
    names = sorted(held, key=lambda name: -1 if (layer := layer_of(name)) is None else layer)
    for count, name in enumerate(names, start=1):
        parts = [
            Factors(*adapter.factors(name), adapter.modules[name].scaling) if name in adapter.modules else None
            for adapter in adapters
        ]
        weights = [parent.weight_in(name) for parent in parents]
        merged = merge_module(name, parts, weights, settings, moments and moments(name))
        if merged is not None:
            done.append(merged.report)
            yield merged
        if progress is not None:
            progress(count, len(names))
    if not done:
        raise UsageError("Every weight is 0, so nothing is left to merge; give at least one other weight.")


def _write_weights(adapters: Sequence[Adapter], modules: Iterator[Merged], path: Path) -> None:
    """Write the merged modules, then the whole weights that a parent may bring."""
    held = {name: module for adapter in reversed(adapters) for name, module in adapter.modules.items()}
    keys = {name: tensor_names(name, embedding=module.embedding) for name, module in held.items()}
    full = {key: adapter for adapter in adapters for key in adapter.full_tensors}
    with TensorWriter(path, [*(key for pair in keys.values() for key in pair), *full]) as writer:
        for merged in modules:
            key_a, key_b = keys[merged.report.module]
            writer.write(key_a, merged.a)
            writer.write(key_b, merged.b)
        for key, adapter in full.items():
            writer.write(key, adapter.tensor(key))


def _report(
    parents: Sequence[Parent],
    adapters: Sequence[Adapter],
    settings: MergeSettings,
    modules: list[ModuleReport],
    out: Path,
    started: float,
) -> MergeReport:
    norms = [
        sum((m.norms[i] or 0.0) ** 2 * (m.weights[i] or 0.0) ** 2 for m in modules) ** 0.5 for i in range(len(adapters))
    ]
    names, ranks = [adapter.name for adapter in adapters], {module.rank for module in modules}
    warnings = merge_warnings(names, norms, ranks, cosine_of_all(modules), settings.method)
    carried, why_not = shared_files(adapters)
    return MergeReport(
        method=settings.method,
        rank=settings.rank,
        energy=settings.energy,
        density=settings.density if settings.method == "ties" else None,
        dtype=str(settings.dtype).removeprefix("torch."),
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
            for parent, adapter, norm in zip(parents, adapters, norms, strict=True)
        ],
        modules=modules,
        seconds=round(time.perf_counter() - started, 3),
        carried_files=carried,
        warnings=[*warnings, why_not] if why_not else warnings,
    )


def cosine_of_all(modules: Sequence[ModuleReport]) -> float | None:
    """The cosine between the whole deltas of the first two parents, each a vector over all modules, with its weights.

    None where one of them is 0, or they share no module.
    """
    product, squares = 0.0, [0.0, 0.0]
    for module in modules:
        one, two = ((n or 0.0) * (w or 0.0) for n, w in zip(module.norms[:2], module.weights[:2], strict=True))
        squares[0] += one * one
        squares[1] += two * two
        product += (module.cosine or 0.0) * one * two
    if not all(squares) or all(module.cosine is None for module in modules):
        return None
    return product / (squares[0] * squares[1]) ** 0.5


def check_mergeable(parents: Sequence[Parent], adapters: Sequence[Adapter], *, same_base: bool = False) -> None:
    """Raise LeyloraError unless the adapters belong to one base model and one task and fit each other."""
    if len(adapters) < 2:
        raise UsageError("A merge needs at least two adapters; name them both.")
    if len({adapter.folder.resolve() for adapter in adapters}) < len(adapters):
        raise UsageError("The same adapter folder is named twice; to double an adapter, give it the weight 2.")
    first = adapters[0]
    for other in adapters[1:]:
        if not same_base:
            _check_same_base(first, other)
        _check_same_kind(first, other)
        _check_same_vocabulary(first, other)
    for parent, adapter in zip(parents, adapters, strict=True):
        for pattern, _ in parent.overrides:
            if not any(matches(pattern, module) for module in adapter.modules):
                example = next(iter(adapter.modules))
                raise UsageError(f"{pattern!r} matches no module of {adapter.name}; they look like {example}.")
    _check_full_tensors(parents, adapters)


def shared_files(adapters: Sequence[Adapter]) -> tuple[list[str], str | None]:
    """The tokenizer and chat-template files to copy, and why there are none although some parent has them.

    All are copied or none: files from two tokenizers do not make one.
    """
    present = [[name for name in TOKENIZER_FILES if (adapter.folder / name).is_file()] for adapter in adapters]
    first = adapters[0]
    for adapter, names in zip(adapters, present, strict=True):
        odd = sorted(set(names) ^ set(present[0])) or [
            name for name in names if (adapter.folder / name).read_bytes() != (first.folder / name).read_bytes()
        ]
        if odd:
            return [], f"No tokenizer was carried over: {odd[0]} is not the same in {first.name} and {adapter.name}."
    return present[0], None


def _check_same_base(first: Adapter, other: Adapter) -> None:
    remedy = "use adapters of one base, or say --same-base if both names mean the same weights"
    for key in ("base_model_name_or_path", "revision"):
        named = [getattr(adapter.config, key) for adapter in (first, other)]
        mine, theirs = (None if value in (None, "main") else value.rstrip("/") for value in named)
        if mine != theirs:
            values = f"{mine or 'not given'} and {theirs or 'not given'}"
            raise LeyloraError(f"{first.name} and {other.name} differ in {key}: {values}; {remedy}.")


def _check_same_kind(first: Adapter, other: Adapter) -> None:
    """One task, one orientation of the weights, and the same shape for every module that both have."""
    tasks = (first.config.task_type, other.config.task_type)
    if None not in tasks and tasks[0] != tasks[1]:
        raise LeyloraError(f"{first.name} is for {tasks[0]} and {other.name} for {tasks[1]}; merge like with like.")
    if first.config.fan_in_fan_out != other.config.fan_in_fan_out:
        raise LeyloraError(f"{first.name} and {other.name} differ in fan_in_fan_out, so one of the configs is wrong.")
    for name, mine in first.modules.items():
        theirs = other.modules.get(name, mine)
        if (mine.d_out, mine.d_in) != (theirs.d_out, theirs.d_in):
            vocabulary = " (the vocabularies differ in size)" if mine.d_in != theirs.d_in and "embed" in name else ""
            raise LeyloraError(
                f"{name} is {mine.d_out} x {mine.d_in} in {first.name} and {theirs.d_out} x {theirs.d_in} in "
                f"{other.name}{vocabulary}: they were trained on different models."
            )


def _check_same_vocabulary(first: Adapter, other: Adapter) -> None:
    """Tokenizers that came with the adapters must give the same ids; formatting may differ."""
    paths = [adapter.folder / "tokenizer.json" for adapter in (first, other)]
    if not all(path.is_file() for path in paths) or paths[0].read_bytes() == paths[1].read_bytes():
        return
    mine, theirs = (_vocabulary(path) for path in paths)
    if mine != theirs:
        example = next(iter(sorted(set(mine.items()) ^ set(theirs.items()))))
        raise LeyloraError(
            f"The tokenizers of {first.name} ({len(mine)} tokens) and {other.name} ({len(theirs)}) differ, "
            f"for example in {example[0]!r} (id {example[1]}); train both with the same vocabulary."
        )


def _vocabulary(path: Path) -> dict[str, int]:
    """Token to id, added tokens included, of a ``tokenizer.json``."""
    tokenizer = read_json_object(path)
    try:
        vocab = tokenizer["model"]["vocab"]
        # Unigram models list [token, score] pairs: the id is the position.
        ids = vocab if isinstance(vocab, dict) else {token: index for index, (token, _) in enumerate(vocab)}
        return dict(ids) | {token["content"]: token["id"] for token in tokenizer.get("added_tokens", [])}
    except (KeyError, TypeError, ValueError):
        raise LeyloraError(f"{path} is not a tokenizer file; restore or delete it.") from None


def _check_full_tensors(parents: Sequence[Parent], adapters: Sequence[Adapter]) -> None:
    """Whole weights (a trained head, an embedding saved along) have no delta without the base: they are taken over."""
    owners = [(parent, adapter) for parent, adapter in zip(parents, adapters, strict=True) if adapter.full_tensors]
    first, *others = adapters
    if len(owners) == len(adapters) and all(
        sorted(other.full_tensors) == sorted(first.full_tensors)
        and all(torch.equal(first.tensor(key), other.tensor(key)) for key in first.full_tensors)
        for other in others
    ):  # as when PEFT saved an embedding it did not train
        return
    if len(owners) > 1:
        names = " and ".join(adapter.name for _, adapter in owners)
        raise LeyloraError(
            f"{names} both hold whole weights that differ ({owners[0][1].full_tensors[0]}), which cannot be added "
            "without the base model; train one of them without modules_to_save or trained embeddings."
        )
    for parent, adapter in owners:
        if parent.weight != 1 or parent.overrides:
            raise LeyloraError(
                f"{adapter.folder / CONFIG_FILE}: {adapter.name} holds whole weights "
                f"({adapter.full_tensors[0]}), which cannot be scaled without the base model; give it the weight 1."
            )


def merged_config(adapters: Sequence[Adapter], ranks: Mapping[str, int]) -> dict[str, Any]:
    """The ``adapter_config.json`` of a merge, given the rank of every merged module.

    The largest rank becomes ``r``, by which servers such as vLLM set their room aside; smaller ones go to
    ``rank_pattern`` and ``alpha_pattern``, so that every scaling is 1.
    """
    rank = max(ranks.values())
    saved = sorted({name for adapter in adapters for name in adapter.config.modules_to_save or []})
    config = dict(BASE_DEFAULTS) | {
        "fan_in_fan_out": adapters[0].config.fan_in_fan_out,
        "modules_to_save": saved or None,
        "r": rank,
        "lora_alpha": rank,
        "target_modules": target_modules(adapters, list(ranks)),
    }
    for key in ("base_model_name_or_path", "revision", "task_type"):  # from the first parent that says it
        said = (getattr(adapter.config, key) for adapter in adapters)
        config[key] = next((value for value in said if value is not None), None)
    by_leaf: dict[str, set[int]] = defaultdict(set)
    for name, own in ranks.items():
        by_leaf[_leaf(name)].add(own)
    # By last part where all modules of that name agree. PEFT reads a key as a regular expression, but its releases 0.6
    # to 0.13 look up a whole path literally; an unescaped dot serves both.
    keys = {name: _leaf(name) if len(by_leaf[_leaf(name)]) == 1 else name for name in ranks}
    if smaller := {keys[name]: own for name, own in ranks.items() if own != rank}:
        config |= {"rank_pattern": smaller, "alpha_pattern": dict(smaller)}
    return config


def target_modules(adapters: Sequence[Adapter], modules: Sequence[str]) -> list[str]:
    """An explicit list that makes PEFT adapt exactly ``modules``.

    The last part of a path (``q_proj``) is enough where some parent was trained with it as a plain target, because then
    the adapters hold every module of that name; otherwise full paths are listed.
    """
    plain: set[str] = set()
    for config in (adapter.config for adapter in adapters):
        restricted = config.layers_to_transform is not None or config.exclude_modules
        if isinstance(config.target_modules, list) and not restricted:
            plain |= set(config.target_modules)
    held = {name for adapter in adapters for name in adapter.modules}
    dropped = {_leaf(name) for name in held - set(modules)}  # modules whose every weight is 0
    return sorted({_leaf(name) if _leaf(name) in plain - dropped else name for name in modules})


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
