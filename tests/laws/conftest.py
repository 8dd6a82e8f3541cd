"""A small invented law for the tests of this room, with something of everything the publishers print."""

from datetime import date
from pathlib import Path

import pytest

from .pdf_printer import PrintedArticle, PrintedDivision, PrintedLaw, PrintedProvision, print_law

REFORM = "por artículo 4 de Ley No. 0, publicada en Registro Oficial Suplemento 902 de 4 de Marzo del 2022 ."
LONG = (
    "Las salas de lectura del barrio permanecerán abiertas todos los días del año, y quien las cuide llevará un "
    "registro de las personas que las visiten, de los libros que se presten y de los que falten al cerrar la puerta."
)


def _article(number: int | str, **fields: object) -> PrintedArticle:
    return PrintedArticle.model_validate(
        {"number": str(number), "rubric": f"Regla {number}", "body": f"{LONG}\nPara el caso {number} basta esto."}
        | fields
    )


LAW = PrintedLaw(
    name="Ley de Salas de Lectura",
    siglas="LSL",
    registro_oficial="Registro Oficial Suplemento 901",
    published=date(2019, 3, 4),
    last_reform=date(2024, 8, 15),
    divisions=(
        PrintedDivision(
            kind="titulo",
            number="I",
            name="De las salas",
            divisions=(
                PrintedDivision(
                    kind="capitulo",
                    number="PRIMERO",
                    name="Reglas comunes",
                    articles=(
                        _article(1, notes=(f"Inciso segundo reformado {REFORM}",)),
                        _article(2, concordances=("LEY DE ARCHIVOS VECINALES, Arts. 3, 26",)),
                        _article(
                            3,
                            body="Son deberes:\n1. Leer.\n2. Prestar:\na) Libros; y,\nb) Mapas.\n3. Cerrar.",
                        ),
                        _article("3.1", case_law=("Gaceta de la Lectura, DEVOLUCION TARDIA, 02-mar-1999",)),
                    ),
                ),
                PrintedDivision(
                    kind="capitulo",
                    number="SEGUNDO",
                    name="Reglas de la noche",
                    articles=(
                        _article(4, body="", repealed=True),
                        _article(5, notes=(f"Incisos tercero y cuarto derogados {REFORM}",)),
                        _article("..."),
                        _article("..."),
                        _article("..."),
                        _article(6, reform_mark="Sustituido por el Art. 4 de la Ley s/n, R.O. 902-S, 4-III-2022"),
                    ),
                ),
            ),
        ),
        PrintedDivision(
            kind="titulo",
            number="II",
            name="De los libros",
            articles=tuple(_article(number, rubric=None) for number in (*range(7, 15), *range(19, 22))),
        ),
    ),
    provisions=(
        PrintedProvision(kind="transitoria", number=1, body="En noventa días se contarán los libros."),
        PrintedProvision(kind="transitoria", number=2, body="Mientras tanto, nadie los moverá."),
        PrintedProvision(kind="final", number=1, body="Esta ley rige desde que se lee."),
    ),
)


@pytest.fixture(scope="session")
def printed_law() -> PrintedLaw:
    return LAW


@pytest.fixture(scope="session")
def law_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample law as LEXIS FINDER prints it."""
    file = tmp_path_factory.mktemp("laws") / "ley.pdf"
    print_law(LAW, "lexis-finder", file)
    return file
