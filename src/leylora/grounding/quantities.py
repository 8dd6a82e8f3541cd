"""Numbers as laws write them, in digits and in Spanish words, with the unit they count.

The checker compares an answer's quantities with those of the article it cites: "26 a 30 años" and "veintiséis a treinta
años" are the same, "treinta días" and "treinta años" are not.
"""

import re
from typing import NamedTuple

from ..text import fold
from .citations import ArticleText, Numbered, parse_citations

_SMALL = """
    cero; un uno una; dos; tres; cuatro; cinco; seis; siete; ocho; nueve; diez; once; doce; trece; catorce; quince;
    dieciseis; diecisiete; dieciocho; diecinueve; veinte; veintiun veintiuno veintiuna; veintidos; veintitres;
    veinticuatro; veinticinco; veintiseis; veintisiete; veintiocho; veintinueve
"""
SMALL = {word: value for value, same in enumerate(_SMALL.split(";")) for word in same.split()}
TENS = {"treinta": 30, "cuarenta": 40, "cincuenta": 50, "sesenta": 60, "setenta": 70, "ochenta": 80, "noventa": 90}
HUNDREDS = {"cien": 100, "ciento": 100, "quinient": 500, "setecient": 700, "novecient": 900}
for _word, _value in {"dos": 2, "tres": 3, "cuatro": 4, "seis": 6, "ocho": 8}.items():
    HUNDREDS[f"{_word}cient"] = 100 * _value
HUNDREDS = {f"{stem}{end}": value for stem, value in HUNDREDS.items() for end in ("", "os", "as")}
SCALES = {"mil": 1_000, "millon": 1_000_000, "millones": 1_000_000}

_UNITS = """
    años: ano anos; meses: mes meses; semanas: semana semanas; días: dia dias; horas: hora horas
    minutos: minuto minutos; salarios: salario salarios sbu; remuneraciones: remuneracion remuneraciones
    dólares: dolar dolares usd; por ciento: ciento %; veces: vez veces; gramos: gramo gramos; metros: metro metros
    kilómetros: kilometros; puntos: puntos; hectáreas: hectareas; miembros: miembros integrantes; votos: votos
"""  # the one spelling, and the words (without accents or ñ) that are read as it
UNITS = {
    word: unit.strip()
    for unit, _, same in (entry.partition(":") for entry in re.split(r"[;\n]", _UNITS))
    for word in same.split()
}
TOKEN = re.compile(r"[0-9]+(?:[.,][0-9]+)*|[^\W0-9_]+|%|\$")
ONE = {"un", "uno", "una"}
TIME = {"años", "meses", "semanas", "días", "horas"}
DIGITS = frozenset("0123456789")
AT_LEAST = re.compile(
    r"(?:al menos|por lo menos|no menos de|no menor(?:es)? (?:a|de|que)|m[ií]nim[oa]s?|no bajar[áa]|"
    r"no inferior(?:es)? a|(?<!no )m[áa]s de|(?<!no )mayor(?:es)? (?:a|de|que)|superior(?:es)? a|exceda de|"
    r"exceder de)[^.;:«»]{0,14}$",
    re.IGNORECASE,
)
AT_MOST = re.compile(
    r"(?:hasta|m[áa]xim[oa]s?|no m[áa]s de|no mayor(?:es)? (?:a|de|que)|no exced\w*|no podrán? exceder|a m[áa]s tardar|"
    r"(?<!no )menos de|(?<!no )menor(?:es)? (?:a|de|que)|inferior(?:es)? a|no superior(?:es)? a)[^.;:«»]{0,14}$",
    re.IGNORECASE,
)
TERM = re.compile(r"\b(plazo|t[ée]rmino)\b[^.;:«»]{0,30}$", re.IGNORECASE)
RELATIVE = re.compile(r"\bartículo\s+(anterior|precedente|siguiente)\b", re.IGNORECASE)
SINGLE = re.compile(r"(?:artículo|art\.)\s+\d+(?:\.\d+)?(?=\W|$)", re.IGNORECASE)
ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()  # noqa: SIM905
DATE = re.compile(rf"\b(\d{{1,2}})\s+de\s+({'|'.join(MONTHS)})\s+del?\s+(\d{{4}})\b", re.IGNORECASE)
BEFORE = 48  # characters looked at before a number


class Quantity(NamedTuple):
    """A number as a text states it, or the range ``low`` to ``high``; ``start`` and ``end`` are its place in the text.

    ``unit`` is what it counts, in one spelling ("años", "días habiles", "salarios"; "meses a años" of a mixed range),
    "" when nothing countable follows. ``bound`` is "min" after "al menos", "max" after "hasta", else "". ``term`` is
    "plazo" or "término" when that word belongs to it, else "".
    """

    low: float
    high: float | None
    unit: str
    bound: str
    term: str
    start: int
    end: int


class _Token(NamedTuple):
    text: str
    start: int
    end: int


