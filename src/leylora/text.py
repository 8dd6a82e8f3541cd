"""Folding and words, the one way in which texts are compared; and whether a text is Spanish.

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


# Is it Spanish?

# The short words of each language: a function-word profile needs no model and judges tens of thousands of texts in a
# second; words that two languages share count for both, so the rest tells close neighbours apart.
_FUNCTION_WORDS = {
    "es": "el la los las un una unos unas y e o u de del al a en con sin por para que qué es son está están fue ser "
    "dos tres cuatro cinco seis siete ocho nueve diez "
    "no sí se su sus lo le les me te mi tu yo más muy como cómo pero si cuando donde porque también ya hay este esta "
    "estos estas ese esa eso esto entre sobre hasta desde cada todo todos toda todas otro otra puede pueden tiene "
    "tienen hacer ha han era cuál quién según durante ni además así nos artículo ley",
    "en": "the of and to in is are was were be been it its that this these those for on with as at by from or an a "
    "not you your i we they he she his her have has had will would can could should which who what when where how "
    "there their them but if about into than then so do does",
    "pt": "o a os as um uma uns umas e ou de do da dos das no na nos nas ao aos à em com sem por para pelo pela que "
    "é são está foi ser não sim se seu sua seus suas lhe me te eu mais muito como mas quando onde porque também já "
    "há este esta esse essa isso isto entre sobre até desde cada todo todos você ele ela eles tem têm fazer",
    "ca": "el la els les un una uns unes i o de del dels al als a en amb sense per perquè que què és són està va ser "
    "no sí es seu seva seus lo li em et jo més molt com però si quan on també ja hi ha aquest aquesta aquests entre "
    "sobre fins des cada tot tots pot té fer",
    "gl": "o a os as un unha uns unhas e ou de do da dos das no na nos nas ao aos en con sen por para polo pola que "
    "é son está foi ser non si se seu súa lle me te eu máis moi como pero cando onde porque tamén xa hai este esta "
    "iso isto entre sobre ata desde cada todo todos pode ten facer",
    "fr": "le la les un une des et ou de du au aux à en dans avec sans par pour que qui est sont était être ne pas "
    "se son sa ses leur il elle ils elles je tu nous vous plus très comme mais si quand où parce aussi déjà ce cette "
    "ces entre sur chaque tout tous peut fait",
    "it": "il lo la i gli le un uno una e o di del della dei delle al alla in nel nella con senza per che è sono era "
    "essere non si suo sua suoi loro mi ti io più molto come ma se quando dove perché anche già questo questa tra "
    "fra su ogni tutto tutti può fare ha hanno",
    "de": "der die das den dem des ein eine einen einem einer und oder von zu zum zur in im mit ohne für auf ist "
    "sind war sein nicht sich ich du er sie es wir ihr mehr sehr wie aber wenn wo weil auch schon dieser diese "
    "zwischen über jeder alle kann hat haben",
}
_LANGUAGES_OF: dict[str, list[str]] = {}
for _language, _words in _FUNCTION_WORDS.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, []).append(_language)
_SPANISH = frozenset(_FUNCTION_WORDS["es"].split())
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|https?://\S+", re.DOTALL)
_ENOUGH = 6  # words to judge by
_JUDGED = 4_000  # characters read


def is_spanish(text: str) -> bool:
    """False only when the text shows another language or script; short texts, names and code pass."""
    row = re.findall(r"[^\W\d_]+", _CODE.sub(" ", text[:_JUDGED]).lower())
    if len(row) < _ENOUGH:
        return _mostly_latin(_CODE.sub(" ", text))
    votes = dict.fromkeys(_FUNCTION_WORDS, 0)
    for word in row:
        for name in _LANGUAGES_OF.get(word, ()):
            votes[name] += 1
    most = max(votes.values())
    # A comma-separated list or a poem's title has few function words; one in twenty-five is still too little.
    if most < max(2, len(row) / 25):
        return _mostly_latin(text) and _mostly_latin(_CODE.sub(" ", text))
    # A close call goes to Spanish: the gate must not lose good rows.
    return most - votes["es"] < max(2, 0.03 * len(row))


def is_foreign(sentence: str) -> bool:
    """Whether one sentence is in another language: many of its short words are, and few are Spanish ones."""
    row = re.findall(r"[^\W\d_]+", sentence.lower())
    if len(row) < _ENOUGH:
        return False
    if sum(word in _SPANISH for word in row) >= len(row) / 5:
        return False  # nearly every sentence of a Spanish text ends here
    votes = dict.fromkeys(_FUNCTION_WORDS, 0)
    for word in row:
        for name in _LANGUAGES_OF.get(word, ()):
            votes[name] += 1
    most = max(votes.values())
    return most >= max(3, len(row) / 4) and votes["es"] < most / 2


def _mostly_latin(text: str) -> bool:
    letters = [char for char in text[:_JUDGED] if char.isalpha()]
    return not letters or sum(ord(char) < 0x250 for char in letters) >= 0.7 * len(letters)
