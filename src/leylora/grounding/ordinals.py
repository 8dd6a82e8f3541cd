"""Numbers as law texts write them: Roman, ordinal words, and the mix of both that heads titles and provisions."""

import re

from leylora.text import fold

_UNITS = ["primer", "segund", "tercer", "cuart", "quint", "sext", "septim", "octav", "noven"]
_TENS = {"decim": 10, "vigesim": 20, "trigesim": 30, "cuadragesim": 40, "quincuagesim": 50}
_WHOLE = {"undecim": 11, "duodecim": 12}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_FORM = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")


def roman(text: str) -> int | None:
    """The value of a Roman numeral in capitals, or None: ``roman("XIV") == 14``."""
    if not text or not _ROMAN_FORM.fullmatch(text):
        return None
    values = [_ROMAN[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def ordinal(text: str) -> int | None:
    """The value of a Spanish ordinal, or None: ``ordinal("DÉCIMO PRIMERA") == ordinal("Undécima") == 11``.

    Knows the forms up to 59, in either gender, in one word or two, and "única" as 1.
    """
    words = re.sub(r"[^a-z]", " ", fold(text)).split()
    if not 1 <= len(words) <= 2:
        return None
    total = 0
    for word in words:
        value = _word(word)
        if value is None or (total and (value >= 10 or total % 10)):
            return None
        total += value
    return total


def _word(word: str) -> int | None:
    if word in ("unica", "unico", "primera", "primero", "primer"):
        return 1
    if word == "tercer":
        return 3
    stem = word[:-1] if word[-1:] in "oa" else ""
    if stem in _UNITS:
        return _UNITS.index(stem) + 1
    if stem in _WHOLE or stem in _TENS:
        return _WHOLE.get(stem) or _TENS[stem]
    for tens, value in _TENS.items():
        rest = word.removeprefix(tens)
        if rest != word and rest[:1] in ("o", "a") and rest[1:-1] in _UNITS:
            return value + _UNITS.index(rest[1:-1]) + 1
        if rest == "octavo" or rest == "octava":  # decimoctava, written with one o
            return value + 8
    return None


def feminine_ordinal(number: int) -> str:
    """The ordinal of 1..59 as provisions carry it: ``feminine_ordinal(21) == "vigésima primera"``."""
    units = ("", "primera", "segunda", "tercera", "cuarta", "quinta", "sexta", "séptima", "octava", "novena")
    tens = ("", "décima", "vigésima", "trigésima", "cuadragésima", "quincuagésima")
    return f"{tens[number // 10]} {units[number % 10]}".strip()


_STEMS = r"(?:primer|segund|tercer|cuart|quint|sext|s[ée]ptim|octav|noven)"
ORDINAL_WORD = (
    rf"(?:[úu]nic[oa]|{_STEMS}[oa]|(?:und|duod)[ée]cim[oa]|primer|tercer"
    rf"|(?:d[ée]cim|vig[ée]sim|trig[ée]sim|cuadrag[ée]sim|quincuag[ée]sim)[oa]?(?:[ ]?{_STEMS}[oa])?)"
)
