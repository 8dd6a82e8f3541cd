"""Which adapters belong to which base, what each is for, and how it was trained. Only small files are read.

    Variant                         a base, or a base with an adapter: the one class for chat, comparison and records
    BASE                            the base alone
    find_variants(base, asked)      a comparison's columns: the base, and one adapter a role or those asked for
    adapters_of(base)               the base and every adapter of it under LORA/
    read_variant(folder)            one adapter, with the frozen adapter it was trained on top of, if any
    named_variants(words)           ``role=name`` for adapters that an endpoint knows by name
    find_adapter(name)              the folder of an adapter given by name or path
    choose_base(model, adapter)     which base to load when not all is said
    template_name(folder)           the instruction template an adapter was trained with
    template_text(folder)           the chat template saved with it
    common_template(variants)       the one template of several adapters

An adapter says its base in adapter_config.json; ``run.json`` says which weights of it (`base_sha256`), which template,
and the frozen adapter below. Its role is how its name ends: ``-instructions``, ``-law``, ``-combined``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from leylora.adapters.config import CONFIG_FILE, read_config
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256, check_single_adapter
from leylora.adapters.report import REPORT_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, read_text, sha256_file
from leylora.models.bases import TINY_BASES, base_sha256, is_here, same_base
from leylora.models.families import FAMILIES
from leylora.models.templates import instruction_template, served_template
from leylora.project import INSTRUCTION_TEMPLATES, LORA, shown

Role = Literal["base", "instructions", "law", "merged", "other"]

ROLES: tuple[Role, ...] = get_args(Role)
ENDINGS: dict[str, Role] = {"-instructions": "instructions", "-law": "law", "-combined": "merged"}
"""How the names of adapters end, and what they are for."""

RUN_FILE = "run.json"
_FROZEN = ("frozen_adapter", "on_top_of")  # keys of run.json for the adapter below; the second until 0.1

_TEMPLATES_BY_NAME = {  # of base models that are told apart from their family by name
    "mistral-7b-instruct-v0.3": "leylora-mistral-instruct-v0.3",
    "llama-3.1": "leylora-llama-3.1",
    "qwen3": "leylora-qwen3",
}


class Variant(BaseModel):
    """The base, or the base with an adapter.

    Attributes:
        name: of the role in a comparison, else of the adapter's folder; ``base`` for the base alone.
        adapter: its folder, or its name at an endpoint; "" for the base.
        frozen_adapter: folder of the adapter it was trained on top of, which is active together with it.
        sha256: of both (`adapter_sha256`); "" for the base, and where it is not needed or not known.
        same_as: an earlier variant of this model with the same weights.
        run: its whole run.json, None when it has none.
        merge: its whole merge_report.json, None when it is not a merge.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str
    role: Role = "other"
    adapter: str = ""
    frozen_adapter: str = ""
    sha256: str = ""
    same_as: str = ""
    rank: int | None = None
    run: dict[str, Any] | None = None
    merge: dict[str, Any] | None = None

    @property
    def folders(self) -> tuple[Path, ...]:
        """What is active together: nothing for the base, else the adapter and the frozen one below it."""
        return tuple(Path(one) for one in (self.adapter, self.frozen_adapter) if one)


BASE = Variant(name="base", role="base")


class StaleAdapterError(LeyloraError):
    """The base's weights have changed since the adapter was trained."""


@dataclass(frozen=True)
class Note:
    """Something the user has to know about the adapters that were found.

    Attributes:
        kind: ``left out`` (``detail`` says why), ``several`` (of a role; ``others`` were not taken), ``none`` (no
            adapter belongs to the base), ``not a merge`` (asked as merged, but nothing says that it was merged).
        stale: it was left out because the base's weights have changed since it was trained.
    """

    kind: Literal["left out", "several", "none", "not a merge"]
    adapter: str = ""
    role: str = ""
    detail: str = ""
    others: tuple[str, ...] = ()
    stale: bool = False

    def __str__(self) -> str:
        if self.kind == "left out":
            return f"Left out: {self.detail}"
        if self.kind == "several":
            return (
                f"{self.role}: {self.adapter} of {len(self.others) + 1} adapters; name another with --adapters "
                f"(there: {', '.join(self.others)})."
            )
        if self.kind == "none":
            return f"No adapter in {self.detail} belongs to {self.adapter}; only the base is asked."
        return f"{self.adapter} is asked as merged, but holds no {REPORT_FILE}."


