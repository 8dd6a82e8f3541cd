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
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from leylora.adapters.config import CONFIG_FILE, check_adapter_name, plain_config
from leylora.adapters.discover import template_name
from leylora.adapters.files import PREFIX, WEIGHTS_FILE, open_adapter
from leylora.errors import LeyloraError
from leylora.files import read_json_object, read_text, read_yaml, sha256_file
from leylora.models.presets import parse_preset
from leylora.models.templates import template_faults
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES, LORA, shown
from leylora.webui import config_user
from leylora.webui.install import Install, find_install

Kind = Literal["adapter", "preset", "template", "extension"]
# same: there already; updated: ours, unchanged or partly gone; replaced: the user's, with overwrite; kept: the user's,
# or changed since the export; skipped: of no use there; gone: before the removal.
State = Literal["new", "same", "updated", "replaced", "kept", "skipped", "removed", "gone"]
Job = tuple[Path, Callable[[Path], object]]  # what to write at its final place, and how

FOLDERS: tuple[Kind, ...] = ("adapter", "extension")  # the other kinds are one file each
LEGACY_PRESETS = frozenset({"contrastive-search-legacy"})  # break current installs; exported only by name
OF_A_USE = "leylora-"  # what the presets begin with that are for every adapter of a use
ADAPTER_USES = ("combined", "instructions", "law")  # how our adapters' and presets' names end; see `model_entries`
MANIFEST_FILE = "leylora-export.json"
_SHOWN_WITH_ADAPTER = ("README.md", "run.json")  # who opens the folder later learns what it is


@dataclass(frozen=True)
class Artifact:
    """One thing to copy."""

    kind: Kind
    name: str
    files: dict[str, Path | str]  # by name, which may hold folders: a path to copy or a text to write
    base_model: str | None = None  # what an adapter was trained on,
    template: str | None = None  # and with which prompt format
    preset: str | None = None  # which one is for it
    notes: tuple[str, ...] = ()

    def digests(self, path: Path) -> dict[Path, str]:
        """SHA-256 of every file as it will be written, by its place when the artifact goes to ``path``."""
        return {
            path / name if self.kind in FOLDERS else path: (
                sha256_file(source) if isinstance(source, Path) else hashlib.sha256(source.encode()).hexdigest()
            )
            for name, source in self.files.items()
        }


class ExportItem(NamedTuple):
    """What became of one artifact, and where."""

    kind: Kind | Literal["entry"]
    name: str
    path: Path
    state: State
    note: str = ""


@dataclass(frozen=True)
class ExportReport:
    """What an export or a removal did, or would do in a dry run."""

    install: Install
    items: tuple[ExportItem, ...]
    artifacts: tuple[Artifact, ...] = ()
    dry_run: bool = False
    notes: tuple[str, ...] = ()

    def states(self, *states: State) -> list[ExportItem]:
        return [item for item in self.items if item.state in states]


class Manifest(BaseModel):
    """``leylora-export.json``: what was put there."""

    version: int = 1
    files: dict[str, str] = {}  # SHA-256 by path, which is relative to the manifest's folder if it is inside it
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
        extension: an extension to add, such as `leylora.webui.extension.artifact` makes.

    Raises:
        LeyloraError: a name is unknown, an artifact is faulty, or something in the installation cannot be changed.
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
    jobs: list[Job] = []
    written = dict(known.files)
    for artifact, item in zip(artifacts, items, strict=True):
        digests = {_manifest_key(install, path): digest for path, digest in artifact.digests(item.path).items()}
        if item.state in ("new", "updated", "replaced"):
            jobs.append((item.path, partial(_fill, artifact, item.path)))
            written |= digests
        elif item.state == "same":  # of files that were the same already, only those we wrote earlier are ours
            written |= {key: digest for key, digest in digests.items() if key in known.files}
    if text is not None:
        jobs.append(((install.models / config_user.FILE).resolve(), partial(_copy, text)))
    new = Manifest(files=dict(sorted(written.items())), model_entries={**known.model_entries, **entries})
    if new != known:
        jobs.append((install.data / MANIFEST_FILE, partial(_copy, new.model_dump_json(indent=2) + "\n")))
    try:
        _write_all(jobs)
    except OSError as error:
        raise _unwritable(error) from None
    return report


