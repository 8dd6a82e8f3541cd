"""Citations of articles, read from the many ways people write them and written in the one way we do.

    parse_citations("según el art 76 num 7 lit. a) de la constitución", [cre])
    -> [Citation(law_id="constitucion", article="76", numeral="7", literal="a", ...)]
    format_citation(cre, "76", "7", "a")              "Art. 76, num. 7, lit. a), Constitución de ..., ed. 2011-07-13"
    format_citation(cre, "76", "7", "a", long=True)   "literal a) del numeral 7 del artículo 76 de la Constitución ..."

Case and accents do not matter. A law is recognised by its name, siglas or an alias, after the article or before it.
"""

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from ..text import fold, one_line


class Named(Protocol):
    """What a law is recognised by: a `Law` and a catalogue entry both fit."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def siglas(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...


class Edition(Named, Protocol):
    @property
    def edition(self) -> str: ...


class Numbered(Named, Protocol):
    """A law that knows the numbers of its articles, in printed order."""

    @property
    def numbers(self) -> tuple[str, ...]: ...
    def __contains__(self, number: object, /) -> bool: ...


class ArticleText(Protocol):
    """An article: `IndexedArticle` and `leylora.laws.law.Article` both fit."""

    @property
    def number(self) -> str: ...
    @property
    def rubric(self) -> str | None: ...
    @property
    def body(self) -> str: ...
    @property
    def status(self) -> str: ...


class ParsedLaw(Edition, Protocol):
    """A parsed law that can write its files: `leylora.laws.law.Law` fits."""

    def facts(self) -> dict[str, Any]: ...
    def rows(self) -> Iterable[dict[str, Any]]: ...


@dataclass(frozen=True)
class Citation:
    """One cited article. ``span`` is its place in the text; several articles of one list share a span.

    ``law_id`` is None when the text names no law we know; ``law_text`` is then what it calls the law, if anything.
    ``edition`` is the ISO date of "ed. 2023-02-01", or "".
    """

    law_id: str | None
    article: str
    numeral: str | None
    literal: str | None
    span: tuple[int, int]
    law_text: str = ""
    edition: str = ""

    @property
    def part(self) -> str:
        """The part of the article that is cited, as `IndexedArticle.parts` has it: "7", "7.a", "a" or ""."""
        return ".".join(filter(None, (self.numeral, self.literal)))


DIVISIONS = {fold(name): name for name in ("Libro", "Título", "Capítulo", "Sección", "Parágrafo")}
COUNTRIES = (
    r"(?:Colombia|Per[úu]|Chile|Espa[ñn]a|M[ée]xico|Argentina|Bolivia|Venezuela|Uruguay|Paraguay|Brasil|Panam[áa]|Cuba|"
    r"Francia|Italia|Alemania|Estados Unidos)\b"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_FORM = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ORDINALS = {"unico": 1, "unica": 1, "primer": 1, "tercer": 3}
for _end in "oa":
    _units = ["primer", "segund", "tercer", "cuart", "quint", "sext", "septim", "octav", "noven"]
    _ORDINALS |= {f"{unit}{_end}": value for value, unit in enumerate(_units, 1)}
    _ORDINALS |= {f"undecim{_end}": 11, f"duodecim{_end}": 12}
    for _tens, _ten in {"decim": 10, "vigesim": 20, "trigesim": 30, "cuadragesim": 40, "quincuagesim": 50}.items():
        _ORDINALS[f"{_tens}{_end}"] = _ten
        _ORDINALS |= {
            f"{_tens}{join}{unit}{_end}": _ten + value for value, unit in enumerate(_units, 1) for join in "oa"
        }
        _ORDINALS[f"{_tens}octav{_end}"] = _ten + 8  # decimoctava, written with one o
_STEMS = r"(?:primer|segund|tercer|cuart|quint|sext|s[ée]ptim|octav|noven)"
ORDINAL_WORD = (
    rf"(?:[úu]nic[oa]|{_STEMS}[oa]|(?:und|duod)[ée]cim[oa]|primer|tercer"
    rf"|(?:d[ée]cim|vig[ée]sim|trig[ée]sim|cuadrag[ée]sim|quincuag[ée]sim)[oa]?(?:[ ]?{_STEMS}[oa])?)"
)

_BLANKS = str.maketrans("\u00a0\u2013\u2014", " --")
_NUMBER = r"\d{1,4}(?:\.\d{1,3}){0,2}(?:\.[a-z](?![a-z]))?(?:\s?-?(?:bis|ter|quater|quinquies)\b|-?[a-h](?![a-zñ]))?"
_ITEM = r"(?:numeral(?:es)?|num\.?|numero|n\.)\s*(?P<{0}num>\d{{1,3}}|[a-z]+(?=\b))"
_LETTER = r"(?:literal(?:es)?|lit\.?|letra)\s*(?P<{0}lit>[a-zñ]{{1,2}})\)?"
_BEFORE = (
    rf"(?:{_LETTER.format('a')}\s*(?:,|,?\s*del?|,?\s*en)\s*(?:el\s+)?)?(?:{_ITEM.format('a')}\s*(?:,\s*{_LETTER.format('b')}\s*)?"
    r"(?:,|,?\s*del?|,?\s*en)\s*(?:el\s+)?)?"
)
_AFTER = (
    rf"(?:\s*,?\s*{_ITEM.format('c')})?(?:\s*,?\s*{_LETTER.format('c')})?"
    rf"(?:\s*,?\s*(?:inciso|parrafo)\s+(?:{ORDINAL_WORD}|ultimo|final|\d+))?"
)
_UNNUMBERED = (
    rf"(?:innumerado\s*(?:\(?(?P<k1>\d{{1,3}}|{ORDINAL_WORD})\)?)?)\s*,?\s*(?:agregado\s+)?(?:a\s+continuacion|despues)\s+"
    rf"(?:del?|el)\s+(?:articulo|art\.?)\s*(?P<base>{_NUMBER})"
)
_EDITION = r"(?:\s*,?\s*ed(?:\.|icion)\s*(?:de(?:l)?\s+)?(?:(?P<edition>\d{4}-\d{2}-\d{2})|s\.\s?f\.))?"
_LINK = r"\s*(?:,\s*)?(?:de\s+la\s+|del\s+|de\s+el\s+|de\s+|en\s+la\s+|en\s+el\s+)?\(?"
_OTHER_LAW = (
    r"(?:ley|codigo|reglamento|constitucion|estatuto|decreto|ordenanza|resolucion|convencion|tratado|convenio|mandato)\b"
    r"(?:(?!\s(?:y|e|o|ni|con)\s+(?:en\s+|con\s+|de\s+)?(?:el\s+|los\s+|del\s+)?art(?:s?\b|iculos?\b))[^.,;:()\n]){0,100}"
)
_JOIN = r"\s*(?:,\s*(?:y\s+|e\s+|o\s+)?|y|e|o|al|a|hasta el|-)\s*(?:el\s+|los\s+)?"
_LONGEST_RANGE = 60


def parse_citations(text: str, laws: Iterable[Named]) -> list[Citation]:
    """All citations of articles in ``text``, in order.

    "Art. 76.3" is numeral 3 of article 76 unless the law, being one that knows its numbers (a `Law`), has an article
    76.3. A list or range gives one citation for each article. A bare "artículo 5" is a citation without a law.
    """
    laws = tuple(laws)
    pattern, ids = _pattern(tuple((law.id, law.name, law.siglas, law.aliases) for law in laws))
    texts = {law.id: law for law in laws if isinstance(law, Container)}
    found = []
    for match in pattern.finditer(_folded(text)):
        law_id = law_called(match["after"] or match["before"] or "", ids)
        span = match.start(), match.start() + len(match[0].rstrip(" ,(."))
        law_text = text[slice(*match.span("other"))].strip() if match["other"] else ""
        for article, numeral, literal in _articles(match, texts.get(law_id or "")):
            found.append(Citation(law_id, article, numeral, literal, span, law_text, match["edition"] or ""))
    return found


def format_citation(
    law: Edition, article: str, numeral: int | str | None = None, literal: str | None = None, *, long: bool = False
) -> str:
    """The canonical citation, or with ``long`` the one for running text (which names no edition). An edition without
    any date is written "s. f." (sin fecha)."""
    base, innumerado, count = article.partition("-innumerado-")
    word = "artículo" if long else "Art."
    named = (
        f"{word} innumerado {count} agregado a continuación del {word} {base}" if innumerado else f"{word} {article}"
    )
    if long:
        parts = [f"literal {literal})"] if literal else []
        parts += [f"numeral {numeral}"] if numeral else []
        feminine = law.name.lower().startswith(("ley", "constitución", "codificación", "ordenanza", "resolución"))
        return " del ".join([*parts, named]) + (" de la " if feminine else " del ") + law.name
    parts = [f"num. {numeral}"] if numeral else []
    parts += [f"lit. {literal})"] if literal else []
    return ", ".join([named, *parts, law.name, f"ed. {law.edition or 's. f.'}"])


Names = tuple[tuple[str, str, str, tuple[str, ...]], ...]  # id, name, siglas, aliases of each law


@lru_cache(maxsize=64)
def law_names(laws: Names) -> tuple[str, dict[str, str]]:
    """A pattern of all that laws are called, the longest first, for a folded text; and the id that each name means.
    A comma in a name may be left out, siglas may have full stops, words may be split over lines."""
    ids: dict[str, str] = {}
    dotted = set()
    for law_id, name, siglas, aliases in laws:
        dotted.add(_squeezed(_folded(siglas)))
        for known in (name, siglas, *aliases):
            if known.strip():
                ids.setdefault(_squeezed(_folded(known)), law_id)
    names = "|".join(
        r"\.?\s?".join(known) + r"\.?" if known in dotted else r",?\s+".join(map(re.escape, known.split()))
        for known in sorted(ids, key=len, reverse=True)
    )
    return names or r"(?!)", ids


def law_called(name: str, ids: dict[str, str]) -> str | None:
    """The id of the law that `law_names` found under these folded words."""
    return ids.get(_squeezed(name)) or ids.get(re.sub(r"[.\s]", "", name))


@lru_cache(maxsize=64)
def _pattern(laws: Names) -> tuple[re.Pattern[str], dict[str, str]]:
    names, ids = law_names(laws)
    later = _UNNUMBERED.replace("k1", "k3").replace("base", "base2")
    pattern = (
        rf"(?<!\w)(?:(?P<before>{names})\s*[,:]?\s*(?:en\s+(?:sus?|el|los)\s+)?)?{_BEFORE}"
        rf"(?:(?P<k2>{ORDINAL_WORD})\s+(?:articulo|art\.?)\s*{later}"
        rf"|(?:articulos?|arts?\.?)\s*(?:n\.?[°ºo]?\s*)?(?:{_UNNUMBERED}|(?P<only>unico)\b"
        rf"|(?P<numbers>{_NUMBER}(?:{_JOIN}{_NUMBER})*))){_AFTER}"
        rf"(?:{_LINK}(?P<after>{names})(?!\w)\)?|{_LINK}(?P<other>{_OTHER_LAW}))?{_EDITION}"
    )
    return re.compile(pattern), ids


def _folded(text: str) -> str:
    """``text`` folded, positions kept even where accents are characters of their own."""
    folded = fold(text).translate(_BLANKS)
    return folded if len(folded) == len(text) else "".join(map(fold, text)).translate(_BLANKS)


def _squeezed(name: str) -> str:
    return " ".join(name.replace(",", " ").split())


def _articles(match: re.Match[str], law: Container[str] | None) -> list[tuple[str, str | None, str | None]]:
    numeral = match["anum"] or match["cnum"]
    if numeral and not numeral.isdigit():
        numeral = str(ordinal(numeral) or "") or None
    literal = match["alit"] or match["blit"] or match["clit"]
    base = match["base"] or match["base2"]
    if base:
        count = match["k1"] or match["k2"] or match["k3"] or "1"
        return [(f"{base}-innumerado-{count if count.isdigit() else ordinal(count)}", numeral, literal)]
    if match["only"]:
        return [("único", numeral, literal)]
    found: list[tuple[str, str | None, str | None]] = []
    end = 0
    for number in re.finditer(_NUMBER, match["numbers"]):
        joint, end = match["numbers"][end : number.start()].strip(), number.end()
        article, own_numeral, own_literal = _split_number(number[0], law)
        if joint.startswith(("al", "a", "hasta", "-")) and found and found[-1][0].isdigit() and article.isdigit():
            first, last = int(found[-1][0]) + 1, int(article)
            if first <= last <= first + _LONGEST_RANGE:
                found += [(str(between), None, None) for between in range(first, last)]
        found.append((article, own_numeral, own_literal))
    if len(found) == 1 and found[0][1] is None:
        return [(found[0][0], numeral, literal or found[0][2])]
    return found


def _split_number(text: str, law: Container[str] | None) -> tuple[str, str | None, str | None]:
    """ "76.7.a" -> article, numeral, literal; "30.1" stays an article where the law has it; "208a" -> "208A"."""
    text = re.sub(r"\s", "", text)
    text = re.sub(r"-?(bis|ter|quater|quinquies)$", r"-\1", text)
    text = re.sub(r"(?<=\d)-?([a-h])$", lambda match: match[1].upper(), text)
    pieces = text.split(".")
    whole = [cut for cut in range(len(pieces), 1, -1) if law is not None and ".".join(pieces[:cut]) in law]
    cut = whole[0] if whole else 1
    article, rest = ".".join(pieces[:cut]), pieces[cut:]
    numeral = rest[0] if rest and rest[0].isdigit() else None
    literal = rest[-1] if rest and not rest[-1].isdigit() else None
    return article, numeral, literal


def roman(text: str) -> int | None:
    """The value of a Roman numeral in capitals, or None: ``roman("XIV") == 14``."""
    if not text or not _ROMAN_FORM.fullmatch(text):
        return None
    values = [_ROMAN[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def ordinal(text: str) -> int | None:
    """The value of a Spanish ordinal, or None: ``ordinal("DÉCIMO PRIMERA") == ordinal("Undécima") == 11``; up to 59, in
    either gender, in one word or two, and "única" as 1."""
    values = [_ORDINALS.get(word, 0) for word in re.sub(r"[^a-z]", " ", fold(text)).split()]
    if len(values) == 2 and values[0] and values[0] % 10 == 0 and 0 < values[1] < 10:
        return sum(values)
    return values[0] or None if len(values) == 1 else None


# What may be cited: the laws that are here with all their articles, and those known by name only.


@dataclass(frozen=True)
class IndexedLaw:
    """``numbers`` are those of its articles in printed order, none for a law of which no text is here; ``dates`` the
    days it may be named by: its edition, its publication and its last reform."""

    id: str
    name: str
    siglas: str = ""
    aliases: tuple[str, ...] = ()
    edition: str = ""
    dates: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @cached_property
    def _lower(self) -> frozenset[str]:
        return frozenset(map(str.lower, self.numbers))

    def __contains__(self, number: object) -> bool:
        return str(number).strip().lower() in self._lower

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.name, self.siglas, *self.aliases) if name)


@dataclass(frozen=True)
class IndexedArticle:
    """One whole article. ``citation`` is the canonical one; ``path`` "Libro I > Título II, ..."; ``parts`` what can be
    cited of it with its text: "7" a numeral, "7.a" a literal of it, "a" a literal of its own. ``struck`` are the
    half-open ranges of the body that were declared unconstitutional."""

    law: IndexedLaw
    number: str
    rubric: str
    body: str
    status: str
    path: str
    citation: str
    parts: tuple[tuple[str, str], ...] = ()
    struck: tuple[tuple[int, int], ...] = ()

    @cached_property
    def part(self) -> dict[str, str]:
        return dict(self.parts)

    @cached_property
    def items(self) -> dict[str, str]:
        """The text of each numeral (or literal of the first level) by its label."""
        return {label: text for label, text in self.parts if "." not in label}


def read_law(facts: dict[str, Any], rows: Iterable[dict[str, Any]]) -> tuple[IndexedLaw, list[IndexedArticle]]:
    """A law from the contents of its ``law.json`` and the lines of its ``articles.jsonl``; provisions are left out.
    Files of another version raise KeyError or TypeError."""
    rows = [row for row in rows if row["kind"] == "articulo"]
    named = facts["id"], facts["name"], facts["siglas"], tuple(facts["aliases"]), facts["edition"]
    days = tuple(day for day in (facts["edition"], facts["published"], facts["last_reform"]) if day)
    law = IndexedLaw(*named, days, tuple(row["number"] for row in rows))
    articles = []
    for row in rows:
        number, rubric, body = row["number"], row["rubric"] or "", row["body"]
        steps = [(f"{DIVISIONS[step['kind']]} {step['number']}", step["name"]) for step in row["path"]]
        path = " > ".join(", ".join(filter(None, step)) for step in steps)
        parts = []
        for item in row["numerals"]:
            parts.append((item["label"], item["text"]))
            parts += [(f"{item['label']}.{inner['label']}", inner["text"]) for inner in item["literals"]]
        citation = format_citation(law, number)
        struck = tuple((first, last) for first, last in row["struck"])
        articles.append(IndexedArticle(law, number, rubric, body, row["status"], path, citation, tuple(parts), struck))
    return law, articles


class CitationIndex:
    """The closed inventory of what may be cited: ``known`` laws, where two editions are there the newer one first.
    Articles are kept in memory here; `leylora.grounding.search.LawIndex` reads them from its file."""

    def __init__(self, known: Sequence[IndexedLaw], articles: Iterable[IndexedArticle] = ()) -> None:
        self.known = tuple(known)
        place_of = {id(law): place for place, law in enumerate(self.known)}  # a law's articles share its object
        self._articles = {(place_of[id(article.law)], article.number.lower()): article for article in articles}
        self._cited = {article.citation: article for article in self._articles.values()}

    @classmethod
    def of(cls, laws: Iterable[ParsedLaw], names: Iterable[Named] = ()) -> "CitationIndex":
        """Parsed laws, and the names of others: a law of ours that ``names`` has too is known once."""
        read = [read_law(law.facts(), law.rows()) for law in laws]
        known = with_names([law for law, _ in read], names)
        return cls(known, [article for _, articles in read for article in articles])

    def law(self, citation: Citation) -> IndexedLaw | None:
        """The law a citation names, in the edition it names where that is here."""
        places = self._editions(citation)
        return self.known[places[0]] if places else None

    def find(self, citation: Citation) -> IndexedArticle | None:
        """The article a citation names: of the edition it names, else of the newest; None without a law of ours."""
        places = self._editions(citation)
        return self._fetch(places[0], citation.article) if places else None

    def canonical(self, words: str) -> tuple[IndexedArticle, str] | None:
        """The article whose canonical citation (without brackets) these words are, and the part of it, or ""."""
        words = one_line(words)
        if words in self._cited:
            return self._cited[words], ""
        for citation in parse_citations(words, self.known)[:1]:
            part = citation.part
            for place in self._editions(citation):
                article = self._fetch(place, citation.article)
                if article is None or (part and part not in article.part):
                    continue
                if format_citation(article.law, article.number, citation.numeral, citation.literal) == words:
                    return article, part
        return None

    def article(self, law_id: str, number: str) -> IndexedArticle | None:
        """One article by its law's id and its number, of the newest edition."""
        found = (self._fetch(place, number) for place, law in enumerate(self.known) if law.id == law_id)
        return next(filter(None, found), None)

    def _fetch(self, place: int, number: str) -> IndexedArticle | None:
        return self._articles.get((place, number.strip().lower()))

    def _editions(self, citation: Citation) -> list[int]:
        """Places in ``known`` of the law a citation names, the edition it names first."""
        named = next((law for law in self.known if law.id == citation.law_id), None)
        if named is None:
            return []
        same = [(at, law) for at, law in enumerate(self.known) if law.id == named.id or law.name == named.name]
        same.sort(key=lambda one: (one[1].edition != citation.edition, one[1].id != citation.law_id))
        return [at for at, _ in same]


def with_names(laws: Iterable[IndexedLaw], names: Iterable[Named]) -> list[IndexedLaw]:
    """The laws, the newer of two editions first, then those of which only the name is known."""
    known = sorted(laws, key=lambda law: law.edition, reverse=True)
    here = {law.id for law in known} | {law.name for law in known}
    absent = [entry for entry in names if entry.id not in here and entry.name not in here]
    return known + [IndexedLaw(entry.id, entry.name, entry.siglas, tuple(entry.aliases)) for entry in absent]
