"""Folding: accents go, ñ stays or goes, offsets hold."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from leylora.text import fold, nfc, one_line, words


def test_accents_go_and_ñ_stays_unless_it_is_not_wanted() -> None:
    assert fold("¿Cuántos AÑOS, Pingüino?") == "¿cuantos años, pinguino?"
    assert fold("AÑO Único", keep_ñ=False) == "ano unico"
    assert fold("ﬁn Çà") == "ﬁn ca"


def test_letters_and_accents_may_be_apart() -> None:
    assert fold(unicodedata.normalize("NFD", "acción de año")) == "accion de año"


@given(st.text())
def test_offsets_are_those_of_the_composed_text(text: str) -> None:
    assert len(fold(text)) == len(nfc(text))
    assert fold(fold(text)) == fold(text) or not text.isascii()


def test_words_have_no_punctuation() -> None:
    assert words("Art. 5.- La «acción», n.º 3 a_b") == ["art", "5", "la", "accion", "n", "3", "a", "b"]
    assert words("peña", keep_ñ=False) == ["pena"]


def test_syllables_of_other_scripts_stay_apart() -> None:
    assert fold("각") != fold("가")


def test_one_line() -> None:
    assert one_line(" a\n\n  b\tc ") == "a b c"
