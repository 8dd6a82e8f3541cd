"""Putting adapters, presets and templates into an installation of text-generation-webui, all or none."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from leylora.errors import LeyloraError
from leylora.files import read_text, sha256_file
from leylora.webui import config_user
from leylora.webui import manifest as manifests
from leylora.webui.artifacts import ADAPTER_USES, Artifact, Kind, by_kind, collect
from leylora.webui.install import Install, find_install
from leylora.webui.manifest import Manifest, manifest_key, read_manifest
from leylora.webui.transaction import Transaction, write_bytes

FOLDERS: tuple[Kind, ...] = ("adapter", "extension")
"""The kinds that are folders; the others are one file each."""

State = Literal["new", "same", "updated", "replaced", "kept", "skipped", "removed", "gone"]


@dataclass(frozen=True)
class Item:
    """What became of one artifact, and where.

    ``state``: new, same (already there), updated (ours, not changed by the user, or partly gone), replaced (with
    force), kept (the user's, left alone), skipped (of no use there); after a removal: removed, kept (changed since),
    gone.
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


def export(
    webui: Path,
    names: Sequence[str] = (),
    lora_root: Path = Path("LORA"),
    dry_run: bool = False,
    force: bool = False,
    extension: Artifact | None = None,
) -> ExportReport:
    """Copy artifacts into an installation: all of them or, if anything fails, none.

    Files of the user's, and files of an earlier export that were changed since, are kept unless ``force``.

    Args:
        webui: the installation, as `leylora.webui.install.find_install` takes it.
        names: adapters (their template and preset come along), presets, templates; none means all there are.
        lora_root: the folder that holds the adapter folders.
        extension: one to put in besides, such as `leylora.webui.extension.artifact` makes.

    Raises:
        UsageError: there is no installation, or a name is unknown.
        LeyloraError: an artifact is faulty, config-user.yaml cannot be edited, a folder cannot be written.
    """
    install = find_install(webui)
    artifacts = [*collect(names, lora_root), *([extension] if extension else [])]
    known = read_manifest(install)
    items = [_plan(artifact, install, known, force) for artifact in artifacts]
    useful = [artifact for artifact, item in zip(artifacts, items, strict=True) if item.state != "skipped"]
    entries, entry_items, text = _plan_entries(useful, install, known, force)
    notes = install.notes
    if not names and not by_kind(artifacts, "adapter"):
        notes += (f"There is no adapter in {lora_root} yet; LORA/README.md says how they are made.",)
    report = ExportReport(install, (*items, *entry_items), tuple(artifacts), dry_run, notes)
    if dry_run:
        return report
    try:
        with Transaction() as transaction:
            written = dict(known.files)
            for artifact, item in zip(artifacts, items, strict=True):
                if item.state in ("new", "updated", "replaced"):
                    _stage(transaction, artifact, item.path)
                if item.state in ("new", "updated", "replaced", "same"):
                    written |= _recorded(artifact, item, install, known)
            if text is not None:
                config = (install.models / config_user.FILE).resolve()
                transaction.stage_text(config, text)
            new = Manifest(files=dict(sorted(written.items())), model_entries={**known.model_entries, **entries})
            if new != known:
                transaction.stage_text(install.data / manifests.FILE, new.text())
            transaction.commit()
    except OSError as error:
        raise unwritable(error) from None
    return report


def _plan(artifact: Artifact, install: Install, known: Manifest, force: bool) -> Item:
    folder = {
        "adapter": install.loras,
        "preset": install.presets,
        "template": install.templates,
        "extension": install.extensions,
    }[artifact.kind]
    if artifact.kind in FOLDERS:
        path = folder / artifact.name
        if install.portable and artifact.kind == "adapter":
            return Item("adapter", artifact.name, path, "skipped", "a portable build cannot load LoRAs")
    else:
        path = folder / next(iter(artifact.files))
        twin = _other_case(path)
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
    ours = {target: known.files.get(manifest_key(install, target)) for target in wanted}
    if any(ours.values()) and all(digest in (None, ours[target]) for target, digest in present.items()):
        return Item(artifact.kind, artifact.name, path, "updated", notes)
    if force:
        return Item(artifact.kind, artifact.name, path, "replaced", notes)
    return Item(artifact.kind, artifact.name, path, "kept", "another one of that name is there; --force replaces it")


def _plan_entries(
    artifacts: Sequence[Artifact], install: Install, known: Manifest, force: bool
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
            state = "replaced" if force else "kept"
        note = "" if state != "kept" else "your entry of that key stays; --force replaces it"
        items.append(Item("entry", key, config, state, note))
        if state in ("new", "updated", "replaced"):
            to_write[key] = entry
    recorded = {key: wanted[key] for key in to_write}
    return recorded, items, config_user.with_entries(text, to_write, str(config)) if to_write else None


def model_entries(artifacts: Sequence[Artifact]) -> dict[str, dict[str, Any]]:
    """Entries for config-user.yaml: template and generation parameters of each base model that has an adapter here.

    A ``preset`` key would have no effect there, so that the preset's own parameters are written. They are those of
    the combined adapter's preset where there is one, then of the instructions', then of the law's.
    """
    presets = {artifact.name: artifact for artifact in by_kind(artifacts, "preset")}
    entries: dict[str, dict[str, Any]] = {}
    adapters = sorted(by_kind(artifacts, "adapter"), key=lambda artifact: _preset_rank(artifact.name))
    for adapter in adapters:
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


def _preset_rank(name: str) -> tuple[int, str]:
    use = name.rpartition("-")[2]
    return (ADAPTER_USES.index(use) if use in ADAPTER_USES else len(ADAPTER_USES), name)


def _target(artifact: Artifact, path: Path, name: str) -> Path:
    return path / name if artifact.kind in FOLDERS else path


def _stage(transaction: Transaction, artifact: Artifact, path: Path) -> None:
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
        write_bytes(target, source)
        return
    shutil.copyfile(source, target)
    if sha256_file(source) != sha256_file(target):
        raise LeyloraError(f"{source} changed while it was copied; run the export again.")


def _recorded(artifact: Artifact, item: Item, install: Install, known: Manifest) -> dict[str, str]:
    """What the manifest notes: files we wrote; of files that were the same already, only those we wrote earlier."""
    digests = {
        manifest_key(install, _target(artifact, item.path, name)): digest for name, digest in artifact.digests().items()
    }
    return digests if item.state != "same" else {key: d for key, d in digests.items() if key in known.files}


def _other_case(path: Path) -> Path | None:
    """A file of the same name in other capitals, which is the same file on Windows and macOS."""
    if not path.parent.is_dir():
        return None
    alike = (entry for entry in path.parent.iterdir() if entry.name.casefold() == path.name.casefold())
    return next((entry for entry in alike if entry.name != path.name), None)


def unwritable(error: OSError) -> LeyloraError:
    """The error for a folder of the installation that cannot be written."""
    reason = (error.strerror or str(error)).lower()
    return LeyloraError(
        f"{error.filename or 'The installation'} cannot be written ({reason}); nothing was changed. Check who owns "
        "the webui's folders, whether the disk is full, and whether the folder is mounted read-only."
    )
