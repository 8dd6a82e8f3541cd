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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from ..text import fold, one_line, words
from .citations import ORDINAL_WORD, IndexedArticle, ordinal, roman
from .clauses import sentences
from .quantities import DATE, HUNDREDS, ISO_DATE, MONTHS, SCALES, SMALL, TENS, quantities
from .search import stem


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


# Words

_SAME = """
    pena prision carcel preso presa encierro reclusion privacion privativa sancion sanciona castiga castigo condena
      reprimido cuesta encarcelamiento castigado sancionado
    coima donativo dadiva regalo soborno
    funcionario servidor
    menor adolescente niño niña hijo
    empleador patrono jefe empresa
    trabajador empleado obrero trabajadora
    sueldo salario remuneracion paga
    necesario indispensable falta requiere requisito exige necesita necesidad requerira precisa
    juez juzgador jueza juzgadora
    matar muerte mata muere homicidio
    conductor chofer conduce
    ebrio embriaguez borracho embriagado alcohol
    carro vehiculo auto automovil automotor bus
    celular telefono movil terminal
    dueño propietario propiedad dominio
    medico profesional
    entregar dar darle
    presentar interponer proponer propuesta interposicion
    comienza inicia inicio
    termina terminacion extingue concluye finaliza despido despedir despidio despida despidieron
    herencia sucesion acervo
    pagar abonar cobrar reconocera
    bofetada golpe golpear empujon
    pareja conyuge conviviente esposo esposa
    secuestro retener encerrar
    robar sustraer robo apoderarse apodere
    llevarse apoderarse apodere hurto
    pedir solicitar peticion pedido solicitud
    vale valido validez
    nulo nulidad
    indemnizar indemnizacion reparar reparacion
    obligacion deber obligado obligatorio
    prohibido prohibe prohibicion prohibese
    permiso autorizacion licencia
    permitir autorizar permitido permitira
    embargar embargable inembargable
    renunciar renunciable irrenunciable
    acceder acceso
    gratis gratuito gratuita
    escrito escritura
    verbal oral palabra oralmente
    terreno raiz inmueble
    boda matrimonio casarse casado
    plata dinero
    engaño engañar
    arriendo arrendamiento arrendar alquiler
    notificar notificacion avisar aviso
    luz electrica energia
    ciudadano ciudadana ecuatoriano ecuatoriana
    extranjero extranjera
    reelegir reelegido reelecto reeleccion
    elegir eligen elegido eleccion
    presidente presidenta
    vicepresidente vicepresidencia vicepresidenta
    apelar apelacion recurso
    inmediato inmediatamente urgente
    mitad iguales
    aumentar aumentada aumentado incrementar incrementada recargo
    reducir reducida reduccion disminuir
    durar dura duracion vigencia periodo permanecera
    nocturno nocturna noche
    vacacion vacaciones descanso
    enfermedad enfermo
    hurtado hurto
    fallecer muerte fallecido
    esconder ocultar oculta
    mentir faltar falte falsear
    difundir divulgar publicar
    voto votar sufragio
    opinar escuchar oir
    semana semanal semanales hebdomadaria
    dia diario diaria diarias diarios
    mes mensual mensuales mensualmente
    año anual anuales anualmente
"""
_STOP = frozenset(
    """
    a al algo algun alguna algunas alguno algunos ante asi aun aunque bajo cada como con contra cual cuales cualquier
    cualquiera cuando cuanta cuantas cuanto cuantos de del desde donde dos durante e el ella ellas ello ellos en entre
    era es esa esas ese eso esos esta estan estas este esto estos fue ha haber habra habran han hasta hay la las le les
    lo los mas me mi mis muy ni no nos o os otra otras otro otros para pero por porque pueda pueden puede podra podran
    que quien quienes se sea sean ser sera seran si sido sin sobre solo sola son su sus tal tambien tan tanto te tener
    tengo tiene tienen tendra tendran toda todas todo todos tras tu u un una uno unos unas y ya yo seria haya hayan
    hubiere hubiera caso casos deber debe deben debera deberan debiera usted ustedes conforme acuerdo segun articulo art
    arts num numeral literal lit inciso ley codigo dice prevista previsto preve establece dispone siempre nunca jamas
    tampoco unicamente exclusivamente mientras salvo excepto ademas igual misma mismo mismas mismos dicho dicha dichos
    entonces luego dentro fuera incluso inclusive cuyo cuya donde ahi aqui alli nadie ningun ninguna ninguno persona
    personas hace hacer hagan manera modo forma vez veces cosa quiere trata queda quedara estar estara estaran decir
    esta ello mediante respecto efecto efectos parte partes sino pues haga van va sigue siguiente siguientes horas hora ciento mil cien primer primera segundo segunda tercero tercera recibe
    necesariamente realmente
    """.split()  # noqa: SIM905
)


