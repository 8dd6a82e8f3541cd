"""Which models there are to talk to: a base, and the adapters under LORA that were trained on it."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from leylora.adapters.config import read_config
from leylora.adapters.files import WEIGHTS_FILE, check_single_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.variants import same_base
from leylora.files import read_json, sha256_file
from leylora.models.bases import TINY_BASES
from leylora.project import shown

LORA = Path("LORA")
BASE = "base"
FIRST_STEP = "make demo"
SHOWN_BY_DEFAULT = ("instructions", "law", "combined")


@dataclass(frozen=True)
class Variant:
    """The base, or the base with an adapter.

    Attributes:
        name: the adapter folder's name; `BASE` for the base alone.
        folders: what is active together: the adapter, and the one it was trained on top of, if any.
    """

    name: str
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Found:
    """Adapters of one base. ``skipped`` says, a sentence each, which folders cannot be used and why."""

    variants: dict[str, Variant]
    skipped: list[str] = field(default_factory=list)


def find_variants(base: str, lora: Path = LORA) -> Found:
    """The base and every adapter in ``lora`` whose config names it. Nothing is loaded."""
    found = Found({BASE: Variant(BASE)})
    for folder in sorted(lora.glob("*/")):
        if not (folder / "adapter_config.json").is_file():
            continue
        try:
            if same_base(base, base_of(folder)):
                found.variants[folder.name] = adapter_variant(folder)
        except LeyloraError as error:
            found.skipped.append(str(error))
    return found


def adapter_variant(folder: Path) -> Variant:
    """The variant of one adapter folder.

    Raises:
        LeyloraError: it is no usable adapter, or the adapter it was trained on top of is not there.
    """
    check_single_adapter(folder)
    run = folder / "run.json"
    record = read_json(run) if run.is_file() else {}
    below = record.get("frozen_adapter") or record.get("on_top_of")
    if not below:
        return Variant(folder.name, (folder,))
    lower = next((path for path in (folder.parent / Path(below).name, Path(below)) if path.is_dir()), None)
    if lower is None:
        raise LeyloraError(
            f"{shown(folder)} was trained on top of {below}, which is not there; put it back, or use their merge."
        )
    check_single_adapter(lower)
    if record.get("frozen_adapter_sha256", record.get("on_top_of_sha256")) not in (
        None,
        sha256_file(lower / WEIGHTS_FILE),
    ):
        raise LeyloraError(
            f"{shown(folder)} was trained on top of another {lower.name} than the one that is there; train it again, "
            "or use a merge of the two that were made together."
        )
    return Variant(folder.name, (folder, lower))


def base_of(folder: Path) -> str | None:
    """The base model that an adapter names. Raises LeyloraError when the folder holds no adapter."""
    return read_config(folder).base_model_name_or_path


def find_adapter(name: str, lora: Path = LORA) -> Path:
    """The folder of an adapter given as a name under ``lora`` or as a path.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    for folder in (lora / name, Path(name)):
        if (folder / "adapter_config.json").is_file():
            return folder
    known = ", ".join(sorted(path.parent.name for path in lora.glob("*/adapter_config.json"))) or "none yet"
    raise UsageError(f"There is no adapter '{name}' in {shown(lora)} (there: {known}).")


def choose_base(model: str | None, adapter: str | None, lora: Path = LORA) -> str:
    """The base model to load: the one given, the adapter's, one of one's own that is on this machine, the demo's.

    Raises:
        UsageError: there is no such adapter.
        LeyloraError: there is no model at all; the message names the command that makes one.
    """
    if model is not None:
        return model
    if adapter is not None and adapter != BASE:
        folder = find_adapter(adapter, lora)
        name = base_of(folder)
        if name is None:
            raise LeyloraError(f"{shown(folder)} does not name its base model; give it with --model.")
        return name
    for config in sorted(lora.glob("*/adapter_config.json")):
        try:
            name = base_of(config.parent)
        except LeyloraError:  # told when the adapters of the chosen base are listed
            continue
        if name and Path(name).parent != TINY_BASES and _is_here(name):
            return name
    for config in sorted(TINY_BASES.glob("*/config.json"), key=lambda path: path.parent.name != "tiny-mistral"):
        return str(config.parent)
    raise LeyloraError(
        f"There is no model here yet. Make the small ones with their adapters: {FIRST_STEP} "
        "(or only a base: python scripts/demo.py --base-only). Or name one with --model."
    )


def _is_here(name: str) -> bool:
    """Whether a model is a folder here or in the Hub's cache, so that nothing need be downloaded."""
    from huggingface_hub import try_to_load_from_cache

    if Path(name).is_dir():
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # a path that is gone is no Hub name either
        return False


def shown_by_default(variants: dict[str, Variant]) -> list[str]:
    """The variants to compare when none are named: base, instructions, law and combined, or the first three."""
    picked = [min(named, key=len) for end in SHOWN_BY_DEFAULT if (named := [n for n in variants if n.endswith(end)])]
    others = [name for name in variants if name not in (BASE, *picked)]
    return [BASE, *(picked or others[:3])]


def served_template(folder: Path) -> str | None:
    """The chat template saved beside an adapter: the one it was trained with."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    config = folder / "tokenizer_config.json"
    text = json.loads(config.read_text("utf-8")).get("chat_template") if config.is_file() else None
    return text if isinstance(text, str) else None
