"""Claims: what a sentence says about the law, held against the clause of the article that it is about.

    judged = judge("El hurto se castiga con uno a dos años.", [article])
    judged.verdict, judged.fault, judged.words      Verdict.CONTRADICTED, Fault.FIGURE, "uno a dos años"
    judged.against                                  the clause: "La persona que sin ejercer violencia, ... "

An article is read as clauses: its sentences, and each item of a list together with the words that open the list. A
figure belongs to the words around it: it holds only if the clause that these words are about has it, so that the fine
of the company is not the person's. The same holds for words that exclude each other (buyer and seller). Denial (no,
nunca, sin, nadie), duty, leave and ban (debe, puede, no puede), who acts on whom, "solo", "aunque", counts of a list,
quotations, and consequences are compared in the same clause. What a person says of her own case is no claim about the
law. Words are compared as stems, everyday ones with those of the laws by `SAME`.

It is reading by rule and not understanding: a false sentence made of the clause's own words in another order may pass.
What was measured stands in benchmarks/README.md.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import NamedTuple

from ..text import fold, one_line, words
from .citations import IndexedArticle, ordinal, roman
from .clauses import sentences
from .quantities import quantities
from .search import stem
from .slots import LISTED, PLACE, Slot, same_value, slots
from .wording import DENIES, STOP, VAGUE, concept, concepts, signs


class Verdict(str, Enum):  # noqa: UP042 - the extension also runs on Python 3.10
    """What a reader is told of a claim or a citation."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNSUPPORTED = "unsupported"
    NONEXISTENT = "nonexistent"
    REPEALED = "repealed"
    STRUCK = "struck"
    UNCLEAR = "unclear"
    UNCHECKABLE = "uncheckable"

    __str__ = str.__str__


class Fault(str, Enum):  # noqa: UP042
    """What is wrong with a claim. The values are stable: reports count by them."""

    EMPTY = "says nothing"
    QUOTE = "quote is not in the article"
    FIGURE = "number is not in the article"
    OTHER_CLAUSE = "number belongs to another clause"
    RANGE_END = "gives one end of a range as the whole"
    TERM = "mistakes plazo and término"
    WORKING_DAYS = "mistakes days and working days"
    COUNT = "counts another number of items"
    STRUCTURE = "names another title, book or chapter"
    NEGATION = "denies what the article says, or says what it denies"
    MODALITY = "mistakes duty, leave and ban"
    WHO = "gives the act to somebody else"
    OPPOSITE = "says the opposite word"
    ONLY = "says only, where the article names more"
    ALTHOUGH = "drops a condition of the article"
    INSTITUTION = "names an institution that the article does not"
    CONSEQUENCE = "names a consequence that the article does not"
    ELSEWHERE = "is about something that the article does not treat"
    STRUCK = "is said in words that were declared unconstitutional"

    __str__ = str.__str__


class Judgment(NamedTuple):
    """``words`` are the claim's own that decided, ``law_words`` the article's; ``against`` is the clause."""

    verdict: Verdict
    fault: Fault | None = None
    words: str = ""
    law_words: str = ""
    article: IndexedArticle | None = None
    against: str = ""
    part: str = ""
    fit: float = 0.0


# The clauses of an article


@dataclass(frozen=True)
class Part:
    """One clause: its own text, the words that open its list, and what they are compared by."""

    text: str
    lead: str
    label: str
    flat: str
    slots: tuple[Slot, ...]
    concepts: frozenset[str]
    own: frozenset[str]
    signs: dict[str, set[bool]]

    @property
    def whole(self) -> str:
        return f"{self.lead} {self.text}".strip()

    @cached_property
    def low(self) -> str:
        """``whole`` folded; ``low_text`` is the clause's own text."""
        return fold(self.whole)

    @cached_property
    def low_text(self) -> str:
        return fold(self.text)


_ITEM = re.compile(r"^\s*(?:(?P<number>\d{1,2})(?:[ao]?\.?-|[ao]?\.|\))|(?P<letter>[a-zñ])[.)])\s*")
_SAME_PENALTY = re.compile(
    r"\b(?:misma|mismas|igual|iguales)\s+(?:penas?|sanci[oó]n|sanciones|multas?|efecto)", re.IGNORECASE
)


@lru_cache(maxsize=512)
def parts_of(article: IndexedArticle) -> tuple[Part, ...]:
    """The clauses of an article in reading order."""
    found: list[Part] = []
    lead, numeral, label = "", "", ""
    before = ""
    for line in article.body.split("\n"):
        if not line.strip():
            continue
        item = _ITEM.match(line)
        if item is None:
            numeral = label = ""
            told = [line[first:last] for first, last in sentences(line)]
            for one in told:
                inherits = before if _SAME_PENALTY.search(one) else ""
                found.append(_part(one, inherits, ""))
                before = one
            lead = told[-1] if told and told[-1].rstrip().endswith((":", ",")) else ""
            continue
        text = line[item.end() :]
        if item["number"]:
            label, numeral = item["number"], text
            opening = lead
        else:
            base = label.partition(".")[0]
            label = f"{base}.{item['letter']}" if base.isdigit() else item["letter"]
            opening = f"{lead} {numeral}".strip() if base.isdigit() else lead
        told = [text[first:last] for first, last in sentences(text)] or [text]
        for place, one in enumerate(told):
            found.append(_part(one, f"{opening} {told[0] if place else ''}".strip(), label))
            before = f"{opening} {one}"
    return tuple(found)


def _part(text: str, lead: str, label: str) -> Part:
    flat, own = slots(text)
    _, above = slots(lead) if lead else ("", ())
    return Part(
        one_line(text),
        one_line(lead),
        label,
        flat,
        (*own, *above),
        frozenset(concepts(f"{lead} {text}")),
        frozenset(concepts(text)),
        signs(f"{lead} {text}"),
    )


# Holding a claim against an article

