"""Where the project's own data files lie: recipes, mixtures, templates, presets."""

from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
_INSTALLED = Path(__file__).resolve().parent / "checkout"

ROOT = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""The top of the checkout, where an editable install keeps the package, or its copy inside an installed wheel."""

INSTRUCTION_TEMPLATES = ROOT / "INSTRUCTION-TEMPLATES"
GENERATION_PRESETS = ROOT / "GENERATION-PRESETS"
RECIPES = ROOT / "train" / "recipes"
MIXTURES = ROOT / "data" / "mixtures"
SAMPLES = ROOT / "data" / "samples"
LORA = Path("LORA")
"""Where adapters are, in the folder a command runs in."""


def shown(path: Path) -> str:
    """``path`` as a person at the current folder would type it."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def shipped(path: Path) -> Path:
    """``path`` if it exists here, else the file of that name that came with leylora, else ``path`` again.

    A command of the README thereby works in any folder: ``--mixture data/mixtures/law.yaml``.
    """
    ours = ROOT / path
    return ours if not path.exists() and not path.is_absolute() and ours.exists() else path
