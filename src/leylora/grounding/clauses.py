"""One reading of a sentence of law: who must, may or must not do what, with which figures, on what condition.

    (clause,) = read_clauses("Si la multa supera cien dólares, el dueño podrá apelar en el término de tres días.")
    clause.modality                                   Modality.MAY
    of(text, clause.who), of(text, clause.verb)       "el dueño", "podrá"
    of(text, clause.what)                             "apelar en el término de tres días"
    clause.figures                                    (Quantity(3, unit="días", term="término"), ...)
    [(one.kind, of(text, one.span)) ...]              [("if", "Si la multa supera cien dólares")]

Every field is a half-open range of characters of the text. The reading is by rule, of main verbs only; where no rule
fits there is no clause, and `Modality.STATES` says nothing about duties. Not seen: a duty that only a noun or a present
tense expresses ("la entrega es de cargo del dueño"), a main verb inside a relative clause with a subject of its own
("que el juez debe oír"), what the items of a list inherit from the words that open it. A later verb of a sentence is
given the subject before it, which a passive "se" may not have.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from .quantities import Quantity, quantities

Span = tuple[int, int]


class Modality(str, Enum):  # noqa: UP042 - the extension also runs on Python 3.10
    """What the law does with the action. A future ("se registrará") orders, as the codes use it."""

    MUST = "must"
    MUST_NOT = "must not"
    MAY = "may"
    NEED_NOT = "need not"
    PUNISHES = "punishes"
    DEFINES = "defines"
    STATES = "states"

    __str__ = str.__str__


class ConditionKind(str, Enum):  # noqa: UP042
    """IF and ONLY_IF restrict when the clause holds, UNLESS says when it does not, DESPITE what stays as it is."""

    IF = "if"
    ONLY_IF = "only if"
    UNLESS = "unless"
    DESPITE = "despite"

    __str__ = str.__str__


class Condition(NamedTuple):
    kind: ConditionKind
    span: Span


class Clause(NamedTuple):
    """One main verb of a sentence.

    ``span`` goes from the subject (or the condition before it) to the end of what the verb governs; ``verb`` are the
    words that carry the modality, negation included ("no podrá", "será sancionada", "Se prohíbe"); ``who`` is the
    subject, of a later verb of the same sentence the one it shares, None where none is named ("se registrará") or
    found; ``what`` follows the verb, conditions left out. ``negated`` is whether "no", "nunca", "ningún", "nadie" or
    "tampoco" bears on the verb; ``figures`` are the numbers of who and what, with their places in the text.
    """

    modality: Modality
    span: Span
    verb: Span
    who: Span | None
    what: Span
    negated: bool
    figures: tuple[Quantity, ...]
    conditions: tuple[Condition, ...]


def of(text: str, span: Span | None) -> str:
    """The words of a range; "" for None."""
    return text[slice(*span)] if span else ""


# Definitions as codes open with them: "Se entiende por huerto ...", "Usufructo es el derecho ..."
DEFINITION = re.compile(
    r"^(?:Se\s+(?:entiende\s+por|llaman?|denominan?|entenderá\s+por)|Lláma(?:se|nse)|Entiéndese\s+por|Denomínase)\s+"
    r"(?P<told>[^,.;:]{3,60}?)(?=,|\s+(?:a|al|el|la|los|las|lo|todo|toda|cuando|aquel\w*|que|cualquier)\s)"
    r"|^(?P<named>(?:(?:El|La|Los|Las|Un|Una)\s+)?[A-ZÁÉÍÓÚÑa-záéíóúñ]+(?:\s+[a-záéíóúñ]+){0,5}?)\s+"
    r"(?:es|son)\s+(?:un|una|unos|unas|el|la|los|las|aquel\w*|todo|toda)\s+",
)
_ABBREVIATION = re.compile(r"\b(?:Art|Arts|No|num|lit|inc|Dr|Dra|Sr|Sra|R|O|S|a|etc|p|pág|Núm|Nro)\.$")
_BREAK = re.compile(r"(?<=[.;:])\s+(?=[«\"“(]?[A-ZÁÉÍÓÚÑ])|\n+")
_CONDITION = re.compile(
    r"\b(?:(?P<only_if>siempre\s+(?:y\s+cuando|que)|a\s+condición\s+de(?:\s+que)?|sólo\s+si|solo\s+si)"
    r"|(?P<unless>salvo(?!\s+conduct)|excepto|a\s+menos\s+(?:que|de)|(?:a|con)\s+excepción\s+de|a\s+no\s+ser\s+que)"
    r"|(?P<despite>sin\s+perjuicio\s+de|no\s+obstante|aunque|aun\s+cuando)"
    r"|(?P<if>si(?=\s)|cuando|en\s+(?:el\s+)?casos?\s+de(?:l|\s+que)?|en\s+caso\s+que|de\s+no\s+(?=\w+r\b)|mientras"
    r"|una\s+vez\s+(?:que|\w+[aio]d[oa]s?)))\b",
    re.IGNORECASE,
)
_CLITICS = r"(?:(?:se|le|les|lo|la|los|las|me|nos)\s+)?"
_NOT = r"(?:no|nunca|jamás|tampoco)\s+"
_SUBJUNCT = r"(?:en\s+ningún\s+caso,?\s+|por\s+ningún\s+(?:motivo|concepto),?\s+)?"
_BE = r"(?:es|son|será|serán|está|están|estará|estarán|queda|quedan|quedará|quedarán)"
_PARTICIPLE_OF_PUNISHING = r"(?:sancionad|reprimid|castigad|penad|multad|condenad|destituid)[oa]s?"
_FUTURE = r"(?:(?!(?:será|serán|estará|estarán|habrá|habrán|quizá|acá|allá|mamá|papá)\b)\w+(?:ará|erá|irá|drá|rrá)n?)"
# The order decides: the first that fits at a place is taken.
_VERBS: tuple[tuple[Modality, str], ...] = (
    (
        Modality.MUST_NOT,
        rf"{_SUBJUNCT}{_NOT}{_CLITICS}(?:podrán?|pueden?|deberán?|deben?)\b"
        rf"|en\s+ningún\s+caso,?\s+{_CLITICS}(?:podrán?|pueden?|deberán?)\b"
        rf"|se\s+prohíben?\b|prohíbe(?:se|nse)\b|se\s+prohibirán?\b|{_BE}\s+(?:\w+mente\s+)?prohibid[oa]s?\b"
        r"|no\s+(?:es|será)\s+(?:lícito|permitido)\b",
    ),
    (
        Modality.NEED_NOT,
        rf"{_NOT}{_CLITICS}(?:requieren?|requerirán?|necesitan?|necesitarán?)\b"
        rf"|{_NOT}(?:{_BE}\s+(?:necesari[oa]s?|obligad[oa]s?\s+a|obligatori[oa]s?)|(?:tienen?|tendrán?)\s+que)\b",
    ),
    (
        Modality.PUNISHES,
        rf"{_BE}\s+(?:\w+mente\s+)?{_PARTICIPLE_OF_PUNISHING}\b"
        rf"|{_CLITICS}(?:sancionará|reprimirá|castigará|penará|multará)n?\b"
        rf"|{_CLITICS}(?:impondrá|aplicará)n?\s+(?:\w+\s+){{0,3}}?(?:penas?|multas?|sanci(?:ón|ones)|prisión)\b"
        rf"|incurrirán?\s+en\b|pagarán?\s+(?:una\s+)?multa\b",
    ),
    (
        Modality.MUST,
        rf"{_CLITICS}(?:deberán?|deben?|habrán?\s+de|han?\s+de|(?:tienen?|tendrán?)\s+que)\b"
        rf"|(?:tienen?|tendrán?)\s+(?:la\s+obligación|el\s+deber)\s+de\b|{_BE}\s+(?:obligad[oa]s?\s+a|necesari[oa]s?)\b"
        rf"|{_BE}\s+(?:obligaci(?:ón|ones)|deber(?:es)?|responsabilidad(?:es)?)\b|corresponde(?:rá)?\s+(?=al?\s)",
    ),
    (
        Modality.MAY,
        rf"{_CLITICS}(?:podrán?|pueden?)\b|(?:tienen?|tendrán?)\s+(?:el\s+)?derecho\s+(?:a|de)\b"
        rf"|(?:tienen?|tendrán?)\s+la\s+(?:facultad|potestad|atribución)\s+de\b"
        rf"|{_BE}\s+(?:facultad|autorizad)[oa]s?\s+(?:para|a)\b|{_BE}\s+facultativ[oa]s?\b|se\s+permit(?:e|en|irá|irán)\b",
    ),
    (Modality.MUST, rf"{_CLITICS}{_FUTURE}\b|{_CLITICS}(?:será|serán)\s+\w+[aio]d[oa]s?\b"),
    (
        Modality.STATES,
        rf"{_CLITICS}(?:es|son|será|serán|está|están|tienen?|tendrán?|consisten?|comprenden?|regulan?|reconocen?"
        r"|garantizan?|establecen?|rigen?|existen?|ha|han|hay|habrá|estará|estarán)\b",
    ),
)
_VERB = re.compile(
    r"\b(?:" + "|".join(f"(?P<v{place}>(?:{_NOT})?(?:{pattern}))" for place, (_, pattern) in enumerate(_VERBS)) + ")",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"\b(?:no|nunca|jamás|tampoco|ningun[oa]?s?|ningún|nadie)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(?:que|quien|quienes|cual|cuales|cuy[oa]s?|donde)\s+$", re.IGNORECASE)
_NO_SUBJECT = re.compile(  # an opening that places the clause and does not name who acts
    r"^(?:(?:en|para|con|por|desde|hasta|dentro|durante|contra|ante|sobre|según|conforme|además|asimismo|también|así|sin"
    r"|tras|mediante|a|al|de|del|y|e|o|ni|pero|se|no|igualmente|sólo|solo|únicamente)\b|\w+[aio]d[oa]s?\s+(?:el|la|los|las)\b|$)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r",\s+(?:el|la|los|las|quien(?:es)?|tod[oa]s?|cada|ning[uú]n[oa]?|nadie|ambos|cualquier\w*|sus?|est[ea]s?)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(  # what may come between a subject and its verb
    r",\s+(?:a|con|de|en|por|para|previ[oa]s?|mediante|sin|según|dentro|si|cuando|además|también)\b", re.IGNORECASE
)
_SUBJECT_FOLLOWS = re.compile(r"obligaci|deber(?:es)?$|responsabil|corresponde|prohíb|prohib", re.IGNORECASE)
_NAMED_AFTER = re.compile(  # "Es obligación del dueño", "Corresponde al juez", "Se prohíbe a los servidores"
    r"\s*(?:(?:de|a)\s+(?=(?:el|la|los|las|quien(?:es)?|tod[oa]s?|cada)\b)|del\s+|al\s+)"
    r"(?P<who>(?:(?!\w+[aei]r(?:se|l[aeo]s?)?\b)[\w\s])+?)(?=\s+\w+[aei]r(?:se|l[aeo]s?)?\b|\s*[:,.;])",
    re.IGNORECASE,
)


def sentences(text: str) -> list[Span]:
    """The ranges of a text's sentences: cut at full stops, semicolons, colons before a capital, and line ends."""
    found, start = [], 0
    for match in _BREAK.finditer(text):
        if not _ABBREVIATION.search(text[start : match.start()]):
            found.append((start, match.start()))
            start = match.end()
    found.append((start, len(text)))
    return [trimmed for span in found if (trimmed := _trim(text, span, ""))]