_QUOTE = re.compile(r"«([^«»]{12,})»|“([^“”]{12,})”|\"([^\"\n]{12,})\"|‘([^‘’]{12,})’")
_ELLIPSIS = re.compile(r"[\[(]?(?:…|\.{3})[\])]?")
_FACTS = re.compile(
    r"^(?:si\s+|como\s+|cuando\s+)?(?:a\s+)?(?:usted|ud|ustedes|yo|mi|mis|me|nos|nuestr[oa]s?|su|sus|tu|te|vos)\b"
)
_THEREFORE = re.compile(r",?\s+(?:asi que|por eso|por lo tanto|por tanto|entonces|de modo que|por ello|luego)\b")
_HAPPENED = re.compile(r"\b[Nn]o\s+(?:se\s+|le\s+|lo\s+|la\s+)?\w+(?:ó|aron|ieron|aste|iste)\b")
_NOT_BUT = re.compile(
    r"\bno\s+[^.;:]{0,60}?(?=\bsino\b)|\bno\s+(?:es|son|era|eran|fue|se\s+trata)\s+(?:de\s+)?[^.;:]{0,40}?(?=[:;])"
)
_ONLY = re.compile(
    r"(?<!uno )(?<!una )(?<!si )(?<!un )\b(?:solo|sola|solos|solas)\b(?! [ouy] )"
    r"|\b(?:solamente|unicamente|exclusivamente|unic[oa])\b"
)
_ALTHOUGH = re.compile(r"(?<!aun )(?<!\w)(?:aunque|a pesar de|pese a|aun cuando|incluso si|incluso cuando)\b([^,.;:]*)")
_CONDITIONED = re.compile(
    r"\b(?:siempre\s+(?:y\s+cuando|que)|si\b|cuando\b|salvo|excepto|sin\b|mientras|en\s+caso|a\s+menos|previ[oa]\b|no\b"
    r"|a\s+pedido|a\s+peticion)"
)
_EVEN = re.compile(r"\b(?:aun|aunque|incluso|inclusive|a\s+pesar)\b")
_PENAL = """
    multa, multas; destitucion; reclusion mayor; arresto; inhabilitacion, inhabilitado, inhabilitada,
    inhabilitados, inhabilitadas; clausura, clausuran; comiso, decomiso;
    trabajo comunitario, servicio comunitario; cadena perpetua; pena de muerte; amonestacion; expulsion; disolucion;
    perdida de la nacionalidad; caducidad; nulidad, nulo, nula; extincion; destierro; confiscacion; embargo
"""
_PENALTIES = [[one.strip() for one in group.split(",")] for group in _PENAL.split(";") if group.strip()]
_OPPOSITES = """
    gratuito oneroso; obligatorio facultativo; absoluta relativa; licito ilicito; maximo minimo; eficaz ineficaz;
    tacito expreso; siempre nunca; renunciable irrenunciable; doble triple; aumentar reducir; permitir prohibido;
    regla excepcional; solidaria mancomunada; dentro despues; permitir castiga
"""
_OPPOSITE = [tuple(pair.split()) for pair in _OPPOSITES.split(";") if pair.strip()]
_MUST = re.compile(
    r"\b(?:deberan?|deben?|obligad[oa]s?\s+a|obligatori[oa]s?|tienen?\s+que|tendran?\s+que|hay\s+que|habra\s+de|obligacion)\b"
)
_MAY = re.compile(r"\b(?:podran?|pueden?|facultad|facultativ[oa]s?|permite|permitid[oa]s?|si\s+quiere)\b")
_BAN = re.compile(
    r"\b(?:no|nunca|tampoco|nadie|ningun\s+\w+)\s+(?:se\s+)?(?:les?\s+|lo\s+|la\s+)?(?:podran?|pueden?|deberan?|deben?)\b|\bprohib\w+"
    r"|\ben\s+ningun\s+caso\b[^.;:,]{0,70}?\b(?:podran?|pueden?|debera?n?)\b"
)
_BOUND = re.compile(  # "no podrá exceder de": a limit, not a ban
    r"\bno\s+(?:se\s+)?(?:podran?|pueden?|deberan?|deben?)\s+(?:ser\s+(?:mayor|menor|superior|inferior)|exced|pasar|bajar|durar)\w*"
)
_FREE = re.compile(
    r"\bno\s+(?:esta\w*\s+obligad|sera?\s+obligad|requerira|requiere|es\s+necesari|sera\s+necesari|tiene\s+que|sera\s+indispensable|hace\s+falta|necesita)"
)
_GIVEN_TO = re.compile(
    r"\b(correspond\w+|compet\w+|incumb\w+|ante|facultad\s+exclusiva|atribucion\w*)\s+(?:al?\s+|del?\s+)?"
    r"(?:el\s+|la\s+|los\s+|las\s+|un\s+|una\s+)?([a-zñ]{4,})"
)
_ACTORS = """
    empleador empleadora patrono; trabajador trabajadora; juez jueza juzgador juzgadora; fiscal; presidente presidenta
    asamblea; vendedor; comprador; mandante; mandatario; acreedor; deudor; hijo hija hijos; padre madre padres; conyuge
    heredero herederos; pupilo; tutor curador; victima; testador; arrendador; arrendatario; notario;
    defensoria; policia; ministro ministra
    ministerio; conductor; peaton; ciclista; usuario; propietario; procesado procesada; testigo; consejo; corte
    vicepresidente vicepresidenta vicepresidencia; accionante; accionado; fiscalia; mujer; hombre; tercero; sindicato
    reglamento
"""
_ACTOR = {word: group.split()[0] for group in re.split(r"[;\n]", _ACTORS.strip()) for word in group.split()}
_HEADS = re.compile(
    r"\b(?:Corte|Consejo|Asamblea|Ministerio|Función|Defensoría|Fiscalía|Tribunal|Registro|Dirección|Agencia|"
    r"Contraloría|Superintendencia|Procuraduría|Servicio|Instituto|Policía|Banco)"
    r"(?:\s+(?:(?:de|del|la|las|los|el|y|para)\s+)*[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+)+"
)


def judge(claim: str, articles: Sequence[IndexedArticle], *, question: str = "", part: str = "") -> Judgment:
    """Hold one claim, its citations taken away, against the articles it rests on.

    With several articles, it holds if one of those it is about has it. ``question``: what was asked, whose figures and
    facts are the asker's. ``part``: the item of the one article that is cited ("7", "7.a"); what another item says
    instead is a fault.
    """
    judged = [_against(claim, article, question, part if len(articles) == 1 else "") for article in articles]
    if not judged:
        return Judgment(Verdict.UNCLEAR)
    most = max(one.fit for one in judged)
    about = [one for one in judged if one.fit >= 0.75 * most]
    told = set(concepts(claim))
    titled = [one for one in about if one.article and (title := set(concepts(one.article.rubric))) and title <= told]
    about = titled or about
    order = list(_GRAVITY)
    return min(about, key=lambda one: (order.index(one.verdict), -one.fit))