def find_variants(base: str, asked: str = "auto", lora: Path = LORA) -> tuple[list[Variant], list[Note]]:
    """The base and its adapters in the order base, instructions, law, merged, others, named by their roles; and notes.

    Args:
        base: folder or Hub name of the base model.
        asked: ``auto`` (one adapter a role, from ``lora``; what cannot be used is left out and noted), ``none``, or
            names and folders separated by commas, each with its role in front if its name does not tell it:
            ``law=LORA/mine,merged=LORA/both``.

    Raises:
        UsageError: an adapter does not exist or two have the same name.
        LeyloraError: an adapter is of another base, or cannot be used.
    """
    if asked.strip() == "none":
        return [BASE], []
    if asked.strip() == "auto":
        found, notes = _one_a_role(base, lora)
    else:
        found, notes = [], []
        for word in filter(None, map(str.strip, asked.split(","))):
            role, name = parse_role(word)
            found.append(read_variant(find_adapter(name, lora), role))
        for variant in found:
            check_base(base, variant)
    for variant in found:
        if variant.role == "merged" and role_of(variant.name) in ("instructions", "law") and variant.merge is None:
            notes.append(Note("not a merge", adapter=shown(Path(variant.adapter))))
    columns = [BASE]
    weights: dict[str, str] = {}
    for variant in sorted(found, key=lambda one: ROLES.index(one.role)):
        taken = any(column.role == variant.role for column in columns)
        name = variant.name if taken or variant.role == "other" else variant.role
        if any(column.name == name for column in columns):
            raise UsageError(f"Two adapters are called '{name}'; name each once.")
        own = " ".join(sha256_file(folder / WEIGHTS_FILE) for folder in variant.folders)
        columns.append(
            variant.model_copy(
                update={
                    "name": name,
                    "role": "other" if taken else variant.role,
                    "sha256": " ".join(adapter_sha256(folder) for folder in variant.folders),
                    "same_as": weights.get(own, ""),
                }
            )
        )
        weights.setdefault(own, name)
    return columns, notes


def _one_a_role(base: str, lora: Path) -> tuple[list[Variant], list[Note]]:
    """Of each role the adapter with the shortest name; adapters on top of another one must be asked for by name."""
    usable, notes = adapters_of(base, lora)
    groups: dict[Role, list[Variant]] = {}
    for variant in usable[1:]:
        if variant.role == "other":
            continue
        try:
            if not variant.frozen_adapter:
                check_base(base, variant)
                groups.setdefault(variant.role, []).append(variant)
        except LeyloraError as error:
            stale = isinstance(error, StaleAdapterError)
            notes.append(Note("left out", variant.name, detail=str(error), stale=stale))
    notes = [note for note in notes if role_of(note.adapter) != "other"]
    chosen = [min(group, key=lambda one: (len(one.name), one.name)) for group in groups.values()]
    for variant in chosen:
        if others := tuple(one.name for one in groups[variant.role] if one != variant):
            notes.append(Note("several", variant.name, variant.role, others=others))
    if not chosen:
        notes.append(Note("none", adapter=base, detail=str(lora)))
    return chosen, notes


