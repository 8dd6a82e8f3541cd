"""An installed wheel, far from any checkout: the commands run and find the files they need."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from leylora.project import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content, as `pip install --target` would leave it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("leylora-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def leylora(site: Path, here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "leylora", *words],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_top_level_file_that_the_library_reads_is_in_the_wheel(site: Path) -> None:
    packed = {
        str(file.relative_to(site / "leylora" / "checkout")) for file in (site / "leylora" / "checkout").rglob("*")
    }
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = ("train/", "scripts/", "data/", "INSTRUCTION-TEMPLATES/", "GENERATION-PRESETS/")
    assert {name for name in tracked if name.startswith(folders)} <= packed
    assert not list(site.rglob("__pycache__"))


def test_the_library_is_the_installed_one(site: Path, tmp_path: Path) -> None:
    done = leylora(site, tmp_path, "--help")
    assert done.returncode == 0
    assert "parse_law" in done.stdout
    assert leylora(site, tmp_path, "--version").stdout.strip() == "0.1.0"


def test_a_dataset_is_built_from_a_shipped_mixture(site: Path, tmp_path: Path) -> None:
    words = ("--mixture", "data/mixtures/tiny-instructions.yaml", "--out", "rows")
    done = leylora(site, tmp_path, "build_dataset", *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rows" / "train.jsonl").stat().st_size > 10_000


def test_training_finds_its_recipe_and_says_what_is_missing(site: Path, tmp_path: Path) -> None:
    done = leylora(site, tmp_path, "sft", "--model", "tiny-mistral", "--adapter", "law")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "tiny-mistral" in done.stderr or "data/build" in done.stderr


def test_an_unknown_command_lists_those_there_are(site: Path, tmp_path: Path) -> None:
    done = leylora(site, tmp_path, "entrenar")
    assert done.returncode == 2
    assert "no command 'entrenar'" in done.stderr
    assert "merge_adapters" in done.stderr