def read_clauses(text: str) -> list[Clause]:
    """The clauses of a text's sentences in reading order; a sentence in which no rule finds a main verb has none."""
    return [clause for span in sentences(text) for clause in _read_sentence(text, span)]


def _read_sentence(text: str, sentence: Span) -> Iterator[Clause]:
    start, end = sentence
    if defined := DEFINITION.match(text[start:end]):
        group = "told" if defined["told"] else "named"
        term = (start + defined.start(group), start + defined.end(group))
        verb = (start, term[0]) if group == "told" else (term[1], start + defined.end())
        rest = (term[1] if group == "told" else verb[1], end)
        yield _clause(text, Modality.DEFINES, sentence, verb, term, rest, ())
        return
    conditions = _conditions(text, sentence)
    inside = [one.span for one in conditions]
    verbs = [
        match
        for match in _VERB.finditer(text, start, end)
        if not any(first <= match.start() < last for first, last in inside)
        and not _RELATIVE.search(text[max(start, match.start() - 12) : match.start()])
    ]
    strong = [match for match in verbs if _modality(match) is not Modality.STATES]
    verbs = strong or verbs[:1]  # "es" and "tiene" count only where nothing is ordered
    who: Span | None = None
    free = start  # where the words of the next clause begin
    for place, match in enumerate(verbs):
        leading = [span for span in inside if free <= span[0] and span[1] <= match.start()]
        opening = _trim(text, (leading[-1][1] if leading else free, match.start()))
        if opening is None and leading:  # "El juez, si hay mérito, dictará"
            opening = _trim(text, (free, leading[0][0]))
        stop = verbs[place + 1].start() if place + 1 < len(verbs) else end
        if place + 1 < len(verbs):  # a further verb takes with it what follows the last joint before it
            between = text[match.end() : stop]
            joints = [*re.finditer(r";", between)] or [*re.finditer(r",\s+(?:y\s+)?|\s+(?:y|e|o|pero)\s+", between)]
            stop = match.end() + joints[-1].start() if joints else stop
        after = _NAMED_AFTER.match(text, match.end(), stop) if _SUBJECT_FOLLOWS.search(match[0]) else None
        if after:
            who = after.span("who")
        elif opening and not _NO_SUBJECT.match(of(text, opening)) and not _VERB.match(text, *opening):
            aside = re.search(r",\s+(?:sin embargo|no obstante|por tanto|en consecuencia)$", of(text, opening))
            who = (opening[0], opening[0] + aside.start()) if aside else opening
        elif place == 0:
            who = None
        trailing = min((span[0] for span in inside if match.end() <= span[0] < stop), default=stop)
        what = (after.end() if after else match.end(), trailing)
        own = tuple(one for one in conditions if free <= one.span[0] < stop)
        yield _clause(text, _modality(match), (free, stop), match.span(), who, what, own)
        free = stop