_GRAVITY = (
    Verdict.SUPPORTED,
    Verdict.STRUCK,
    Verdict.CONTRADICTED,
    Verdict.REPEALED,
    Verdict.UNSUPPORTED,
    Verdict.UNCLEAR,
)


def _against(claim: str, article: IndexedArticle, question: str, cited: str) -> Judgment:
    parts = parts_of(article)
    quotes = [next(group for group in match.groups() if group) for match in _QUOTE.finditer(claim)]
    text = f"{article.rubric}. {article.body} {article.path}"
    row = f" {' '.join(words(text))} "
    for quote in quotes:
        if not quoted(quote, row):
            return Judgment(Verdict.CONTRADICTED, Fault.QUOTE, quote, "", article, _nearest(quote, parts), "", 1.0)
    said = _QUOTE.sub(" ", claim)
    told = concepts(said)
    if not set(told) - VAGUE and not quotes and not slots(said)[1]:
        return Judgment(Verdict.UNSUPPORTED, Fault.EMPTY, one_line(claim), "", article, "", "", 0.0)
    if not told or (quotes and len(told) < 3):
        return Judgment(Verdict.SUPPORTED, None, "", "", article, _nearest(quotes[0], parts) if quotes else "", "", 1.0)
    if not parts:
        return Judgment(Verdict.UNCLEAR, None, "", "", article)
    reading = _Reading(said, question, article, parts, cited)
    fault = reading.fault()
    best = reading.best
    if fault is not None and not (quotes and fault[0] is Fault.ELSEWHERE):  # a true quotation is about the article
        kind, claimed, law = fault
        verdict = Verdict.UNSUPPORTED if kind in (Fault.ELSEWHERE, Fault.EMPTY) else Verdict.CONTRADICTED
        return Judgment(verdict, kind, claimed, law, article, best.whole, best.label, reading.fit)
    if article.struck and (words_ := struck_words(said, article)):
        return Judgment(Verdict.STRUCK, Fault.STRUCK, words_, "", article, best.whole, best.label, reading.fit)
    return Judgment(Verdict.SUPPORTED, None, "", "", article, best.whole, best.label, reading.fit)


def _nearest(quote: str, parts: Sequence[Part]) -> str:
    sought = set(concepts(quote))
    return max(parts, key=lambda part: len(sought & part.concepts)).whole if parts else ""


def quoted(quote: str, row: str) -> bool:
    """Whether a row of words holds a quote: the pieces between its ellipses, in this order."""
    at = 0
    for piece in filter(None, map(words, _ELLIPSIS.split(quote))):
        found = row.find(f" {' '.join(piece)} ", at)
        if found < 0:
            return False
        at = found + len(" ".join(piece)) + 1
    return True


_ASKS = re.compile(
    r"^(?:por\s+(?:lo\s+expuesto|lo\s+tanto|tanto|eso)|en\s+consecuencia|con\s+(?:estos|tales)\s+antecedentes)?,?\s*"
    r"(?:(?:yo|le|les|nosotr[oa]s)\s+)?"
    r"(?:pido|pedimos|solicit(?:o|amos)|ruego|rogamos|demand(?:o|amos)|exij(?:o|amos)|exigimos|requerimos|requiero"
    r"|interpon(?:go|emos)|present(?:o|amos)|compare(?:zco|cemos)|impugn(?:o|amos)|apel(?:o|amos)|adjunt(?:o|amos)"
    r"|acompañ(?:o|amos)|acud(?:o|imos)|autoriz(?:o|amos)|design(?:o|amos)|sirvase)\b"
)
_PAST = re.compile(r"\b(?!será|está|podrá|deberá|habrá)\w{2,}(?:ó|aron|ieron|aba|aban)\b")


def tells_a_case(said: str) -> bool:
    """Whether a sentence without citation tells what happened to somebody, or asks for it, which no law can say."""
    flat = fold(said).strip()
    return (
        bool(_ASKS.match(flat))
        or bool(_PAST.search(said))
        or bool(_FACTS.match(flat) and not (_MUST.search(flat) or _MAY.search(flat)))
    )


def struck_words(said: str, article: IndexedArticle) -> str:
    """The struck words that a claim repeats: the figure, or most of the words, of a struck passage and of no other."""
    left = list(article.body)
    for first, last in article.struck:
        left[first:last] = " " * (last - first)
    rest = set(concepts("".join(left)))
    told = set(concepts(said))
    _, mine = slots(said)
    for first, last in article.struck:
        passage = article.body[first:last]
        gone = set(concepts(passage)) - rest
        _, theirs = slots(passage)
        _, others = slots("".join(left))
        values = {slot.value for slot in theirs} - {slot.value for slot in others}
        if any(slot.value in values for slot in mine) or (len(gone) >= 2 and len(gone & told) >= 0.6 * len(gone)):
            return one_line(passage)
    return ""