@lru_cache(maxsize=1)
def _same() -> dict[str, str]:
    """Stem to the first stem of its group."""
    groups: list[list[str]] = []
    for line in _SAME.strip("\n").splitlines():
        own = [_stem(word) for word in words(line)]
        if line.startswith("      "):
            groups[-1] += own
        else:
            groups.append(own)
    found: dict[str, str] = {}
    for group in groups:
        for one in group:
            found.setdefault(one, group[0])
    return found


@lru_cache(maxsize=50_000)
def concept(word: str) -> str:
    """What a folded word is compared by: its stem, or that of the law's word for it."""
    one = _stem(word)
    return _same().get(one, one)


def _stem(word: str) -> str:
    """Snowball's, of futures as well, which it knows by the accent that folding takes away."""
    future = re.fullmatch(r"(\w{2,}[aei]r)an?", word)
    return stem(future[1] if future and future[1] not in _NO_INFINITIVE else word)


_NO_INFINITIVE = frozenset(  # "considera" is a present tense, "considerara" the future
    """
    consider esper gener oper liber super alter toler recuper cooper deliber numer ponder reiter enter retir mir gir tir
    admir aspir inspir expir conspir ampar compar prepar separ repar declar aclar equipar dispar adquier requier quier
    muer fuer cualquier man prim front carr band cabec refier hier sufragar emper
    """.split()  # noqa: SIM905
)

_NUMBERS = frozenset({*SMALL, *TENS, *HUNDREDS, *SCALES})
_VAGUE = frozenset("depend clar supuest efectiv correct exact ciert verdad afirm negat respuest result".split())  # noqa: SIM905


def concepts(text: str) -> list[str]:
    """What a text is compared by, in reading order: its words of content, without figures."""
    return [
        concept(word) for word in words(text) if word not in _STOP and word not in _NUMBERS and not word[0].isdigit()
    ]


