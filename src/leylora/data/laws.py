"""Finding the parsed laws in a folder."""

from pathlib import Path

from leylora.errors import LeyloraError
from leylora.laws.law import Law


def load_laws(folder: Path) -> list[Law]:
    """The law in ``folder``, or the laws in its subfolders, by name.

    Raises:
        LeyloraError: the folder is missing or holds no parsed law.
    """
    if not folder.is_dir():
        raise LeyloraError(f"{folder} is no folder; name the folder that scripts/parse_law.py wrote.")
    if (folder / "law.json").exists():
        return [Law.load(folder)]
    laws = [Law.load(file.parent) for file in sorted(folder.glob("*/law.json"))]
    if not laws:
        raise LeyloraError(f"{folder} holds no parsed law; run scripts/parse_law.py LAW.pdf --out {folder} first.")
    return laws