class _Reading:
    """One claim beside one article; ``cited`` is the item it names ("7", "7.a", or "")."""

    def __init__(self, said: str, question: str, article: IndexedArticle, parts: Sequence[Part], cited: str) -> None:
        self.said, self.article, self.parts, self.cited = said, article, parts, cited
        self.flat, found = slots(said)
        self.asked = {slot.value for slot in slots(question)[1]} if question else set()
        self.facts = _fact_ranges(self.flat)
        self.slots = [slot for slot in found if not any(first <= slot.start < last for first, last in self.facts)]
        law = self.flat
        for first, last in self.facts:
            law = law[:first] + " " * (last - first) + law[last:]
        self.law = law
        self.told = frozenset(concepts(law)) - VAGUE or frozenset(concepts(self.flat))
        told = _HAPPENED.sub(" ", said) if _HAPPENED.search(said) and not self.facts else law
        self.signs = signs(_NOT_BUT.sub(" ", told))
        df: dict[str, int] = {}
        for part in parts:
            for one in part.concepts:
                df[one] = df.get(one, 0) + 1
        rubric = frozenset(concepts(f"{article.rubric} {article.path.rpartition(' > ')[2]}"))
        title = frozenset(concepts(article.rubric))  # what all clauses are about tells none of them apart
        self.idf = {one: 0.1 if one in title else 0.3 + math.log(1 + len(parts) / count) for one, count in df.items()}
        here = frozenset().union(*(part.concepts for part in parts)) | rubric
        self.missing = [one for one in self.told if one not in here]
        self.fit = 1 - len(self.missing) / max(1, len(self.told))
        self.scores = [self._score(part) for part in parts]
        self.score = max(self.scores)
        self.best = parts[self.scores.index(self.score)]

    def _weight(self, shared: Iterable[str]) -> float:
        return sum(self.idf.get(one, 0.0) for one in shared)

    def _score(self, part: Part) -> float:
        own = sum(1.5 for slot in self.slots if any(same_value(slot, other) for other in part.slots))
        size = 0.15 * math.log(1 + len(part.concepts))
        return self._weight(self.told & part.concepts) + 0.5 * self._weight(self.told & part.own) + own - size

    def _about(self, share: float) -> list[Part]:
        """The clauses that fit the claim at least ``share`` as well as the best one."""
        pairs = zip(self.parts, self.scores, strict=True)
        return [part for part, score in pairs if score >= share * self.score]

    def fault(self) -> tuple[Fault, str, str] | None:
        for check in (
            self._figures,
            self._counts,
            self._structure,
            self._absolute,
            self._negation,
            self._modality,
            self._who,
            self._stranger,
            self._opposites,
            self._only,
            self._although,
            self._institution,
            self._consequence,
            self._elsewhere,
            self._other_item,
        ):
            if (found := check()) is not None:
                return found
        return None

    def _words(self, slot: Slot) -> str:
        return self.flat[slot.start : slot.end].strip()

    def _figures(self) -> tuple[Fault, str, str] | None:
        corrected = [match.span() for match in _NOT_BUT.finditer(self.law)]
        for slot in self.slots:
            if slot.kind.startswith("count"):
                continue
            if slot.value in self.asked or any(first <= slot.start < last for first, last in corrected):
                continue
            alike = [(other, part) for part in self.parts for other in part.slots if other.kind == slot.kind]
            equal = [(other, part) for other, part in alike if same_value(slot, other)]
            if not equal:
                if self._without_unit(slot):
                    continue
                if (end := self._range_end(slot, alike)) is not None:
                    if end:
                        return Fault.RANGE_END, self._words(slot), end
                    continue
                if slot.kind.startswith("rival"):
                    others = [one for one in alike if self._beside(slot, *one) >= 1.0]
                    if others:
                        return Fault.OPPOSITE, self._words(slot), ""
                    continue
                if slot.kind == "time" and self._within(slot):
                    continue
                if self._both_ends(slot) or self._reckoned(slot) or self._result(slot) or self._in_title(slot):
                    continue
                if slot.kind == "ratio" and slot.value == (0.5,) and "iguales" in fold(self.article.body):
                    continue
                if slot.kind == "day" and not alike:
                    continue
                return Fault.FIGURE, self._words(slot), ""
            fitting = max(equal, key=lambda one: self._beside(slot, *one))
            others = [
                one
                for one in alike
                if len(one[0].value) == len(slot.value)
                and not same_value(slot, one[0])
                and not any(self._rather(mine, slot, one) for mine in self.slots)
            ]
            if others and slot.near and not self._in_order():
                other = max(others, key=lambda one: self._beside(slot, *one))
                gain = self._beside(slot, *other) - self._beside(slot, *fitting)
                if gain > (MARGIN_WITHIN if other[1] is fitting[1] else MARGIN):
                    return Fault.OTHER_CLAUSE, self._words(slot), ""
            if slot.term and fitting[0].term and fitting[0].term != slot.term:
                return Fault.TERM, f"{slot.term} {self._words(slot)}", ""
            if slot.kind == "time" and slot.value[0] == "d":
                if slot.working and not any(one.working or one.term == "término" for one, _ in equal):
                    return Fault.WORKING_DAYS, self._words(slot), ""
                if fitting[0].working and not slot.working and slot.term != "término":
                    return Fault.WORKING_DAYS, self._words(slot), ""
        return None

    def _in_order(self) -> bool:
        """Whether the claim's figures, two or more, stand in the article one right after the other as in the claim."""
        mine = [slot for slot in self.slots if not slot.kind.startswith(("rival", "count"))]
        theirs = [slot for slot in slots(self.article.body)[1] if not slot.kind.startswith(("rival", "count"))]
        windows = (theirs[at : at + len(mine)] for at in range(len(theirs) - len(mine) + 1))
        return len(mine) > 1 and any(all(map(same_value, mine, window)) for window in windows)

    def _without_unit(self, slot: Slot) -> bool:
        """Whether the law has the number and leaves the unit to be understood: "no exceda de cuatro en un día"."""
        raw = {one.low for one in quantities(self.flat[slot.start : slot.end])}
        return any(other.kind == "count" and other.value[0] in raw for part in self.parts for other in part.slots)

    def _both_ends(self, slot: Slot) -> bool:
        """Whether a range's ends stand one by one in a clause: "por lo menos el 5 % y cuando más el 15 %"."""
        size = len(slot.value) // 2
        if len(slot.value) != (4 if slot.kind == "time" else 2) or slot.kind in ("clock", "day"):
            return False
        ends = {slot.value[:size], slot.value[size:]}
        return any(ends <= {one.value for one in part.slots if one.kind == slot.kind} for part in self.parts)

    def _reckoned(self, slot: Slot) -> bool:
        """Whether a figure may be reckoned from the person's own: her years of work and a month for each."""
        facts = self.flat[self.facts[0][0] : self.facts[0][1]] if self.facts else ""
        return slot.kind in ("time", "dólares", "sbu") and any(
            one.kind in ("time", "dólares") for one in slots(facts)[1]
        )

    def _result(self, slot: Slot) -> bool:
        """Whether a figure is the outcome of the asker's own figures: "con ocho años son tres días más"."""
        return bool(self.asked) and bool(_OUTCOME.search(self.flat[: slot.start]))

    def _in_title(self, slot: Slot) -> bool:
        """Whether it is the class or grade that the article's rubric names."""
        return f" {self._words(slot)} " in f" {fold(self.article.rubric)} "

    def _within(self, slot: Slot) -> bool:
        """Whether a figure is a fact that falls between two bounds of a clause: "un trabajador de diecisiete años"."""
        for match in _BETWEEN_AGES.finditer(fold(self.article.body, keep_ñ=True)):
            ages = [one.low for word in match.groups() for one in quantities(f"{word} años")]
            if len(ages) == 2 and slot.value[0] == "m" and ages[0] * 12 < float(str(slot.value[1])) < ages[1] * 12:
                return True
        return False

    def _rather(self, mine: Slot, slot: Slot, other: tuple[Slot, Part]) -> bool:
        """Whether a place in the law is another figure's of the claim, not this one's."""
        return (
            mine is not slot and same_value(mine, other[0]) and self._beside(mine, *other) >= self._beside(slot, *other)
        )

    def _range_end(self, slot: Slot, alike: Sequence[tuple[Slot, Part]]) -> str | None:
        """ "" when the figure is an end of a range told as an end; the range where it is told as the whole."""
        size = 2 if slot.kind == "time" else 1
        if len(slot.value) != size:
            return None
        ends = [other for other, _ in alike if len(other.value) == 2 * size]
        low = [other for other in ends if other.value[:size] == slot.value]
        high = [other for other in ends if other.value[size:] == slot.value]
        if (low and slot.bound == "min") or (high and slot.bound == "max"):
            return ""
        if low or high:
            return "rango"
        return None

    def _beside(self, slot: Slot, other: Slot, part: Part) -> float:
        near = 1.5 * self._weight(slot.near & other.near) + 0.7 * self._weight(slot.wide & other.wide)
        here, rest = self.told & slot.wide, self.told - slot.wide
        around = self._weight(here & part.concepts) + 0.5 * self._weight(here & part.own)
        around += 0.3 * self._weight(rest & part.concepts)
        same = sum(
            1.5
            for mine in self.slots
            if mine is not slot and any(same_value(mine, one) for one in part.slots if one is not other)
        )
        return near + around + same - 0.04 * len(part.own - self.told)

    def _counts(self) -> tuple[Fault, str, str] | None:
        for slot in self.slots:
            if not slot.kind.startswith("count") or slot.value in self.asked:
                continue
            noun = slot.kind.partition(" ")[2]
            if noun not in LISTED and _BOTH.search(self.flat[: slot.end]):
                continue
            if self._result(slot):
                continue
            value = slot.value[0]
            raw = (value, slot.value[1] if len(slot.value) > 1 else None)
            everywhere = [other for part in self.parts for other in part.slots if other.kind.startswith("count")]
            same_noun = [other for other in everywhere if other.kind == slot.kind and noun]
            if any(other.value == slot.value for other in same_noun):
                continue
            if same_noun:
                return Fault.COUNT, self._words(slot), ""
            heads = [
                part for part in self.parts if part.lead.rstrip().endswith(":") and noun in map(stem, words(part.lead))
            ]
            if heads:
                labels = {part.label for part in heads if part.label and "." not in part.label}
                if value == len(labels):
                    continue
                if len(labels) > 1:
                    return Fault.COUNT, self._words(slot), ""
            if noun in LISTED or heads:
                sizes = {len(self.article.items), *_listed(self.article)}
                if value not in sizes and any(size > 1 for size in sizes):
                    return Fault.COUNT, self._words(slot), ""
                continue
            if any(other.value[0] == value for part in self.parts for other in part.slots):
                continue
            if not noun and any((one.low, one.high) == raw for one in quantities(self.article.body)):
                continue  # its unit stands in another sentence
            if isinstance(value, float) and value <= 1:
                continue
            sizes = {len(self.article.items), *_listed(self.article)}
            if value in sizes:
                continue
            return Fault.FIGURE, self._words(slot), ""
        return None

    def _structure(self) -> tuple[Fault, str, str] | None:
        path = fold(f"{self.article.path}\n{self.article.body}", keep_ñ=False)
        for match in PLACE.finditer(self.flat):
            value = _placed(match[2])
            if value is None:
                continue
            stated = [_placed(one[2]) for one in PLACE.finditer(path) if one[1] == match[1]]
            if stated and value not in stated:
                return Fault.STRUCTURE, match[0], ""
        return None

    def _negation(self) -> tuple[Fault, str, str] | None:
        if _NOT_WITHOUT.search(self.law):
            return None
        near = self._about(0.8)
        denies = any(False in one for one in self.signs.values())
        guards = (_ONLY, _BAN, _FREE, _EXCEPT, _LACKS)
        guarded = any(pattern.search(self.law) for pattern in guards)
        conditions = {one for match in _IF.finditer(self.law) for one in concepts(match[0])}
        for one, mine in self.signs.items():
            if len(mine) != 1:
                continue
            here = [self.best] if one in self.best.signs else [part for part in near if one in part.signs]
            if mine == {False}:
                if one in conditions:
                    continue
                beside = self._about(0.5)
                if not here or any(False in part.signs.get(one, ()) for part in beside):
                    continue
                if _BAN.search(self.law) and any(_BAN.search(part.low) for part in beside):
                    continue
                other = any(
                    len(_excepted(part) & self.told) > 1 or _ONLY.search(part.low) or self._denied_otherwise(one, part)
                    for part in here
                )
                if not other and not any(_denied_before(part, one) for part in here):
                    return Fault.NEGATION, one, ""
            elif (
                here
                and all(part.signs[one] == {False} for part in here)
                and not any(True in part.signs.get(one, ()) for part in near)
                and not guarded
                and not _denied_within(self.law, one, NEAR)
                and self._same_denials(here)
            ):
                return Fault.NEGATION, one, ""
        if denies or guarded:
            return None
        for part in self._about(0.5):
            excepted = _excepted(part)
            if not excepted or self._tells_exception(part):
                continue
            others = set(concepts(_EXCEPTED.sub(" ", part.low)))
            others = others.union(*(other.concepts for other in self.parts if other is not part))
            told = {one for one in excepted - others if one in self.told}
            if told:
                return Fault.NEGATION, " ".join(sorted(told)), ""
        return None

    def _other_item(self) -> tuple[Fault, str, str] | None:
        """Another item of the list than the one cited, which says clearly less of the claim."""
        cited, label = f"{self.cited}.", self.best.label
        if not self.cited or not label or f"{label}.".startswith(cited) or cited.startswith(f"{label}."):
            return None
        pairs = zip(self.parts, self.scores, strict=True)
        own = [(part, score) for part, score in pairs if f"{part.label}.".startswith(cited)]
        if not own or self.score - max(score for _, score in own) <= OTHER_ITEM:
            return None
        said_there = frozenset().union(*(part.own for part, _ in own))
        if self._weight(self.told & self.best.own) > 2 * self._weight(self.told & said_there):
            return Fault.OTHER_CLAUSE, self._name_of(self.cited), self._name_of(label)
        return None

    @staticmethod
    def _name_of(label: str) -> str:
        return f"numeral {label}" if label[0].isdigit() else f"literal {label})"

    def _absolute(self) -> tuple[Fault, str, str] | None:
        """ "En ningún caso, ni siquiera por alimentos", where the clause excepts just that."""
        match = _ABSOLUTE.search(self.law)
        if match is None or _EXCEPT.search(self.law):
            return None
        for part in self._about(0.8):
            if told := _excepted(part) & self.told:
                return Fault.NEGATION, match[0], " ".join(sorted(told))
        return None

    def _tells_exception(self, part: Part) -> bool:
        """Whether the claim has a figure that the exception itself sets."""
        mine = [slot for slot in self.slots if not slot.kind.startswith("rival")]
        theirs = [slot for match in _EXCEPTED.finditer(part.low_text) for slot in slots(match[1])[1]]
        return any(same_value(one, other) for one in mine for other in theirs)

    def _denied_otherwise(self, one: str, part: Part) -> bool:
        """Whether a clause denies in other words what the claim denies of a concept: the same beside the denial."""
        mine = [phrase for phrase in _denied_phrases(self.law) if one in phrase]
        theirs = [phrase for phrase in _denied_phrases(part.whole) if one not in phrase]
        return any(len(phrase & other) >= min(2, len(phrase) - 1) > 0 for phrase in mine for other in theirs)

    def _same_denials(self, here: Sequence[Part]) -> bool:
        """Whether these clauses deny each concept that the claim denies, so that none stands for another."""
        denied = [one for one, mine in self.signs.items() if False in mine]
        return all(any(False in part.signs.get(one, ()) for part in here) for one in denied)

    def _stranger(self) -> tuple[Fault, str, str] | None:
        law = self.best.low
        for match in _GIVEN_TO.finditer(self.law):
            actor = concept(match[2])
            if actor in self.missing and re.search(rf"\b{match[1][:6]}", law) and not actor.isdigit():
                return Fault.WHO, match[2], ""
        return None

    def _modality(self) -> tuple[Fault, str, str] | None:
        mine, theirs = _modal(self.law), _modal(self.best.low)
        if _AT_WILL.search(self.law) and theirs is None and _FUTURE.search(self.best.text):
            return Fault.MODALITY, "may", "must"
        if mine is None or theirs is None or mine == theirs:
            return None
        if any(_modal(part.low) == mine for part in self._about(0.5) if part is not self.best):
            return None
        pair = {mine, theirs}
        if pair == {"must", "may"} and mine == "may" and re.search(r"\bo\b", f"{self.law} {self.best.low}"):
            return None  # who may choose between two ways must still take one
        if pair == {"ban", "may"} and _ALONE.search(self.best.low):
            return None  # "nadie podrá reclamar, sino el marido"
        clashes = ({"ban", "may"}, {"ban", "must"}, {"must", "free"}, {"must", "may"})
        if pair in clashes and _after_modal(self.law) & _after_modal(self.best.low):
            return Fault.MODALITY, mine, theirs
        return None

    def _who(self) -> tuple[Fault, str, str] | None:
        mine = _roles(self.law)
        theirs = _roles(fold(self.best.text))
        subject = [actor for actor, role in mine if role == "S"][:1]
        subjects = {actor for actor, role in theirs if role == "S"}
        objects = {actor for actor, role in theirs if role != "S"}
        if subject and subjects and subject[0] not in subjects and subject[0] in objects:
            others = {actor for actor, role in mine if role != "S"}
            if others & subjects or len(subjects) == 1:
                return Fault.WHO, subject[0], ", ".join(sorted(subjects))
        return None

    def _opposites(self) -> tuple[Fault, str, str] | None:
        if any(False in one for one in self.signs.values()):
            return None
        for first, second in _OPPOSITE:
            one, other = concept(first), concept(second)
            for mine, theirs in ((one, other), (other, one)):
                if self.signs.get(mine) == {True} and theirs not in self.signs:
                    there = {sign for part in self.parts for sign in part.signs.get(theirs, ())}
                    if there == {True} and mine in self.missing:
                        return Fault.OPPOSITE, mine, theirs
        return None

    def _only(self) -> tuple[Fault, str, str] | None:
        """ "Solo el empleador", where the clause names others beside him or her, and does not say "solo" itself."""
        match = _ONLY.search(self.law)
        if (
            match is None
            or _EXCEPT.search(self.law)
            or re.search(r"\bno\s+(?:solo|solamente|unicamente)\b|\b(?:una|un|la|el|es|si)\s+sol[oa]\b", self.law)
        ):
            return None
        after = self.law[match.end() :]
        if _ONLY_WHEN.match(after):
            return None
        beside = re.split(r"[,;:.()]|\b(?:que|si|cuando|mientras)\b", after)[0].split()[:8]
        restricted = set(concepts(" ".join(beside)))
        close = [part for part in self._about(0.6) if restricted & part.concepts]
        if any(_ALONE.search(part.low) and not re.search(r"\bno\s+solo\b", part.low) for part in close):
            return None
        near = [part for part in close if part in self._about(0.8)]
        every = any(_EVERYBODY.search(part.low) for part in self._about(0.8))
        if (
            not restricted
            or every
            or any(part.label or _names_more(part.low, restricted) for part in near)
            or self._lists()
        ):
            return Fault.ONLY, match[0], ""
        return None

    def _lists(self) -> bool:
        """Whether the clauses that fit are items of one list."""
        return sum(bool(part.label) for part in self._about(0.5)) > 1

    def _although(self) -> tuple[Fault, str, str] | None:
        for match in _ALTHOUGH.finditer(self.law):
            dropped = set(concepts(match[1]))
            for part in self.parts:
                text = part.low
                if not dropped & part.concepts or _EVEN.search(text):
                    continue
                conditions = (
                    text[one.start() : one.end() + 80]
                    for one in _CONDITIONED.finditer(text)
                    if not _ANYHOW.search(text[max(0, one.start() - 15) : one.end() + 12])
                )
                shared = set().union(*(dropped & set(concepts(condition)) for condition in conditions))
                rare = [one for one in shared if sum(one in other.concepts for other in self.parts) == 1]
                if len(shared) > 1 or rare:
                    return Fault.ALTHOUGH, match[0], ""
        return None

    def _institution(self) -> tuple[Fault, str, str] | None:
        here = fold(f"{self.article.rubric} {self.article.body}")
        named = [fold(match[0]) for match in _HEADS.finditer(self.article.body)]
        for match in _HEADS.finditer(self.said):
            name = fold(match[0])
            if name in here or re.sub(r"\s+", " ", name) in re.sub(r"\s+", " ", here):
                continue
            tail = [word for word in words(name)[1:] if word not in STOP]
            if tail and all(word in here for word in tail):
                continue
            if named:
                return Fault.INSTITUTION, match[0], named[0]
        return None

    def _consequence(self) -> tuple[Fault, str, str] | None:
        here = fold(f"{self.article.rubric} {self.article.body}")
        for group in _PENALTIES:
            told = [one for one in group if re.search(rf"\b{one}\b", self.law)]
            if told[:1] == ["multa"] and "sancion" in here:
                continue
            if told and not any(re.search(rf"\b{one}", here) for one in group) and concept(told[0]) in self.missing:
                return Fault.CONSEQUENCE, told[0], ""
        return None

    def _elsewhere(self) -> tuple[Fault, str, str] | None:
        figures = [slot for slot in self.slots if not slot.kind.startswith(("rival", "count"))]
        if any(same_value(slot, other) for slot in figures for other in self.best.slots):
            return None
        if len(self.told) >= 3 and self.fit < LEAST_FIT:
            return Fault.ELSEWHERE, " ".join(self.missing[:4]), ""
        return None


