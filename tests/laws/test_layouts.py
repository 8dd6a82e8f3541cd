"""Each publisher's layout, printed and parsed, with the traps that real files set."""

from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from leylora.errors import LeyloraError
from leylora.laws.law import Law
from leylora.laws.parse import parse_file

from .pdf_printer import Layout, PrintedArticle, PrintedDivision, PrintedLaw, Trap, print_law

NUMBERS = [
    "1",
    "2",
    "3",
    "3.1",
    "4",
    "5",
    *(f"5-innumerado-{k}" for k in (1, 2, 3)),
    *map(str, range(6, 15)),
    "19",
    "20",
    "21",
]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
HARMLESS: tuple[tuple[Trap, ...], ...] = (
    (),
    ("number-after-text", "index"),
    ("glued-watermark", "quoted-article", "reform-annex"),
    ("soft-hyphens", "hard-spaces", "broken-words"),
    ("two-columns",),
)


def printed(law: PrintedLaw, layout: Layout, folder: Path, *traps: Trap) -> Path:
    file = folder / "ley.pdf"
    print_law(law.model_copy(update={"traps": traps}), layout, file)
    return file


def parsed(law: PrintedLaw, layout: Layout, folder: Path, *traps: Trap) -> Law:
    return parse_file(printed(law, layout, folder, *traps))


@pytest.mark.parametrize("traps", HARMLESS, ids="-".join)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_law_comes_back(
    layout: Layout, traps: tuple[Trap, ...], printed_law: PrintedLaw, tmp_path: Path
) -> None:
    law = parsed(printed_law, layout, tmp_path, *traps)
    assert [found.number for found in law] == NUMBERS
    assert law.layout == layout
    assert law.audit["coverage"] < 1  # 15 to 18 are missing
    assert law.audit["missing"] == [15, 16, 17, 18]
    first = printed_law.divisions[0].divisions[0].articles[0]
    assert law["1"].rubric == "Regla 1"
    assert law["1"].body == first.body
    assert law["20"].rubric is None
    assert law["20"].body.endswith("Para el caso 20 basta esto.")
    assert law["1"].notes == first.notes
    assert law["2"].concordances == ("LEY DE ARCHIVOS VECINALES, Arts. 3, 26",)
    assert law["3.1"].case_law == ("Gaceta de la Lectura, DEVOLUCION TARDIA, 02-mar-1999",)
    assert law["3"].numeral(2).literal("b").text == "Mapas."
    assert [found.number for found in law if found.status == "derogado"] == ["4"]
    assert [found.number for found in law if found.status == "derogado_parcial"] == ["5"]
    assert [(step.kind, step.number) for step in law["5"].path] == [("titulo", "I"), ("capitulo", "SEGUNDO")]
    assert law["7"].path[0].name.lower() == "de los libros"
    assert law.audit["hierarchy"] == {"titulo": 2, "capitulo": 2}
    numbers = [provision.number for provision in law.provisions]
    assert numbers[:3] == ["transitoria-1", "transitoria-2", "final-1"]
    assert law.provisions[1].body == "Mientras tanto, nadie los moverá."
    if layout == "fielweb":
        assert law["6"].reform_marks == ("(Sustituido por el Art. 4 de la Ley s/n, R.O. 902-S, 4-III-2022)",)
    if "quoted-article" in traps:
        assert "Los faroles" in law["2"].notes[0]
        assert "faroles" not in law["3"].text + law["4"].text
    if "reform-annex" in traps:
        assert law.provisions[3].number == "reformatoria-1"
        assert {row["reason"] for row in law.audit["refused"]} >= {"after the final provisions"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_header_is_read(layout: Layout, printed_law: PrintedLaw, tmp_path: Path) -> None:
    law = parsed(printed_law, layout, tmp_path)
    assert law.name == "Ley de Salas de Lectura"
    assert law.id == "ley-de-salas-de-lectura"
    assert law.registro_oficial == "Registro Oficial Suplemento 901"
    assert (law.published, law.edition) == (date(2019, 3, 4), "2024-08-15")
    assert law.siglas == ("LSL" if layout == "lexis" else "")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_second_version_is_doubtful_and_stays_out_of_the_body(
    layout: Layout, printed_law: PrintedLaw, tmp_path: Path
) -> None:
    law = parsed(printed_law, layout, tmp_path, "second-version")
    assert law["1"].status == "dudoso"
    assert not law["1"].in_force
    assert "votación" not in law["1"].text
    assert law.audit["doubtful"] == ["1"]


def test_articles_printed_out_of_order_are_found(printed_law: PrintedLaw, tmp_path: Path) -> None:
    law = parsed(printed_law, "lexis-finder", tmp_path, "out-of-order")
    assert sorted(NUMBERS) == sorted(found.number for found in law)
    assert law.audit["out_of_order"] == ["19"]


def test_a_range_repealed_only_in_a_note_is_not_missing(tmp_path: Path) -> None:
    note = "Nota: Capítulo II con sus respectivos artículos del 2 al 4 derogados por Ley No. 0."
    chapters = (
        PrintedDivision(kind="capitulo", number="I", articles=(PrintedArticle(number="1", body="Se lee."),)),
        PrintedDivision(kind="capitulo", number="II", name=f"De lo que fue\n{note}"),
        PrintedDivision(kind="capitulo", number="III", articles=(PrintedArticle(number="5", body="Se presta."),)),
    )
    law = parsed(PrintedLaw(name="Ley de Huecos", divisions=chapters), "lexis", tmp_path)
    assert [found.number for found in law] == ["1", "5"]
    assert [row["number"] for row in law.audit["ausente"]] == ["2", "3", "4"]
    assert (law.audit["missing"], law.audit["coverage"]) == ([], 1)


def test_provisions_in_the_middle_do_not_end_the_law(tmp_path: Path) -> None:
    text = tmp_path / "ley.txt"
    text.write_text(
        "Ley de Mitades\nTÍTULO I\nDE ANTES\nArt. 1.- Uno.\nArt. 2.- Dos.\nDISPOSICIONES GENERALES\n"
        "Primera.- Lo dicho.\nTÍTULO II\nDE DESPUÉS\nArt. 3.- Tres.\n"
        "CAPÍTULO I\nDISPOSICIONES GENERALES\nArt. 4.- Cuatro.\n"
    )
    law = parse_file(text)
    assert [found.number for found in law] == ["1", "2", "3", "4"]
    assert [found.number for found in law.provisions] == ["general-1"]
    assert [str(step) for step in law["4"].path] == ["Título II, DE DESPUÉS", "Capítulo I, DISPOSICIONES GENERALES"]


def test_signatures_are_no_part_of_the_last_article(tmp_path: Path) -> None:
    text = tmp_path / "ley.txt"
    text.write_text("Artículo Único.- Se lee.\nDado y suscrito en la sede del consejo.\nf.) La presidencia.\n")
    law = parse_file(text)
    assert [(found.number, found.body) for found in law] == [("único", "Se lee.")]
    assert law.audit["coverage"] == 1


@pytest.mark.parametrize(
    ("trap", "message"),
    [
        ("interleaved-columns", r"page.*two columns whose lines are interleaved.*Get another edition"),
        ("scanned", r"is a scan: 0 characters.*ocrmypdf"),
        ("encrypted", r"is encrypted; remove its password"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(
    trap: Trap, message: str, printed_law: PrintedLaw, tmp_path: Path
) -> None:
    with pytest.raises(LeyloraError, match=message):
        parsed(printed_law, "lexis", tmp_path, trap)
