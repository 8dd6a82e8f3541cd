"""Each fault that `docs/check.py` looks for, planted."""

import subprocess
import sys
from pathlib import Path

import pytest

from leylora.project import ROOT


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "words.txt").write_text("leylora\n")
    for top in ("LORA", "data", "benchmarks"):
        (tmp_path / top).mkdir()
    (tmp_path / "README.md").write_text("# Title\n[laws](docs/laws.md#reading-one)\n```bash\nmake demo\n```\n")
    (tmp_path / "README.es.md").write_text("# Título\nUna página de leylora.\n```bash\nmake demo  # aquí\n```\n")
    (tmp_path / "docs" / "laws.md").write_text("# Laws\n## Reading one\n")
    (tmp_path / "docs" / "laws.es.md").write_text("# Leyes\n## Cómo se lee\n`unknwon` y «quoted words» pasan.\n")
    return tmp_path


def check(pages: Path) -> tuple[int, str]:
    words = [sys.executable, str(ROOT / "docs" / "check.py")]
    done = subprocess.run(words, cwd=pages, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_good_pages_pass(pages: Path) -> None:
    assert check(pages) == (0, "4 pages, 0 faults\n")


@pytest.mark.parametrize(
    ("page", "text", "fault"),
    [
        ("README.md", "[x](docs/none.md)", "the link docs/none.md leads nowhere"),
        ("README.md", "[x](docs/laws.md#nowhere)", "docs/laws.md has no heading #nowhere"),
        ("README.es.md", "Un parrafo con faltas.", "'parrafo' is not in the Spanish dictionary"),
        ("README.es.md", "\n## Más", "(or of other levels)"),
        ("README.md", "\nmake test\n", "its commands are not those of README.es.md"),
        ("docs/training.md", "# Training\n", "training.es.md is missing"),
    ],
)
def test_a_planted_fault_is_named(pages: Path, page: str, text: str, fault: str) -> None:
    with (pages / page).open("a") as file:
        file.write(text)
    code, output = check(pages)
    assert code == 1
    assert fault in output
    assert "Traceback" not in output
