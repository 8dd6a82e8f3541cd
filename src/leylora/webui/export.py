"""Adapters, presets and templates into an installation of text-generation-webui, and out again: all of them or none.

Takes names of LORA/, GENERATION-PRESETS/ and INSTRUCTION-TEMPLATES/, and an installation; gives an `ExportReport`. The
trip: `collect` reads and checks everything before anything is written, `_plan` says for each artifact what would become
of it, `export` writes next to the final places and then only renames. ``leylora-export.json`` notes what was written:
a later export brings it up to date, `remove` takes it out.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ValidationError

from leylora.adapters.config import CONFIG_FILE, check_adapter_name, plain_config
from leylora.adapters.discover import template_name
from leylora.adapters.files import PREFIX, WEIGHTS_FILE, open_adapter
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, read_text, sha256_file
from leylora.models.presets import parse_preset
from leylora.models.templates import template_faults
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES, LORA
from leylora.webui import config_user
from leylora.webui.install import Install, find_install

Kind = Literal["adapter", "preset", "template", "extension"]
State = Literal["new", "same", "updated", "replaced", "kept", "skipped", "removed", "gone"]

FOLDERS: tuple[Kind, ...] = ("adapter", "extension")
"""The kinds that are folders; the others are one file each."""

LEGACY_PRESETS = frozenset({"contrastive-search-legacy"})
"""Presets that break current installs; they are exported only by name."""

ADAPTER_USES = ("combined", "instructions", "law")
"""How our adapters' and presets' names end; a base model's default parameters are those of the first there is."""

