"""Folding and words: the one way in which texts are compared.

    fold("¿Cuántos AÑOS?")                 "¿cuantos años?"
    fold("Año", keep_ñ=False)              "ano"
    words("Art. 5.- La acción, penal")     ["art", "5", "la", "accion", "penal"]

Standard library only: this file is copied into the extension of text-generation-webui.
"""

import re
import unicodedata

WORD = re.compile(r"[^\W_ºª]+")


class _Letters(dict[int, int]):
    """For `str.translate`: each letter in lower case and without its accent, worked out when it is first met."""

    def __init__(self, kept: str) -> None:
        super().__init__()
        self.kept = kept

    def __missing__(self, code: int) -> int:
        low = chr(code).lower()
        apart = unicodedata.normalize("NFD", low)
        if low not in self.kept and all(map(unicodedata.combining, apart[1:])):
            low = apart[0]
        self[code] = ord(low) if len(low) == 1 else code
        return self[code]


_KEEPING_Ñ = _Letters("ñ")
_PLAIN = _Letters("")


def nfc(text: str) -> str:
    """Letters and their accents as one character each: a PDF may have them apart."""
    return unicodedata.normalize("NFC", text)


def fold(text: str, *, keep_ñ: bool = True) -> str:
    """Lower case without accents, one character for each of ``nfc(text)``, so that offsets stay valid."""
    if text.isascii():
        return text.lower()
    return nfc(text).translate(_KEEPING_Ñ if keep_ñ else _PLAIN)


def words(text: str, *, keep_ñ: bool = True) -> list[str]:
    """The folded words and numbers of a text in reading order, without punctuation."""
    return WORD.findall(fold(text, keep_ñ=keep_ñ))


def accented_words(text: str) -> list[str]:
    """The words and numbers of a text in lower case, their accents kept however they are encoded."""
    return WORD.findall(nfc(text).lower())


def one_line(text: str) -> str:
    """Each run of blanks and line ends as one blank."""
    return " ".join(text.split())
