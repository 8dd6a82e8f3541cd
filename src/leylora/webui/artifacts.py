"""What there is to export: adapters of LORA/, presets of GENERATION-PRESETS/, templates of INSTRUCTION-TEMPLATES/.

Everything is read and checked here, before anything is written anywhere.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from leylora.adapters.config import CONFIG_FILE, check_adapter_name, plain_config
from leylora.adapters.files import PREFIX, WEIGHTS_FILE, Adapter, open_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, read_text, sha256_file
from leylora.models.families import FAMILIES
from leylora.models.presets import parse_preset
from leylora.models.templates import instruction_template, served_template, template_faults
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES

Kind = Literal["adapter", "preset", "template", "extension"]

LEGACY_PRESETS = frozenset({"contrastive-search-legacy"})
"""Presets that break current installs; they are exported only by name."""

ADAPTER_USES = ("combined", "instructions", "law")
"""How our adapters' and presets' names end; a base model's default parameters are those of the first there is."""

_INSTRUCT_TEMPLATES = {  # base models that are told apart from their family by name
    "mistral-7b-instruct-v0.3": "leylora-mistral-instruct-v0.3",
    "llama-3.1": "leylora-llama-3.1",
    "qwen3": "leylora-qwen3",
}
_SHOWN_WITH_ADAPTER = ("README.md", "run.json")  # who opens the folder later learns what it is


@dataclass(frozen=True)
class Artifact:
    """One thing to copy: its files by name, each as a path to copy or as a text to write. Names of files of an
    extension may lie in subfolders.

    ``base_model`` and ``template`` are an adapter's: what it was trained on, and with which prompt format.
    """

    kind: Kind
    name: str
    files: dict[str, Path | str]
    base_model: str | None = None
    template: str | None = None
    notes: tuple[str, ...] = field(default=())

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file as it will be written."""
        return {
            name: sha256_file(source) if isinstance(source, Path) else hashlib.sha256(source.encode()).hexdigest()
            for name, source in self.files.items()
        }


def collect(names: Sequence[str], lora_root: Path = Path("LORA")) -> list[Artifact]:
    """The artifacts of these names, with the template and the preset that belong to each adapter; all, for no name.

    A name is that of an adapter, preset or template, or a path to an adapter folder.

    Raises:
        UsageError: a name is none of these, or one the webui cannot load.
        LeyloraError: an adapter, preset or template is faulty; the message says which and why.
    """
    folders = {path.parent.name: path.parent for path in sorted(lora_root.glob(f"*/{CONFIG_FILE}"))}
    presets = sorted(path.stem for path in GENERATION_PRESETS.glob("*.yaml"))
    templates = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
    wanted = list(names) or [*folders, *(name for name in presets if name not in LEGACY_PRESETS), *templates]
    found: dict[tuple[Kind, str], Artifact] = {}
    for name in wanted:
        folder = folders.get(name) or _named_folder(name)
        if folder is None and name not in presets and name not in templates:
            known = ", ".join(dict.fromkeys([*folders, *presets, *templates]))
            raise UsageError(f"There is no adapter in {lora_root}, preset or template named '{name}' (there: {known}).")
        if folder is not None:
            adapter = adapter_artifact(folder)
            found["adapter", adapter.name] = adapter
            if adapter.template:
                found["template", adapter.template] = template_artifact(adapter.template)
            name = adapter.name
        if name in presets:
            lonely = bool(names) and folder is None and name.rpartition("-")[2] in ADAPTER_USES
            note = f"only the preset; there is no adapter {name} in {lora_root} yet"
            found["preset", name] = preset_artifact(name, (note,) if lonely else ())
        if name in templates:
            found["template", name] = template_artifact(name)
    return list(found.values())


def adapter_artifact(folder: Path) -> Artifact:
    """An adapter, with its config cut to the keys every PEFT reads.

    Raises:
        UsageError: its folder's name cannot be loaded by the webui.
        LeyloraError: the weights are damaged or would have no effect, or the config would lose something that counts.
    """
    name = check_adapter_name(folder.resolve().name)
    adapter = open_adapter(folder)
    _check_prefix(adapter)
    raw = read_json(folder / CONFIG_FILE)
    # A pattern (or "all-linear") is resolved by each PEFT version in its own way; the weights say what was meant.
    explicit = sorted(adapter.modules) if isinstance(raw.get("target_modules"), str) else None
    config = plain_config(raw, target_modules=explicit, place=folder / CONFIG_FILE)
    files: dict[str, Path | str] = {
        CONFIG_FILE: json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        WEIGHTS_FILE: folder / WEIGHTS_FILE,
    }
    files |= {extra: folder / extra for extra in _SHOWN_WITH_ADAPTER if (folder / extra).is_file()}
    base, template = config["base_model_name_or_path"], template_of(folder, config)
    notes = []
    if not base:
        notes.append(f"{CONFIG_FILE} names no base model, so no template is pinned for it")
    elif not template:
        notes.append(f"its prompt format is not known; choose its template by hand (base model {base})")
    return Artifact("adapter", name, files, base, template, tuple(notes))


def preset_artifact(name: str, notes: tuple[str, ...] = ()) -> Artifact:
    """A preset of ours.

    Raises:
        LeyloraError: it holds something the webui does not take as meant.
    """
    path = GENERATION_PRESETS / f"{name}.yaml"
    preset = parse_preset(path.read_bytes(), transformers=(4, 34) if name in LEGACY_PRESETS else None)
    if preset.faults:
        raise LeyloraError(f"{path}: {preset.faults[0]}; mend the preset.")
    return Artifact("preset", name, {path.name: path}, notes=notes)


def template_artifact(name: str) -> Artifact:
    """A template of ours.

    Raises:
        LeyloraError: an answer would not end with it, or it cannot be rendered.
    """
    path = INSTRUCTION_TEMPLATES / f"{name}.yaml"
    faults, _ = template_faults(read_text(path), path.suffix)
    if faults:
        raise LeyloraError(f"{path}: {faults[0]}; mend the template.")
    return Artifact("template", name, {path.name: path})


def template_of(folder: Path, config: dict[str, Any]) -> str | None:
    """The template an adapter was trained with: by its run.json, its saved chat template, or its base model's name."""
    known = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
    run = folder / "run.json"
    if run.is_file():
        record = read_json(run)
        named = record.get("instruction_template") if isinstance(record, dict) else None
        if named in known:
            return str(named)
    saved = folder / "chat_template.jinja"
    if saved.is_file():
        text = read_text(saved).strip()
        return next((name for name in known if served_template(instruction_template(name)).strip() == text), None)
    base = str(config.get("base_model_name_or_path") or "").lower()
    guesses = [*_INSTRUCT_TEMPLATES.items(), *((f.name, f.instruction_template) for f in FAMILIES.values())]
    return next((template for part, template in guesses if part in base), None)


def _named_folder(name: str) -> Path | None:
    """A folder given by its path (``LORA/mistral-7b-law``, ``/elsewhere/adapter``)."""
    path = Path(name)
    return path if len(path.parts) > 1 and (path / CONFIG_FILE).is_file() else None


def _check_prefix(adapter: Adapter) -> None:
    wrong = [module.key_a for module in adapter.modules.values() if not module.key_a.startswith(PREFIX)]
    if wrong:
        raise LeyloraError(
            f"{adapter.folder / WEIGHTS_FILE}: {wrong[0]} lacks the prefix '{PREFIX}'; the webui would answer OK and "
            "the adapter would have no effect. Save it with PEFT's save_pretrained."
        )


def by_kind(artifacts: Iterable[Artifact], kind: Kind) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.kind == kind]
