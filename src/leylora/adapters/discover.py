"""Which adapters belong to which base, what each is for, and how it was trained. Only small files are read.

An adapter says its base in adapter_config.json; ``run.json`` says which weights of it (`base_sha256`), which template,
and the frozen adapter below. Its role is how its name ends: ``-instructions``, ``-law``, ``-combined``.

`find_variants` gives a comparison's columns, `adapters_of` and `read_variant` what can be chatted with, `choose_base`
the base to load when not all is said.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict

from leylora.adapters.config import CONFIG_FILE, read_config
from leylora.adapters.files import WEIGHTS_FILE, adapter_sha256, check_single_adapter
from leylora.adapters.report import REPORT_FILE
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object, read_text, sha256_file
from leylora.models.bases import TINY_BASES, base_sha256, is_here, same_base
from leylora.models.families import FAMILIES
from leylora.models.templates import instruction_template, served_template
from leylora.project import INSTRUCTION_TEMPLATES, LORA, shown

Role = Literal["base", "instructions", "law", "merged", "other"]

ROLES: tuple[Role, ...] = get_args(Role)
ENDINGS: dict[str, Role] = {"-instructions": "instructions", "-law": "law", "-combined": "merged"}
RUN_FILE = "run.json"
_FROZEN = ("frozen_adapter", "on_top_of")  # keys of run.json for the adapter below; the second until 0.1

_TEMPLATES_BY_NAME = {  # of base models that have another one than their family
    "mistral-7b-instruct-v0.3": "leylora-mistral-instruct-v0.3",
    "llama-3.1": "leylora-llama-3.1",
}


class Variant(BaseModel):
    """The base, or the base with an adapter: the one class for chat, comparison and records."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str  # of the role in a comparison, else of the adapter's folder
    role: Role = "other"
    adapter: str = ""  # its folder, or its name at an endpoint
    frozen_adapter: str = ""  # folder of the adapter it was trained on top of, which is active together with it
    sha256: str = ""  # of both (`adapter_sha256`); empty where it is not needed or not known
    same_as: str = ""  # an earlier variant of this model with the same weights
    rank: int | None = None
    run: dict[str, Any] | None = None  # its whole run.json
    merge: dict[str, Any] | None = None  # its whole merge_report.json

    @property
    def folders(self) -> tuple[Path, ...]:
        """What is active together."""
        return tuple(Path(one) for one in (self.adapter, self.frozen_adapter) if one)


BASE = Variant(name="base", role="base")


class StaleAdapterError(LeyloraError):
    """The base's weights have changed since the adapter was trained."""


class Note(NamedTuple):
    """Something the user has to know about the adapters that were found."""

    kind: Literal["left out", "several", "none", "not a merge"]
    adapter: str = ""  # for ``none`` the base that no adapter belongs to
    role: str = ""
    detail: str = ""  # why it was left out; for ``none`` the folder that was searched
    others: tuple[str, ...] = ()  # of ``several`` adapters of a role, those that were not taken
    stale: bool = False  # left out because the base's weights have changed since it was trained