LEAST_FIT = 0.2
NEAR = 7  # words within which a denial may bear on a word that it does not stand next to
FAR = 20  # words over which a denial reaches in a list
OTHER_ITEM = 1.5  # by how much another item must fit a claim better than the one cited
MARGIN, MARGIN_WITHIN = 2.0, 0.6
"""By how much another place in the law must fit a figure better: another clause, another phrase of the same."""


_BETWEEN_AGES = re.compile(r"\bmayor\w*\s+(?:de|a)\s+(\w+)(?:\s+años)?\s+y\s+menor\w*\s+(?:de|a)\s+(\w+)")
_DENYING = re.compile(
    r"prohib|salvo|except|exclu|impid|falta|infring|incumpl|inobserv|omis|omit|neg[aoó]|nieg|rehus|rechaz"
)
_EXCEPT = re.compile(r"\b(?:salvo|excepto|exceptu\w+|excepcion|a menos|fuera de|exclu\w+)\b")
_EXCEPTED = re.compile(
    r"\b(?:excepto|salvo|exceptuan|exceptuanse|a excepcion de|con excepcion de|no comprende)\b([^.;\n]*)"
)
_AT_WILL = re.compile(r"\b(?:si\s+(?:asi\s+)?(?:lo\s+)?(?:quiere|desea|prefiere)|a\s+su\s+arbitrio|a\s+voluntad)\b")
# Looked for in a clause as printed: folded, "hará" could be any word in -ra.
_FUTURE = re.compile(r"\b\w{2,}r(?:á|án)\b")
_ALONE = re.compile(
    r"(?<!no )\b(?:sol[oa]s?|solamente|unicamente|exclusiv\w+|estricta\w+|unic[oa]|mer[oa]|sola?mente)\b"
    r"|\b(?:no|nadie|ningun\w*|nunca|sin)\b[^.;]*\b(?:sino|mas que|otr[oa]s?\b[^.;]*\bque)\b"
)
_ANYHOW = re.compile(r"\bsin\s+perjuicio\b|\b(?:en\s+particular|en\s+especial|incluso)\s+cuando\b")
_BOTH = re.compile(r"\b(?:l[oa]s|ningun[oa]\s+de\s+l[oa]s|cualquiera\s+de\s+l[oa]s|entre)\s+dos$")
_OUTCOME = re.compile(r"\b(?:son|eso\s+es|quedan?|faltan?|tocan?|serian?|debiendo)\s+(?:\w+\s+){0,2}$")
_EVERYBODY = re.compile(r"\b(?:cualquiera|ambos|ambas|las\s+partes|toda\s+persona|tod[oa]s\s+l[oa]s)\b")
_ONLY_WHEN = re.compile(  # a condition, a measure or a manner, which takes nothing away from a list
    r"\s+(?:se\s+\w+\s+|l[eao]s?\s+\w+\s+)?(?:si|cuando|mientras|hasta|despues|desde|lo\s+necesario|de\s+manera|momentane\w+|en\s+(?:el|la|los)?\s*casos?)\b"
)
_NOT_WITHOUT = re.compile(  # "sin acusación no hay juicio" asks for the accusation, and so does "nadie ... sin ..."
    r"^\W*sin\b|\b(?:nadie|ningun[oa]?)\b[^.;]*\bsin\b"
)
_LACKS = re.compile(  # denies without a "no": "el dueño que perdió la posesión", "libres de obstáculos"
    r"\b(?:perd\w+|pierd\w+|antes\s+de|menos|falt\w+|libres?|nieg\w+|neg[oa]\w*|viol[aeo]n?|ajen[oa]s?|otr[oa]s?|distint\w+)\b"
)
_IF = re.compile(r"\b(?:si|cuando|mientras|aunque)\b[^,;.:]*")
_ABSOLUTE = re.compile(r"\b(?:en\s+ningun\s+caso|sin\s+excepcion(?:es)?|ni\s+siquiera|en\s+todos\s+los\s+casos)\b")


