"""Finding articles: a question is read (numbers, names of laws, words), and a SQLite file of parsed laws is searched.

    index = open_laws(Path("data/build/laws"), catalog())   # leylora.grounding.index: builds it when the laws changed
    index.search("plazo para apelar", limit=5)              # -> [Hit, ...], the best first
    index.search("art 76 num 7 constitución")[0].direct     # True: the question names this article
    terms("¿Cuántos años dura la acción de apelación?")     # -> ["años", "dur", "accion", "apel"]

Words are folded (people leave accents out; ñ stays, año is not ano), stop words left out, and stems taken by Snowball.
"""

import json
import math
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import LeyloraError
from ..text import WORD, fold, nfc, one_line, words
from .citations import (
    Citation,
    CitationIndex,
    IndexedArticle,
    IndexedLaw,
    Named,
    law_called,
    law_names,
    parse_citations,
)

try:  # in the extension of text-generation-webui, which has its own copy of the stemmer
    from .snowball.spanish_stemmer import SpanishStemmer  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from snowballstemmer.spanish_stemmer import SpanishStemmer

VERSION = 5
"""Of the file's layout; an index of another version is built again."""

# Chosen on the development half of the questions; benchmarks/retrieval.py measures them on the other half.
WEIGHTS = (5.0, 1.0, 1.0, 2.0)  # BM25's, of a word in rubric (or opening), path, body, everyday words
COVERAGE = 0.2  # the score of an article that has none of the question's words; it grows with their share by 1
NAMED_LAW = 2.0  # the score is multiplied with this when the question names the article's law,
TITLED = 1.5  # with this when all words of the article's rubric are asked for,
DEFINES = 2.0  # with this when it asks what something is and the article defines it,
STATUS = {"derogado": 0.5, "dudoso": 0.7}  # with this when the article is not in force
RARITY = 1e-6  # FTS5's own idf of a word in more than half of the passages
CANDIDATES = 100  # passages that are looked at
MOST_WORDS = 60  # of a question that are searched; a whole letter pasted in is cut there
_DEFINITION = re.compile(r"\b(?:que es|que son|que significa|que se entiende|defin\w+|concepto)\b")
_EDITION = re.compile(
    r"\b(?:edici[oó]n|versi[oó]n|texto|estaba|artículo|art\.)\b[^.?!]{0,60}?\b(?:del?|el|al)\s+(\d{4}-\d{2}-\d{2})\b",
    re.IGNORECASE,
)
_NUMBER = r"\d{1,4}(?:\.\d{1,3}){0,2}(?:\.[a-z])?"
LONGEST = 1_200  # characters; nine articles in ten are one passage
GAP = "[…]"
_SENTENCE_END = re.compile(r"[.;:]\s")
_STOP = frozenset(
    """
    a al algo algun alguna algunas alguno algunos ante asi aun aunque bajo cada como con contra cual cuales cualquier
    cuando cuanta cuantas cuanto cuantos de del desde donde dos durante e el ella ellas ello ellos en entre era es esa
    esas ese eso esos esta estan estas este esto estos fue ha haber han hasta hay la las le les lo los mas me mi mis muy
    ni no nos o os otra otras otro otros para pero por porque pueda puede pueden puedo que quien quienes se sea sean ser
    si sido sin sobre solo son su sus tal tambien tan tanto te tener tengo tiene tienen toda todas todo todos tras tu u
    un una uno unos unas y ya yo sera seran seria serian haya hubiere caso casos
    """.split()  # noqa: SIM905 (a list of a hundred literals is not easier to read)
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

_stemmer = SpanishStemmer()
_stemming = threading.Lock()  # the stemmer keeps the word in itself


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    with _stemming:
        return str(_stemmer.stemWord(word))


def terms(text: str) -> list[str]:
    """The stems of a text in reading order, stop words left out."""
    return [stem(word) for word in words(text) if word not in _STOP]


def query_words(text: str, *, strict: bool = False) -> list[str]:
    """The folded words of a question that say what it is about, each once; if none does, all of them ("la ley")
    unless ``strict``."""
    told = [word for word in words(text) if word not in _STOP]
    telling = [word for word in told if word not in _ASKING]
    return list(dict.fromkeys(telling if telling or strict else told))


def snippet(passage: str, sought: frozenset[str], width: int = 240) -> tuple[str, list[tuple[int, int]]]:
    """About ``width`` characters of a passage on one line, from where most of the stems sought are close together, and
    the ranges in it of the words that have them; an ellipsis shows what is left out."""
    line = one_line(passage)
    found = [match.span() for match in WORD.finditer(fold(line)) if stem(match[0]) in sought]
    start = max(
        (first for first, _ in found), key=lambda at: sum(at <= other < at + width for other, _ in found), default=0
    )
    start = 0 if len(line) <= width else max(0, min(start - 30, len(line) - width))
    start = line.rfind(" ", 0, start) + 1
    end = len(line) if len(line) - start <= width + 10 else line.rfind(" ", 0, start + width)
    opening = "… " if start else ""
    shift = len(opening) - start
    inside = [(first + shift, last + shift) for first, last in found if start <= first and last <= end]
    return f"{opening}{line[start:end]}{' …' if end < len(line) else ''}", inside


class Query(NamedTuple):
    """A question read.

    ``law_ids`` are the laws it names, in a citation or alone ("¿qué pena prevé el COIP...?"); ``words`` are folded,
    each once, citations and names of laws left out; ``definition`` is whether it asks what something is.
    """

    citations: tuple[Citation, ...]
    law_ids: frozenset[str]
    words: tuple[str, ...]
    definition: bool


def read_query(text: str, laws: Sequence[Named]) -> Query:
    """Read a question; ``laws`` are those that may be named.

    Besides the citations that `leylora.grounding.citations` knows, siglas or a name with a bare number are one, as
    people type them into a search box: "COGEP 151", "151 cogep", "constitución 76.7.a".
    """
    names, ids = law_names(tuple((law.id, law.name, law.siglas, law.aliases) for law in laws))
    pattern = re.compile(rf"(?<!\w)(?:{names})(?!\w)")
    text = one_line(nfc(text))
    citations = parse_citations(text, laws)
    if not citations:
        text = _with_article(text, pattern)
        citations = parse_citations(text, laws)
    if day := _EDITION.search(text):  # "¿qué decía el art. 4 en la edición del 2020-01-01?"
        citations = [replace(citation, edition=citation.edition or day[1]) for citation in citations]
    rest = list(text)
    for first, last in (citation.span for citation in citations):
        rest[first:last] = " " * (last - first)
    folded = fold("".join(rest))
    named = {citation.law_id for citation in citations} | {law_called(one[0], ids) for one in pattern.finditer(folded)}
    words = query_words(pattern.sub(" ", folded), strict=bool(citations))[:MOST_WORDS]
    asks_definition = bool(_DEFINITION.search(folded))
    return Query(tuple(citations), frozenset(filter(None, named)), tuple(words), asks_definition)


def _with_article(text: str, names: re.Pattern[str]) -> str:
    """ "COGEP 151" as "art. 151 COGEP"; other texts as they are."""
    folded = fold(text)
    for match in names.finditer(folded):
        after = re.compile(rf"\s*[,:]?\s*(?:num(?:ero)?\.?\s*)?({_NUMBER})(?![\w.]*\w)").match(folded, match.end())
        if after:
            return f"{text[: match.start()]} art. {after[1]} {text[slice(*match.span())]} {text[after.end() :]}"
        before = re.compile(rf"(?<![\w.])({_NUMBER})\s*,?\s*(?:del?\s+(?:la\s+)?)?$").search(folded[: match.start()])
        if before:
            return f"{text[: before.start()]} art. {before[1]} {text[match.start() :]}"
    return text


class Hit(NamedTuple):
    """One article found.

    ``passage`` is the piece of the body that answers best (the whole body when it is short). ``score`` is BM25 by the
    weight of the question's words, corrected by what else is known of the article (see `WEIGHTS` and below); below
    about 0.4 it is rarely on the question. ``coverage`` is the share (0..1) of what the question asks for, by weight
    of its words, that the article speaks of; ``direct`` whether the question names this article; ``similarity`` the
    cosine of question and passage under an embedding model, 0 without one (e5's lie between 0.7 and 0.9); ``agreed``
    how far up the rankings have it, 1 when it is first in all of them; ``strength`` the score before it was divided by
    the question's weight, so that a long story does not lower it.
    """

    article: IndexedArticle
    passage: str
    score: float
    coverage: float
    direct: bool = False
    similarity: float = 0.0
    agreed: float = 0.0
    strength: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain types, without the article's whole body."""
        article, law = self.article, self.article.law
        row = {"law_id": law.id, "law": law.name, "siglas": law.siglas, "article": article.number}
        row |= {"rubric": article.rubric, "citation": article.citation, "edition": law.edition}
        row |= {"status": article.status, "path": article.path, "passage": self.passage}
        return row | {"score": round(self.score, 3), "coverage": round(self.coverage, 3), "direct": self.direct}


class _Scored(NamedTuple):
    """An article's best passage: its score and its place in the body."""

    score: float = 0.0
    coverage: float = 0.0
    first: int = 0
    last: int = 0
    strength: float = 0.0


class Alike(NamedTuple):
    """How alike (a cosine) a question is to what was embedded, by the key of the article: to its passages, its
    everyday phrases, the questions of others that it answers; and to matters of other laws or of none, by -1 less the
    place of the law in `LawIndex.known`, and 0."""

    passages: Mapping[int, float]
    phrases: Mapping[int, float]
    questions: Mapping[int, float]
    elsewhere: Mapping[int, float]


NOT_ALIKE = Alike({}, {}, {}, {})
Ranker = Callable[[str], Alike]
FUSION = 10  # the k of reciprocal rank fusion; at its authors' 60 an article first in one ranking is lost (development)
RANKINGS = (1.0, 1.0, 1.0, 0.5)  # what a place counts in the ranking by words and in those of a `Ranker` (development)


def fused(rankings: Sequence[Sequence[int]]) -> dict[int, float]:
    """Several rankings as one, the best first, with the share (0..1) of the score of an article first in all:
    reciprocal rank fusion (Cormack, Clarke and Büttcher 2009, SIGIR), weighted."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, RANKINGS, strict=False):
        for place, key in enumerate(ranking):
            scores[key] = scores.get(key, 0.0) + weight / (FUSION + place + 1)
    most = sum(RANKINGS[: len(rankings)]) / (FUSION + 1)
    return {key: scores[key] / most for key in sorted(scores, key=lambda key: -scores[key])}


class LawIndex(CitationIndex):
    """A reader of an index file, which is copied into memory (some 10 MB for four laws): the file can be replaced at
    any time, and any number of threads may search. LeyloraError: it is missing, not an index, or another version's.

    ``laws`` are the laws with a text here, the newer of two editions first; ``known`` also those known by name.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise LeyloraError(f"{path} does not exist; scripts/search_laws.py builds it.")
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as file:
                file.backup(self._db)
            version, self.fingerprint = self._db.execute("SELECT version, fingerprint FROM meta").fetchone()
        except sqlite3.Error as error:
            raise LeyloraError(f"{path} is not an index of laws ({error}); delete it, and it is built again.") from None
        if version != VERSION:
            raise LeyloraError(f"{path} was written by another version of leylora; delete it, and it is built again.")
        self._db.execute("PRAGMA query_only=ON")
        self._keys: dict[tuple[int, str], int] = {}
        numbers: dict[int, list[str]] = {}
        for key, law, number in self._rows("SELECT key, law, number FROM articles ORDER BY key"):
            self._keys[law, number.lower()] = key
            numbers.setdefault(law, []).append(number)
        known = []
        for key, law_id, name, siglas, aliases, edition, days in self._rows("SELECT * FROM laws ORDER BY key"):
            other_names, dates = tuple(json.loads(aliases)), tuple(json.loads(days))
            known.append(IndexedLaw(law_id, name, siglas, other_names, edition, dates, tuple(numbers.get(key, ()))))
        super().__init__(known)
        self.laws = tuple(law for law in self.known if law.numbers)
        self.ranker: Ranker | None = None
        self._size = int(self._rows("SELECT count(*) FROM passages")[0][0])

    def search(self, query: str, limit: int = 5) -> list[Hit]:
        """The articles that fit a query best: those it names first, then by relevance; [] when no word is found."""
        asked = read_query(query, self.known)
        scored = self._scored(asked)
        named = {
            key: citation.numeral or citation.literal or ""
            for citation in asked.citations
            for key in self._named(citation, asked.law_ids)
        }
        alike = self.ranker(query) if self.ranker else NOT_ALIKE
        direct = sorted(named, key=lambda key: -scored.get(key, _Scored()).score)
        by_words = sorted(scored, key=lambda key: -scored[key].score)
        by_vectors = [sorted(one, key=lambda key: -one[key])[:CANDIDATES] for one in alike[:3] if one]
        ranked = fused([by_words, *by_vectors])
        rest = [key for key in ranked if key not in named]
        chosen = [*direct, *rest][:limit]
        hits = [self._hit(key, scored.get(key, _Scored()), named.get(key)) for key in chosen]
        return [
            hit._replace(similarity=alike.passages.get(key, 0.0), agreed=ranked.get(key, 0.0))
            for key, hit in zip(chosen, hits, strict=True)
        ]

    def strangeness(self, query: str, law: IndexedLaw) -> tuple[float, float, IndexedLaw | None]:
        """Of a question the highest cosine with an everyday phrase, by how much that with a matter of other laws or of
        none is higher, and the law of that matter. Zeros without vectors, and for a law without phrases."""
        alike = self.ranker(query) if self.ranker else NOT_ALIKE
        own = range(*self._range(law))
        if not alike.elsewhere or not any(key in own for key in alike.phrases):
            return 0.0, 0.0, None
        key = max(alike.elsewhere, key=lambda one: alike.elsewhere[one])
        near = max(alike.phrases.values())
        return near, alike.elsewhere[key] - near, self.known[-1 - key] if key else None

    def _range(self, law: IndexedLaw) -> tuple[int, int]:
        """The keys of a law's articles: from, and up to."""
        first = self._keys[self.known.index(law), law.numbers[0].lower()]
        return first, first + len(law.numbers)

    def article_of(self, key: int) -> IndexedArticle:
        """The article that a ranker's key stands for."""
        return self._article(key)

    def vectors(self, model: str, kind: int = 0) -> list[tuple[int, bytes]]:
        """The key of the article and the vector of every text that ``model`` has embedded: of passages (0), everyday
        phrases (1), questions (2), matters elsewhere (3; see `Alike`)."""
        return self._rows(
            "SELECT article, vector FROM texts JOIN vectors USING (digest) WHERE model = ? AND kind = ? ORDER BY key",
            (model, kind),
        )

    @property
    def embedded(self) -> bool:
        """Whether any passage has a vector."""
        return bool(self._rows("SELECT 1 FROM vectors LIMIT 1"))

    @property
    def size(self) -> int:
        """How many passages there are."""
        return self._size

    def stems(self, words: Iterable[str]) -> dict[str, float]:
        """The stems of query words, each with the weight of its rarity: the idf of FTS5. A word typed without its ñ
        ("ano") is taken for the one that the laws have, if they have no other."""
        found: dict[str, float] = {}
        for word in words:
            spellings = [word] + [word[:at] + "ñ" + word[at + 1 :] for at, char in enumerate(word) if char == "n"]
            counted = []
            for one in map(stem, spellings):
                rows = self._rows("SELECT doc FROM vocabulary WHERE term = ?", (one,))
                counted.append((one, int(rows[0][0]) if rows else 0))
            best, count = next((one for one in counted if one[1]), counted[0])
            found[best] = max(math.log((self._size - count + 0.5) / (count + 0.5)), RARITY)
        return found

    def absent(self, query: str) -> list[IndexedLaw]:
        """The laws a query names of which no text is here."""
        named = read_query(query, self.known).law_ids
        return [law for law in self.known if law.id in named and not law.numbers]

    def sought(self, query: str) -> frozenset[str]:
        """The stems that a search for ``query`` looks for: what to highlight."""
        return frozenset(self.stems(read_query(query, self.known).words))

    def _named(self, citation: Citation, law_ids: frozenset[str]) -> Iterator[int]:
        """The keys of the article a citation names; where it names no law, of those of every law named elsewhere or,
        if there is none, of every law that has the number."""
        laws = self._editions(citation)[:1]
        if not citation.law_id and not citation.law_text:
            laws = [at for at, law in enumerate(self.known) if not law_ids or law.id in law_ids]
        places = ((at, citation.article.lower()) for at in laws)
        yield from (self._keys[place] for place in places if place in self._keys)

    def _scored(self, asked: Query) -> dict[int, _Scored]:
        """The articles of the best passages that have one of the question's words, by key."""
        stems = self.stems(asked.words)
        if not stems:
            return {}
        pairs = [f"{one} {after}" for one, after in pairwise(stems)]  # "debido proceso" is more than its two words
        passages = dict(
            self._rows(
                "SELECT rowid, -bm25(words, ?, ?, ?, ?) score FROM words WHERE words MATCH ? "
                "ORDER BY score DESC LIMIT ?",
                (*WEIGHTS, " OR ".join(f'"{one}"' for one in (*stems, *pairs)), CANDIDATES),
            )
        )
        whole = sum(stems.values())
        found: dict[int, _Scored] = {}
        for passage, key, first, last, law, status, rubric, defines, text in self._rows(
            "SELECT p.key, article, first, last, law, status, rubric, defines, stems FROM passages p JOIN articles "
            f"ON articles.key = article WHERE p.key IN ({','.join(map(str, passages))})"
        ):
            coverage = sum(weight for one, weight in stems.items() if f" {one} " in text) / whole
            score = passages[passage] / whole * (COVERAGE + coverage) * STATUS.get(status, 1.0)
            score *= NAMED_LAW if self.known[law].id in asked.law_ids else 1.0
            if status not in STATUS and (titled := frozenset(terms(rubric))) and titled <= stems.keys():
                score *= TITLED
            if asked.definition and (stems.keys() <= set(defines.split()) or list(stems) == terms(rubric)):
                score *= DEFINES
            if key not in found or score > found[key].score:
                found[key] = _Scored(score, coverage, first, last, score * whole)
        return found

    def _hit(self, key: int, scored: _Scored, part: str | None) -> Hit:
        """``part`` is None for an article the question does not name, else the numeral it names, or ""."""
        article = self._article(key)
        first, last = scored.first, scored.last
        if part or not last:
            at = re.search(rf"^{re.escape(part)}[.)]", article.body, re.MULTILINE) if part else None
            first, last = self._rows(
                "SELECT first, last FROM passages WHERE article = ? AND (last > ? OR first = last) ORDER BY key",
                (key, at.start() if at else 0),
            )[0]
            first = at.start() if at else first
        passage = article.body[first:last].strip()
        return Hit(article, passage, scored.score, scored.coverage, part is not None, strength=scored.strength)

    def _fetch(self, place: int, number: str) -> IndexedArticle | None:
        key = self._keys.get((place, number.strip().lower()))
        return None if key is None else self._article(key)

    def _article(self, key: int) -> IndexedArticle:
        law, number, rubric, body, status, path, citation, parts, struck = self._rows(
            "SELECT law, number, rubric, body, status, path, citation, parts, struck FROM articles WHERE key = ?",
            (key,),
        )[0]
        labelled = tuple((label, text) for label, text in json.loads(parts))
        spans = tuple((first, last) for first, last in json.loads(struck))
        return IndexedArticle(self.known[law], number, rubric, body, status, path, citation, labelled, spans)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()


def pieces(body: str, longest: int = LONGEST) -> list[tuple[int, int]]:
    """Half-open ranges that cover ``body`` in order, none longer than ``longest`` unless a sentence is. An empty body
    is one empty piece, so that a repealed article is found by its rubric."""
    ends = [match.end() for match in re.finditer(r"\n", body)]
    cuts: list[int] = []
    for start, end in pairwise([0, *ends, len(body)]):
        if end - start > longest:
            cuts += [start + match.end() for match in _SENTENCE_END.finditer(body[start:end])]
        cuts.append(end)
    found: list[tuple[int, int]] = []
    first = last = 0
    for cut in cuts:
        if cut - first > longest and last > first:
            found.append((first, last))
            first = last
        last = cut
    found.append((first, len(body)))
    return found


def excerpt(body: str, focus: str, room: int) -> str:
    """At most ``room`` characters of a body: the piece that holds ``focus`` with as many neighbours as fit.

    The opening, which says what a list is a list of, comes first where it fits; "[…]" shows what is left out.
    """
    if len(body) <= room:
        return body
    cut = pieces(body, LONGEST // 4)
    at = max(body.find(focus), 0)
    low = high = next(number for number, (_, last) in enumerate(cut) if at < last or last == len(body))
    kept = {0, low}
    if _size(cut, kept) > room:
        kept = {low}
    if _size(cut, kept) > room:
        start = cut[low][0]
        return f"{body[start : start + room - len(GAP) - 1].rstrip()} {GAP}"
    while True:
        grown = [number for number in (high + 1, low - 1) if 0 <= number < len(cut) and number not in kept]
        fitting = next((number for number in grown if _size(cut, kept | {number}) <= room), None)
        if fitting is None:
            break
        kept.add(fitting)
        low, high = min(low, fitting), max(high, fitting)
    lines: list[str] = []
    for number in range(len(cut)):
        if number in kept:
            lines.append(body[slice(*cut[number])].strip())
        elif not lines or lines[-1] != GAP:
            lines.append(GAP)
    return "\n".join(lines)


def _size(cut: list[tuple[int, int]], kept: set[int]) -> int:
    """Characters of the excerpt, every mark of an omission counted."""
    return sum(cut[number][1] - cut[number][0] + 1 for number in kept) + (len(kept) + 1) * (len(GAP) + 1)