def adapters_of(base: str, lora: Path = LORA) -> tuple[list[Variant], list[Note]]:
    """The base and every adapter in ``lora`` whose config names it, by the names of their folders."""
    found, notes = [BASE], []
    for file in sorted(lora.glob(f"*/{CONFIG_FILE}")):
        try:
            if same_base(base, base_of(file.parent)):
                found.append(read_variant(file.parent))
        except LeyloraError as error:
            notes.append(Note("left out", file.parent.name, detail=str(error)))
    return found, notes


def read_variant(folder: Path, role: Role | None = None) -> Variant:
    """One adapter, named by its folder, with the frozen adapter it was trained on top of.

    Raises:
        LeyloraError: it is not a usable adapter, or the adapter below is not there or is another one.
    """
    check_single_adapter(folder)
    run, name = _json(folder / RUN_FILE), folder.resolve().name
    below = next((str(run[key]) for key in _FROZEN if run and run.get(key)), "")
    lower = None
    if below:
        lower = next((path for path in (folder.parent / Path(below).name, Path(below)) if path.is_dir()), None)
        if lower is None:
            raise LeyloraError(
                f"{shown(folder)} was trained on top of {below} and means nothing without it, but {below} is not "
                "there; put it back, or use their merge."
            )
        check_single_adapter(lower)
        if _recorded(run, f"{_FROZEN[0]}_sha256", f"{_FROZEN[1]}_sha256") not in (
            "",
            sha256_file(lower / WEIGHTS_FILE),
        ):
            raise LeyloraError(
                f"{shown(folder)} was trained on top of another {lower.name} than the one that is there; train it "
                "again, or use a merge of the two that were made together."
            )
    return Variant(
        name=name,
        role=role or role_of(name),
        adapter=str(folder),
        frozen_adapter=str(lower or ""),
        rank=read_config(folder).r,
        run=run,
        merge=_json(folder / REPORT_FILE),
    )


def named_variants(words: Sequence[str]) -> list[Variant]:
    """The base and adapters that only an endpoint has, by name, each with its role in front if its name does not
    tell it: ``law=my-law-model``."""
    found = [BASE]
    for word in words:
        role, adapter = parse_role(word, known_only=False)
        role = role or role_of(adapter)
        taken = any(variant.role == role for variant in found)
        name = adapter.replace("/", "_") if taken or role == "other" else role
        found.append(Variant(name=name, role="other" if taken else role, adapter=adapter))
    return sorted(found, key=lambda variant: ROLES.index(variant.role))


def parse_role(word: str, *, known_only: bool = True) -> tuple[Role | None, str]:
    """``law=LORA/mine`` as role and name.

    Raises:
        UsageError: what is in front of the sign is not a role.
    """
    part, mark, name = word.rpartition("=")
    role = next((one for one in ROLES[1:] if one == part), None)
    if mark and role is None and known_only:
        roles = ", ".join(ROLES[1:])
        raise UsageError(f"'{part}' is not a role; write {roles}, as in law=LORA/mine.")
    return role, name


def role_of(name: str) -> Role:
    """What an adapter is for, by how its name ends."""
    return next((role for ending, role in ENDINGS.items() if name.endswith(ending)), "other")


def base_of(folder: Path) -> str | None:
    """The base model that an adapter names. Raises LeyloraError when the folder holds no adapter."""
    return read_config(folder).base_model_name_or_path


def check_base(base: str, variant: Variant) -> None:
    """Stop when an adapter belongs to another base, or to one whose weights have changed since.

    Raises:
        LeyloraError: says which.
    """
    folder = Path(variant.adapter)
    theirs = base_of(folder)
    if not same_base(base, theirs) and Path(base).is_dir() and theirs is not None and Path(theirs).is_dir():
        raise LeyloraError(f"{shown(folder)} was trained on {theirs}, not on {base}; name an adapter of this base.")
    trained = _recorded(variant.run, "revision")
    if trained.startswith("sha256:") and any(Path(base).glob("*.safetensors")) and base_sha256(base) != trained:
        raise StaleAdapterError(
            f"{shown(folder)} was trained on other weights than {base} holds now (the base was made again since); "
            "train the adapter again, or put the old base back."
        )


