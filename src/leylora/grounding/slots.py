"""The values of a text that can contradict another's: figures, and words that exclude each other, with what is near.

    text, found = slots("Prescribe en tres años para los muebles y en cinco para los raíces.")
    [(one.kind, one.value) for one in found]     [("time", ("m", 36.0)), ("rival 5", ...), ("time", ("m", 60.0)), ...]

Units are made alike: twelve months are a year, 48 hours two days, a third 0.33333, "la mitad" and "50 %" the same.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ..text import fold, words
from .citations import ORDINAL_WORD, ordinal
from .quantities import DATE, HUNDREDS, ISO_DATE, MONTHS, SCALES, SMALL, TENS, quantities
from .search import stem
from .wording import STOP, concept, concepts


class Slot(NamedTuple):
    """A value in a text: a figure, or one of several words that exclude each other.

    Only slots of one ``kind`` can contradict each other; ``value`` is what is compared. ``near`` are the concepts of
    the phrase it stands in (of a rival word: its neighbours), ``wide`` those up to the next semicolon or full stop.
    """

    kind: str
    value: tuple[object, ...]
    start: int
    end: int
    near: frozenset[str] = frozenset()
    wide: frozenset[str] = frozenset()
    bound: str = ""
    term: str = ""
    working: bool = False


_BASES = {"años": ("m", 12.0), "meses": ("m", 1.0), "semanas": ("d", 7.0), "días": ("d", 1.0), "horas": ("d", 1 / 24)}
_BASES |= {"minutos": ("d", 1 / 1440)}
_PARTS = {"mitad": 2, "mitades": 2, "tercera": 3, "tercio": 3, "tercios": 3, "terceras": 3, "cuarta": 4, "cuartas": 4}
_PARTS |= {
    "cuarto": 4,
    "quinta": 5,
    "quintas": 5,
    "sexta": 6,
    "octava": 8,
    "decima": 10,
    "doceava": 12,
    "centesima": 100,
}
_PARTS |= {"veinticuatroava": 24, "quinto": 5, "medio": 2}
_MANY = {"un": 1, "una": 1, "la": 1, "dos": 2, "las": 1, "tres": 3, "el": 1, "en": 1, "cuatro": 4}
_FRACTION = re.compile(
    r"\b(?:(?P<many>un|una|la|las|el|dos|tres|cuatro)\s+)?(?P<many2>dos\s+|tres\s+)?"
    r"(?:(?P<part>tercera|cuarta|quinta|sexta|octava|decima|doceava|centesima|veinticuatroava)s?\s+partes?"
    r"|(?P<alone>mitad(?:es)?|tercios?)|(?<=un )(?P<one>cuarto|quinto)\b(?!\s+(?:grado|dia|inciso|mes)))"
    r"|\b(?P<top>\d{1,2})\s?/\s?(?P<bottom>\d{1,3})\b(?!/)(?:\s*(?:parte)?)"
)
_TIMES = re.compile(r"\b(?:el\s+|al\s+)?(doble|duplo|triple|cuadruplo|duplic\w+|triplic\w+)\b")
_ORDINAL = re.compile(rf"\b({fold(ORDINAL_WORD)})\s+(grado|clase|categoria|instancia|nivel|vez|mes|año|semana)\b")
_HOUR = re.compile(r"\blas?\s+(\w+)(?:\s+horas)?\s+(?:de|por)\s+la\s+(mañana|tarde|noche|madrugada)\b")
_SPANS = {"bienio": 2, "trienio": 3, "quinquenio": 5, "lustro": 5, "decenio": 10, "decada": 10}
_SPAN = re.compile(rf"\b(?:un\s+|el\s+|cada\s+)?({'|'.join(_SPANS)})\b")
_CLOCK = re.compile(r"\b(\d{1,2})\s?h\s?(\d{2})\b|\b(\d{1,2}):(\d{2})\b")
_POINT = re.compile(r"\b(\w+)\s+(?:punto|coma)\s+(\w+)\s+por\s+ciento\b")
PLACE = re.compile(r"\b(libro|titulo|capitulo|seccion|paragrafo)\s+([ivxl]+\b|\d{1,3}\b|[a-z]+(?:\s[a-z]+)?)")
_NAMED_PART = re.compile(
    r"\b(?:numeral(?:es)?|num(?:ero)?\.?|literal(?:es)?|lit\.?|inciso|parrafo|causal|regla)\s+(?:\d{1,3}|[a-z]\b)\)?"
)
_MARK = re.compile(r"(?m)^\s*(?:\d{1,2}[.)]|[-*•])\s+")
LISTED = [
    "requisit",
    "causal",
    "caus",
    "cas",
    "clas",
    "form",
    "element",
    "condicion",
    "regl",
    "maner",
    "tip",
    "supuest",
    "cos",
]
_SMALL = {"m": "sbu", "salarios": "sbu", "remuneraciones": "sbu"}
_RIVALS = """
    comprador, compradora; vendedor, vendedora
    mandante, comitente; mandatario, apoderado
    acreedor, acreedora; deudor, deudora
    arrendador; arrendatario, inquilino
    corte constitucional; corte nacional; corte provincial; consejo de la judicatura
    muebles, mueble; raices, raiz, inmuebles, inmueble
    ejecutiva, ejecutivas; ordinaria, ordinarias
    costa; sierra
    publico, publica, publicos, publicas; privado, privada, privados, privadas
    natural, naturales; juridica, juridicas
    general; especial
    anterior; posterior
