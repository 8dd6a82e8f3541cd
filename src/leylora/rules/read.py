"""What an article orders, read by rule off the clauses of its sentences; what is not certain yields no rule.

    found = read_rules(law["205"])
    (offence,) = found.of("offence")
    found.text(offence.conduct), found.text(offence.consequence)
    found.refused                                     Counter({"order: points outside the article": 2, ...})

A rule is whole or absent: of a penalty every part of the base form is in `Offence.consequence` (prison, fine, comiso,
licence, points, disqualification, community work, dissolution), and `Offence.others` are the sentences that punish
graver and lighter forms or the legal person. Struck words, sentences that open a list, and sentences that point outside
the article ("el artículo anterior") give no rule.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from leylora.grounding.clauses import DEFINITION, Clause, ConditionKind, Modality, Span, of, read_clauses, sentences
from leylora.laws.law import Article

_WORD = r"[a-záéíóú]+"
_COUNT = rf"(?:\d[\d.,]*|{_WORD}(?:\s+y\s+{_WORD})?(?:\s+(?:mil|cient[oa]s?|{_WORD}))?)"
_TIME = r"(?:años?|mes(?:es)?|semanas?|días?|horas?)(?:\s+(?:hábiles|laborables|plazo|término))?"
_WAGE = r"(?:salarios?\s+básicos?\s+unificados?|remuneraci(?:ón|ones)\s+básicas?(?:\s+mínimas?)?\s+unificadas?)"
PRISON = re.compile(
    rf"(?:una\s+)?pena\s+privativa\s+(?:de\s+(?:la\s+)?libertad\s+)?"
    rf"(?P<time>(?:de|por)\s+{_COUNT}\s+a\s+{_COUNT}\s+(?:años?|mes(?:es)?|días?)|de\s+{_COUNT}\s+(?:años?|mes(?:es)?|días?)\s+a\s+{_COUNT}\s+(?:años?|mes(?:es)?|días?)"
    rf"|(?:de\s+)?hasta\s+{_COUNT}\s+(?:años?|mes(?:es)?|días?)|de\s+{_COUNT}\s+(?:años?|mes(?:es)?|días?))",
    re.IGNORECASE,
)
FINE = re.compile(
    rf"multa\s+(?P<amount>de\s+(?:hasta\s+)?(?:{_COUNT}\s+(?:a|hasta)\s+)?{_COUNT}\s+(?:(?:{_WAGE}|dólares)(?:\s+del\s+trabajador\s+en\s+general)?"
    r"|veces\s+(?:el|la)\s+[^,;.]{5,90}))",
    re.IGNORECASE,
)
PUNISHED = re.compile(
    r"^(?P<who>(?:La|El|Las|Los)\s+(?:persona|servidora?|conductora?|empleadora?|peatón|ciclista)s?\b[^,;:.]{0,50}?|Quien(?:es)?)"
    r"(?P<conduct>\s*,?\s+que\b.{10,600}?|(?<=Quien)\s.{10,400}?),?\s+(?P<verb>ser[áa]n?\s+(?:sancionad|reprimid|castigad|penad)[oa]s?)\s+con\s+"
    r"(?P<consequence>.+?)\.?$",
    re.DOTALL,
)
PENAL = re.compile(
    r"\b(?:pena|penas|sancionad[oa]s?|sancionar\w*|reprimid[oa]s?|castigad[oa]s?|multa|comiso|inhabilita(?:ci|d)\w+|prisión|"
    r"suspensión|extinción|clausura|trabajo\s+comunitario)\b",
    re.IGNORECASE,
)
LEGAL_PERSON = re.compile(
    r"\bresponsabilidad(?:\s+penal)?\s+de\s+(?:(?:las?|una)\s+)?personas?\s+jurídicas?\b", re.IGNORECASE
)
SAVED = re.compile(r",?\s+sin\s+perjuicio\s+de\b.*$", re.DOTALL)
# Who can act: "la aceptación puede ser expresa" sorts things, it allows nobody anything.
ACTOR = re.compile(
    r"^(?:las?\s+o\s+l?[oe]s?l?\s+)?(?:personas?|partes?|emplead\w+|juez\w*|juec\w+|juzgador\w*|cónyuges?|acreedor\w*|dueñ[oa]s?|deudor\w*|"
    r"fiador\w*|cofiador\w*|testador\w*|tutor\w*|curador\w*|guardador\w*|mandatari[oa]s?|mandantes?|trabajador\w*|empresas?|huelguistas?|asambleas?|"
    r"president[ae]s?|vicepresident[ae]s?|hij[oa]s?|padres?|madres?|corporaciones|asignatari[oa]s?|albaceas?|hereder[oa]s?|arrendatari[oa]s?|arrendador\w*|"
    r"contratantes?|contrayentes?|comodatari[oa]s?|comodantes?|tribunal\w*|víctimas?|partidos?|autoridad\w*|comercializadoras?|herman[oa]s?|viud[oa]s?|"
    r"administrador\w*|convivientes?|menor(?:es)?|adult[oa]s?|padrastros?|madrastras?|fideicomisari[oa]s?|constituyentes?|usufructuari[oa]s?|"
    r"propietari[oa]s?|ascendientes?|descendientes?|donantes?|donatari[oa]s?|organismos?|procurador\w*|vendedor\w*|comprador\w*|soci[oa]s?|"
    r"ministeri[oa]s?|ministr[oa]s?|artesan[oa]s?|guardi\w+|aprendices|maestr[oa]s?|organizaciones|directivas?|comités?|jefes?|registrador\w*|directori[oa]s?|"
    r"movimientos|fuerzas|servidor\w*|centros|función|estado|ciudadan[oa]s?|miembros?|defensor\w*|peticionari[oa]s?|salas?|pleno|infractor\w*|"
    r"corte|consejo|fiscal\w*|fiscalía|inspector\w*|conductor\w*|policía|médic[oa]s?|instituciones|entidad\w*|municip\w+|gobiernos?|notari[oa]s?|"
    r"extranjer[oa]s?|mujer(?:es)?|niñ[oa]s?|adolescentes|pasajer[oa]s?|peatones|ciclistas|operador\w*|contratistas?|abogad[oa]s?|"
    r"demandantes?|demandad[oa]s?|acusad\w+|procesad[oa]s?|acusador\w*|perit[oa]s?|testigos?|depositari[oa]s?|poseedor\w*|prestamistas?|asociaciones|sindicatos?)\b",
    re.IGNORECASE,
)
TERM = re.compile(
    rf"(?:(?:en|dentro\s+de(?:l)?|por|al|con)\s+)?(?:(?:un|el|los|las)\s+)?(?P<kind>plazo|término)\s+"
    rf"(?:máximo\s+|mínimo\s+|no\s+mayor\s+|improrrogable\s+|perentorio\s+)?(?:será\s+|es\s+)?(?:de|a)\s+(?:hasta\s+)?"
    rf"{_COUNT}\s*(?:\(\d+\)\s*)?{_TIME}|dentro\s+de\s+(?:los\s+|las\s+)?{_COUNT}\s*(?:\(\d+\)\s*)?{_TIME}",
    re.IGNORECASE,
)
NUMBER_WORDS = re.compile(
    r"\d|\b(?:un|una|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|quince|veint\w+|treinta|cuarenta|"
    r"cincuenta|sesenta|setenta|ochenta|noventa|cien\w*|\w+cient[oa]s|mil)\b",
    re.IGNORECASE,
)
POINTS_OUTSIDE = re.compile(
    r"\b(?:artículos?|incisos?|numerales?|literales?|títulos?|capítulos?|secci(?:ón|ones)|parágrafos?|reglas?|casos?)\s+"
    r"(?:anterior(?:es)?|precedentes?|siguientes?|que\s+(?:antecede|precede)n?)\b"
    r"|\b(?:este|presente|dicho|esta|dicha)\s+(?:artículo|título|capítulo|sección|parágrafo|libro)\b",
    re.IGNORECASE,
)
LEANS = re.compile(  # a sentence that only the one before explains
    r"^(?:Con\s+(?:la|el|las|los)\s+mism[ao]s?|La\s+misma\s+pena|Igual\s+pena|No\s+podrá\s+exceder|Est[eao]s?(?!\s+(?:Ley|Código))|Dich[ao]s?|Es[aeo]s?|Aquel\w*|Lo\s+(?:mismo|anterior|cual)|Tal(?:es)?|Igual\w*|Asimismo|También|"
    r"Además|Sin\s+embargo|No\s+obstante|En\s+(?:este|ese|tal|estos|esos|tales|dich[oa]s?|cuyo|ambos|el\s+primer|el\s+segundo)\b|Pero|Y|O|"
    r"Si\s+(?:lo|la|no\s+lo|no\s+la|los|las)\b|El\s+mismo|La\s+misma|Los\s+mismos|Las\s+mismas|Para\s+(?:el\s+efecto|est[eao]s?|tal)|"
    r"Con\s+tal|De\s+(?:no|lo\s+contrario|igual)|En\s+caso\s+contrario|Caso\s+contrario|Cuando\s+(?:lo|la|los|las)\b|Se\s+exceptúa\w*|Exceptúa\w*)\b",
    re.IGNORECASE,
)
ONLY = re.compile(r"\s+(?:únicamente|solamente|sólo|solo|también|además)$", re.IGNORECASE)  # belongs to the verb
EXCEPT_PART = re.compile(r"(?:salvo|excepto|menos)\s+(?:en\s+)?(?:la|el|los|las)\s+de(?:l)?\b", re.IGNORECASE)
RULE_AFTER = re.compile(
    r",\s+(?!(?:y|o|e|ni|que|de|del|en|por|con|a|como|según|para|cuando|si)\b)[^,]*\b\w+(?:rá|rán)\b"
)
ITEM_INSIDE = re.compile(r"[;,]\s*(?:[yeo],?\s*)?\d{1,2}\.\s")
ITEM_MARK = re.compile(r"^(?:\d{1,3}|[a-zñ]{1,2})[.)º°ª]-?\s*")
NO_TERM = re.compile(r"otr[ao]|en|no|si|cuando|también|est[ea]|est[oa]s|lo|que|tod[ao]|quien|se|s[oó]lo", re.IGNORECASE)
GENUS = re.compile(  # what a definition in the strict sense opens with after "es"
    r"\b(?:es|son)\s+(?:un|una|el|la|aquel\w*|los|las)\s+(?!mism)(?:\w+\s+)?(?:contrato|derecho|modo|acto|hecho|convenio|convención|"
    r"conjunto|persona|bien|cosa|medio|facultad|institución|prestación|acción|procedimiento|documento|delito|sistema|"
    r"servicio|relación|suma|cantidad|dinero|parte|acuerdo|gravamen|beneficio|tiempo|lugar|que|asignación|obligación)",
    re.IGNORECASE,
)
LONGEST_RULE = 420  # characters of a sentence that an order, a term or an exception is read from
SHORTEST_RULE = 30
LONGEST_CORE = 140  # characters of what somebody must or may do, so that a question can name it

Read = tuple[Span, list[Clause]]  # a sentence and its clauses


class Offence(NamedTuple):
    """``who`` does ``conduct`` is punished with ``consequence``, all its parts. ``prison`` and ``fine`` are set where
    the consequence is nothing else; ``others`` are the article's other sentences that punish, ``legal_person`` those of
    them on legal persons."""

    sentence: Span
    who: Span
    conduct: Span
    consequence: Span
    prison: Span | None
    fine: Span | None
    others: tuple[Span, ...]
    legal_person: tuple[Span, ...]


class Order(NamedTuple):
    """``who`` must, may or must not (``verb``) do ``what``, an infinitive with its objects; one main clause."""

    sentence: Span
    modality: Modality
    who: Span
    verb: Span
    what: Span
    conditional: bool


class Term(NamedTuple):
    """The one period that a sentence sets; ``period`` is "término de tres días hábiles"."""

    sentence: Span
    period: Span


class Definition(NamedTuple):
    sentence: Span
    term: Span


class Exemption(NamedTuple):
    """A rule with its one exception ("salvo que ..."); ``despite`` where nothing is excepted ("sin perjuicio de")."""

    sentence: Span
    clause: Span
    despite: bool


class Listing(NamedTuple):
    """What ``lead`` opens: the items of the body's first level, by label, without sublists."""

    lead: Span
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rules:
    """The rules of one article, and why sentences that looked like one gave none."""

    body: str
    offences: tuple[Offence, ...] = ()
    orders: tuple[Order, ...] = ()
    terms: tuple[Term, ...] = ()
    definitions: tuple[Definition, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    listings: tuple[Listing, ...] = ()
    refused: Counter[str] = field(default_factory=Counter)

    def text(self, span: Span | None) -> str:
        return of(self.body, span)

    def counts(self) -> Counter[str]:
        return Counter(
            offence=len(self.offences),
            order=len(self.orders),
            term=len(self.terms),
            definition=len(self.definitions),
            exception=len(self.exemptions),
            list=len(self.listings),
        )


def read_rules(article: Article) -> Rules:
    """The rules of an article in force; of one that is not, none."""
    refused: Counter[str] = Counter()
    if not article.in_force:
        return Rules(article.body)
    body = article.body
    spans = sentences(body)
    whole = [one for one in outside_list(article, spans) if not _is_struck(one, article, refused)]
    read = [(one, read_clauses(of(body, one))) for one in whole]
    return Rules(
        body,
        offences=tuple(_offences(body, spans, refused)),
        orders=tuple(_orders(body, read, refused)),
        terms=tuple(_terms(body, whole, refused)),
        definitions=tuple(_definitions(body, spans, whole, refused)),
        exemptions=tuple(_exemptions(body, read, refused)),
        listings=tuple(_listings(article, spans, refused)),
        refused=refused,
    )


def _is_struck(span: Span, article: Article, refused: Counter[str]) -> bool:
    struck = any(first < span[1] and span[0] < last for first, last in article.struck)
    refused["struck words"] += struck
    return struck


def outside_list(article: Article, spans: list[Span] | None = None) -> list[Span]:
    """The sentences of a body (``spans``) but for those of its list, which only the words that open it explain."""
    spans = sentences(article.body) if spans is None else spans
    if not article.numerals:
        return spans
    first, last = article.numerals[0], article.numerals[-1]
    start = article.body.find(first.text[:40])
    tail = (last.literals or (last,))[-1].text
    end = article.body.find(tail) + len(tail) if tail in article.body else len(article.body)
    return [one for one in spans if one[1] <= start or one[0] >= end]


def says_one_thing(sentence: str) -> bool:
    """Whether a sentence can be quoted alone: no list to come, nothing that only its neighbours explain."""
    return (
        len(sentence) >= SHORTEST_RULE
        and not sentence.rstrip().endswith((":", ";", ","))
        and not ITEM_MARK.match(sentence)
        and not LEANS.match(sentence)
        and not POINTS_OUTSIDE.search(sentence)
        and not re.search(r"\bpor\s+tal(?:es)?\b", sentence)
        and not re.search(r"\bsiguientes?\b", sentence[-40:])
        and (sentence[:1].isupper() or sentence[:1] in '«"')
    )


def _offences(body: str, spans: list[Span], refused: Counter[str]) -> Iterator[Offence]:
    """The base form: the first sentence of a body, as the code writes it. Later sentences are graver or lighter forms,
    or the legal person's."""
    if not spans or not (match := PUNISHED.match(of(body, spans[0]))):
        return
    if refused["struck words"]:
        refused["offence: struck words in the article"] += 1
        return
    if of(body, spans[0]).endswith((":", ";")) or re.search(r"\bsiguientes?\b", match["consequence"]):
        refused["offence: goes on in a list"] += 1
        return
    if POINTS_OUTSIDE.search(match["conduct"]):
        refused["offence: points outside the article"] += 1
        return
    at = spans[0][0]
    prison = fine = None
    # What the penalty does not prejudice is none of it; a condition on it ("si ...") is.
    text, start = SAVED.sub("", match["consequence"]), at + match.start("consequence")
    first = PRISON.match(text)
    rest = text[first.end() :] if first else text
    second = FINE.match(rest.removeprefix(" y ").removeprefix(" y una ")) if rest else None
    lead = len(rest) - len(rest.removeprefix(" y ").removeprefix(" y una "))
    if first and not rest.strip(" ."):
        prison = (start + first.start("time"), start + first.end("time"))
    elif second and not rest[lead + second.end() :].strip(" ."):
        offset = start + (first.end() if first else 0) + lead
        fine = (offset + second.start("amount"), offset + second.end("amount"))
        if first:
            prison = (start + first.start("time"), start + first.end("time"))
    others = tuple(one for one in spans[1:] if PENAL.search(of(body, one)))
    legal = tuple(one for one in others if LEGAL_PERSON.search(of(body, one)))
    who = match.span("who")
    conduct = (
        match.start("conduct") + len(match["conduct"]) - len(match["conduct"].lstrip(" ,")),
        match.end("conduct"),
    )
    yield Offence(
        spans[0],
        (at + who[0], at + who[1]),
        (at + conduct[0], at + conduct[1]),
        (start, start + len(text)),
        prison,
        fine,
        others,
        legal,
    )


INFINITIVE = re.compile(r"^(?:no\s+)?(?:\w+(?:ar|er|ir|ír)(?:se|l[aeo]s?)?)\b", re.IGNORECASE)
MODAL = re.compile(r"^(?:no\s+)?(?:podrá|podrán|deberá|deberán|puede|pueden|debe|deben)$", re.IGNORECASE)


def _orders(body: str, read: list[Read], refused: Counter[str]) -> Iterator[Order]:
    """Sentences with one main clause "who podrá / deberá / no podrá infinitive"."""
    for span, clauses in read:
        sentence = of(body, span)
        modal = [one for one in clauses if one.modality in (Modality.MUST, Modality.MAY, Modality.MUST_NOT)]
        if not modal:
            continue
        if len(clauses) != 1 or len(sentence) > LONGEST_RULE:
            refused["order: several clauses, or long"] += 1
            continue
        if not says_one_thing(sentence):
            refused["order: not to be understood alone"] += 1
            continue
        (clause,) = clauses
        subject = clause.who or (0, 0)
        end = subject[0] + len(ONLY.sub("", of(sentence, subject)))
        who, verb, what = (of(sentence, part) for part in ((subject[0], end), clause.verb, clause.what))
        if not who or len(who) > 90 or "," in who or not re.match(r"(?:El|La|Los|Las|Todo|Toda|Cualquier\w*)\s", who):
            refused["order: nobody named"] += 1
            continue
        if not ACTOR.match(who.split(maxsplit=1)[1]) or re.match(r"(?:no\s+)?ser\s", what):
            refused["order: of a thing, or done to it"] += 1
            continue
        if not MODAL.match(verb) or not INFINITIVE.match(what) or len(what) > LONGEST_CORE or re.search(r"[;:]", what):
            refused["order: no short act"] += 1
            continue
        at = span[0]
        yield Order(
            span,
            clause.modality,
            _shifted((subject[0], end), at),
            _shifted(clause.verb, at),
            _shifted(clause.what, at),
            bool(clause.conditions) or " habiendo " in what,
        )


def _shifted(span: Span, by: int) -> Span:
    return span[0] + by, span[1] + by


def _terms(body: str, whole: list[Span], refused: Counter[str]) -> Iterator[Term]:
    for span in whole:
        sentence = of(body, span)
        found = [match for match in TERM.finditer(sentence) if NUMBER_WORDS.search(match[0])]
        if not found:
            continue
        if len(found) > 1 or len(re.findall(rf"\b{_COUNT}\s+(?:años?|mes(?:es)?|días?|horas?)\b", sentence)) > 1:
            refused["term: several periods"] += 1
        elif PRISON.search(sentence) or len(sentence) > LONGEST_RULE or not says_one_thing(sentence):
            refused["term: not to be understood alone"] += 1
        else:
            yield Term(span, (span[0] + found[0].start(), span[0] + found[0].end()))


def _definitions(body: str, spans: list[Span], whole: list[Span], refused: Counter[str]) -> Iterator[Definition]:
    """The body's first sentence, where it says what a thing is; not where it only praises or counts it."""
    first = spans[:1]
    if not first or first[0] not in whole:
        return
    sentence = of(body, first[0])
    match = DEFINITION.match(sentence)
    if match is None:
        return
    group = "told" if match["told"] else "named"
    term = match[group].strip()
    if len(term) < 4 or NO_TERM.fullmatch(term.split()[0]) or len(sentence) < 40 or len(sentence) > 700:
        refused["definition: no term"] += 1
    elif not says_one_thing(sentence) or re.search(r"\b(?:artículo|inciso|numeral)\b", sentence):
        refused["definition: not to be understood alone"] += 1
    elif group == "named" and not GENUS.search(sentence[: match.end() + 40]):
        refused["definition: says of it, and not what it is"] += 1
    else:
        start, end = match.span(group)
        yield Definition(first[0], (first[0][0] + start, first[0][0] + end))


def _exemptions(body: str, read: list[Read], refused: Counter[str]) -> Iterator[Exemption]:
    for span, clauses in read:
        sentence = of(body, span)
        kinds = {one.span: one.kind for clause in clauses for one in clause.conditions}
        found = [one for one, kind in kinds.items() if kind in (ConditionKind.UNLESS, ConditionKind.DESPITE)]
        if not found:
            continue
        despite = kinds[found[0]] is ConditionKind.DESPITE
        found[0] = (found[0][0], found[0][0] + len(of(sentence, found[0]).split(";")[0]))
        words = of(sentence, found[0])
        if len(found) > 1 or len(sentence) > LONGEST_RULE or not says_one_thing(sentence):
            refused["exception: not to be understood alone"] += 1
        elif re.search(r"\ba\s+salvo\b", sentence) or len(words) < 15 or found[0][0] == 0:
            refused["exception: none, or it comes first"] += 1
        elif not despite and (EXCEPT_PART.match(words) or RULE_AFTER.search(words)):
            refused["exception: of a part of the rule, or followed by it"] += 1
        elif despite and not words.lower().startswith("sin perjuicio"):
            refused["exception: a concession"] += 1
        else:
            yield Exemption(span, (span[0] + found[0][0], span[0] + found[0][1]), despite)


def _listings(article: Article, spans: list[Span], refused: Counter[str]) -> Iterator[Listing]:
    items = [(item.label, item.text.strip()) for item in article.numerals]
    if len(items) < 2:
        return
    labels = [label for label, _ in items]
    lead = next((one for one in spans if of(article.body, one).endswith(":")), None)
    if lead is None or lead[0] != 0:
        refused["list: no words that open it"] += 1
    elif len(set(labels)) < len(labels) or labels != _in_order(labels):
        refused["list: two lists"] += 1
    elif any(item.literals for item in article.numerals) or any(text.endswith(":") for _, text in items):
        refused["list: lists in the list"] += 1
    elif article.struck:
        refused["list: struck words"] += 1
    elif any(ITEM_INSIDE.search(text) for _, text in items):
        refused["list: two items printed as one"] += 1
    elif any(len(text) < 4 for _, text in items):
        refused["list: an empty item"] += 1
    else:
        yield Listing(lead, tuple(items))


def _in_order(labels: list[str]) -> list[str]:
    if labels[0] == "1":
        return [str(number) for number in range(1, len(labels) + 1)]
    if labels[0] == "a":
        letters = "abcdefghijklmnopqrstuvwxyz"
        return list(letters[: len(labels)])
    return []
