"""The extension as something `leylora.webui.export` can put into an installation."""

from pathlib import Path

from leylora.errors import LeyloraError
from leylora.grounding.indexing import INDEX_FILE, default_laws, open_laws
from leylora.webui.artifacts import Artifact
from leylora.webui.extension.vendoring import vendored

NAME = "leylora"
PACKAGE = "leylora_for_webui"
HOOKS = "leylora.webui.extension.hooks"
_BROUGHT_BY_THE_WEBUI = frozenset({"gradio", "modules"})


def extension_artifact(laws: Path | None = None) -> Artifact:
    """The extension's folder: its script, a copy of the modules it needs, and the index of the laws in ``laws``.

    Raises:
        LeyloraError: there is no parsed law.
    """
    folder = laws or default_laws()
    index = open_laws(folder)
    if not (folder / INDEX_FILE).is_file():
        raise LeyloraError(f"{folder} cannot be written to, and the extension copies its index from there; use a copy.")
    script = Path(__file__).with_name("script.py")
    files: dict[str, Path | str] = {"script.py": script.read_text(encoding="utf-8"), "laws.sqlite": folder / INDEX_FILE}
    files |= vendored(HOOKS, PACKAGE, _BROUGHT_BY_THE_WEBUI)
    names = ", ".join(f"{law.siglas or law.name} {law.edition or 's. f.'}" for law in index.laws)
    return Artifact("extension", NAME, files, notes=(f"with {names}",))
