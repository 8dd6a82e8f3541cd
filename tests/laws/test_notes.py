"""What belongs to an article and what the publisher added; its status; its numerals."""

import pytest

from leylora.errors import LeyloraError
from leylora.laws.law import Article
from leylora.laws.notes import Block, article_status, read_block, repealed_numbers, struck_spans
from leylora.laws.structure import read_numerals, split_rubric

REFORM = "por artículo 4 de Ley No. 0, publicada en Registro Oficial Suplemento 901 de 4 de Marzo del 2019 ."


def block(text: str, repeats: tuple[int, ...] = ()) -> Block:
    lines = text.strip().split("\n")
    return read_block(lines, [None] * len(lines), 40, repeats)


def test_notes_concordances_and_case_law_leave_the_body() -> None:
    found = block(
        f"""Objeto.- Esta ley regula las bibliotecas de
barrio y sus horarios.
Nota: Artículo sustituido {REFORM}
CONCORDANCIAS:
LEY DE ARCHIVOS VECINALES, Arts. 1,
2
LEY DE PLAZAS, Arts. 9
JURISPRUDENCIA:
Gaceta de la Lectura, DEVOLUCION TARDIA,
02-mar-1999"""
    )
    assert found.body == ["Objeto.- Esta ley regula las bibliotecas de barrio y sus horarios."]
    assert found.notes == [f"Artículo sustituido {REFORM}"]
    assert found.concordances == ["LEY DE ARCHIVOS VECINALES, Arts. 1, 2", "LEY DE PLAZAS, Arts. 9"]
    assert found.case_law == ["Gaceta de la Lectura, DEVOLUCION TARDIA, 02-mar-1999"]


def test_the_article_goes_on_after_a_reform_note() -> None:
    found = block(f"Son deberes:\n1. Leer.\nNota: Numeral 1 reformado {REFORM}\n2. Prestar.\nTambién escuchar.")
    assert found.body == ["Son deberes:", "1. Leer.", "2. Prestar.", "También escuchar."]
    assert found.notes == [f"Numeral 1 reformado {REFORM}"]


def test_a_ruling_takes_its_paragraphs_unless_the_list_goes_on() -> None:
    ruling = "Nota: La Corte resolvió lo que sigue en este caso.\nLas salas pueden cerrar de noche.\nAsí se publicó."
    found = block(f"Son deberes:\n1. Leer.\n{ruling}\n2. Prestar.")
    assert found.body == ["Son deberes:", "1. Leer.", "2. Prestar."]
    assert len(found.notes) == 1
    assert "cerrar de noche" in found.notes[0]


def test_an_announced_text_belongs_to_the_note() -> None:
    found = block("Vale esto.\nNota: El texto anterior era el siguiente:\n1. Valía otra cosa.\nY otra más.")
    assert found.body == ["Vale esto."]
    assert found.notes == ["El texto anterior era el siguiente:\n1. Valía otra cosa.\nY otra más."]


def test_fielweb_notes_stand_under_their_title() -> None:
    found = block("1. Leer.\nNotas:\n- Ver el acuerdo ministerial.\n- Ver la ordenanza.\n2. Prestar.")
    assert found.body == ["1. Leer.", "2. Prestar."]
    assert found.notes == ["- Ver el acuerdo ministerial.", "- Ver la ordenanza."]


def test_reform_marks_in_parentheses_leave_the_body() -> None:
    found = block(
        "Turnos.- (Sustituido por el Art. 3 de la Ley s/n, R.O. 483-3S, 20-IV-2015).- Las salas abren\nde día.\n"
        "1. (Derogado por la Ley 5, R.O. 9, 1-II-2020).\n2. (Reformado por el Art. 9 (bis), R.O. 1, 2-II-2021).- Leer."
    )
    assert found.body == ["Turnos.- Las salas abren de día.", "2. Leer."]
    assert [mark[:9] for mark in found.reform_marks] == ["(Sustitui", "(Derogado", "(Reformad"]


def test_parentheses_of_the_law_itself_stay() -> None:
    found = block("La multa será de tres (3) a cinco (5) dólares (reformados los libros dañados se devuelven).")
    assert found.body == ["La multa será de tres (3) a cinco (5) dólares (reformados los libros dañados se devuelven)."]


