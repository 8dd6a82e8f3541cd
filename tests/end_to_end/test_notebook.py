"""The notebook for a free GPU, run from its first cell to its last on a small model."""

import os
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from leylora.files import read_json
from leylora.project import ROOT

NOTEBOOKS = ROOT / "notebooks"


def code(name: str) -> list[str]:
    return [cell.source for cell in nbformat.read(NOTEBOOKS / name, as_version=4).cells if cell.cell_type == "code"]


def test_both_notebooks_are_what_their_source_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy

    make = runpy.run_path(str(ROOT / "notebooks" / "make.py"))
    import yaml

    cells = yaml.safe_load((NOTEBOOKS / "cells.yaml").read_text("utf-8"))
    for language, name in make["NOTEBOOKS"].items():
        assert (NOTEBOOKS / name).read_text("utf-8") == make["notebook"](cells, language)


def test_both_languages_run_the_same_code() -> None:
    assert code("leylora_t4.ipynb") == code("leylora_t4.en.ipynb")
    assert len(code("leylora_t4.ipynb")) > 10


def test_the_kernel_imports_nothing_of_ours_and_every_command_runs_in_the_environment() -> None:
    cells = code("leylora_t4.ipynb")
    kernel = [cell for cell in cells if not cell.startswith("%%bash")]
    assert not [cell for cell in kernel if "leylora." in cell or "import torch" in cell or "%pip" in cell]
    first = next(at for at, cell in enumerate(cells) if ".venv/bin" in cell)
    used = [at for at, cell in enumerate(cells) if "scripts/" in cell or "accelerate launch" in cell]
    assert first < min(used)


@pytest.mark.skipif(
    "LEYLORA_TEST_INSTALL" not in os.environ, reason="installs from a package index; set LEYLORA_TEST_INSTALL=1"
)
def test_the_installing_cells_run_in_an_empty_environment(tmp_path: Path) -> None:
    """On demand: clone, environment, installation and the check of the card, as the notebook does them."""
    notebook = nbformat.read(NOTEBOOKS / "leylora_t4.ipynb", as_version=4)
    last = next(at for at, cell in enumerate(notebook.cells) if "find_card" in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = parameters.source.replace('"mistral-7b"', '"tiny-mistral"').replace("https://…", str(ROOT))
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "sin GPU / no GPU" in printed
    assert (tmp_path / "leylora" / ".venv" / "bin" / "accelerate").is_file()


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the parameters and the base's steps differ from a user's, and what installs is left out."""
    for folder in ("scripts", "train", "data/samples"):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOKS / "leylora_t4.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "install" not in cell.metadata.get("tags", [])]
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = parameters.source.replace('"mistral-7b"', '"tiny-mistral"').replace("= 120", "= 2")
    assert '"tiny-mistral"' in parameters.source
    (base,) = [cell for cell in notebook.cells if "--base-only" in cell.source]
    base.source = base.source.replace("--base-only", "--base-only --quick")

    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()

    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert "ley-de-muestra" in printed
    assert read_json(tmp_path / "LORA" / "tiny-mistral-instructions" / "run.json")["steps"] == 2
    with zipfile.ZipFile(tmp_path / "leylora-webui.zip") as archive:
        assert any(name.endswith("tiny-mistral-combined/adapter_model.safetensors") for name in archive.namelist())
