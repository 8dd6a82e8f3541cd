"""The MCP server, asked by the SDK's own client: in this process, and once as a chat program starts it."""

import asyncio
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from mcp import Client, StdioServerParameters

from leylora.chat.mcp import server
from leylora.errors import LeyloraError
from tests.grounding.small_laws import DOGS, dogs, fairs, law, saved


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    old = {
        **DOGS,
        "4": ("Multa", "Quien no recoja los desechos pagará una multa de un dólar."),
        "8": ("Collar", "Azul."),
    }
    older = law("perros-2020", "Ley de Perros", "LPER", old, date(2020, 1, 1))
    return saved(tmp_path_factory.mktemp("laws"), dogs(), fairs(), older)


def asked(target: Any, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    async def ask() -> list[Any]:
        async with Client(target) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(ask())


def test_four_tools_with_descriptions_in_spanish(folder: Path) -> None:
    async def tools() -> dict[str, str]:
        async with Client(server(folder)) as client:
            return {tool.name: tool.description or "" for tool in (await client.list_tools()).tools}

    told = asyncio.run(tools())
    assert set(told) == {"buscar_leyes", "articulo", "verificar_texto", "que_cambio"}
    assert "edición" in told["articulo"]


def test_each_tool_answers(folder: Path) -> None:
    found, article, checked, changed = asked(
        server(folder),
        ("buscar_leyes", {"pregunta": "multa por los desechos del perro", "cuantos": 1}),
        ("articulo", {"ley": "LPER", "numero": "4", "edicion": "2020-01-01"}),
        ("verificar_texto", {"texto": "La multa es de cinco a cien dólares (art. 4 LPER)."}),
        ("que_cambio", {"ley": "Ley de Perros", "antes": "2020-01-01", "despues": "2024-08-15"}),
    )
    assert [one["articulo"] for one in found.structured_content["articulos"]] == ["4"]
    assert article.structured_content["edicion"] == "2020-01-01"
    assert "un dólar" in article.structured_content["texto"]
    (claim,) = checked.structured_content["claims"]
    assert (claim["verdict"], claim["against"]["article"]) == ("contradicted", "4")
    assert changed.structured_content["derogados"] == ["8"]
    (reformed,) = changed.structured_content["reformados"]
    assert reformed["articulo"] == "4"
    assert "[-un dólar.-]" in reformed["cambios"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("articulo", {"ley": "Ley de Gatos", "numero": "1"}, "No tengo «Ley de Gatos»"),
        ("articulo", {"ley": "LPER", "numero": "99"}, "no tiene artículo 99"),
        ("articulo", {"ley": "LPER", "numero": "1", "edicion": "1999-01-01"}, "no tengo la edición 1999-01-01; tengo:"),
        ("buscar_leyes", {"pregunta": " "}, "Diga qué buscar"),
        ("verificar_texto", {"texto": ""}, "está vacío"),
        ("que_cambio", {"ley": "LFER", "antes": "2001-01-01", "despues": "2024-01-01"}, "no tengo la edición"),
    ],
)
def test_what_cannot_be_answered_says_why(folder: Path, tool: str, arguments: dict[str, Any], said: str) -> None:
    (answer,) = asked(server(folder), (tool, arguments))
    assert answer.is_error
    assert said in answer.content[0].text


def test_as_a_chat_program_starts_it(folder: Path) -> None:
    started = StdioServerParameters(command=sys.executable, args=["-m", "leylora", "mcp", "--laws", str(folder)])
    (answer,) = asked(started, ("articulo", {"ley": "Ley de Ferias", "numero": "2"}))
    assert "seis de la mañana" in answer.structured_content["texto"]


def test_without_laws_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="holds no parsed law"):
        server(tmp_path)
