"""Where the project's own data files lie: recipes, mixtures, templates, presets."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The top of the checkout (`pip install --editable .` keeps the package there)."""

INSTRUCTION_TEMPLATES = ROOT / "INSTRUCTION-TEMPLATES"
GENERATION_PRESETS = ROOT / "GENERATION-PRESETS"
RECIPES = ROOT / "train" / "recipes"
MIXTURES = ROOT / "data" / "mixtures"
SAMPLES = ROOT / "data" / "samples"


def shown(path: Path) -> str:
    """``path`` as a person at the current folder would type it."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