def find_variants(base: str, asked: str = "auto", lora: Path = LORA) -> tuple[list[Variant], list[Note]]:
    """The base and its adapters in the order base, instructions, law, merged, others, named by their roles; and notes.

    ``asked`` is ``auto`` (one adapter a role, from ``lora``; what cannot be used is left out and noted), ``none``, or
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
        update = {"name": name, "role": "other" if taken else variant.role, "same_as": weights.get(own, "")}
        update["sha256"] = " ".join(adapter_sha256(folder) for folder in variant.folders)
        columns.append(variant.model_copy(update=update))
        weights.setdefault(own, name)
    return columns, notes


def _one_a_role(base: str, lora: Path) -> tuple[list[Variant], list[Note]]:
    """Of each role the adapter with the shortest name; adapters on top of another one must be asked for by name."""
    usable, notes = adapters_of(base, lora)
    groups: dict[Role, list[Variant]] = {}
    for variant in usable[1:]:
        if variant.role == "other" or variant.frozen_adapter:
            continue
        try:
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
            if same_base(base, read_config(file.parent).base_model_name_or_path):
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
    lower = None
    if below := _recorded(run, *_FROZEN):
        lower = next((path for path in (folder.parent / Path(below).name, Path(below)) if path.is_dir()), None)
        if lower is None:
            raise LeyloraError(
                f"{shown(folder)} was trained on top of {below} and cannot be used without it, but {below} is not "
                "there; put it back, or use their merge."
            )
        check_single_adapter(lower)
        trained_on = _recorded(run, *(f"{key}_sha256" for key in _FROZEN))
        if trained_on not in ("", sha256_file(lower / WEIGHTS_FILE)):
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
    """The base and adapters that only an endpoint has, by name, with their roles in front: ``law=my-law-model``."""
    found = [BASE]
    for word in words:
        role, adapter = parse_role(word, known_only=False)
        role = role or role_of(adapter)
        taken = any(variant.role == role for variant in found)
        name = adapter.replace("/", "_") if taken or role == "other" else role
        found.append(Variant(name=name, role="other" if taken else role, adapter=adapter))
    return sorted(found, key=lambda variant: ROLES.index(variant.role))


def parse_role(word: str, *, known_only: bool = True) -> tuple[Role | None, str]:
    """``law=LORA/mine`` as role and name. Raises UsageError when what is in front of the sign is not a role."""
    part, mark, name = word.rpartition("=")
    role = next((one for one in ROLES[1:] if one == part), None)
    if mark and role is None and known_only:
        raise UsageError(f"'{part}' is not a role; write {', '.join(ROLES[1:])}, as in law=LORA/mine.")
    return role, name


def role_of(name: str) -> Role:
    return next((role for ending, role in ENDINGS.items() if name.endswith(ending)), "other")


def check_base(base: str, variant: Variant) -> None:
    """Raise LeyloraError when an adapter belongs to another base, or to one whose weights have changed since."""
    folder = Path(variant.adapter)
    theirs = read_config(folder).base_model_name_or_path
    if not same_base(base, theirs) and Path(base).is_dir() and theirs is not None and Path(theirs).is_dir():
        raise LeyloraError(f"{shown(folder)} was trained on {theirs}, not on {base}; name an adapter of this base.")
    trained = _recorded(variant.run, "revision")
    if trained.startswith("sha256:") and any(Path(base).glob("*.safetensors")) and base_sha256(base) != trained:
        raise StaleAdapterError(
            f"{shown(folder)} was trained on other weights than {base} holds now (the base was made again since); "
            "train the adapter again, or put the old base back."
        )


def find_adapter(name: str, lora: Path = LORA) -> Path:
    """The folder of an adapter given as a path or as a name under ``lora``. Raises UsageError when there is none."""
    folder = next((path for path in (Path(name), lora / name) if (path / CONFIG_FILE).is_file()), None)
    if folder is None:
        there = ", ".join(sorted(file.parent.name for file in lora.glob(f"*/{CONFIG_FILE}"))) or "none yet"
        raise UsageError(f"There is no adapter '{name}' in {shown(lora)} (there: {there}), nor a folder of that name.")
    return folder


def choose_base(model: str | None, adapter: str | None = None, lora: Path = LORA) -> str:
    """Which base to load: ``model``, else the adapter's, else that of some adapter if it is here, else the demo's."""
    if model is not None:
        return model
    if adapter is not None and adapter != BASE.name:
        folder = find_adapter(adapter, lora)
        name = read_config(folder).base_model_name_or_path
        if name is None:
            raise LeyloraError(f"{shown(folder)} does not name its base model; give it with --model.")
        return name
    for config in sorted(lora.glob(f"*/{CONFIG_FILE}")):
        try:
            name = read_config(config.parent).base_model_name_or_path
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


def saved_template(folder: Path) -> str | None:
    """The chat template saved with an adapter: the one it was trained with, without training marks."""
    if (folder / "chat_template.jinja").is_file():
        return read_text(folder / "chat_template.jinja")
    config = folder / "tokenizer_config.json"
    text = read_json_object(config).get("chat_template") if config.is_file() else None
    return text if isinstance(text, str) else None


def template_name(folder: Path) -> str | None:
    """The template an adapter was trained with: by its run.json, its saved chat template, or its base model's name."""
    known = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
    if (named := _recorded(_json(folder / RUN_FILE), "instruction_template")) in known:
        return named
    if (folder / "chat_template.jinja").is_file():
        text = (saved_template(folder) or "").strip()
        return next((name for name in known if served_template(instruction_template(name)).strip() == text), None)
    return template_of_base(read_config(folder).base_model_name_or_path or "")


def template_of_base(name: str) -> str | None:
    """The template for a base model, by its name; None when the name tells nothing."""
    guesses = _TEMPLATES_BY_NAME | {family.name: family.instruction_template for family in FAMILIES.values()}
    return next((template for part, template in guesses.items() if part in name.lower()), None)


def common_template(variants: Sequence[Variant]) -> str | None:
    """The instruction template that the records of all adapters name; None where none names one."""
    names: dict[str, str] = {}
    for variant in variants:
        if named := _recorded(variant.run, "instruction_template"):
            names.setdefault(named, variant.adapter)
    if len(names) > 1:  # no prompt is fair to all
        told = " and ".join(f"{folder} with {name}" for name, folder in names.items())
        raise LeyloraError(
            f"The adapters were trained with different templates, {told}; train them with one, or give --template."
        )
    return next(iter(names), None)


def _recorded(run: dict[str, Any] | None, *keys: str) -> str:
    return next((str(run[key]) for key in keys if run and run.get(key)), "")


def _json(path: Path) -> dict[str, Any] | None:
    return read_json_object(path) if path.is_file() else None