def _names_more(text: str, restricted: set[str]) -> bool:
    """Whether a clause names something else in one breath with a concept: "el empleador o el trabajador"."""
    tokens = re.findall(r"[^\W_]+|[,;:.()]", text)
    for at, token in enumerate(tokens):
        if token[0].isalpha() and concept(token) in restricted:
            around = tokens[max(0, at - 5) : at] + tokens[at + 1 : at + 6]
            if any(one in ("y", "o", "e", "u", "ni", "tambien", "ambos", ",") for one in around):
                return True
    return False


def _excepted(part: Part) -> set[str]:
    """The concepts that a clause takes out of its rule."""
    found: set[str] = set()
    for match in _EXCEPTED.finditer(part.low_text):
        found |= set(concepts(match[1]))
    return found


def _denied_phrases(text: str) -> list[set[str]]:
    """The concepts of each phrase of a text in which something is denied."""
    phrases = re.split(r"[,;:.()]", fold(text))
    return [set(concepts(one)) for one in phrases if any(word in DENIES or _DENYING.match(word) for word in words(one))]


def _denied_before(part: Part, one: str) -> bool:
    """Whether a denial, ban or exception stands, not far, before each place in a clause that has this concept."""
    return _denied_within(part.low, one, FAR)


def _denied_within(text: str, one: str, reach: int) -> bool:
    seen = []
    for sentence in re.split(r"[;:.]", text):
        since = reach
        for word in words(sentence):
            if word == "sino":
                since = reach
            elif word in DENIES or _DENYING.match(word):
                since = 0
            elif concept(word) == one:
                seen.append(since < reach)
            since += 1
    return bool(seen) and all(seen)