def _clause(
    text: str,
    modality: Modality,
    span: Span,
    verb: Span,
    who: Span | None,
    what: Span,
    conditions: tuple[Condition, ...],
) -> Clause:
    nobody = re.match(r"(?:ning[uú]n|nadie|nada\b)", of(text, who), re.IGNORECASE)
    negated = bool(_NEGATIVE.search(of(text, verb)) or nobody)
    if negated and modality in (Modality.MUST, Modality.MAY):
        modality = Modality.MUST_NOT  # "no admitirá", "Nadie podrá"
    verb, what = _trim(text, verb) or verb, _trim(text, what) or (what[0], what[0])
    figures = []
    for first, last in [*([who] if who and who[0] >= span[0] else []), what]:
        for one in quantities(text[first:last]):
            figures.append(one._replace(start=one.start + first, end=one.end + first))
    return Clause(modality, _trim(text, span) or span, verb, who, what, negated, tuple(figures), conditions)


def _modality(match: re.Match[str]) -> Modality:
    return next(modality for place, (modality, _) in enumerate(_VERBS) if match[f"v{place}"])


def _conditions(text: str, sentence: Span) -> tuple[Condition, ...]:
    """The conditions of a sentence: one that opens it, or comes after a comma, ends at a comma; one at its end, with
    the sentence or where the next begins."""
    start, end = sentence
    found: list[Condition] = []
    for match in _CONDITION.finditer(text, start, end):
        if found and match.start() < found[-1].span[1]:
            continue
        before = text[start : match.start()].rstrip()
        last = end
        if not before or before.endswith((",", "(")) or re.search(r"\b(?:y|pero)$", before):
            last = _end_before_main_clause(text, match.end(), end)
        else:
            following = _CONDITION.search(text, match.end(), end)
            last = following.start() if following else end
        if span := _trim(text, (match.start(), last)):
            found.append(Condition(ConditionKind[str(match.lastgroup).upper()], span))
    return tuple(found)