"""
_KINDS: list[str] = []
_PATTERNS: list[str] = []
for _place, _line in enumerate(_RIVALS.strip().splitlines()):
    for _group in _line.split(";"):
        _names = "|".join(name.strip().replace(" ", r"\s+") for name in _group.split(","))
        _PATTERNS.append(f"(?P<g{len(_KINDS)}>{_names})")
        _KINDS.append(f"rival {_place}")
_RIVAL = re.compile(rf"\b(?:{'|'.join(_PATTERNS)})\b")
_NUMBER_WORDS = "|".join(sorted({*SMALL, *TENS, *HUNDREDS, *SCALES} - {"un", "una"}, key=len, reverse=True))
_FIGURE = re.compile(  # something that one of the readers of figures may take
    rf"\d|\b(?:{_NUMBER_WORDS}|{'|'.join(_SPANS)}|una?\s+(?:año|mes|dia|hora|semana)|mitad\w*|tercios?"
    r"|cuarto|quinto|partes?|doble|duplo|duplic\w*|triple|triplic\w*|grado|clase|categoria|instancia|nivel|vez"
    r"|(?:primer|segund|tercer|cuart|quint|sext|septim|octav|noven|decim)[oa]?)\b"
)
_DAY = re.compile(rf"\b(\d{{1,2}}|primero|quince|veinti\w+|treinta)\s+de\s+({'|'.join(MONTHS)})\b")
_DATE = re.compile(DATE.pattern, re.IGNORECASE)
BREAK = re.compile(r"[;:]|\.\s")
_CUT = re.compile(r"[,;:()—]|\s(?:y|e|o|u|pero|sino|mientras)\s|\.\s")


def _flat(text: str) -> str:
    """Folded, with forms of numbers made alike; positions are its own."""
    flat = ISO_DATE.sub(lambda match: " " * len(match[0]), fold(text, keep_ñ=True))
    flat = re.sub(r"(?<=\d)[\u00a0\u2009\u202f ](?=\d{3}\b)", "", flat)  # 48 000
    flat = re.sub(r"\b(\d{1,3}(?:\.\d{3})+),\d{2}\b", r"\1", flat)  # 48.000,00
    flat = re.sub(r"\b(\d{1,3}(?:,\d{3})+)\.\d{2}\b", r"\1", flat)  # 48,000.00
    flat = re.sub(r"(?<=\d)\s*[-–—]\s*(?=\d)", " a ", flat)
    flat = re.sub(r"\bmedio\s+año\b", "seis meses", flat)
    flat = re.sub(r"\bmedia\s+hora\b", "30 minutos", flat)
    flat = re.sub(r"\bun\s+solo\s+(?=dia|mes|año)", "un ", flat)
    return re.sub(r"\bmedianoche\b|\bmedia\s+noche\b", "24h00", flat)


@lru_cache(maxsize=2_000)
def slots(text: str) -> tuple[str, tuple[Slot, ...]]:
    """The flattened text, and its figures and rival words in reading order, each with the words near it."""
    flat = _flat(text)
    masked = flat
    found: list[Slot] = []

    def take(pattern: re.Pattern[str], make: Callable[[re.Match[str]], Slot | None]) -> None:
        nonlocal masked
        for match in pattern.finditer(masked):
            slot = make(match)
            if slot is not None:
                found.append(slot)
                masked = masked[: match.start()] + " " * (match.end() - match.start()) + masked[match.end() :]

    def blank(pattern: re.Pattern[str]) -> None:
        nonlocal masked
        masked = pattern.sub(lambda match: " " * len(match[0]), masked)

    if _FIGURE.search(flat):
        blank(_DATE)
        take(_DAY, lambda m: Slot("day", (str(_day(m[1])), m[2]), *m.span()))
        for pattern in (PLACE, _NAMED_PART, _MARK):
            blank(pattern)
        take(_CLOCK, lambda m: Slot("clock", (int(m[1] or m[3]), int(m[2] or m[4])), *m.span()))
        take(_HOUR, _hour)
        take(_SPAN, lambda m: Slot("time", ("m", 12.0 * _SPANS[m[1]]), *m.span()))
        take(_POINT, _with_point)
        take(_FRACTION, _fraction)
        take(_ORDINAL, lambda m: Slot(f"ordinal {m[2]}", (ordinal(m[1]),), *m.span()))
        take(_TIMES, lambda m: Slot("times", (_times(m[1]),), *m.span()))
        found += _counted(masked)
    for match in _RIVAL.finditer(flat):
        group = str(match.lastgroup)
        found.append(Slot(_KINDS[int(group[1:])], (group,), *match.span()))
    found.sort(key=lambda slot: slot.start)
    return flat, tuple(_with_words(flat, found))


def _day(word: str) -> int:
    read = quantities(f"{word} días")
    return int(read[0].low) if read else 1


def _hour(match: re.Match[str]) -> Slot | None:
    """ "Las siete de la noche" as the laws write it: 19h00."""
    read = quantities(f"{match[1]} horas")
    hour = int(read[0].low) if read else 0
    later = match[2] in ("tarde", "noche") and hour < 12
    return Slot("clock", (hour + 12 * later, 0), *match.span()) if 1 <= hour <= 12 else None


def _times(word: str) -> int:
    return 2 if word.startswith("d") else 3 if word.startswith("t") else 4


def _with_point(match: re.Match[str]) -> Slot | None:
    whole, part = quantities(f"{match[1]} x"), quantities(f"{match[2]} x")
    if not whole or not part:
        return (
            None
            if match[1] not in ("un", "uno") or not part
            else Slot("ratio", (round((1 + part[0].low / 10) / 100, 5),), *match.span())
        )
    return Slot("ratio", (round((whole[0].low + part[0].low / 10) / 100, 5),), *match.span())


def _fraction(match: re.Match[str]) -> Slot | None:
    if match["top"]:
        value = int(match["top"]) / max(1, int(match["bottom"]))
        return Slot("ratio", (round(value, 5),), *match.span()) if value < 1 else None
    many = _MANY.get((match["many2"] or match["many"] or "una").strip(), 1)
    word = match["part"] or match["alone"] or match["one"]
    return Slot("ratio", (round(many / _PARTS[word], 5),), *match.span())


def _counted(flat: str) -> Iterator[Slot]:
    last: tuple[str, int] | None = None  # the unit of the figure before, and where that ended
    for one in quantities(flat):
        unit, after = one.unit, flat[one.end : one.end + 40]
        if not unit and (noun := re.match(r"\s+(?:\(\d+\)\s+)?([a-zñ]{3,})", after)) and noun[1] not in STOP:
            unit = f"count {stem(noun[1])}"
        elif not unit:
            unit = "count" if last is None or re.search(r"[.:\n]", flat[last[1] : one.start]) else last[0]
        if (unit == "veces" and one.low == 1) or (flat[one.end :].startswith(" vez") and one.low == 1):
            continue  # "una vez cumplida": no count
        low_unit, _, high_unit = unit.partition(" a ")
        base, working = low_unit, False
        if low_unit.startswith("días "):
            base, working = "días", True
        if base in _BASES:
            name, factor = _BASES[base]
            other, upper = _BASES.get(high_unit, (name, factor))
            value: tuple[object, ...] = (name, round(one.low * factor, 4))
            if one.high is not None:
                value += (other, round(one.high * upper, 4))
            yield Slot(
                "time",
                value,
                one.start,
                one.end,
                bound=one.bound,
                term=_term(flat, one.start, one.end, one.term),
                working=working,
            )
        elif unit == "por ciento":
            high = () if one.high is None else (round(one.high / 100, 5),)
            yield Slot("ratio", (round(one.low / 100, 5), *high), one.start, one.end, bound=one.bound)
        else:
            kind = _SMALL.get(unit, unit)
            high = () if one.high is None else (one.high,)
            yield Slot(kind, (one.low, *high), one.start, one.end, bound=one.bound)
        if (not unit.startswith("count") and not re.search(r"\b(?:en|al?|por|cada)\s+$", flat[: one.start][-6:])) or (
            not unit.startswith("count") and flat[one.start : one.end].split()[0] not in ("un", "una")
        ):
            last = (unit, one.end)


def _term(flat: str, start: int, end: int, near: str) -> str:
    """Whether a period is a plazo or a término: the last of the two words in its sentence."""
    if near:
        return near
    if after := re.match(r"\s+de\s+(plazo|termino)\b", flat[end:]):
        return "plazo" if after[1] == "plazo" else "término"
    told = re.findall(r"\b(plazo|termino)\b", re.split(r"[.;:]\s", flat[max(0, start - 110) : start])[-1])
    return "" if not told else "plazo" if told[-1] == "plazo" else "término"


def _with_words(flat: str, found: Sequence[Slot]) -> list[Slot]:
    """Each slot with the concepts of its phrase; where that holds the slot alone, of the phrase after or before."""
    cuts = [0, *(match.end() for match in _CUT.finditer(flat)), len(flat)]
    phrases = [(first, last) for first, last in pairwise(cuts) if last > first]
    read: list[frozenset[str]] = []
    for first, last in phrases:
        text = flat[first:last]
        for slot in found:
            if slot.kind[:5] != "rival" and first <= slot.start < last:
                text = text.replace(flat[slot.start : slot.end], " ")
        read.append(frozenset(concepts(text)))
    placed = []
    for slot in found:
        at = next((n for n, (first, last) in enumerate(phrases) if first <= slot.start < last), len(phrases) - 1)
        own = set(read[at]) if read else set()
        if slot.kind.startswith("rival"):
            own = {
                *concepts(flat[max(0, slot.start - 40) : slot.start])[-1:],
                *concepts(flat[slot.end : slot.end + 40])[:1],
            }
            own -= {concept(word) for word in words(flat[slot.start : slot.end])}
        if not own and at + 1 < len(phrases):
            after = phrases[at + 1]
            taken = any(after[0] <= one.start < after[1] for one in found if one.kind == slot.kind)
            if not taken and not BREAK.search(flat[slot.end : after[0]]):
                own = set(read[at + 1])
        if not own and at and not BREAK.search(flat[phrases[at - 1][0] : slot.start]):
            own = set(read[at - 1])
        first = max((match.end() for match in BREAK.finditer(flat, 0, slot.start)), default=0)
        last = next((match.start() for match in BREAK.finditer(flat, slot.end)), len(flat))
        wide = frozenset(concepts(flat[first : slot.start] + " " + flat[slot.end : last]))
        placed.append(slot._replace(near=frozenset(own), wide=wide))
    return placed


def same_value(one: Slot, other: Slot) -> bool:
    return one.kind == other.kind and one.value == other.value