def find_adapter(name: str, lora: Path = LORA) -> Path:
    """The folder of an adapter given as a path or as a name under ``lora``.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    folder = next((path for path in (Path(name), lora / name) if (path / CONFIG_FILE).is_file()), None)
    if folder is None:
        there = ", ".join(sorted(file.parent.name for file in lora.glob(f"*/{CONFIG_FILE}"))) or "none yet"
        raise UsageError(f"There is no adapter '{name}' in {shown(lora)} (there: {there}), nor a folder of that name.")
    return folder


def choose_base(model: str | None, adapter: str | None = None, lora: Path = LORA) -> str:
    """Which base to load: ``model``, else the adapter's base, else a base of some adapter that is on this machine, else
    the demo's.

    Raises:
        UsageError: there is no such adapter.
        LeyloraError: there is no model at all; the message names the command that makes one.
    """
    if model is not None:
        return model
    if adapter is not None and adapter != BASE.name:
        folder = find_adapter(adapter, lora)
        name = base_of(folder)
        if name is None:
            raise LeyloraError(f"{shown(folder)} does not name its base model; give it with --model.")
        return name
    for config in sorted(lora.glob(f"*/{CONFIG_FILE}")):
        try:
            name = base_of(config.parent)
        except LeyloraError:  # told when the adapters of the chosen base are listed
            continue
        if name and Path(name).parent != TINY_BASES and is_here(name):
            return name
    for config in sorted(TINY_BASES.glob("*/config.json"), key=lambda path: path.parent.name != "tiny-mistral"):
        return str(config.parent)
    raise LeyloraError(
        "There is no model here yet. Make the small ones with their adapters: make demo "
        "(or only a base: python scripts/demo.py --base-only --family tiny-mistral). Or name one with --model."
    )


def template_text(folder: Path) -> str | None:
    """The chat template saved with an adapter: the one it was trained with, without training marks."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return read_text(path)
    config = folder / "tokenizer_config.json"
    text = json.loads(read_text(config)).get("chat_template") if config.is_file() else None
    return text if isinstance(text, str) else None


def template_name(folder: Path) -> str | None:
    """The template an adapter was trained with: by its run.json, its saved chat template, or its base model's name."""
    known = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
    if (named := _recorded(_json(folder / RUN_FILE), "instruction_template")) in known:
        return named
    if (folder / "chat_template.jinja").is_file():
        text = read_text(folder / "chat_template.jinja").strip()
        return next((name for name in known if served_template(instruction_template(name)).strip() == text), None)
    return template_of_base(base_of(folder) or "")


def template_of_base(name: str) -> str | None:
    """The template for a base model, by its name; None when the name tells nothing."""
    families = [(family.name, family.instruction_template) for family in FAMILIES.values()]
    guesses = [*_TEMPLATES_BY_NAME.items(), *families]
    return next((template for part, template in guesses if part in name.lower()), None)


def common_template(variants: Sequence[Variant]) -> str | None:
    """The instruction template that the records of all adapters name; None where none names one.

    Raises:
        LeyloraError: they were trained with different ones, so that no prompt is fair to all.
    """
    names: dict[str, str] = {}
    for variant in variants:
        if named := _recorded(variant.run, "instruction_template"):
            names.setdefault(named, variant.adapter)
    if len(names) > 1:
        told = " and ".join(f"{folder} with {name}" for name, folder in names.items())
        raise LeyloraError(
            f"The adapters were trained with different templates, {told}; train them with one, or give --template."
        )
    return next(iter(names), None)


def _recorded(run: dict[str, Any] | None, *keys: str) -> str:
    return next((str(run[key]) for key in keys if run and run.get(key)), "")


def _json(path: Path) -> dict[str, Any] | None:
    content = read_json(path) if path.is_file() else None
    return content if isinstance(content, dict) else None