MANIFEST_FILE = "leylora-export.json"

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
    notes: tuple[str, ...] = ()

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file as it will be written."""
        return {
            name: sha256_file(source) if isinstance(source, Path) else hashlib.sha256(source.encode()).hexdigest()
            for name, source in self.files.items()
        }


@dataclass(frozen=True)
class Item:
    """What became of one artifact, and where.

    ``state``: new, same (already there), updated (ours, not changed by the user, or partly gone), replaced (with
    overwrite), kept (the user's, left alone), skipped (of no use there); after a removal: removed, kept (changed
    since), gone.
    """

    kind: Kind | Literal["entry"]
    name: str
    path: Path
    state: State
    note: str = ""


@dataclass(frozen=True)
class ExportReport:
    """What an export or a removal did, or would do in a dry run."""

    install: Install
    items: tuple[Item, ...]
    artifacts: tuple[Artifact, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()

    def states(self, *states: State) -> list[Item]:
        return [item for item in self.items if item.state in states]


class Manifest(BaseModel):
    """``leylora-export.json``: SHA-256 by path of every file put there, and the entries in config-user.yaml.

    Paths are relative to the folder of the manifest where they lie inside it.
    """

    version: int = 1
    files: dict[str, str] = {}
    model_entries: dict[str, dict[str, Any]] = {}


def export(
    webui: Path,
    names: Sequence[str] = (),
    lora_root: Path = LORA,
    dry_run: bool = False,
    overwrite: bool = False,
    extension: Artifact | None = None,
) -> ExportReport:
    """Copy artifacts into an installation: all of them or, if anything fails, none.

    Files of the user's, and files of an earlier export that were changed since, are kept unless ``overwrite``.

    Args:
        webui: the installation, as `leylora.webui.install.find_install` takes it.
        names: adapters (their template and preset come along), presets, templates; none means all there are.
        lora_root: the folder that holds the adapter folders.
        extension: an extension to add, such as `leylora.webui.extension.artifact` makes.

    Raises:
        UsageError: there is no installation, or a name is unknown.
        LeyloraError: an artifact is faulty, config-user.yaml cannot be edited, a folder cannot be written.
    """
    install = find_install(webui)
    artifacts = [*collect(names, lora_root), *([extension] if extension else [])]
    known = _read_manifest(install)
    items = [_plan(artifact, install, known, overwrite) for artifact in artifacts]
    useful = [artifact for artifact, item in zip(artifacts, items, strict=True) if item.state != "skipped"]
    entries, entry_items, text = _plan_entries(useful, install, known, overwrite)
    notes = install.notes
    if not names and not by_kind(artifacts, "adapter"):
        notes += (f"There is no adapter in {lora_root} yet; LORA/README.md says how they are made.",)
    report = ExportReport(install, (*items, *entry_items), tuple(artifacts), dry_run, notes)
    if dry_run:
        return report
    written = dict(known.files)
    try:
        with _Transaction() as transaction:
            for artifact, item in zip(artifacts, items, strict=True):
                digests = {
                    _manifest_key(install, _target(artifact, item.path, name)): digest
                    for name, digest in artifact.digests().items()
                }
                if item.state in ("new", "updated", "replaced"):
                    _stage(transaction, artifact, item.path)
                    written |= digests
                elif item.state == "same":  # of files that were the same already, only those we wrote earlier are ours
                    written |= {key: digest for key, digest in digests.items() if key in known.files}
            if text is not None:
                transaction.stage((install.models / config_user.FILE).resolve(), _writer(text))
            new = Manifest(files=dict(sorted(written.items())), model_entries={**known.model_entries, **entries})
            if new != known:
                transaction.stage(install.data / MANIFEST_FILE, _writer(new.model_dump_json(indent=2) + "\n"))
            transaction.commit()
    except OSError as error:
        raise _unwritable(error) from None
    return report


def remove(webui: Path, dry_run: bool = False) -> ExportReport:
    """Take out what `export` put in, except what the user has changed since.

    Raises:
        UsageError: there is no installation.
        LeyloraError: nothing was exported there, or a file cannot be edited or deleted.
    """
    install = find_install(webui)
    if not (install.data / MANIFEST_FILE).is_file():
        raise LeyloraError(f"{install.data} has no {MANIFEST_FILE}: nothing was exported there by this command.")
    known = _read_manifest(install)
    items = []
    for key, digest in known.files.items():
        path = install.data / key
        kind = next((kind for kind in get_args(Kind) if path.is_relative_to(install.folder(kind))), None)
        if kind is None or ".." in path.parts:  # a manifest deletes nothing outside the folders an export writes to
            continue
        state: State = "gone" if not path.is_file() else "removed" if sha256_file(path) == digest else "kept"
        items.append(Item(kind, key, path, state))
    config = (install.models / config_user.FILE).resolve()
    text = read_text(config) if config.is_file() else ""
    present = config_user.entries(text, str(config))
    for key, entry in known.model_entries.items():
        state = "gone" if key not in present else "removed" if present[key] == entry else "kept"
        items.append(Item("entry", key, config, state))
    report = ExportReport(install, tuple(items), dry_run=dry_run, notes=install.notes)
    if dry_run:
        return report
    ours = {item.name for item in report.states("removed") if item.kind == "entry"}
    left = config_user.without_entries(text, ours, str(config))
    try:
        if left != text:
            with _Transaction() as transaction:
                transaction.stage(config, _writer(left))
                transaction.commit()
            if not left.strip():
                config.unlink()
        for item in report.states("removed"):
            if item.kind != "entry":
                item.path.unlink()
                if item.kind in FOLDERS:
                    _remove_empty(item.path.parent, install.folder(item.kind))
        (install.data / MANIFEST_FILE).unlink()
    except OSError as error:
        raise _unwritable(error) from None
    return report


def _remove_empty(folder: Path, home: Path) -> None:
    """Remove a folder of ours, and those it lies in, once it holds nothing but what Python compiled from our files."""
    while folder != home and all(entry.name == "__pycache__" for entry in folder.iterdir()):
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        folder.rmdir()
        folder = folder.parent


# What there is to export


def collect(names: Sequence[str], lora_root: Path = LORA) -> list[Artifact]:
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
        path = Path(name)  # such as LORA/mistral-7b-law, or /elsewhere/adapter
        folder = folders.get(name) or (path if len(path.parts) > 1 and (path / CONFIG_FILE).is_file() else None)
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


def by_kind(artifacts: Iterable[Artifact], kind: Kind) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.kind == kind]


def adapter_artifact(folder: Path) -> Artifact:
    """An adapter, with its config cut to the keys every PEFT reads.

    Raises:
        UsageError: its folder's name cannot be loaded by the webui.
        LeyloraError: the weights are damaged or would have no effect, or the config would lose something that counts.
    """
    name = check_adapter_name(folder.resolve().name)
    adapter = open_adapter(folder)
    for module in adapter.modules.values():
        if not module.key_a.startswith(PREFIX):
            raise LeyloraError(
                f"{folder / WEIGHTS_FILE}: {module.key_a} lacks the prefix '{PREFIX}'; the webui would answer OK and "
                "the adapter would have no effect. Save it with PEFT's save_pretrained."
            )
    raw = read_json(folder / CONFIG_FILE)
    # A pattern (or "all-linear") is resolved by each PEFT version in its own way; the weights say what was meant.
    explicit = sorted(adapter.modules) if isinstance(raw.get("target_modules"), str) else None
    config = plain_config(raw, target_modules=explicit, place=folder / CONFIG_FILE)
    files: dict[str, Path | str] = {
        CONFIG_FILE: json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        WEIGHTS_FILE: folder / WEIGHTS_FILE,
    }
    files |= {extra: folder / extra for extra in _SHOWN_WITH_ADAPTER if (folder / extra).is_file()}
    base, template = config["base_model_name_or_path"], template_name(folder)
    notes: tuple[str, ...] = ()
    if not base:
        notes = (f"{CONFIG_FILE} names no base model, so no template is pinned for it",)
    elif not template:
        notes = (f"its prompt format is not known; choose its template by hand (base model {base})",)
    return Artifact("adapter", name, files, base, template, notes)


def preset_artifact(name: str, notes: tuple[str, ...] = ()) -> Artifact:
    path = GENERATION_PRESETS / f"{name}.yaml"
    preset = parse_preset(path.read_bytes(), transformers=(4, 34) if name in LEGACY_PRESETS else None)
    if preset.faults:
        raise LeyloraError(f"{path}: {preset.faults[0]}; mend the preset.")
    return Artifact("preset", name, {path.name: path}, notes=notes)


def template_artifact(name: str) -> Artifact:
    path = INSTRUCTION_TEMPLATES / f"{name}.yaml"
    faults, _ = template_faults(read_text(path), path.suffix)
    if faults:
        raise LeyloraError(f"{path}: {faults[0]}; mend the template.")
    return Artifact("template", name, {path.name: path})


def model_entries(artifacts: Sequence[Artifact]) -> dict[str, dict[str, Any]]:
    """Entries for config-user.yaml: template and generation parameters of each base model that has an adapter here.

    A ``preset`` key would have no effect there, so that the preset's own parameters are written. They are those of
    the combined adapter's preset where there is one, then of the instructions', then of the law's.
    """

    def rank(name: str) -> tuple[int, str]:
        use = name.rpartition("-")[2]
        return (ADAPTER_USES.index(use) if use in ADAPTER_USES else len(ADAPTER_USES), name)

    presets = {artifact.name: artifact for artifact in by_kind(artifacts, "preset")}
    entries: dict[str, dict[str, Any]] = {}
    for adapter in sorted(by_kind(artifacts, "adapter"), key=lambda artifact: rank(artifact.name)):
        if not adapter.base_model or not adapter.template:
            continue
        key = config_user.base_pattern(adapter.base_model)
        if key in entries:
            continue
        entries[key] = {"instruction_template": adapter.template}
        if adapter.name in presets:
            source = next(iter(presets[adapter.name].files.values()))
            entries[key] |= yaml.safe_load(read_text(Path(str(source))))
    return entries


# What would become of each


def _plan(artifact: Artifact, install: Install, known: Manifest, overwrite: bool) -> Item:
    folder = install.folder(artifact.kind)
    if artifact.kind in FOLDERS:
        path = folder / artifact.name
        if install.portable and artifact.kind == "adapter":
            return Item("adapter", artifact.name, path, "skipped", "a portable build cannot load LoRAs")
    else:
        path = folder / next(iter(artifact.files))
        # A file of the same name in other capitals is the same file on Windows and macOS.
        there = folder.iterdir() if folder.is_dir() else ()
        twin = next((e for e in there if e.name.casefold() == path.name.casefold() and e.name != path.name), None)
        if twin is not None:
            alike = yaml.safe_load(read_text(twin)) == yaml.safe_load(read_text(Path(str(artifact.files[path.name]))))
            return Item(artifact.kind, artifact.name, twin, "same" if alike else "kept", f"there as {twin.stem}")
    notes = "; ".join(artifact.notes)
    if path.is_symlink():
        return Item(artifact.kind, artifact.name, path, "kept", "a symbolic link; delete it to have a copy there")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return Item(artifact.kind, artifact.name, path, "new", notes)
    wanted = {_target(artifact, path, name): digest for name, digest in artifact.digests().items()}
    present = {target: sha256_file(target) if target.is_file() else None for target in wanted}
    if present == wanted:
        return Item(artifact.kind, artifact.name, path, "same", notes)
    ours = {target: known.files.get(_manifest_key(install, target)) for target in wanted}
    if any(ours.values()) and all(digest in (None, ours[target]) for target, digest in present.items()):
        return Item(artifact.kind, artifact.name, path, "updated", notes)
    if overwrite:
        return Item(artifact.kind, artifact.name, path, "replaced", notes)
    return Item(artifact.kind, artifact.name, path, "kept", "one of that name is there; --overwrite replaces it")


def _plan_entries(
    artifacts: Sequence[Artifact], install: Install, known: Manifest, overwrite: bool
) -> tuple[dict[str, dict[str, Any]], list[Item], str | None]:
    """The entries to record, what becomes of each, and the new text of config-user.yaml if it changes."""
    wanted = model_entries(artifacts)
    config = (install.models / config_user.FILE).resolve()
    text = read_text(config) if config.is_file() else ""
    present = config_user.entries(text, str(config)) if wanted else {}
    items, to_write = [], {}
    for key, entry in wanted.items():
        if key not in present:
            state: State = "new"
        elif present[key] == entry:
            state = "same"
        elif present[key] == known.model_entries.get(key):
            state = "updated"
        else:
            state = "replaced" if overwrite else "kept"
        note = "" if state != "kept" else "your entry of that key stays; --overwrite replaces it"
        items.append(Item("entry", key, config, state, note))
        if state in ("new", "updated", "replaced"):
            to_write[key] = entry
    return to_write, items, config_user.with_entries(text, to_write, str(config)) if to_write else None


def _target(artifact: Artifact, path: Path, name: str) -> Path:
    return path / name if artifact.kind in FOLDERS else path


def _manifest_key(install: Install, path: Path) -> str:
    return path.relative_to(install.data).as_posix() if path.is_relative_to(install.data) else path.as_posix()


def _read_manifest(install: Install) -> Manifest:
    path = install.data / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(read_text(path)) if path.is_file() else Manifest()
    except ValidationError:
        raise LeyloraError(f"{path} is damaged; delete it (the export then treats all files as yours).") from None


# Writing


class _Transaction:
    """Replaces several files and folders together: all of them, or none.

    First everything is written next to its final place (`stage`); if that fails half-way, nothing is left of it.
    `commit` only renames, and undoes its renames if one fails.
    """

    NEW, OLD = ".leylora-new", ".leylora-old"

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path]] = []

    def stage(self, final: Path, write: Callable[[Path], object]) -> None:
        """Let ``write`` make the new file or folder at the path it is given; it becomes ``final`` on commit."""
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = final.with_name(f".{final.name}{self.NEW}")
        _delete(staged)  # left by a run that was killed
        self._staged.append((staged, final))
        write(staged)

    def commit(self) -> None:
        moved: list[tuple[Path, Path]] = []  # in order: from, to
        try:
            for staged, final in self._staged:
                if final.exists():
                    aside = final.with_name(f".{final.name}{self.OLD}")
                    _delete(aside)
                    os.replace(final, aside)
                    moved.append((final, aside))
                os.replace(staged, final)
                moved.append((staged, final))
        except BaseException:
            for source, target in reversed(moved):
                os.replace(target, source)
            raise
        for _, target in moved:
            if target.name.endswith(self.OLD):
                _delete(target)
        self._staged.clear()

    def __enter__(self) -> "_Transaction":
        return self

    def __exit__(self, *_: object) -> None:
        for staged, _final in self._staged:
            with suppress(OSError):
                _delete(staged)


def _stage(transaction: _Transaction, artifact: Artifact, path: Path) -> None:
    if artifact.kind not in FOLDERS:
        source = next(iter(artifact.files.values()))
        transaction.stage(path, lambda staged: _copy(source, staged))
        return

    def fill(folder: Path) -> None:
        folder.mkdir()
        ours = {Path(name).parts[0] for name in artifact.files}
        for extra in path.iterdir() if path.is_dir() else ():  # files the user put beside ours stay
            if extra.name not in ours:
                (shutil.copytree if extra.is_dir() else shutil.copy2)(extra, folder / extra.name)
        for name, source in artifact.files.items():
            _copy(source, folder / name)

    transaction.stage(path, fill)


def _copy(source: Path | str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)  # an extension's modules lie in folders
    if isinstance(source, str):
        _writer(source)(target)
        return
    shutil.copyfile(source, target)
    if sha256_file(source) != sha256_file(target):
        raise LeyloraError(f"{source} changed while it was copied; run the export again.")


def _writer(text: str) -> Callable[[Path], object]:
    """Writes ``text`` as UTF-8, its line ends untouched."""
    return lambda path: path.write_text(text, encoding="utf-8", newline="")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unwritable(error: OSError) -> LeyloraError:
    reason = (error.strerror or str(error)).lower()
    return LeyloraError(
        f"{error.filename or 'The installation'} cannot be written ({reason}); nothing was changed. Check who owns "
        "the webui's folders, whether the disk is full, and whether the folder is mounted read-only."
    )
