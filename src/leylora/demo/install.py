"""An empty folder in the shape of a text-generation-webui install, to show what an export puts where."""

import shutil
from pathlib import Path


def fresh_install(folder: Path) -> Path:
    """Make ``folder`` such an install (today's layout, nothing in it), in place of the last demo's."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("loras", "presets", "instruction-templates", "models"):
        (folder / "user_data" / name).mkdir(parents=True)
    (folder / "server.py").write_text("# stands for text-generation-webui's own server.py\n", encoding="utf-8")
    return folder
