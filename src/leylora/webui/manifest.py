"""What an export has put into an installation, so that it can be brought up to date and taken out again."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_text
from leylora.webui.install import Install

FILE = "leylora-export.json"


class Manifest(BaseModel):
    """``leylora-export.json``: SHA-256 by path of every file put there, and the entries in config-user.yaml.

    Paths are relative to the folder of the manifest where they lie inside it.
    """

    version: int = 1
    files: dict[str, str] = {}
    model_entries: dict[str, dict[str, Any]] = {}

    def text(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


def read_manifest(install: Install) -> Manifest:
    """The manifest of an installation; an empty one if nothing was exported into it.

    Raises:
        LeyloraError: the file is damaged.
    """
    path = install.data / FILE
    if not path.is_file():
        return Manifest()
    try:
        return Manifest.model_validate_json(read_text(path))
    except ValidationError:
        raise LeyloraError(f"{path} is damaged; delete it (the export then treats all files as yours).") from None


def manifest_key(install: Install, path: Path) -> str:
    """How the manifest writes a path."""
    return path.relative_to(install.data).as_posix() if path.is_relative_to(install.data) else path.as_posix()


def manifest_path(install: Install, key: str) -> Path | None:
    """The path behind a manifest key; None if it lies in none of the folders an export writes to."""
    path = install.data / key
    folders = (install.loras, install.presets, install.templates, install.extensions)
    inside = any(path.is_relative_to(folder) for folder in folders)
    return path if inside and ".." not in path.parts else None