def remove(webui: Path, dry_run: bool = False) -> ExportReport:
    """Take out what `export` put in, except what the user has changed since.

    Raises:
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
        # A manifest deletes nothing outside the folders an export writes to, not through a link either.
        if kind is None or ".." in path.parts or not _leads_into(path, install.folder(kind)):
            continue
        state: State = "gone" if not path.is_file() else "removed" if sha256_file(path) == digest else "kept"
        items.append(ExportItem(kind, key, path, state))
    config = (install.models / config_user.FILE).resolve()
    text = config_user.read(config)
    present = config_user.entries(text, str(config))
    for key, entry in known.model_entries.items():
        state = "gone" if key not in present else "removed" if present[key] == entry else "kept"
        items.append(ExportItem("entry", key, config, state))
    report = ExportReport(install, tuple(items), dry_run=dry_run, notes=install.notes)
    if dry_run:
        return report
    ours = {item.name for item in report.states("removed") if item.kind == "entry"}
    left = config_user.without_entries(text, ours, str(config))
    try:
        if left != text:
            _write_all([(config, partial(_copy, left))])
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


# What there is to export


def collect(names: Sequence[str], lora_root: Path = LORA) -> list[Artifact]:
    """The artifacts of these names, with the template and the preset that belong to each adapter; all, for no name.

    A name is that of an adapter, preset or template, or the path of an adapter or preset. The preset of an adapter that
    is not there is exported by its path only, because whoever gives its name means the adapter.
    """
    folders = {path.parent.name: path.parent for path in sorted(lora_root.glob(f"*/{CONFIG_FILE}"))}
    presets = {path.stem: path for path in sorted(GENERATION_PRESETS.glob("*.yaml"))}
    templates = {path.stem: path for path in sorted(INSTRUCTION_TEMPLATES.glob("*.yaml"))}
    found: dict[tuple[Kind, str], Artifact] = {}
    for name in names or [*folders, *(name for name in presets if name not in LEGACY_PRESETS), *templates]:
        path = Path(name)
        if folder := folders.get(name) or (path if len(path.parts) > 1 and (path / CONFIG_FILE).is_file() else None):
            adapter = adapter_artifact(folder)
            found["adapter", adapter.name] = adapter
            if template := adapter.template:
                found["template", template] = file_artifact("template", INSTRUCTION_TEMPLATES / f"{template}.yaml")
            name = adapter.preset or adapter.name
        elif path.resolve() in presets.values():
            name = path.stem
        elif names and name in presets and _use(name) and not name.startswith(OF_A_USE):
            raise LeyloraError(
                f"There is no adapter '{name}' in {lora_root} yet (there: {', '.join(folders) or 'none'}); "
                f"LORA/README.md says how it is made, and {shown(presets[name])} exports its preset alone."
            )
        elif name not in presets and name not in templates:
            known = ", ".join(dict.fromkeys([*folders, *presets, *templates]))
            raise LeyloraError(
                f"There is no adapter in {lora_root}, preset or template named '{name}' (there: {known})."
            )
        if name in presets:
            found["preset", name] = file_artifact("preset", presets[name])
        if name in templates:
            found["template", name] = file_artifact("template", templates[name])
    return list(found.values())


def by_kind(artifacts: Iterable[Artifact], kind: Kind) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.kind == kind]


def adapter_artifact(folder: Path) -> Artifact:
    """An adapter, with its config cut to the keys every PEFT reads."""
    name = check_adapter_name(folder.resolve().name)
    adapter = open_adapter(folder)
    for module in adapter.modules.values():
        if not module.key_a.startswith(PREFIX):
            raise LeyloraError(
                f"{folder / WEIGHTS_FILE}: {module.key_a} lacks the prefix '{PREFIX}'; the webui would answer OK and "
                "the adapter would have no effect. Save it with PEFT's save_pretrained."
            )
    raw = read_json_object(folder / CONFIG_FILE)
    # A pattern (or "all-linear") is resolved by each PEFT version in its own way; the weights say what was meant.
    explicit = sorted(adapter.modules) if isinstance(raw.get("target_modules"), str) else None
    config = plain_config(raw, target_modules=explicit, place=folder / CONFIG_FILE)
    files: dict[str, Path | str] = {
        CONFIG_FILE: json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        WEIGHTS_FILE: folder / WEIGHTS_FILE,
    }
    files |= {extra: folder / extra for extra in _SHOWN_WITH_ADAPTER if (folder / extra).is_file()}
    for file in (folder / name for name in files):
        _check_inside(file, folder)
    base, template = config["base_model_name_or_path"], template_name(folder)
    note = "" if template else f"its prompt format is not known; choose its template by hand (base model {base})"
    if not base:
        note = f"{CONFIG_FILE} names no base model, so no template is pinned for it"
    return Artifact("adapter", name, files, base, template, preset_of(name), (note,) if note else ())


def preset_of(name: str) -> str | None:
    """The preset for an adapter: that of its name, or else that of its use; None where the name tells no use."""
    return next(
        (one for one in (name, f"{OF_A_USE}{_use(name)}") if (GENERATION_PRESETS / f"{one}.yaml").is_file()), None
    )


def _use(name: str) -> str:
    """What an adapter is for, by its name: ``combined`` of mistral-7b-combined-on-top. "" where that tells nothing."""
    return next((part for part in reversed(name.split("-")) if part in ADAPTER_USES), "")


def _check_inside(file: Path, folder: Path) -> None:
    """Refuse a link out of an adapter folder: what is exported is handed on, and a stranger's folder may hold links to
    anything. The Hub's cache, where every file is a link to a blob, is left out."""
    real, home = file.resolve(), folder.resolve()
    if not real.is_relative_to(home) and not (home.parent.name == "snapshots" and real.parent.name == "blobs"):
        raise LeyloraError(f"{file} is a link to {real}, outside the adapter; replace it with the file you mean.")


