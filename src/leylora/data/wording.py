"""How people really type: without accents, without the opening question mark, with a slip of the finger."""

import re
import unicodedata
from random import Random

PROTECTED = ("artículo", "numeral", "número", "edición", "innumerado", "agregado", "continuación")
KEYS = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "s": "a", "r": "t", "t": "y", "c": "v", "l": "k"}


def roughen(question: str, chance: Random, share: float = 0.25) -> str:
    """``question``, or in ``share`` of the cases a version as typed in haste. Quoted words (« ») stay as they are."""
    if chance.random() >= share:
        return question
    manner = chance.choice(("no opening mark", "no accents", "lower case", "slip"))
    pieces = re.split(r"(«[^»]*»)", question)
    changed = [piece if piece.startswith("«") else _apply(manner, piece, chance) for piece in pieces]
    return "".join(changed).strip()


def _apply(manner: str, text: str, chance: Random) -> str:
    match manner:
        case "no opening mark":
            return text.replace("¿", "").replace("¡", "")
        case "no accents":
            return _without_accents(text.replace("¿", ""))
        case "lower case":
            return _without_accents(text.replace("¿", "").replace("?", "")).lower()
        case _:
            words = [match for match in re.finditer(r"[^\W\d_]{4,}", text) if _may_slip(match.group(0))]
            if not words:
                return text
            word = chance.choice(words)
            at = chance.randrange(word.start() + 1, word.end() - 1)
            if chance.random() < 0.5:
                return text[:at] + text[at + 1] + text[at] + text[at + 2 :]  # two letters swapped
            return text[:at] + KEYS.get(text[at], text[at]) + text[at + 1 :]


def _may_slip(word: str) -> bool:
    """Names and the words that say what a number is stay legible, so that the question keeps its meaning."""
    return word.islower() and not word.startswith(PROTECTED)


def _without_accents(text: str) -> str:
    kept = text.replace("ñ", "\x00").replace("Ñ", "\x01")
    kept = "".join(char for char in unicodedata.normalize("NFD", kept) if unicodedata.category(char) != "Mn")
    return kept.replace("\x00", "ñ").replace("\x01", "Ñ")
