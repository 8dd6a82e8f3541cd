"""What can be read off an article's body by rule: sentences, penalties, deadlines, definitions, exceptions, subjects.

All functions take the body's text and return pieces of it verbatim, so that an answer built from them is a quote.
"""

import re

from leylora.grounding import clauses
from leylora.grounding.clauses import DEFINITION, of
from leylora.grounding.quantities import TIME, quantities
from leylora.text import one_line

_WORD = r"[a-záéíóú]+"
_COUNT = rf"(?:\d[\d.,]*|{_WORD}(?:\s+y\s+{_WORD})?(?:\s+(?:mil|cient[oa]s?|{_WORD}))?)"
_TIME = r"(?:años?|mes(?:es)?|semanas?|días?|horas?)(?:\s+(?:hábiles|laborables|plazo|término))?"
_WAGE = r"(?:salarios?\s+básicos?\s+unificados?|remuneraci(?:ón|ones)\s+básicas?(?:\s+mínimas?)?\s+unificadas?)"
PENALTY = re.compile(
    rf"pena\s+privativa\s+de\s+(?:la\s+)?libertad\s+(?:de|por)\s+(?:{_COUNT}\s+a\s+{_COUNT}|hasta\s+{_COUNT}|{_COUNT})"
    rf"\s+(?:años?|mes(?:es)?|días?)",
    re.IGNORECASE,
)
FINE = re.compile(
    rf"multa\s+de\s+(?:hasta\s+)?(?:{_COUNT}\s+a\s+)?{_COUNT}\s+(?:{_WAGE}|dólares)(?:\s+del\s+trabajador\s+en\s+general)?",
    re.IGNORECASE,
)
DEADLINE = re.compile(
    rf"(?:(?:en|dentro|por|al|con)\s+(?:de(?:l)?\s+)?(?:un|el|los|las)?\s*(?:plazo|término)?\s*"
    rf"(?:máximo\s+|mínimo\s+|no\s+mayor\s+|improrrogable\s+|perentorio\s+)?(?:de\s+|a\s+|es\s+de\s+)?"
    rf"|(?:plazo|término)\s+(?:máximo\s+|mínimo\s+|no\s+mayor\s+)?(?:será\s+|es\s+)?(?:de|a)\s+)"
    rf"(?:hasta\s+)?{_COUNT}\s*(?:\(\d+\)\s*)?{_TIME}",
    re.IGNORECASE,
)
NUMBER_WORDS = re.compile(
    r"\d|\b(?:un|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|quince|veint\w+|treinta|cuarenta|"
    r"cincuenta|sesenta|setenta|ochenta|noventa|cien\w*|\w+cient[oa]s|mil)\b",
    re.IGNORECASE,
)
EXCEPTION = re.compile(
    r"\b(?:salvo|excepto|a\s+excepción\s+de|con\s+excepción\s+de|sin\s+perjuicio\s+de|a\s+menos\s+(?:que|de))\b"
    r"[^.;:\n]{8,260}",
    re.IGNORECASE,
)
NO_TERM = re.compile(r"otr[ao]|en|no|si|cuando|también|est[ea]|est[oa]s|lo|que|tod[ao]|quien|se|s[oó]lo", re.IGNORECASE)
DEICTIC = re.compile(
    r"\b(?:artículos?|incisos?|numerales?|literales?|títulos?|capítulos?|secci(?:ón|ones)|parágrafos?|reglas?|casos?)\s+"
    r"(?:anterior(?:es)?|precedentes?|siguientes?|que\s+(?:antecede|precede)n?)\b"
    r"|\b(?:este|presente|dicho|esta|dicha)\s+(?:artículo|título|capítulo|sección|parágrafo|libro)\b",
    re.IGNORECASE,
)


def sentences(body: str) -> list[str]:
    return [of(body, span) for span in clauses.sentences(body)]


