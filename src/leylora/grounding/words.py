"""Spanish words as the index keeps them: folded, without stop words, cut to their stems.

    terms("¿Cuántos años dura la acción de apelación?")  ->  ["años" stemmed to "añ", "dur", "accion", "apel"]

Accents go (people leave them out), ñ stays (año is not ano). The stemmer is a light one of our own for legal prose,
where verb and noun stand for the same thing: apelar, apelación, apelante. Only the standard library is used.
"""

from collections.abc import Iterator
from functools import lru_cache

from ..text import WORD, fold, words

_STOP = frozenset(
    """
    a al algo algun alguna algunas alguno algunos ante asi aun aunque bajo cada como con contra cual cuales cualquier
    cuando cuanta cuantas cuanto cuantos de del desde donde dos durante e el ella ellas ello ellos en entre era es esa
    esas ese eso esos esta estan estas este esto estos fue ha haber han hasta hay la las le les lo los mas me mi mis muy
    ni no nos o os otra otras otro otros para pero por porque pueda puede pueden puedo que quien quienes se sea sean ser
    si sido sin sobre solo son su sus tal tambien tan tanto te tener tengo tiene tienen toda todas todo todos tras tu u
    un una uno unos unas y ya yo sera seran seria serian haya hubiere caso casos
    """.split()  # noqa: SIM905 (a list of a hundred literals is no easier to read)
)
_ASKING = frozenset(
    """
    articulo articulos art arts norma ley codigo ecuador ecuatoriano ecuatoriana dice dicen decir establece establecen
    preve preven segun regula regulan dispone disponen contempla trata indica señala hacer hace hago debe deben debo
    corresponde llama pasa quiero saber favor vigente texto cita cite numeral literal tiempo limite limites define
    definicion defina enumera significa significado fija explica habla asunto concepto concede cosa hoy
    """.split()  # noqa: SIM905
)
"""What belongs to asking, not to what is asked; left out of queries only."""

_SUFFIXES = sorted(
    """
    amientos imientos amiento imiento aciones iciones uciones acion icion ucion adores idores adoras idoras ador idor
    adora idora antes entes ante ente ancias encias ancia encia ables ibles able ible idades idad mente ivos ivas
    ivo iva adas idas ados idos ada ida ado ido ando iendo aron ieron aban aba ian ia aran eran iran ara era ira
    aren eren iren are ere ire ase iese ar er ir an en as es os a e o s
    """.split(),  # noqa: SIM905
    key=len,
    reverse=True,
)
_SHORTEST = 3  # letters that a stem keeps


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """The stem of one folded word; numbers and words of up to three letters stay as they are."""
    if len(word) <= _SHORTEST or word[0].isdigit():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _SHORTEST:
            return word.removesuffix(suffix)
    return word


def terms(text: str) -> list[str]:
    """The stems of a text in reading order, stop words left out."""
    return [stem(word) for word in words(text) if word not in _STOP]


def query_words(text: str, *, strict: bool = False) -> list[str]:
    """The folded words of a question that say what it is about, each once; if none does, all of them ("la ley")
    unless ``strict``."""
    told = [word for word in words(text) if word not in _STOP]
    telling = [word for word in told if word not in _ASKING]
    return list(dict.fromkeys(telling if telling or strict else told))


def spans(text: str, stems: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Where the words of ``text`` stand that have one of these stems."""
    for match in WORD.finditer(fold(text)):
        if stem(match[0]) in stems:
            yield match.span()
