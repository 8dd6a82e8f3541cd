"""The columns of a comparison: a base and the adapters that belong to it, each with its part."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from leylora.adapters.config import CONFIG_FILE, read_config
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256, check_single_adapter
from leylora.adapters.report import REPORT_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.results import Role, Variant
from leylora.files import read_json, sha256_file
from leylora.project import shown

LORA = Path("LORA")
ENDINGS: dict[str, Role] = {"-instructions": "instructions", "-law": "law", "-combined": "merged"}
ORDER: tuple[Role, ...] = get_args(Role)
BASE = Variant(name="base", role="base")


def find_variants(base: str, asked: str = "auto", lora: Path = LORA) -> tuple[list[Variant], list[str]]:
    """The base and its adapters, in the order base, instructions, law, merged, others; and notes on those left out.

    Args:
        base: folder or Hub name of the base model.
        asked: ``auto`` (one adapter a part, from ``lora``; what cannot be used is left out and noted), ``none``, or
            names and folders separated by commas, each with its part in front if its name does not tell it:
            ``law=LORA/mine,merged=LORA/both``.

    Raises:
        UsageError: an adapter does not exist or two have the same name.
        LeyloraError: an adapter is of another base, or cannot stand alone.
    """
    if asked.strip() == "none":
        return [BASE], []
    if asked.strip() == "auto":
        found, notes = _auto(base, lora)
    else:
        found, notes = [_read(*_named(word.strip(), lora)) for word in asked.split(",") if word.strip()], []
        for _, folder in found:
            _check_base(base, folder)
    for role, folder in found:
        if _role(folder) in ("instructions", "law") and role == "merged" and not (folder / REPORT_FILE).is_file():
            notes.append(f"{shown(folder)} is asked as merged, but holds no {REPORT_FILE}.")
    return _variants(found), notes


def _auto(base: str, lora: Path) -> tuple[list[tuple[Role, Path]], list[str]]:
    groups: dict[Role, list[Path]] = {}
    notes: list[str] = []
    for file in sorted(lora.glob(f"*/{CONFIG_FILE}")):
        folder = file.parent
        role = _role(folder)
        if role == "other":
            continue
        try:
            if not same_base(base, read_config(folder).base_model_name_or_path) or _parent_of(folder):
                continue
            check_single_adapter(folder)
            _check_base(base, folder)
        except LeyloraError as error:
            notes.append(f"Left out: {error}")
            continue
        groups.setdefault(role, []).append(folder)
    chosen = [(role, min(folders, key=lambda folder: (len(folder.name), folder.name)))
              for role, folders in groups.items()]  # fmt: skip
    for role, folder in chosen:
        if others := [one.name for one in groups[role] if one != folder]:
            notes.append(f"{role}: {folder.name} of {len(others) + 1} adapters; name another with --adapters "
                         f"(there: {', '.join(others)}).")  # fmt: skip
    if not chosen:
        notes.append(f"No adapter in {lora} belongs to {base}; only the base is asked.")
    return chosen, notes


def _named(word: str, lora: Path) -> tuple[Role | None, Path]:
    role, mark, name = word.rpartition("=")
    if mark and role not in ORDER[1:]:
        raise UsageError(f"'{role}' is no part of a comparison; write {', '.join(ORDER[1:])}, as in law=LORA/mine.")
    folder = next((path for path in (Path(name), lora / name) if (path / CONFIG_FILE).is_file()), None)
    if folder is None:
        there = ", ".join(sorted(file.parent.name for file in lora.glob(f"*/{CONFIG_FILE}"))) or "none"
        raise UsageError(f"There is no adapter '{name}' in {lora} (there: {there}), nor a folder of that name.")
    return next((one for one in ORDER if mark and one == role), None), folder


def _read(role: Role | None, folder: Path) -> tuple[Role, Path]:
    check_single_adapter(folder)
    if parent := _parent_of(folder):
        raise LeyloraError(
            f"{shown(folder)} was trained on top of {parent} and means nothing without it; merge the two first "
            f"(scripts/merge_adapters.py {parent} {shown(folder)} --out ...) and compare the result."
        )
    return role or _role(folder), folder


def _variants(found: Sequence[tuple[Role, Path]]) -> list[Variant]:
    variants = [BASE]
    weights: dict[str, str] = {}
    for role, folder in sorted(found, key=lambda one: ORDER.index(one[0])):
        taken = any(variant.role == role for variant in variants)
        name = folder.resolve().name if taken or role == "other" else role
        if any(variant.name == name for variant in variants):
            raise UsageError(f"Two adapters are called '{name}'; name each once.")
        same = sha256_file(folder / WEIGHTS_FILE)
        variants.append(Variant(
            name=name, role="other" if taken else role, adapter=str(folder), sha256=adapter_sha256(folder),
            same_as=weights.get(same, ""), rank=read_config(folder).r, run=_json(folder / "run.json"),
            merge=_json(folder / REPORT_FILE),
        ))  # fmt: skip
        weights.setdefault(same, name)
    return variants


def _role(folder: Path) -> Role:
    return next((role for ending, role in ENDINGS.items() if folder.resolve().name.endswith(ending)), "other")


def _parent_of(folder: Path) -> str:
    run = _json(folder / "run.json") or {}
    return str(run.get("frozen_adapter") or run.get("on_top_of") or "")


def _json(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def same_base(one: str, other: str | None) -> bool:
    """Whether two names mean one base: the same text, or the same folder."""
    if other is None:
        return False
    return one == other or (Path(one).is_dir() and Path(one).resolve() == Path(other).resolve())


def _check_base(base: str, folder: Path) -> None:
    """Stop when the adapter belongs to another base, or to one whose weights have changed since.

    Raises:
        LeyloraError: says which.
    """
    theirs = read_config(folder).base_model_name_or_path
    if not same_base(base, theirs) and Path(base).is_dir() and theirs is not None and Path(theirs).is_dir():
        raise LeyloraError(f"{shown(folder)} was trained on {theirs}, not on {base}; name an adapter of this base.")
    kind, _, digest = str((_json(folder / "run.json") or {}).get("revision", "")).partition(":")
    weights = sorted(Path(base).glob("*.safetensors"))
    if kind == "sha256" and weights and sha256_file(weights[0]) != digest:
        raise LeyloraError(
            f"{shown(folder)} was trained on other weights than {base} holds now (the base was made again since); "
            "train the adapter again, or put the old base back."
        )
