"""Numbers in words and figures, with unit, bound and kind of period."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leylora.grounding.quantities import Quantity, quantities


def read(text: str) -> Quantity:
    (one,) = quantities(text)
    return one


@pytest.mark.parametrize(
    ("text", "low", "high", "unit"),
    [
        ("veintiséis a treinta años", 26, 30, "años"),
        ("26 a 30 años", 26, 30, "años"),
        ("de 26 años a 30 años", 26, 30, "años"),
        ("entre 26 y 30 años", 26, 30, "años"),
        ("seis meses a dos años", 6, 2, "meses a años"),
        ("treinta y cinco días", 35, None, "días"),
        ("tres días hábiles", 3, None, "días habiles"),
        ("diez (10) días", 10, None, "días"),
        ("doscientos cincuenta y tres dólares", 253, None, "dólares"),
        ("mil quinientos salarios", 1500, None, "salarios"),
        ("dos mil quinientos salarios", 2500, None, "salarios"),
        ("1.500 salarios", 1500, None, "salarios"),
        ("dos millones de votos", 2_000_000, None, ""),
        ("diez por ciento", 10, None, "por ciento"),
        ("12,5 %", 12.5, None, "por ciento"),
        ("cien por ciento", 100, None, "por ciento"),
        ("ciento ochenta días", 180, None, "días"),
        ("un año", 1, None, "años"),
        ("veintiún días", 21, None, "días"),
        ("365 días", 365, None, "días"),
        ("veintidós (22) a veintiséis (26) años", 22, 26, "años"),
        ("$ 1.500", 1500, None, "dólares"),
        ("USD 80", 80, None, "dólares"),
    ],
)
def test_reading(text: str, low: float, high: float | None, unit: str) -> None:
    one = read(text)
    assert (one.low, one.high, one.unit) == (low, high, unit)


def test_un_and_una_are_articles_unless_they_count() -> None:
    assert quantities("una persona presenta un escrito ante uno de los jueces") == []
    assert [q.low for q in quantities("una persona, dentro de un mes")] == [1]


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("al menos tres días", "min"),
        ("no menos de tres días", "min"),
        ("un mínimo de tres días", "min"),
        ("hasta tres días", "max"),
        ("un máximo de tres días", "max"),
        ("no mayor de tres días", "max"),
        ("no más de tres días", "max"),
        ("más de tres días", "min"),
        ("menos de tres días", "max"),
        ("en el plazo de tres días", ""),
    ],
)
def test_bounds(text: str, bound: str) -> None:
    assert quantities(text)[-1].bound == bound


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("en el término de tres días", "término"),
        ("en el plazo máximo de tres días", "plazo"),
        ("tres días término", "término"),
        ("dentro de tres días", ""),
    ],
)
def test_kind_of_period(text: str, term: str) -> None:
    assert read(text).term == term
    assert read(text).unit == "días"


UNITS = ["", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"]
TEENS = ["diez", "once", "doce", "trece", "catorce", "quince", "dieciséis", "diecisiete", "dieciocho", "diecinueve"]
TWENTIES = ["veinte", *("veinti" + unit for unit in ["uno", "dós", "trés", "cuatro", "cinco", "séis", *UNITS[7:]])]
TENS = ["treinta", "cuarenta", "cincuenta", "sesenta", "setenta", "ochenta", "noventa"]
HUNDREDS = [
    "ciento",
    "doscientos",
    "trescientos",
    "cuatrocientos",
    "quinientos",
    "seiscientos",
    "setecientos",
    "ochocientos",
    "novecientos",
]


def spell(number: int) -> str:
    """A cardinal below a million, written independently of the reader."""
    if number >= 1000:
        head = "" if number < 2000 else spell(number // 1000) + " "
        rest = number % 1000
        return f"{head}mil" + (f" {spell(rest)}" if rest else "")
    if number == 100:
        return "cien"
    if number > 100:
        rest = number % 100
        return HUNDREDS[number // 100 - 1] + (f" {spell(rest)}" if rest else "")
    if number >= 30:
        return TENS[number // 10 - 3] + (f" y {UNITS[number % 10]}" if number % 10 else "")
    if number >= 20:
        return TWENTIES[number - 20]
    return TEENS[number - 10] if number >= 10 else UNITS[number]


@given(st.integers(min_value=1, max_value=999_999))
def test_any_cardinal_in_words_is_read_as_its_figure(number: int) -> None:
    one = read(f"{spell(number)} días")
    assert (one.low, one.unit) == (number, "días")


@given(st.integers(2, 99), st.integers(100, 9_999))
def test_ranges_in_words_and_figures_are_the_same(low: int, high: int) -> None:
    words, figures = read(f"de {spell(low)} a {spell(high)} meses"), read(f"de {low} a {high} meses")
    assert (words.low, words.high, words.unit) == (figures.low, figures.high, figures.unit) == (low, high, "meses")


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for one in quantities(text):
        assert text[one.start : one.end]
