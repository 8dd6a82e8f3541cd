"""The extension: self-contained in a bare interpreter, exported and taken out whole, true to the hooks of the webui."""

import ast
import html
import io
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leylora.grounding.index import INDEX_FILE, open_laws
from leylora.laws.catalog import catalog
from leylora.laws.parse import parse_law
from leylora.laws.source import read_source
from leylora.webui import guide
from leylora.webui.check import check_install
from leylora.webui.export import export, remove
from leylora.webui.extension import hooks
from leylora.webui.extension.artifact import extension_artifact

LAW = """LEY DE LOS HUERTOS DE PRUEBA

Art. 1.- Objeto.- Esta ley regula los huertos de prueba de las parroquias.

Art. 2.- Riego.- El riego se hará cada tres días. Quien no riegue pagará <cinco> dólares.

Art. 3.- Semillas.- Las semillas se guardan en la casa comunal.
"""
CITATION = "Art. 2, Ley de los Huertos de Prueba, ed. s. f."
QUESTION = "¿Cada cuántos días se hace el riego?"
# What the webui does with an extension, and nothing of leylora on the path.
DRIVER = """
import importlib.util, json, sys, types

def generate_chat_prompt(user_input, state, **kwargs):
    return json.dumps([user_input, state["custom_system_message"], sorted(kwargs)])

modules = types.ModuleType("modules")
modules.chat = types.ModuleType("modules.chat")
modules.chat.generate_chat_prompt = generate_chat_prompt
sys.modules.update({"modules": modules, "modules.chat": modules.chat})
spec = importlib.util.spec_from_file_location("user_ext_leylora", sys.argv[1])
for turn in range(2):  # the second time as when the webui reloads its extensions
    extension = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = extension
    spec.loader.exec_module(extension)
    extension.setup()
state = {"history": {"internal": [], "visible": []}, "custom_system_message": "", "truncation_length": 8192,
         "max_new_tokens": 512}
prompt = extension.custom_generate_chat_prompt(sys.argv[2], state, history=state["history"])
answer = extension.output_modifier(sys.argv[3], state, is_chat=True)
strange = sorted({name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
                 - {"__main__", "modules", "user_ext_leylora", "leylora_for_webui"})
print(json.dumps({"prompt": json.loads(prompt), "answer": answer, "strange": strange, "params": extension.params}))
"""


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one parsed law."""
    folder = tmp_path_factory.mktemp("laws")
    (folder / "law.txt").write_text(LAW, "utf-8")
    law = parse_law(read_source(folder / "law.txt"))
    law.save(folder / "laws" / law.id)
    return folder / "laws"


@pytest.fixture
def exported(webui: Path, laws: Path) -> Path:
    """The extension's folder in an installation of today."""
    (webui / "user_data" / "extensions").mkdir()
    export(webui, ["deterministic"], extension=extension_artifact(laws))
    return webui / "user_data" / "extensions" / "leylora"


def test_it_runs_where_nothing_is_installed(exported: Path, tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER, "utf-8")
    answer = html.escape(f'Dice "El riego se hará cada tres días". ({CITATION}) Y el art. 9 de la misma.')
    command = [sys.executable, "-I", "-S", str(driver), str(exported / "script.py"), QUESTION, answer]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["strange"] == []
    prompt, system, given = result["prompt"]
    assert prompt.startswith(f"Artículos:\n\n({CITATION}) Riego\nEl riego se hará")
    assert prompt.endswith(f"Pregunta: {QUESTION}")
    assert system.startswith("Responda con la ley y cite el artículo. Ley de los Huertos de Prueba")
    assert given == ["history"]
    assert f"({CITATION} ✓)" in result["answer"]
    assert "art. 9 ⚠" in result["answer"]
    assert "&lt;cinco&gt;" in result["answer"]
    assert "<cinco>" not in result["answer"]
    assert result["params"]["activate"] is True


def test_the_copies_are_leyloras_own_modules(laws: Path) -> None:
    files = extension_artifact(laws).files
    assert "leylora_for_webui/grounding/ground.py" in files
    for name, source in files.items():
        if name.endswith(".py") and name != "script.py":
            text = source.read_text("utf-8") if isinstance(source, Path) else source
            assert "import leylora" not in text
            assert "from leylora" not in text, "imports are relative, the copy has another name"
            ast.parse(text, name, feature_version=(3, 10))  # the Python of webuis since 2023


def test_it_goes_where_the_installation_looks_for_it(webui: Path, laws: Path) -> None:
    (webui / "extensions").mkdir()
    report = export(webui, ["deterministic"], extension=extension_artifact(laws))
    assert (webui / "extensions" / "leylora" / "script.py").is_file(), "before v3.7: among the bundled ones"
    assert "--extensions leylora" in str(guide.next_steps(report))
    remove(webui)
    assert (webui / "extensions").is_dir()
    assert not (webui / "extensions" / "leylora").exists()


def test_a_second_export_changes_nothing_and_a_removal_leaves_nothing(exported: Path, webui: Path, laws: Path) -> None:
    again = export(webui, ["deterministic"], extension=extension_artifact(laws))
    assert [item.state for item in again.items if item.kind == "extension"] == ["same"]
    (exported / "leylora_for_webui" / "__pycache__").mkdir()
    (exported / "leylora_for_webui" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"")
    remove(webui)
    assert not exported.exists()
    assert exported.parent.is_dir()