def first_sentence(body: str) -> str:
    """The body's first sentence that is more than a lead-in."""
    return next((piece for piece in sentences(body) if len(piece) > 40), sentences(body)[0] if body.strip() else "")


def penalties(body: str) -> list[str]:
    """Distinct prison terms, verbatim: ``pena privativa de libertad de tres a cinco años``."""
    return _distinct(PENALTY, body)


def fines(body: str) -> list[str]:
    """Distinct fines in basic wages or dollars, verbatim."""
    return [fine for fine in _distinct(FINE, body) if NUMBER_WORDS.search(fine)]


def single_penalty(body: str) -> list[str]:
    """The prison term, the fine or both of an article that sets one of each at most; else nothing.

    Another range of time ("la pena será de cinco a siete años" in a graver case) would make the answer half the truth.
    """
    prison, money = penalties(body), fines(body)
    if len(prison) > 1 or len(money) > 1:
        return []
    ranges = {(one.low, one.high, one.unit) for one in quantities(body) if one.high is not None}
    in_time = [unit for _, _, unit in ranges if unit.split() and unit.split()[0] in TIME]
    return [*prison, *money] if len(in_time) <= len(prison) else []


def deadlines(body: str) -> list[tuple[str, str]]:
    """``(sentence, deadline inside it)`` for every sentence that sets exactly one term with a number."""
    found = []
    for sentence in sentences(body):
        terms = [match.group(0) for match in DEADLINE.finditer(sentence) if NUMBER_WORDS.search(match.group(0))]
        named = [term for term in terms if re.search(r"plazo|término|dentro", term, re.IGNORECASE)]
        if len(terms) == 1 and named and not PENALTY.search(sentence):
            found.append((sentence, named[0]))
    return found


def defined(body: str) -> tuple[str, str] | None:
    """``(term, defining sentence)`` when the body opens by defining something."""
    opening = sentences(body)[0] if body.strip() else ""
    match = DEFINITION.match(opening)
    if match is None or len(opening) < 30:
        return None
    term = (match.group("told") or match.group("named")).strip()
    if len(term) < 4 or NO_TERM.fullmatch(term.split()[0]):
        return None
    return (term if term.isupper() else term[0].lower() + term[1:]), opening


def exceptions(body: str) -> list[tuple[str, str]]:
    """``(sentence, exception inside it)`` for sentences with exactly one clause of salvo, excepto, sin perjuicio."""
    found = []
    for sentence in sentences(body):
        clause = EXCEPTION.search(sentence)
        if clause and not EXCEPTION.search(sentence, clause.start() + 4) and not clause.group(0).endswith("siguientes"):
            found.append((sentence, clause.group(0).rstrip(" ,")))
    return found


def is_deictic(text: str) -> bool:
    """Whether the text points outside itself ("el artículo anterior", "este Título")."""
    return DEICTIC.search(text) is not None


def subject(body: str) -> str | None:
    """The short noun phrase a body opens with: "Las familias del barrio recibirán..." -> the first four words."""
    match = re.match(
        r"(?P<subject>(?:El|La|Los|Las)\s+(?:[a-záéíóúñA-ZÁÉÍÓÚÑ]+\s+){0,6}?[a-záéíóúñA-ZÁÉÍÓÚÑ]+)\s+"
        r"(?:no\s+|se\s+)*(?:es|son|será|serán|tiene|tienen|puede|pueden|debe|deben|consiste|corresponde|comprende|"
        r"[a-záéíóúñ]{3,}(?:rá|rán))\b",
        body,
    )
    if match is None:
        return None
    words = match.group("subject").split()
    return " ".join([words[0].lower(), *words[1:]]) if 2 <= len(words) <= 8 else None


def _distinct(pattern: re.Pattern[str], body: str) -> list[str]:
    found: dict[str, str] = {}
    for match in pattern.finditer(body):
        found.setdefault(one_line(match.group(0).lower()), match.group(0))
    return list(found.values())