def file_artifact(kind: Kind, path: Path) -> Artifact:
    """A preset or a template."""
    if kind == "preset":
        faults = parse_preset(path.read_bytes(), transformers=(4, 34) if path.stem in LEGACY_PRESETS else None).faults
    else:
        faults = tuple(template_faults(read_text(path), path.suffix)[0])
    if faults:
        raise LeyloraError(f"{path}: {faults[0]}; mend the {kind}.")
    return Artifact(kind, path.stem, {path.name: path})


def model_entries(artifacts: Sequence[Artifact]) -> dict[str, dict[str, Any]]:
    """Entries for config-user.yaml: template and generation parameters of each base model that has an adapter here.

    A ``preset`` key would have no effect there, so that the preset's own parameters are written. They are those of
    the combined adapter's preset where there is one, then of the instructions', then of the law's.
    """
    rank = {use: number for number, use in enumerate(ADAPTER_USES)}
    adapters = [one for one in by_kind(artifacts, "adapter") if one.base_model and one.template]
    entries: dict[str, dict[str, Any]] = {}
    for adapter in sorted(adapters, key=lambda one: (rank.get(_use(one.name), len(rank)), one.name)):
        key = config_user.base_pattern(str(adapter.base_model))
        preset = GENERATION_PRESETS / f"{adapter.preset}.yaml"
        if key not in entries:
            parameters = parse_preset(preset.read_bytes()).settings if adapter.preset else {}
            entries[key] = {"instruction_template": adapter.template, **parameters}
    return entries


# What would become of each


def _plan(artifact: Artifact, install: Install, known: Manifest, overwrite: bool) -> ExportItem:
    folder = install.folder(artifact.kind)
    path = folder / (artifact.name if artifact.kind in FOLDERS else next(iter(artifact.files)))
    item = ExportItem(artifact.kind, artifact.name, path, "new", "; ".join(artifact.notes))
    if install.portable and artifact.kind == "adapter":
        return item._replace(state="skipped", note="a portable build cannot load LoRAs")
    if artifact.kind not in FOLDERS and folder.is_dir():
        # A file of the same name in other capitals is the same file on Windows and macOS.
        twins = (file for file in folder.iterdir() if file.name.casefold() == path.name.casefold())
        if twin := next((file for file in twins if file.name != path.name), None):
            alike = read_yaml(twin) == read_yaml(Path(str(artifact.files[path.name])))
            return item._replace(path=twin, state="same" if alike else "kept", note=f"there as {twin.stem}")
    if path.is_symlink():
        return item._replace(state="kept", note="a symbolic link; delete it to have a copy there")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return item
    wanted = artifact.digests(path)
    present = {target: sha256_file(target) if target.is_file() else None for target in wanted}
    if present == wanted:
        return item._replace(state="same")
    ours = {target: known.files.get(_manifest_key(install, target)) for target in wanted}
    if any(ours.values()) and all(digest in (None, ours[target]) for target, digest in present.items()):
        return item._replace(state="updated")
    if overwrite:
        return item._replace(state="replaced")
    return item._replace(state="kept", note="one of that name is there; --overwrite replaces it")