def _fact_ranges(flat: str) -> list[tuple[int, int]]:
    """Where a person's own case is told: up to the colon, semicolon or comma after it."""
    found = []
    start = 0
    for match in re.finditer(r"[;:.]\s|$", flat):
        piece = flat[start : match.start()].lstrip()
        at = match.start() - len(piece)
        if _FACTS.match(piece):
            comma = piece.find(", ")
            whole = match.group().strip() in (";", ":") and match.end() < len(flat)
            if whole:
                found.append((at, match.start()))
            elif so := _THEREFORE.search(piece):
                found.append((at, at + so.start()))
            elif piece.startswith(("si ", "como ", "cuando ")) and comma > 0:
                found.append((at, at + comma))
        start = match.end()
    return found


def _listed(article: IndexedArticle) -> set[int]:
    """How many things a sentence of the article lists: with commas and a last "y" or "o", or as lines."""
    sizes: set[int] = set()
    lines = [line for line in article.body.split("\n") if line.strip()]
    opened = next((n for n, line in enumerate(lines) if line.rstrip().endswith(":")), None)
    if opened is not None:
        items = lines[opened + 1 :]
        ended = next((n for n, line in enumerate(items) if re.search(r";?\s+[yo],?\s*$", line)), None)
        sizes.add(len(items) if ended is None else ended + 2)
        letters = [line for line in items if _ITEM.match(line)]
        sizes.add(len(letters))
    for sentence in re.split(r"[.;:]\s|\n", article.body):
        if match := re.search(r"((?:[^,]{2,40},\s+)*[^,]{2,40})\s+(?:y|o|e|u)\s+[^,.;]{2,40}", sentence):
            sizes.add(match[1].count(",") + 2)
    return sizes