def test_a_glued_note_is_cut_off() -> None:
    found = block(f"Son deberes:\ni)Nota: Literal derogado {REFORM}\nj) Leer.")
    assert found.body == ["Son deberes:", "i)", "j) Leer."]
    assert found.notes == [f"Literal derogado {REFORM}"]


def test_subtitles_of_what_follows_are_no_text() -> None:
    found = block("Las salas abren de día.\nII\nREGLAS DE LA NOCHE")
    assert (found.body, found.subtitles) == (["Las salas abren de día."], ["II", "REGLAS DE LA NOCHE"])


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Se lee.", "vigente"),
        (f"Se lee.\nNota: Artículo sustituido {REFORM}", "vigente"),
        (f"Nota: Artículo derogado {REFORM}", "derogado"),
        (f"Se lee.\nNota: Artículo derogado {REFORM}", "derogado"),
        ("(Derogado por la Ley s/n, R.O. 9, 1-II-2020).", "derogado"),
        ("Derogado.", "derogado"),
        (f"Se lee.\nNota: Incisos segundo y tercero derogados {REFORM}", "derogado_parcial"),
        (f"Se lee.\nNota: Numeral 3 del artículo suprimido {REFORM}", "derogado_parcial"),
        ("Se lee.\n(Derogado el inciso por la Ley s/n, R.O. 9, 1-II-2020).", "derogado_parcial"),
        ("Se lee.\nNota: La Corte declaró la inconstitucionalidad de la frase final.", "inconstitucional_parcial"),
        ("Se lee.\nNota: La Corte niega la acción de inconstitucionalidad.", "vigente"),
        ("Se lee.\nNota: Este artículo fue declarado inconstitucional.", "dudoso"),
        (f"Nota: Artículo agregado {REFORM}\nNota: Artículo derogado {REFORM}", "dudoso"),  # on one day
        ("Nota: Artículo agregado por Ley 1.\nNota: Artículo derogado por Ley 2.", "dudoso"),  # nobody says when
        (
            "Nota: Artículo derogado por Ley 2, R.O. 9, 26-VI-2025.\nNota: Artículo agregado 10 de mayo de 2024.",
            "derogado",
        ),
        (
            "Leer.\nNota: Artículo derogado por Ley 2, R.O. 9, 1-II-2020.\nNota: Artículo agregado 10 de mayo de 2024.",
            "vigente",
        ),
        ("Nota: Ver la ordenanza.", "dudoso"),
    ],
)
def test_status(text: str, status: str) -> None:
    assert article_status(block(text)) == status


def test_a_second_version_leaves_the_article_in_doubt_unless_it_is_the_former_one() -> None:
    later = "Se prohíbe.\nNota: Sustituido en referéndum, cuyo texto se describe a continuación.\nArt. 79.- Se permite."
    former = "Se permite.\nNota: El texto anterior a la resolución era el siguiente:\nArt. 79.- Se prohíbe."
    found = block(later, repeats=(2,))
    assert found.body == ["Se prohíbe."]
    assert "Se permite." in found.notes[0]
    assert article_status(found) == "dudoso"
    assert article_status(block(former, repeats=(2,))) == "vigente"


@pytest.mark.parametrize(
    ("note", "gone"),
    [
        ("Capítulo I con sus respectivos artículos del 6 al 8 derogados por Ley No. 0.", [6, 7, 8]),
        ("Sección con sus Artículos (6 a 7) derogada por Ley No. 0.", [6, 7]),
        ("Título con sus artículos del 6 al 8 sustituido por Ley No. 0.", [6, 7, 8]),
        ("Artículos 6, 7 y 9 suprimidos por Ley No. 0.", [6, 7, 9]),
        ("Ver los artículos 6 al 8 del reglamento.", []),
    ],
)
def test_ranges_repealed_in_a_note(note: str, gone: list[int]) -> None:
    assert list(repealed_numbers([note], known=[5, 10])) == gone


def test_only_missing_numbers_are_gone() -> None:
    assert list(repealed_numbers(["Artículos 6 al 8 derogados."], known=[7])) == [6, 8]