def _plan_entries(
    artifacts: Sequence[Artifact], install: Install, known: Manifest, overwrite: bool
) -> tuple[dict[str, dict[str, Any]], list[ExportItem], str | None]:
    """The entries to record, what becomes of each, and the new text of config-user.yaml if it changes."""
    wanted = model_entries(artifacts)
    config = (install.models / config_user.FILE).resolve()
    text = config_user.read(config)
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
        items.append(ExportItem("entry", key, config, state, note))
        if state in ("new", "updated", "replaced"):
            to_write[key] = entry
    return to_write, items, config_user.with_entries(text, to_write, str(config)) if to_write else None


def _leads_into(path: Path, folder: Path) -> bool:
    try:
        return path.parent.resolve().is_relative_to(folder.resolve()) and not path.is_symlink()
    except OSError:  # a name too long, a link to itself
        return False


def _manifest_key(install: Install, path: Path) -> str:
    return path.relative_to(install.data).as_posix() if path.is_relative_to(install.data) else path.as_posix()


def _read_manifest(install: Install) -> Manifest:
    path = install.data / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(read_text(path)) if path.is_file() else Manifest()
    except ValidationError:
        raise LeyloraError(f"{path} is damaged; delete it (the export then treats all files as yours).") from None


# Writing


def _write_all(jobs: Sequence[Job]) -> None:
    """Write several files and folders together: all of them, or none.

    First everything is written next to its final place; then there are only renames, which are undone if one fails.
    """
    staged = {final: final.with_name(f".{final.name}.leylora-new") for final, _ in jobs}
    moved: list[tuple[Path, Path]] = []  # in order: from, to
    try:
        for final, write in jobs:
            final.parent.mkdir(parents=True, exist_ok=True)
            _delete(staged[final])  # left by a run that was killed
            write(staged[final])
        for final, new in staged.items():
            if final.exists():
                old = final.with_name(f".{final.name}.leylora-old")
                _delete(old)
                os.replace(final, old)
                moved.append((final, old))
            os.replace(new, final)
            moved.append((new, final))
    except BaseException:
        for source, target in reversed(moved):
            os.replace(target, source)
        for new in staged.values():
            with suppress(OSError):
                _delete(new)
        raise
    for final, target in moved:
        if final in staged:  # an old one, moved aside
            _delete(target)


def _fill(artifact: Artifact, path: Path, staged: Path) -> None:
    """Write an artifact that will be at ``path`` to ``staged``; files that the user put beside ours stay."""
    if artifact.kind not in FOLDERS:
        _copy(next(iter(artifact.files.values())), staged)
        return
    staged.mkdir()
    ours = {Path(name).parts[0] for name in artifact.files}
    for extra in path.iterdir() if path.is_dir() else ():
        if extra.name not in ours:
            (shutil.copytree if extra.is_dir() else shutil.copy2)(extra, staged / extra.name)
    for name, source in artifact.files.items():
        _copy(source, staged / name)


def _copy(source: Path | str, target: Path) -> None:
    """Copy a file, or write a text as UTF-8, its line ends untouched."""
    target.parent.mkdir(parents=True, exist_ok=True)  # an extension's modules lie in folders
    if isinstance(source, str):
        target.write_text(source, encoding="utf-8", newline="")
        return
    shutil.copyfile(source, target)
    if sha256_file(source) != sha256_file(target):
        raise LeyloraError(f"{source} changed while it was copied; run the export again.")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path, home: Path) -> None:
    """Remove a folder of ours, and those it lies in, once it holds nothing but what Python compiled from our files."""
    while folder != home and all(entry.name == "__pycache__" for entry in folder.iterdir()):
        shutil.rmtree(folder)
        folder = folder.parent


def _unwritable(error: OSError) -> LeyloraError:
    reason = (error.strerror or str(error)).lower()
    return LeyloraError(
        f"{error.filename or 'The installation'} cannot be written ({reason}); nothing was changed. Check who owns "
        "the webui's folders, whether the disk is full, and whether the folder is mounted read-only."
    )