# Figures and words that exclude each other, with the words around them


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
_ORDINAL = re.compile(rf"\b({fold(ORDINAL_WORD)})\s+(grado|clase|categoria|instancia|nivel|vez)\b")
_CLOCK = re.compile(r"\b(\d{1,2})\s?h\s?(\d{2})\b|\b(\d{1,2}):(\d{2})\b")
_POINT = re.compile(r"\b(\w+)\s+(?:punto|coma)\s+(\w+)\s+por\s+ciento\b")
_PLACE = re.compile(r"\b(libro|titulo|capitulo|seccion|paragrafo)\s+([ivxl]+\b|\d{1,3}\b|[a-z]+(?:\s[a-z]+)?)")
_NAMED_PART = re.compile(
    r"\b(?:numeral(?:es)?|num(?:ero)?\.?|literal(?:es)?|lit\.?|inciso|parrafo|causal|regla)\s+(?:\d{1,3}|[a-z]\b)\)?"
)
_MARK = re.compile(r"(?m)^\s*(?:\d{1,2}[.)]|[-*•])\s+")
_LISTED = [
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
_GROUPS: list[tuple[str, re.Pattern[str]]] = []
for _place, _line in enumerate(_RIVALS.strip().splitlines()):
    for _group in _line.split(";"):
        _names = "|".join(name.strip().replace(" ", r"\s+") for name in _group.split(","))
        _GROUPS.append((f"rival {_place}", re.compile(rf"\b(?:{_names})\b")))
_BREAK = re.compile(r"[;:]|\.\s")
_CUT = re.compile(r"[,;:()—]|\s(?:y|e|o|u|pero|sino|mientras)\s|\.\s")


def _flat(text: str) -> str:
    """Folded, with forms of numbers made alike; positions are its own."""
    flat = fold(text, keep_ñ=True)
    flat = re.sub(r"(?<=\d)[\u00a0\u2009\u202f ](?=\d{3}\b)", "", flat)  # 48 000
    flat = re.sub(r"\b(\d{1,3}(?:\.\d{3})+),\d{2}\b", r"\1", flat)  # 48.000,00
    flat = re.sub(r"\b(\d{1,3}(?:,\d{3})+)\.\d{2}\b", r"\1", flat)  # 48,000.00
    flat = re.sub(r"(?<=\d)\s*[-–—]\s*(?=\d)", " a ", flat)
    flat = re.sub(r"\bmedio\s+año\b", "seis meses", flat)
    flat = re.sub(r"\bmedia\s+hora\b", "30 minutos", flat)
    flat = re.sub(r"\bun\s+solo\s+(?=dia|mes|año)", "un ", flat)
    return re.sub(r"\bmedianoche\b|\bmedia\s+noche\b", "24h00", flat)


def slots(text: str) -> tuple[str, list[Slot]]:
    """The flattened text, and its figures and rival words in reading order, each with the words near it."""
    flat = _flat(text)
    masked = flat
    found: list[Slot] = []

    def take(pattern: re.Pattern[str], make: "object") -> None:
        nonlocal masked
        for match in pattern.finditer(masked):
            slot = make(match)  # type: ignore[operator]
            if slot is not None:
                found.append(slot)
                masked = masked[: match.start()] + " " * (match.end() - match.start()) + masked[match.end() :]

    def blank(pattern: re.Pattern[str]) -> None:
        nonlocal masked
        masked = pattern.sub(lambda match: " " * len(match[0]), masked)

    blank(re.compile(ISO_DATE.pattern))
    blank(re.compile(DATE.pattern, re.IGNORECASE))
    take(
        re.compile(rf"\b(\d{{1,2}}|primero|quince|veinti\w+|treinta)\s+de\s+({'|'.join(MONTHS)})\b"),
        lambda m: Slot("day", ((str(_day(m[1]))), m[2]), *m.span()),
    )
    blank(_PLACE)
    blank(_NAMED_PART)
    blank(_MARK)
    take(_CLOCK, lambda m: Slot("clock", (int(m[1] or m[3]), int(m[2] or m[4])), *m.span()))
    take(_POINT, _with_point)
    take(_FRACTION, _fraction)
    take(_ORDINAL, lambda m: Slot(f"ordinal {m[2]}", (ordinal(m[1]),), *m.span()))
    take(_TIMES, lambda m: Slot("times", (_times(m[1]),), *m.span()))
    found += _counted(masked)
    for kind, pattern in _GROUPS:
        found += [Slot(kind, (pattern.pattern,), *match.span()) for match in pattern.finditer(flat)]
    found.sort(key=lambda slot: slot.start)
    return flat, _with_words(flat, found)


def _day(word: str) -> int:
    read = quantities(f"{word} días")
    return int(read[0].low) if read else 1


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
        if not unit and (noun := re.match(r"\s+(?:\(\d+\)\s+)?([a-zñ]{3,})", after)) and noun[1] not in _STOP:
            unit = f"count {stem(noun[1])}"
        elif not unit:
            if last is None or re.search(r"[.:\n]", flat[last[1] : one.start]):
                unit = "count"
            else:
                unit = last[0]
        low_unit, _, high_unit = unit.partition(" a ")
        base, working = low_unit, False
        if low_unit.startswith("días "):
            base, working = "días", True
        if base in _BASES:
            name, factor = _BASES[base]
            other, upper = _BASES[high_unit] if high_unit in _BASES else (name, factor)
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
    phrases = [(first, last) for first, last in zip(cuts, cuts[1:], strict=False) if last > first]
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
            if not taken and not _BREAK.search(flat[slot.end : after[0]]):
                own = set(read[at + 1])
        if not own and at and not _BREAK.search(flat[phrases[at - 1][0] : slot.start]):
            own = set(read[at - 1])
        first = max((match.end() for match in _BREAK.finditer(flat, 0, slot.start)), default=0)
        last = next((match.start() for match in _BREAK.finditer(flat, slot.end)), len(flat))
        wide = frozenset(concepts(flat[first : slot.start] + " " + flat[slot.end : last]))
        placed.append(slot._replace(near=frozenset(own), wide=wide))
    return placed


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
    _, above = slots(lead) if lead else ("", [])
    return Part(
        one_line(text),
        one_line(lead),
        label,
        flat,
        tuple([*own, *above]),
        frozenset(concepts(f"{lead} {text}")),
        frozenset(concepts(text)),
        signs(f"{lead} {text}"),
    )


# Denial

_DENIES = frozenset("no nunca jamas tampoco ni sin nadie ningun ninguna ninguno ningunos".split())  # noqa: SIM905
_SKIPPED = frozenset(
    """
    se le les lo la los las me nos te podra podran puede pueden debe deben debera deberan sera seran ser es son esta
    estan ha han haya hayan habra hay hubiere sido fue era tener tiene tienen tendra tendran el un una de a al en por
    capacidad facultad posibilidad alguno alguna dia dias mes meses año años hora horas semana semanas ningun ninguna caso solo necesidad que su sus hace falta lugar necesario quedara queda cabe caben puedan pueda del
    """.split()  # noqa: SIM905
)
# "no obstante", "sin perjuicio", "no más de", "de hacer o no hacer" deny nothing.
_NO_DENIAL = frozenset(
    "obstante perjuicio embargo solo solamente mas menos mayor menor mayores menores inferior superior hacer".split()  # noqa: SIM905
)
_TOKEN = re.compile(r"[^\W_]+|[.,;:()]")


def signs(text: str) -> dict[str, set[bool]]:
    """For each concept whether it is said (True) or denied (False), or both: the first word that bears on a denial."""
    found: dict[str, set[bool]] = {}
    reach = 0  # words of content that the last denial still bears on
    tokens = _TOKEN.findall(fold(text, keep_ñ=True))
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if not token[0].isalnum():
            reach = 0
        elif token in _DENIES or (token == "falta" and following == "de"):
            reach = 0 if following in _NO_DENIAL else 1
        elif token.endswith("mente"):  # "no será penalmente responsable" denies the word after it too
            found.setdefault(concept(token), set()).add(reach == 0)
        elif token not in _SKIPPED and token not in _STOP and token not in _NUMBERS and not token[0].isdigit():
            denied = reach > 0
            one = concept(token)
            found.setdefault(one, set()).add(not denied)
            if denied and one not in _needs() and following not in ("y", "ni"):
                adjacent = following not in _STOP and following not in _SKIPPED and following.isalpha()
                reach = 1 if adjacent and reach == 1 and token[-2:] != "ar" and _is_noun_pair(token, following) else 0
    return found


def _is_noun_pair(token: str, following: str) -> bool:
    """Whether a denial of the first word is one of the second as well: "no tiene efecto retroactivo"."""
    return following[-3:] in ("ivo", "iva", "ica", "ico", "ral", "nal", "ial", "uta", "uto", "ria", "rio")


@lru_cache(maxsize=1)
def _needs() -> frozenset[str]:
    return frozenset({concept("exige"), concept("requiere"), concept("necesita")})


# Holding a claim against an article

_QUOTE = re.compile(r"«([^«»]{12,})»|“([^“”]{12,})”|\"([^\"\n]{12,})\"|‘([^‘’]{12,})’")
_ELLIPSIS = re.compile(r"[\[(]?(?:…|\.{3})[\])]?")
_FACTS = re.compile(
    r"^(?:si\s+|como\s+|cuando\s+)?(?:a\s+)?(?:usted|ud|ustedes|yo|mi|mis|me|nos|nuestr[oa]s?|su|sus|tu|te|vos)\b"
)
_HAPPENED = re.compile(r"\b[Nn]o\s+(?:se\s+|le\s+|lo\s+|la\s+)?\w+(?:ó|aron|ieron|aste|iste)\b")
_NOT_BUT = re.compile(
    r"\bno\s+[^.;:]{0,60}?(?=\bsino\b)|\bno\s+(?:es|son|era|eran|fue|se\s+trata)\s+(?:de\s+)?[^.;:]{0,40}?(?=[:,;])"
)
_ONLY = re.compile(
    r"(?<!uno )(?<!una )(?<!si )(?<!un )\b(?:solo|sola|solos|solas)\b(?! [ouy] )|\b(?:solamente|unicamente|exclusivamente|unic[oa])\b"
)
_MORE_THAN_ONE = re.compile(r"\b(?:o|u|y|e|ni)\b|\n")
_ALTHOUGH = re.compile(r"(?<!aun )(?<!\w)(?:aunque|a pesar de|pese a|aun cuando|incluso si|incluso cuando)\b([^,.;:]*)")
_CONDITIONED = re.compile(
    r"\b(?:siempre\s+(?:y\s+cuando|que)|si\b|cuando\b|salvo|excepto|sin\b|mientras|en\s+caso|a\s+menos|previ[oa]\b|no\b"
    r"|a\s+pedido|a\s+peticion)"
)
_EVEN = re.compile(r"\b(?:aun|aunque|incluso|inclusive|a\s+pesar)\b")
_PENAL = """
    multa, multas; destitucion; reclusion mayor; arresto; inhabilitacion, inhabilitado, inhabilitada, inhabilitados, inhabilitadas; clausura, clausuran; comiso, decomiso
    trabajo comunitario, servicio comunitario; cadena perpetua; pena de muerte; amonestacion; expulsion; disolucion
    perdida de la nacionalidad; caducidad; nulidad, nulo, nula; extincion; destierro; confiscacion; embargo
"""
_PENALTIES = [
    [one.strip() for one in group.split(",")] for group in re.split(r"[;\n]", _PENAL.strip()) if group.strip()
]
_OPPOSITES = """
    gratuito oneroso; obligatorio facultativo; absoluta relativa; licito ilicito; maximo minimo; eficaz ineficaz
    tacito expreso; siempre nunca; renunciable irrenunciable; doble triple; aumentar reducir; permitir prohibido
    regla excepcional; solidaria mancomunada; dentro despues; permitir castiga
"""
_OPPOSITE = [tuple(pair.split()) for pair in re.split(r"[;\n]", _OPPOSITES.strip()) if pair.strip()]
_MUST = re.compile(
    r"\b(?:deberan?|deben?|obligad[oa]s?\s+a|obligatori[oa]s?|tienen?\s+que|tendran?\s+que|hay\s+que|habra\s+de|obligacion)\b"
)
_MAY = re.compile(r"\b(?:podran?|pueden?|facultad|facultativ[oa]s?|permite|permitid[oa]s?|si\s+quiere)\b")
_BAN = re.compile(
    r"\b(?:no|nunca|tampoco|nadie|ningun\s+\w+)\s+(?:se\s+|le\s+|les\s+)?(?:podran?|pueden?|deberan?|deben?)\b|\bprohib\w+"
    r"|\ben\s+ningun\s+caso\s+(?:se\s+)?(?:podran?|pueden?)\b"
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
    heredero herederos; pupilo; tutor curador; victima; testador; arrendador; arrendatario; notario; defensoria; policia; ministro ministra
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


def judge(claim: str, articles: Sequence[IndexedArticle], *, question: str = "") -> Judgment:
    """Hold one claim, its citations taken away, against the articles it rests on.

    With several articles, it holds if one of those it is about has it. ``question``: what was asked, whose figures and
    facts are the asker's.
    """
    judged = [_against(claim, article, question) for article in articles]
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


def _against(claim: str, article: IndexedArticle, question: str) -> Judgment:
    parts = parts_of(article)
    quotes = [next(group for group in match.groups() if group) for match in _QUOTE.finditer(claim)]
    text = f"{article.rubric}. {article.body}"
    row = f" {' '.join(words(text))} "
    for quote in quotes:
        if not quoted(quote, row):
            return Judgment(Verdict.CONTRADICTED, Fault.QUOTE, quote, "", article, _nearest(quote, parts), "", 1.0)
    said = _QUOTE.sub(" ", claim)
    told = concepts(said)
    if not set(told) - _VAGUE and not quotes and not slots(said)[1]:
        return Judgment(Verdict.UNSUPPORTED, Fault.EMPTY, one_line(claim), "", article, "", "", 0.0)
    if not told or (quotes and len(told) < 3):
        return Judgment(Verdict.SUPPORTED, None, "", "", article, _nearest(quotes[0], parts) if quotes else "", "", 1.0)
    if not parts:
        return Judgment(Verdict.UNCLEAR, None, "", "", article)
    reading = _Reading(said, question, article, parts)
    fault = reading.fault()
    best = reading.best
    if fault is not None:
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


_PAST = re.compile(r"\b(?!será|está|podrá|deberá|habrá)\w{2,}(?:ó|aron|ieron|aba|aban)\b")


def tells_a_case(said: str) -> bool:
    """Whether a sentence without citation tells what happened to somebody, which no law can say."""
    flat = fold(said).strip()
    return bool(_PAST.search(said)) or bool(_FACTS.match(flat) and not (_MUST.search(flat) or _MAY.search(flat)))


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
    """One claim beside one article."""

    def __init__(self, said: str, question: str, article: IndexedArticle, parts: Sequence[Part]) -> None:
        self.said, self.article, self.parts = said, article, parts
        self.flat, found = slots(said)
        self.asked = {slot.value for slot in slots(question)[1]} if question else set()
        self.facts = _fact_ranges(self.flat)
        self.slots = [slot for slot in found if not any(first <= slot.start < last for first, last in self.facts)]
        law = self.flat
        for first, last in self.facts:
            law = law[:first] + " " * (last - first) + law[last:]
        self.law = law
        self.told = frozenset(concepts(law)) - _VAGUE or frozenset(concepts(self.flat))
        self.signs = signs(_HAPPENED.sub(" ", said) if _HAPPENED.search(said) and not self.facts else law)
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
        scored = [(self._score(part), -place, part) for place, part in enumerate(parts)]
        self.best: Part = max(scored, key=lambda one: one[:2])[2]
        self.score = max(scored)[0]

    def _weight(self, shared: Iterable[str]) -> float:
        return sum(self.idf.get(one, 0.0) for one in shared)

    def _score(self, part: Part) -> float:
        own = sum(1.5 for slot in self.slots if any(_equal(slot, other) for other in part.slots))
        size = 0.15 * math.log(1 + len(part.concepts))
        return self._weight(self.told & part.concepts) + 0.5 * self._weight(self.told & part.own) + own - size

    def fault(self) -> tuple[Fault, str, str] | None:
        for check in (
            self._figures,
            self._counts,
            self._structure,
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
            equal = [(other, part) for other, part in alike if _equal(slot, other)]
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
                and not _equal(slot, one[0])
                and not any(self._rather(mine, slot, one) for mine in self.slots)
            ]
            if others and slot.near:
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

    def _without_unit(self, slot: Slot) -> bool:
        """Whether the law has the number and leaves the unit to be understood: "no exceda de cuatro en un día"."""
        raw = {one.low for one in quantities(self.flat[slot.start : slot.end])}
        return any(other.kind == "count" and other.value[0] in raw for part in self.parts for other in part.slots)

    def _within(self, slot: Slot) -> bool:
        """Whether a figure is a fact that falls between two bounds of a clause: "un trabajador de diecisiete años"."""
        for match in _BETWEEN_AGES.finditer(fold(self.article.body, keep_ñ=True)):
            ages = [one.low for word in match.groups() for one in quantities(f"{word} años")]
            if len(ages) == 2 and slot.value[0] == "m" and ages[0] * 12 < float(str(slot.value[1])) < ages[1] * 12:
                return True
        return False

    def _rather(self, mine: Slot, slot: Slot, other: tuple[Slot, Part]) -> bool:
        """Whether a place in the law is another figure's of the claim, not this one's."""
        return mine is not slot and _equal(mine, other[0]) and self._beside(mine, *other) >= self._beside(slot, *other)

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
            if mine is not slot and any(_equal(mine, one) for one in part.slots if one is not other)
        )
        return near + around + same - 0.04 * len(part.own - self.told)

    def _counts(self) -> tuple[Fault, str, str] | None:
        for slot in self.slots:
            if not slot.kind.startswith("count") or slot.value in self.asked:
                continue
            noun = slot.kind.partition(" ")[2]
            value = slot.value[0]
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
            if noun in _LISTED or heads:
                sizes = {len(self.article.items), *_listed(self.article)}
                if value not in sizes and any(size > 1 for size in sizes):
                    return Fault.COUNT, self._words(slot), ""
                continue
            if any(other.value[0] == value for part in self.parts for other in part.slots):
                continue
            if isinstance(value, float) and value <= 1:
                continue
            sizes = {len(self.article.items), *_listed(self.article)}
            if value in sizes:
                continue
            return Fault.FIGURE, self._words(slot), ""
        return None

    def _structure(self) -> tuple[Fault, str, str] | None:
        path = fold(self.article.path, keep_ñ=False)
        for match in _PLACE.finditer(self.flat):
            value = _placed(match[2])
            if value is None:
                continue
            stated = [_placed(one[2]) for one in _PLACE.finditer(path) if one[1] == match[1]]
            if stated and value not in stated:
                return Fault.STRUCTURE, match[0], ""
        return None

    def _negation(self) -> tuple[Fault, str, str] | None:
        near = [part for part in self.parts if self._score(part) >= 0.8 * self.score]
        denies = any(False in one for one in self.signs.values())
        guarded = _ONLY.search(self.law) or _BAN.search(self.law) or _FREE.search(self.law) or _EXCEPT.search(self.law)
        for one, mine in self.signs.items():
            if len(mine) != 1:
                continue
            here = [self.best] if one in self.best.signs else [part for part in near if one in part.signs]
            if mine == {False}:
                beside = [part for part in self.parts if self._score(part) >= 0.5 * self.score]
                if not here or any(False in part.signs.get(one, ()) for part in beside):
                    continue
                if _BAN.search(self.law) and any(_BAN.search(fold(part.whole)) for part in beside):
                    continue
                if not any(_denied_before(part, one) for part in here):
                    return Fault.NEGATION, one, ""
            elif here and all(part.signs[one] == {False} for part in here) and not guarded and self._same_denials(here):
                return Fault.NEGATION, one, ""
        if denies or guarded:
            return None
        for part in self.parts:
            excepted = _excepted(part)
            others = frozenset().union(
                *(other.concepts - (excepted if other is part else set()) for other in self.parts)
            )
            told = {one for one in excepted - others if one in self.told}
            if told and self._score(part) >= 0.5 * self.score:
                return Fault.NEGATION, " ".join(sorted(told)), ""
        return None

    def _same_denials(self, here: Sequence[Part]) -> bool:
        """Whether each concept that the claim denies is one that these clauses deny, so that none stands for another."""
        denied = [one for one, mine in self.signs.items() if False in mine]
        return all(any(False in part.signs.get(one, ()) for part in here) for one in denied)

    def _stranger(self) -> tuple[Fault, str, str] | None:
        law = fold(self.best.whole)
        for match in _GIVEN_TO.finditer(self.law):
            actor = concept(match[2])
            if actor in self.missing and re.search(rf"\b{match[1][:6]}", law) and not actor.isdigit():
                return Fault.WHO, match[2], ""
        return None

    def _modality(self) -> tuple[Fault, str, str] | None:
        mine, theirs = _modal(self.law), _modal(fold(self.best.whole))
        if mine is None or theirs is None or mine == theirs:
            return None
        pair = {mine, theirs}
        clashes = ({"ban", "may"}, {"ban", "must"}, {"must", "free"}, {"must", "may"})
        if pair in clashes and _after_modal(self.law) & _after_modal(fold(self.best.whole)):
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
        match = _ONLY.search(self.law)
        if match is None or re.search(
            r"\bno\s+(?:solo|solamente|unicamente)\b|\buna\s+sola\b|\bun\s+solo\b|\bes\s+solo\b", self.law
        ):
            return None
        law = fold(self.best.whole)
        if re.search(
            r"(?<!no )\b(?:solo|solamente|unicamente|exclusiv\w+|estricta\w+|unic[oa])\b|\bno\b[^.;]*\bsino\b", law
        ) and (not re.search(r"\bno\s+solo\b", law)):
            return None
        return Fault.ONLY, match[0], ""

    def _although(self) -> tuple[Fault, str, str] | None:
        for match in _ALTHOUGH.finditer(self.law):
            dropped = set(concepts(match[1]))
            for part in self.parts:
                text = fold(part.whole)
                if not dropped & part.concepts or _EVEN.search(text):
                    continue
                conditions = (text[one.start() : one.end() + 80] for one in _CONDITIONED.finditer(text))
                if any(dropped & set(concepts(condition)) for condition in conditions):
                    return Fault.ALTHOUGH, match[0], ""
        return None

    def _institution(self) -> tuple[Fault, str, str] | None:
        here = fold(f"{self.article.rubric} {self.article.body}")
        named = [fold(match[0]) for match in _HEADS.finditer(self.article.body)]
        for match in _HEADS.finditer(self.said):
            name = fold(match[0])
            if name in here or re.sub(r"\s+", " ", name) in re.sub(r"\s+", " ", here):
                continue
            tail = [word for word in words(name)[1:] if word not in _STOP]
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
        if len(self.told) >= 2 and self.fit < LEAST_FIT:
            return Fault.ELSEWHERE, " ".join(self.missing[:4]), ""
        return None


LEAST_FIT = 0.2
FAR = 20  # words over which a denial reaches in a list
MARGIN, MARGIN_WITHIN = 2.0, 0.6
"""By how much another place in the law must fit a figure better: another clause, another phrase of the same."""


_BETWEEN_AGES = re.compile(r"\bmayor\w*\s+(?:de|a)\s+(\w+)(?:\s+años)?\s+y\s+menor\w*\s+(?:de|a)\s+(\w+)")
_EXCEPT = re.compile(r"\b(?:salvo|excepto|exceptu\w+|excepcion|a menos|fuera de|exclu\w+)\b")
_EXCEPTED = re.compile(
    r"\b(?:excepto|salvo(?! que)|exceptuan|exceptuanse|a excepcion de|con excepcion de|no comprende)\b([^.;\n]*)"
)


def _excepted(part: Part) -> set[str]:
    """The concepts that a clause takes out of its rule."""
    found: set[str] = set()
    for match in _EXCEPTED.finditer(fold(part.text)):
        found |= set(concepts(match[1]))
    return found


def _denied_before(part: Part, one: str) -> bool:
    """Whether a denial, ban or exception stands, not far, before each place in a clause that has this concept."""
    seen = []
    for sentence in re.split(r"[;:.]", fold(part.whole)):
        since = FAR
        for word in words(sentence):
            if word == "sino":
                since = FAR
            elif word in _DENIES or re.match(
                r"(?:prohib|salvo|except|exclu|impid|falta|infring|incumpl|inobserv)", word
            ):
                since = 0
            elif concept(word) == one:
                seen.append(since < FAR)
            since += 1
    return bool(seen) and all(seen)


def _equal(one: Slot, other: Slot) -> bool:
    return one.kind == other.kind and one.value == other.value


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
        r"((?:\w+\W+){0,3}\w+)",
        text,
    ):
        found |= set(concepts(match[1]))
    return found


_NOT_SUBJECT = frozenset("a al ante bajo con contra de del desde en entre para por sin sobre tras".split())  # noqa: SIM905


def _roles(text: str) -> list[tuple[str, str]]:
    """The actors of a text in order, each with its role: "S" for one that may be a subject, else "O"."""
    text = re.sub(r"^\s*(?:si|cuando|en caso de)\b[^,]*,", " ", text)  # who acts there is not who is bound
    tokens = re.findall(r"[^\W_]+|[,;:.()]", text)
    found = []
    for at, token in enumerate(tokens):
        actor = _ACTOR.get(token)
        if actor is None:
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
        found.append((actor, "S" if word not in _NOT_SUBJECT or assigned else "O"))
    return found
