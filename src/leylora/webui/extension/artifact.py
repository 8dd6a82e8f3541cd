"""The extension as something `leylora.webui.export` can put into an installation.

Nothing has to be installed in the webui's own Python: `script.py` loads a plain copy of `leylora.grounding`, of its
stemmer and of the few files it imports. Their imports are relative, so that the copy, which has another name, never
loads an installed leylora.
"""

from importlib import metadata
from pathlib import Path

import snowballstemmer

from leylora.errors import LeyloraError
from leylora.grounding.index import INDEX_FILE, default_laws, open_laws
from leylora.laws.catalog import age_notes, catalog
from leylora.webui.export import Artifact

NAME = "leylora"
PACKAGE = "leylora_for_webui"
LEYLORA = Path(__file__).parents[2]
NOT_COPIED = ("index.py",)  # the extension searches an index; it never builds one


def extension_artifact(laws: Path | None = None) -> Artifact:
    """The extension's folder: its script, a copy of the modules it needs, and the index of the laws in ``laws``.

    Raises:
        LeyloraError: there is no parsed law.
    """
    folder = laws or default_laws()
    index = open_laws(folder, catalog())
    if not (folder / INDEX_FILE).is_file():
        raise LeyloraError(f"{folder} cannot be written to, and the extension copies its index from there; use a copy.")
    files: dict[str, Path | str] = {
        "script.py": Path(__file__).with_name("script.py"),
        "laws.sqlite": folder / INDEX_FILE,
        f"{PACKAGE}/__init__.py": "",
        f"{PACKAGE}/webui/__init__.py": "",
        f"{PACKAGE}/webui/extension/__init__.py": "",
    }
    grounding = [path for path in sorted((LEYLORA / "grounding").glob("*.py")) if path.name not in NOT_COPIED]
    for path in (LEYLORA / "text.py", LEYLORA / "errors.py", *grounding, Path(__file__).with_name("hooks.py")):
        files[f"{PACKAGE}/{path.relative_to(LEYLORA).as_posix()}"] = path
    stemmer = Path(snowballstemmer.__file__).parent
    for name in ("spanish_stemmer.py", "basestemmer.py", "among.py"):
        files[f"{PACKAGE}/grounding/snowball/{name}"] = stemmer / name
    notice = next(path for path in metadata.files("snowballstemmer") or () if path.name == "COPYING")
    files[f"{PACKAGE}/grounding/snowball/COPYING"] = Path(str(notice.locate()))
    files[f"{PACKAGE}/grounding/snowball/__init__.py"] = ""
    names = ", ".join(f"{law.siglas or law.name} {law.edition or 's. f.'}" for law in index.laws)
    return Artifact("extension", NAME, files, notes=(f"with {names}", *age_notes(index.laws, "en")))
