"""Where a text-generation-webui installation keeps its LoRAs, presets, templates, models and extensions.

=================== ================= ================= ============================= ================
layout              LoRAs             presets           instruction templates         models
=================== ================= ================= ============================= ================
since v3.1 (2025)   user_data/loras   user_data/presets user_data/instruction-templates user_data/models
before              loras             presets           instruction-templates           models
=================== ================= ================= ============================= ================

``--user-data-dir``, ``--lora-dir`` and ``--model-dir`` in ``CMD_FLAGS.txt`` move these folders; flags given on the
command line of the server cannot be seen from here.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_text

FLAGS_FILE = "CMD_FLAGS.txt"
_OLDEST_TEMPLATES = "characters/instruction-following"  # before August 2023
_INSIDE = ("text-generation-webui", "textgen", "app", "user_data")  # app: portable builds with a window of their own
_PIN = re.compile(r"^(peft|transformers)==(\d+(?:\.\d+)*)", re.MULTILINE)


@dataclass(frozen=True)
class Install:
    """An installation's folders.

    Attributes:
        root: the folder of ``server.py``; None when only a user_data folder is known.
        data: the folder the others lie in by default, which also takes our manifest.
        portable: a portable build, which has no Transformers and so no LoRA.
        pins: the versions of peft and transformers its requirements ask for, such as (0, 18), where they can be read.
        notes: what a user should know about this installation, one sentence each.
    """

    root: Path | None
    data: Path
    loras: Path
    presets: Path
    templates: Path
    models: Path
    portable: bool = False
    pins: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def extensions(self) -> Path:
        """Where the user's extensions go: user_data/extensions since v3.7, before that among the bundled ones."""
        own = self.data / "extensions"
        return own if self.root is None or own.is_dir() else self.root / "extensions"

    def folder(self, kind: str) -> Path:
        """Where artifacts of a kind go."""
        folders = {"adapter": self.loras, "preset": self.presets, "template": self.templates}
        return folders.get(kind, self.extensions)


def find_install(path: Path) -> Install:
    """The installation at ``path``: its top folder, its user_data folder, or the folder that holds either.

    Raises:
        UsageError: there is none.
        LeyloraError: its CMD_FLAGS.txt cannot be read.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is not a folder; name the folder of text-generation-webui that holds server.py.")
    path = _absolute(path)
    if (path / "server.py").is_file():
        return _from_root(path)
    if (path.parent / "server.py").is_file() and path.name == "user_data":
        return _from_root(path.parent)
    if _is_data_folder(path):
        return _from_data(path)
    candidates = [path / name for name in _INSIDE] + sorted([*path.glob("textgen-*"), *path.glob("textgen-*/app")])
    candidates += [path.parent / "user_data"]
    for candidate in candidates:
        if (candidate / "server.py").is_file():
            return _from_root(candidate)
    for candidate in candidates:
        if candidate.is_dir() and _is_data_folder(candidate):
            return _from_data(candidate)
    raise UsageError(
        f"{path} holds no text-generation-webui: neither server.py nor a user_data folder with loras, presets and "
        "instruction-templates; name the folder you start the webui from."
    )


def _is_data_folder(path: Path) -> bool:
    return all((path / name).is_dir() for name in ("loras", "presets", "instruction-templates"))


def _from_data(data: Path) -> Install:
    return Install(None, data, data / "loras", data / "presets", data / "instruction-templates", data / "models")


def _from_root(root: Path) -> Install:
    flags_file = next((f for f in (root / "user_data" / FLAGS_FILE, root / FLAGS_FILE) if f.is_file()), None)
    flags = _flags(flags_file) if flags_file else []
    # By its own Python: the start scripts of the full installation also speak of --portable.
    portable = "--portable" in flags or (root / "portable_env").is_dir()
    default = _default_data(root, portable)
    old = default == root
    data = default if old else _moved(root, flags, "--user-data-dir") or default
    templates = data / "instruction-templates"
    notes = []
    if old:
        portable = False
        if not templates.is_dir() and (root / _OLDEST_TEMPLATES).is_dir():
            templates = root / _OLDEST_TEMPLATES
        bundled = templates / "Alpaca.yaml"
        if bundled.is_file() and "turn_template" in read_text(bundled):
            notes.append("This webui is older than December 2023 and does not read Jinja templates; update it.")
    if data != default and "--lora-dir" not in " ".join(flags):
        notes.append(
            f"{flags_file} moves user_data to {data}, but the webui goes on reading LoRAs and models from {default} "
            "unless --lora-dir and --model-dir say otherwise; they are put where it reads them."
        )
    left = root / "loras"
    if data != root and left.is_dir() and any(entry.is_dir() for entry in left.iterdir()):
        notes.append(f"{left} is left over from a version before 3.1 and is no longer read; {data / 'loras'} is.")
    if portable:
        notes.append("This is a portable build, which runs llama.cpp only: it cannot load LoRAs; use the full install.")
    return Install(
        root,
        data,
        loras=_moved(root, flags, "--lora-dir") or default / "loras",
        presets=data / "presets",
        templates=templates,
        models=_moved(root, flags, "--model-dir") or default / "models",
        portable=portable,
        pins=_pins(root),
        notes=tuple(notes),
    )


def _default_data(root: Path, portable: bool) -> Path:
    """The user_data folder the webui finds by itself (its modules/paths.py); ``root`` for the old layout."""
    if portable:
        if (root.parent / "app").exists() and (root.parent.parent / "user_data").exists():
            return root.parent.parent / "user_data"
        if (root.parent / "user_data").exists():
            return root.parent / "user_data"
    if (root / "user_data").exists():
        return root / "user_data"
    if (root / "presets").is_dir() or (root / "loras").is_dir():
        return root
    raise UsageError(f"{root} holds server.py but neither user_data nor loras and presets; start the webui once first.")


def _flags(file: Path) -> list[str]:
    """The flags in a CMD_FLAGS.txt, joined and split as the webui does it."""
    lines = [line.strip().rstrip("\\").strip() for line in read_text(file).splitlines()]
    try:
        return shlex.split(" ".join(line for line in lines if line and not line.startswith("#")))
    except ValueError as error:
        raise LeyloraError(f"{file}: a quote is not closed ({error}); mend the file.") from None


def _moved(root: Path, flags: list[str], name: str) -> Path | None:
    """The folder a flag names, relative to the root as for the server started there; the last one counts."""
    found = None
    for position, flag in enumerate(flags):
        if flag == name and position + 1 < len(flags):
            found = flags[position + 1]
        elif flag.startswith(f"{name}="):
            found = flag.partition("=")[2]
    return _absolute(root / Path(found).expanduser()) if found else None


def _absolute(path: Path) -> Path:
    """Without ``..``, links left as they are: what the manifest notes must mean the same from any folder."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (Path.resolve would follow the links)


def _pins(root: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in (root / "requirements.txt", root / "requirements" / "full" / "requirements.txt"):
        if file.is_file():
            pins = _PIN.findall(file.read_text(encoding="utf-8", errors="replace"))
            found |= {package: tuple(map(int, version.split("."))) for package, version in pins}
    return found
