"""Taking an export out of an installation again, except what the user has changed since."""

import shutil
from pathlib import Path

from leylora.errors import LeyloraError
from leylora.files import read_text, sha256_file
from leylora.webui import config_user
from leylora.webui import manifest as manifests
from leylora.webui.artifacts import Kind
from leylora.webui.export import FOLDERS, ExportReport, Item, State, unwritable
from leylora.webui.install import Install, find_install
from leylora.webui.manifest import manifest_path, read_manifest
from leylora.webui.transaction import Transaction


def remove(webui: Path, dry_run: bool = False) -> ExportReport:
    """Take out what `leylora.webui.export.export` put in, except what the user has changed since.

    Raises:
        UsageError: there is no installation.
        LeyloraError: nothing was exported there, or a file cannot be edited or deleted.
    """
    install = find_install(webui)
    if not (install.data / manifests.FILE).is_file():
        raise LeyloraError(f"{install.data} has no {manifests.FILE}: nothing was exported there by this command.")
    known = read_manifest(install)
    items = []
    for key, digest in known.files.items():
        path = manifest_path(install, key)
        if path is None:
            continue
        state: State = "gone" if not path.is_file() else "removed" if sha256_file(path) == digest else "kept"
        items.append(Item(_kind_of(path, install), key, path, state))
    config = (install.models / config_user.FILE).resolve()
    text = read_text(config) if config.is_file() else ""
    present = config_user.entries(text, str(config))
    for key, entry in known.model_entries.items():
        state = "gone" if key not in present else "removed" if present[key] == entry else "kept"
        items.append(Item("entry", key, config, state))
    report = ExportReport(install, tuple(items), dry_run=dry_run, notes=install.notes)
    if dry_run:
        return report
    left = config_user.without_entries(
        text, {item.name for item in report.states("removed") if item.kind == "entry"}, str(config)
    )
    try:
        if left != text:
            with Transaction() as transaction:
                transaction.stage_text(config, left)
                transaction.commit()
            if not left.strip():
                config.unlink()
        for item in report.states("removed"):
            if item.kind != "entry":
                item.path.unlink()
                if item.kind in FOLDERS:
                    _remove_empty(item.path.parent, install)
        (install.data / manifests.FILE).unlink()
    except OSError as error:
        raise unwritable(error) from None
    return report


def _kind_of(path: Path, install: Install) -> Kind:
    if path.is_relative_to(install.loras):
        return "adapter"
    if path.is_relative_to(install.extensions):
        return "extension"
    return "preset" if path.is_relative_to(install.presets) else "template"


def _remove_empty(folder: Path, install: Install) -> None:
    """Remove a folder of ours, and those it lies in, once nothing is in it but what Python compiled from our files."""
    while folder not in (install.loras, install.extensions):
        compiled = folder / "__pycache__"
        if any(entry != compiled for entry in folder.iterdir()):
            return
        shutil.rmtree(compiled, ignore_errors=True)
        folder.rmdir()
        folder = folder.parent
