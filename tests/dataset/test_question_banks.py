"""Official question banks in the shapes people have them."""
# ruff: noqa: E501 - one case a line

import json
from pathlib import Path

import pytest

from leylora.dataset.question_banks import read_bank
from leylora.errors import LeyloraError

ROWS = [
    {"id": 1, "pregunta": "¿Cuántos lados tiene un triángulo?", "a": "Dos", "b": "Tres", "c": "Cuatro", "d": "Cinco",
     "respuesta_correcta": "B", "ley": "coip", "articulo": "12", "año": 2022},
    {"Pregunta": "¿De qué color es la nieve en el páramo?", "Opciones": "a) Blanca|b) Roja|c) Verde", "Clave": "a) Blanca"},
    {"question": "¿Qué día sigue al lunes, según el calendario?", "options": ["lunes", "martes"], "answer": 2},
    {"question": "¿Cuánto es dos más dos en el sistema decimal?", "options": {"A": "3", "B": "4"}, "answer": "4"},
    {"enunciado": "¿Cuál es la capital del Ecuador?", "opcion_a": "Quito", "opcion_b": "Cuenca", "respuesta": "quito"},
]  # fmt: skip


def test_options_and_keys_in_every_shape(tmp_path: Path) -> None:
    path = tmp_path / "banco.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    items, faults = read_bank(path, "Banco de prueba 2022")
    assert faults == []
    assert [item.answer for item in items] == ["Tres", "Blanca", "martes", "4", "Quito"]
    assert items[0].id == "banco-de-prueba-2022-1"
    assert (items[0].law_id, items[0].article, items[0].edition) == ("coip", "12", "2022")
    assert items[1].options == ["Blanca", "Roja", "Verde"]
    assert all(item.source == "Banco de prueba 2022" for item in items)


def test_a_spreadsheet_with_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "banco.csv"
    path.write_text("Número;Pregunta;A;B;C;D;Respuesta\n7;¿Cuántas provincias hay?;22;23;24;25;C\n", encoding="utf-8")
    items, faults = read_bank(path, "ANT")
    assert [(item.id, item.answer) for item in items] == [("ant-7", "24")]
    assert faults == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"pregunta": "¿Cuántos lados tiene un cuadro?", "a": "4", "b": "5", "respuesta": "Z"},
            "names none of the 2 options",
        ),
        (
            {"pregunta": "¿Cuántos lados tiene un cuadro?", "a": "4", "b": "5", "respuesta": ""},
            "names none of the 2 options",
        ),
        ({"pregunta": "¿Cuántos lados tiene un cuadro?", "a": "4", "respuesta": "a"}, "fewer than two options"),
        ({"pregunta": "¿Cuántos lados tiene un cuadro?", "opciones": "[1, 2", "respuesta": "a"}, "look like JSON"),
        (
            {"pregunta": "¿Cuántos lados tiene un cuadro?", "a": "4", "b": "4.", "respuesta": "a"},
            "two options are the same",
        ),
        ({"texto_libre": "nada"}, "has no question"),
        (7, "expected an object"),
    ],
)
def test_a_row_without_a_usable_key_is_named(row: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "banco.json"
    path.write_text(json.dumps([row, ROWS[0]]), encoding="utf-8")
    items, faults = read_bank(path, "x")
    assert len(items) == 1
    assert faults[0].place == "banco.json, row 1"
    assert reason in faults[0].reason


def test_a_missing_bank(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        read_bank(tmp_path / "no.csv", "x")