def test_rubrics() -> None:
    assert split_rubric(["Objeto.- Esta ley rige."]) == ("Objeto", ["Esta ley rige."])
    assert split_rubric(["Horarios.-", "Las salas abren."]) == ("Horarios", ["Las salas abren."])
    assert split_rubric(["Las salas abren. Los lunes.- No."]) == (None, ["Las salas abren. Los lunes.- No."])
    assert split_rubric(["Son deberes:", "1. Leer.- Siempre."])[0] is None
    assert split_rubric(["Objeto", "Esta ley rige."], own_line=True) == ("Objeto", ["Esta ley rige."])
    assert split_rubric(["Esta ley rige.", "Y más."], own_line=True)[0] is None
    enumeration = ["El préstamo termina:", "1a.- Por devolución;", "2a.- Por pérdida."]
    assert split_rubric(enumeration) == (None, enumeration), "words that open a list are the article's own"


def test_numerals_nest() -> None:
    items = read_numerals(
        ["Reglas:", "1. Uno:", "a) A;", "b) B.", "Con inciso.", "2. Dos.", "i) Romano.", "ii) Otro.", "Final."]
    )
    assert [(item.label, [inner.label for inner in item.literals]) for item in items] == [
        ("1", ["a", "b"]),
        ("2", ["i", "ii"]),
    ]
    assert items[0].literals[1].text == "B.\nCon inciso."  # the list goes on after it
    assert items[1].literals[1].text == "Otro."  # and ends here: what follows is the article's


def test_letters_and_roman_numbers_are_told_apart() -> None:
    letters = [f"{letter}) Texto." for letter in "abcdefghij"]
    assert [item.label for item in read_numerals(letters)] == list("abcdefghij")
    old_code = ["1a.- Primera;", "2a.- Segunda."]
    assert [(item.label, item.text) for item in read_numerals(old_code)] == [("1", "Primera;"), ("2", "Segunda.")]


def test_an_absent_numeral_says_which_there_are() -> None:
    article = Article(
        law_id="x",
        kind="articulo",
        number="5",
        rubric=None,
        body="",
        status="vigente",
        numerals=read_numerals(["1. Uno.", "2. Dos."]),
    )
    assert article.numeral(2).text == "Dos."
    with pytest.raises(LeyloraError, match=r"article 5 of x has no item 3; it has: 1, 2"):
        article.numeral(3)


def test_paragraphs_by_the_margin_and_without_it() -> None:
    lines = ["Las salas abren de día. Cierran de", "noche. También los lunes se abren.", "Los domingos no se abre."]
    assert len(read_block(lines, [True, True, False], 36).body) == 1
    assert len(read_block(lines, [True, False, False], 36).body) == 2
    assert len(read_block(lines, [None, None, None], 36).body) == 2
    assert (
        read_block(["Según el Art.", "5 vale.", "Dr. No", "vive."], [None] * 4, 12)
        .body[0]
        .startswith("Según el Art. 5")
    )


@pytest.mark.parametrize(
    ("note", "struck"),
    [
        ('Se declara la inconstitucionalidad de la frase "y los menores", del inciso primero.', ["y los menores"]),
        (
            "Se declara inconstitucional la frase «que lleguen después de las seis».",
            ["que lleguen después de las seis"],
        ),
        (
            'Se declara la inconstitucionalidad de las frases "y los menores" y "que lleguen después de las seis".',
            ["y los menores", "que lleguen después de las seis"],
        ),
        ("Se declara la inconstitucionalidad del numeral 3.", ["3. Pagar dos veces"]),
        ('Se declara la inconstitucionalidad de la frase "salas".', []),  # the article may have it for another reason
        ('La Corte niega la inconstitucionalidad de la frase "y los menores".', []),
        ('Se declara la inconstitucionalidad del plazo; "y los menores" se sustituye por "y las menores".', []),
        ('Este artículo dice "y los menores".', []),
    ],
)
def test_words_struck_by_the_court_are_found_in_the_body(note: str, struck: list[str]) -> None:
    body = (
        'Los lectores "y los menores" entran a las salas, y no quienes que lleguen después de las seis.\n'
        'Las salas tienen:\n1. Luz.\n"3. Pagar dos veces"'
    )
    assert [body[slice(*span)] for span in struck_spans(body, [note])] == struck
