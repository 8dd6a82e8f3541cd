"""The extension inside a real text-generation-webui; runs when WEBUI_DIR names one (see real_server.py)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leylora.laws.parse import parse_law
from leylora.laws.source import read_source
from leylora.webui.client import Client
from leylora.webui.export import export
from leylora.webui.extension.artifact import extension_artifact

from .real_server import Running, fresh_user_data, running

WEBUI = Path(os.environ.get("WEBUI_DIR", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("WEBUI_DIR"), reason="WEBUI_DIR names no text-generation-webui"),
]
LAW = """LEY DE LOS HUERTOS DE PRUEBA

Art. 1.- Objeto.- Esta ley regula los huertos de prueba de las parroquias.

Art. 2.- Riego.- El riego se hará cada tres días. La multa por no regar será de cinco dólares.
"""
SEEN = """\
from pathlib import Path

def output_modifier(string, state, is_chat=False):
    Path(__file__).with_name("seen.txt").write_text(string, encoding="utf-8")
    return string
"""


@pytest.fixture(scope="module")
def server(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the extension, and after it one that writes down what the user is shown."""
    root = tmp_path_factory.mktemp("extension")
    (root / "law.txt").write_text(LAW, "utf-8")
    law = parse_law(read_source(root / "law.txt"))
    law.save(root / "laws" / law.id)
    data = fresh_user_data(WEBUI, root / "user_data", {"tiny-mistral": tiny_base("tiny-mistral")})
    report = export(data, ["deterministic", "leylora-mistral"], extension=extension_artifact(root / "laws"))
    assert not report.states("skipped")
    (data / "extensions" / "seen").mkdir(parents=True)
    (data / "extensions" / "seen" / "script.py").write_text(SEEN)
    with running(WEBUI, data, ("leylora", "seen")) as server, Client(server.settings) as client:
        client.load_model("tiny-mistral")
        yield server


def ask(server: Running, *messages: dict[str, str]) -> tuple[str, str]:
    """The prompt the model was given, and the answer as it is shown."""
    with Client(server.settings, allow_empty=True) as client:
        last = messages[-1]["role"] == "assistant"
        client.chat(list(messages), template="leylora-mistral", max_tokens=4, continue_last=last)
    prompt = server.log.read_text().rpartition("PROMPT=")[2]
    shown = (server.data / "extensions" / "seen" / "seen.txt").read_text("utf-8")
    return prompt, shown


def test_articles_go_into_the_prompt_and_citations_are_marked(server: Running) -> None:
    question = {"role": "user", "content": "¿Cada cuántos días se hace el riego?"}
    answer = {
        "role": "assistant",
        "content": "Cada tres días. (Art. 2, Ley de los Huertos de Prueba, ed. s. f.) Según el artículo 9 de la Ley de "
        "los Huertos de Prueba, es gratis.",
    }
    prompt, shown = ask(server, question, answer)
    assert "(Art. 2, Ley de los Huertos de Prueba, ed. s. f.) Riego" in prompt
    assert "Pregunta: ¿Cada cuántos días se hace el riego?" in prompt
    assert "Responda con la ley y cite el artículo." in prompt
    assert "(Art. 2, Ley de los Huertos de Prueba, ed. s. f. ✓)" in shown
    assert "artículo 9 de la Ley de los Huertos de Prueba ✗" in shown
    assert "El riego se hará cada tres días." in shown


def test_a_question_the_laws_have_nothing_on(server: Running) -> None:
    prompt, shown = ask(server, {"role": "user", "content": "¿Cómo se prepara un ceviche?"})
    assert "Artículos:" not in prompt
    assert "No encuentro ningún artículo sobre eso." in shown