def quantities(text: str) -> list[Quantity]:
    """Every number of ``text`` in reading order; "de 3 a 5 años", "entre 3 y 5 años" and "3 años a 5 años" are ranges.
    "un" and "una" count only before a unit or inside a range: elsewhere they are articles."""
    tokens = [_Token(fold(match[0], keep_ñ=False), *match.span()) for match in TOKEN.finditer(text)]
    found: list[Quantity] = []
    at = 0
    while at < len(tokens):
        read = _number(tokens, at)
        if read is None:
            at += 1
            continue
        first, at = at, _past_repeat(tokens, text, *read)
        low, high = read[0], None
        single = at == first + 1
        unit, at = _unit(tokens, at)
        opening = tokens[first - 1].text if first else ""
        joins = ("a", "hasta", "y") if opening == "entre" else ("a", "hasta")
        if at + 1 < len(tokens) and tokens[at].text in joins and text[tokens[at - 1].end] in " )":
            second = _number(tokens, at + 1)
            if second is not None:
                upper_unit, after = _unit(tokens, _past_repeat(tokens, text, *second))
                if not unit or unit == upper_unit:
                    high, unit, at = second[0], upper_unit, after
                elif upper_unit in TIME and unit in TIME:
                    high, unit, at = second[0], f"{unit} a {upper_unit}", after
        if not unit and opening in ("$", "usd"):
            unit = "dólares"
        start = tokens[first].start
        if tokens[first].text not in ONE or not single or unit or high is not None:
            before = text[max(0, start - BEFORE) : start]
            bound = "min" if AT_LEAST.search(before) else "max" if AT_MOST.search(before) else ""
            counted, _, spoken = unit.partition(" ")  # "días termino" counts days and says which kind of period it is
            if spoken in ("plazo", "termino"):
                unit = counted
            elif match := TERM.search(before):
                spoken = match[1].lower()
            else:
                spoken = ""
            term = "plazo" if spoken == "plazo" else "término" if spoken else ""
            found.append(Quantity(low, high, unit, bound, term, start, tokens[at - 1].end))
    return found


def _past_repeat(tokens: list[_Token], text: str, value: float, after: int) -> int:
    """The index after the figure that repeats a number in brackets, as in "diez (10) días"."""
    if after < len(tokens) and tokens[after].text[0] in DIGITS and text[tokens[after].start - 1] == "(":
        return after + 1 if _digits(tokens[after].text) == value else after
    return after


def _number(tokens: list[_Token], at: int) -> tuple[float, int] | None:
    """The number that begins at token ``at`` and the index after it."""
    word = tokens[at].text
    if word[0] in DIGITS:
        after = at + 1
        value = _digits(word)
        if after < len(tokens) and tokens[after].text in SCALES:
            value, after = value * SCALES[tokens[after].text], after + 1
        return value, after
    total, group, after, open_tens = 0, 0, at, False
    seen = False
    while after < len(tokens):
        word = tokens[after].text
        if word == "y" and open_tens and after + 1 < len(tokens) and 0 < SMALL.get(tokens[after + 1].text, 99) < 10:
            group, after, open_tens = group + SMALL[tokens[after + 1].text], after + 2, False
            continue
        hundred = HUNDREDS.get(word)
        if word in SMALL and group % 100 == 0 and not open_tens:
            if seen and word in ONE and group == 0 and total == 0:
                break
            group += SMALL[word]
            if word == "veinte" and after + 2 < len(tokens) and tokens[after + 1].text == "y":
                unit = SMALL.get(tokens[after + 2].text, 99)  # "veinte y cuatro", as older laws write it
                if 0 < unit < 10:
                    group, after = group + unit, after + 2
            # "dos tres" is a list, not a number: a unit closes the group unless a scale follows.
            after, seen = after + 1, True
            if after < len(tokens) and tokens[after].text in SCALES:
                continue
            break
        if word in TENS and group % 100 == 0:
            group, open_tens = group + TENS[word], True
        elif (
            hundred is not None and group == 0 and not (word == "ciento" and after and tokens[after - 1].text == "por")
        ):
            group = hundred
        elif word in SCALES:
            if word != "mil" and not seen:
                return None
            total, group, open_tens = total + (group or 1) * SCALES[word], 0, False
        else:
            break
        after, seen = after + 1, True
    return (float(total + group), after) if seen else None


def _unit(tokens: list[_Token], at: int) -> tuple[str, int]:
    """The unit right after a number and the index after it."""
    if at + 1 < len(tokens) and tokens[at].text == "por" and tokens[at + 1].text in ("ciento", "cien"):
        return "por ciento", at + 2
    if at < len(tokens) and tokens[at].text != "ciento" and tokens[at].text in UNITS:
        unit, at = UNITS[tokens[at].text], at + 1
        if unit == "días" and at < len(tokens) and tokens[at].text in ("habiles", "laborables", "plazo", "termino"):
            unit, at = f"días {tokens[at].text}", at + 1
        return unit, at
    return "", at


def _digits(word: str) -> float:
    """``1.000`` and ``1,000`` are a thousand; ``0,5`` and ``12.5`` are not."""
    if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", word):
        return float(re.sub(r"[.,]", "", word))
    head, *tail = re.split(r"[.,]", word)
    return float(f"{head}.{''.join(tail)}") if tail else float(head)


def dates(text: str) -> list[str]:
    """ISO dates of ``text``, written as "2024-08-15" or as "15 de agosto de 2024"."""
    found = ["-".join(match) for match in ISO_DATE.findall(text)]
    for day, month, year in DATE.findall(text):
        found.append(f"{year}-{MONTHS.index(month.lower()) + 1:02}-{int(day):02}")
    return found


def references(law: Numbered, article: ArticleText) -> list[tuple[str, str]]:
    """``(words used, number of the article meant)`` for each article of the same law that ``article`` points to:
    "artículo anterior", "Art. 116". Those to another law, lists, ranges and those that lead nowhere are left out."""
    found: dict[str, str] = {}
    numbers = law.numbers
    for match in RELATIVE.finditer(article.body):
        place = numbers.index(article.number) + (1 if match[1].lower() == "siguiente" else -1)
        if 0 <= place < len(numbers):
            found.setdefault(numbers[place], match[0].lower())
    for citation in parse_citations(article.body, [law]):
        words = SINGLE.search(article.body[slice(*citation.span)])
        here = citation.law_id == law.id or (citation.law_id is None and not citation.law_text)
        if words and here and citation.article in numbers and citation.article != article.number:
            found.setdefault(citation.article, words[0].lower())
    return [(words, number) for number, words in found.items()]