def _end_before_main_clause(text: str, start: int, end: int) -> int:
    """Where a condition that goes before its main clause ends: at the comma before the main verb, or before its
    subject where that is sure; ``end`` when there is no main clause."""
    commas = [match.start() for match in re.finditer(",", text[start:end])]
    if not commas:
        return end
    verbs = [*_VERB.finditer(text, start + commas[0], end)]
    verbs = [one for one in verbs if not _RELATIVE.search(text[max(start, one.start() - 12) : one.start()])]
    main = next((one for one in verbs if _modality(one) is not Modality.STATES), verbs[0] if verbs else None)
    if main is None:
        return end
    joints = [start + comma for comma in commas if start + comma < main.start()]
    for place, comma in enumerate(joints):
        after = joints[place + 1 :]
        following = text[after[0] : main.start()] if after else ""
        if _CONDITION.match(text[comma + 1 :].lstrip()):
            return comma
        if _SUBJECT.match(text, comma, main.start()) and (not after or _ASIDE.match(following)):
            return comma
    return joints[-1]


def _trim(text: str, span: Span, joints: str = ",;:.") -> Span | None:
    """The range without blanks and joints at its ends; None when nothing is left."""
    first, last = span
    while first < last and (text[first].isspace() or text[first] in joints):
        first += 1
    while first < last and (text[last - 1].isspace() or text[last - 1] in joints):
        last -= 1
    return (first, last) if first < last else None