def _placed(word: str) -> int | None:
    if word.isdigit():
        return int(word)
    return roman(word.upper()) or ordinal(word) or ordinal(word.split()[0])


def _modal(text: str) -> str | None:
    """The first of ban, freedom from duty, duty and leave; None where there is none or several of them."""
    found = set()
    masked = text
    masked = _BOUND.sub(" ", masked)
    for name, pattern in (("ban", _BAN), ("free", _FREE), ("must", _MUST), ("may", _MAY)):
        if pattern.search(masked):
            found.add(name)
            masked = pattern.sub(" ", masked)
    return found.pop() if len(found) == 1 else None


def _after_modal(text: str) -> set[str]:
    found = set()
    for match in re.finditer(
        r"\b(?:deberan?|deben?|podran?|pueden?|prohib\w+|permit\w+|obligad\w+|requier\w+|facultativ\w+|obligatori\w+)\W+"
        r"((?:\w+\W+){0,6}\w+)",
        text,
    ):
        found |= set(concepts(match[1]))
    return found


_AGENT = re.compile(
    r"\b\w+[ai]d[oa]s?\s+(?:\w+\s+)?por(?:\s+parte\s+del?)?$"
)  # "será instruida por parte de la fiscal"
_NOT_SUBJECT = frozenset("a al ante bajo con contra de del desde en entre para por sin sobre tras".split())  # noqa: SIM905


def _roles(text: str) -> list[tuple[str, str]]:
    """The actors of a text in order, each with its role: "S" for one that may be a subject, else "O"."""
    text = re.sub(r"^\s*(?:si|cuando|en caso de)\b[^,]*,", " ", text)  # who acts there is not who is bound
    tokens = re.findall(r"[^\W_]+|[,;:.()]", text)
    found = []
    for at, token in enumerate(tokens):
        actor = _ACTOR.get(token)
        if actor is None or (token == "tercero" and at and tokens[at - 1] in ("libro", "titulo", "capitulo", "inciso")):
            continue
        before = at - 1
        while before >= 0 and tokens[before] in (
            "el",
            "la",
            "los",
            "las",
            "un",
            "una",
            "o",
            "y",
            "su",
            "sus",
            "todo",
            "toda",
            "cada",
            "lo",
            "jueza",
            "juez",
            "e",
            "parte",
            "persona",
        ):
            before -= 1
        word = tokens[before] if before >= 0 else ""
        assigned = word in ("al", "a") and any(
            one.startswith(("correspond", "incumb", "toca", "compet")) for one in tokens[max(0, before - 3) : before]
        )
        agent = _AGENT.search(" ".join(tokens[max(0, before - 7) : before + 1])) is not None
        found.append((actor, "S" if word not in _NOT_SUBJECT or assigned or agent else "O"))
    return found
