"""What must start light never imports torch and its kin: with `pip install leylora` alone it works."""

import subprocess
import sys
from pathlib import Path

import pytest

from leylora.project import ROOT

HEAVY = ("accelerate", "bitsandbytes", "datasets", "gradio", "huggingface_hub", "peft", "torch", "transformers", "trl")
BARE = f"""
import runpy, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bare(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BARE, str(ROOT / script), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("bare")
    done = bare(here, "scripts/parse_law.py", str(ROOT / "data/samples/ley-de-muestra.pdf"), "--law-id", "muestra")
    assert done.returncode == 0, done.stderr
    return here


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scripts/search_laws.py", "devolver un libro"), "LOBCFL"),
        (("scripts/diff_law.py", "data/build/laws/muestra", "data/build/laws/muestra"), "reformed (0)"),
        (
            (
                "scripts/build_dataset.py",
                "--mixture",
                "data/mixtures/tiny-law.yaml",
                "--laws",
                "data/build/laws",
                "--out",
                "rows",
            ),
            "Written",
        ),
        (("scripts/check_benchmark.py", "--laws", "data/build/laws"), ""),
        (("scripts/export_webui.py", "--help"), "--webui"),
        (("scripts/compare.py", "--help"), "--models"),
        (("train/sft.py", "--model", "mistral-7b", "--adapter", "law", "--show_config", "true"), "learning_rate"),
    ],
)
def test_it_works_without_torch(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = bare(folder, *words)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("scripts/chat.py", "--model", "base"),
        ("scripts/merge_adapters.py", "a", "b", "--out", "c"),
        ("scripts/compare.py", "--models", "base", "--out", "d"),
        ("train/sft.py", "--model", "mistral-7b", "--adapter", "law", "--dry_run", "true"),
    ],
)
def test_what_needs_torch_says_how_to_install_it(folder: Path, words: tuple[str, ...]) -> None:
    done = bare(folder, *words)
    assert done.returncode == 1
    assert "pip install 'leylora[train]'" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