def test_what_the_user_put_beside_it_or_changed_stays(exported: Path, webui: Path, laws: Path) -> None:
    (exported / "notes.txt").write_text("mine")
    (exported / "script.py").write_text("# changed")
    kept = export(webui, ["deterministic"], extension=extension_artifact(laws))
    assert [item.state for item in kept.items if item.kind == "extension"] == ["kept"]
    replaced = export(webui, ["deterministic"], overwrite=True, extension=extension_artifact(laws))
    assert [item.state for item in replaced.items if item.kind == "extension"] == ["replaced"]
    assert (exported / "notes.txt").read_text() == "mine"
    remove(webui)
    assert [entry.name for entry in exported.iterdir()] == ["notes.txt"]


def test_check_knows_it(exported: Path, webui: Path) -> None:
    def verdict() -> Any:
        return next(one for one in check_install(webui) if one.kind == "extension")

    assert not verdict().faults
    assert "3 articles" in verdict().remarks[0]
    (exported / "laws.sqlite").write_bytes(b"no database")
    assert "cannot be read" in verdict().faults[0]
    shutil.rmtree(exported / "leylora_for_webui")
    assert "no leylora_for_webui" in verdict().faults[0]


def test_the_command(webui: Path, laws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from leylora.project import ROOT

    spec = importlib.util.spec_from_file_location("export_webui", ROOT / "scripts" / "export_webui.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = CliRunner().invoke
    done = run(module.app, ["--webui", str(webui), "deterministic", "--extension", "--laws", str(laws)])
    assert done.exit_code == 0
    assert "extension" in done.output
    wrong = run(module.app, ["--webui", str(webui), "--remove", "--extension"])
    assert "--extension with --webui" in str(wrong.exception)
    monkeypatch.chdir(tmp_path)
    without = run(module.app, ["--webui", str(webui), "deterministic", "--extension"])
    assert "scripts/parse_law.py" in str(without.exception)


@pytest.fixture
def chat(laws: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The webui's `modules.chat`, which notes what it is asked for; the hooks opened on one law."""
    asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def generate_chat_prompt(user_input: str, state: dict[str, Any], **kwargs: Any) -> str:
        asked.append((user_input, state, kwargs))
        return "prompt"

    module: Any = types.ModuleType("modules")
    module.chat = types.ModuleType("modules.chat")
    module.chat.generate_chat_prompt = generate_chat_prompt
    monkeypatch.setitem(sys.modules, "modules", module)
    open_laws(laws, catalog())
    monkeypatch.setattr(hooks, "_index", None)
    monkeypatch.setattr(hooks, "params", dict(hooks.params))
    hooks.open_index(laws / INDEX_FILE)
    return asked


def state_of(*rows: list[str]) -> dict[str, Any]:
    return {"history": {"internal": list(rows), "visible": []}, "custom_system_message": "Sé breve."}


def test_a_turn_to_be_continued_is_grounded_where_it_stands(chat: list[Any]) -> None:
    state = state_of(["Hola", "Buenas"], [QUESTION, "Cada tres"])
    hooks.custom_generate_chat_prompt(QUESTION, state, history=state["history"], _continue=True)
    _, given, kwargs = chat[0]
    assert kwargs["history"]["internal"][0] == ["Hola", "Buenas"]
    assert kwargs["history"]["internal"][1][0].endswith(f"Pregunta: {QUESTION}")
    assert kwargs["history"]["internal"][1][1] == "Cada tres"
    assert given["custom_system_message"].endswith("Sé breve.")
    assert state["history"]["internal"][1][0] == QUESTION, "the history of the chat is not changed"


def test_it_stands_aside(chat: list[Any]) -> None:
    state = state_of()
    hooks.custom_generate_chat_prompt("¿Cómo se hace un ceviche?", state)
    assert chat[0][0] == "¿Cómo se hace un ceviche?"
    assert chat[0][1]["custom_system_message"] == "Sé breve."
    assert "No encuentro ningún artículo" in hooks.output_modifier("Con limón.", state, is_chat=True)
    assert hooks.output_modifier("Con limón.", state, is_chat=True) == "Con limón.", "nothing is left in the state"
    state = state_of()
    hooks.custom_generate_chat_prompt("Hola", state)
    assert hooks.output_modifier("¡Hola!", state, is_chat=True) == "¡Hola!"
    hooks.custom_generate_chat_prompt(QUESTION, state_of(), impersonate=True)
    hooks.params["activate"] = False
    hooks.custom_generate_chat_prompt(QUESTION, state_of())
    assert [text for text, _, _ in chat[1:]] == ["Hola", QUESTION, QUESTION]


def test_a_small_context_gets_a_short_prompt(chat: list[Any]) -> None:
    hooks.custom_generate_chat_prompt(QUESTION, state_of() | {"truncation_length": 800, "max_new_tokens": 500})
    assert len(chat[0][0]) <= 750


def test_tags_of_another_extension_survive(chat: list[Any]) -> None:
    state = state_of()
    hooks.custom_generate_chat_prompt(QUESTION, state)
    shown = hooks.output_modifier(f"<audio>x</audio> Cada tres días. ({CITATION})", state, is_chat=True)
    assert shown.startswith(f"<audio>x</audio> Cada tres días. ({CITATION} ✓)")


def test_its_controls_can_be_drawn(chat: list[Any]) -> None:
    gr = pytest.importorskip("gradio")
    with gr.Blocks() as page:
        hooks.ui()
    labels = {block.label for block in page.blocks.values() if getattr(block, "label", None)}
    assert {"Artículos por pregunta", "Buscar en las leyes"} <= labels


def test_a_removal_is_told_in_one_line(exported: Path, webui: Path) -> None:
    from rich.console import Console

    console = Console(record=True, width=100, file=io.StringIO())
    console.print(guide.report(remove(webui)))
    told = [line for line in console.export_text().splitlines() if "extension" in line]
    assert len(told) == 1
    assert "removed" in told[0]
    assert " files" in told[0]
