"""The index of parsed laws, as its readers see it: a SQLite file that any thread may search.

    index = open_laws(Path("data/build/laws"))           # leylora.grounding.indexing: builds it when the laws changed
    index.search("plazo para apelar", limit=5)           # -> [Hit, ...], the best first
    index.search("art 76 num 7 constitución")[0].direct  # True: the question names this article

This module and those it imports use the standard library only: they also run inside text-generation-webui.
"""

import json
import math
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import LeyloraError
from .citations import Citation
from .query import Query, read_query
from .thesaurus import legal_stems
from .words import stem, terms

VERSION = 1
"""Of the file's layout; an index of another version is built again."""

# Chosen on the development half of the questions; benchmarks/retrieval.py measures them on the other half.
WEIGHTS = (5.0, 1.0, 1.0)  # BM25's, of a word in rubric (or opening), path, body
LEGAL_WORDS = 0.5  # the share that the thesaurus' words count for
COVERAGE = 0.2  # the score of an article that has none of the question's words; it grows with their share by 1
NAMED_LAW = 2.0  # the score is multiplied with this when the question names the article's law,
TITLED = 1.5  # with this when all words of the article's rubric are asked for,
DEFINES = 2.0  # with this when it asks what something is and the article defines it,
STATUS = {"derogado": 0.5, "dudoso": 0.7}  # with this when the article is not in force
RARITY = 1e-6  # FTS5's own idf of a word that stands in more than half of the passages
CANDIDATES = 100  # passages that are looked at


@dataclass(frozen=True)
class IndexedLaw:
    """A law of the index. ``articles`` are the numbers of its articles in small letters, none for a law known by
    name only: the catalogue's, of which no text is here."""

    id: str
    name: str
    siglas: str
    aliases: tuple[str, ...]
    edition: str
    articles: frozenset[str]

    def __contains__(self, number: object) -> bool:
        return str(number).lower() in self.articles


@dataclass(frozen=True)
class IndexedArticle:
    """One whole article. ``citation`` is `leylora.laws.law.Law.cite`'s; ``path`` "Libro I > Título II, ...";
    ``parts`` what can be cited of it: "7" a numeral, "7.a" a literal of it, "a" a literal of its own."""

    law: IndexedLaw
    number: str
    rubric: str
    body: str
    status: str
    path: str
    citation: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """One article found.

    Attributes:
        article: the whole article, with its law and edition.
        passage: the piece of the body that answers best (the whole body when it is short).
        score: BM25 by the weight of the question's words, with what is said of the article beside its text (see
            `WEIGHTS` and below); below about 0.4 it is rarely on the question.
        coverage: share (0..1) of what the question asks for, by weight of its words, that the article speaks of.
        direct: whether the question names this article.
    """

    article: IndexedArticle
    passage: str
    score: float
    coverage: float
    direct: bool = False

    def as_json(self) -> dict[str, Any]:
        """Plain types, without the article's whole body."""
        article = self.article
        return {
            "law_id": article.law.id,
            "law": article.law.name,
            "siglas": article.law.siglas,
            "article": article.number,
            "rubric": article.rubric,
            "citation": article.citation,
            "edition": article.law.edition,
            "status": article.status,
            "path": article.path,
            "passage": self.passage,
            "score": round(self.score, 3),
            "coverage": round(self.coverage, 3),
            "direct": self.direct,
        }


@dataclass(frozen=True)
class _Scored:
    """An article's best passage: its score and its place in the body."""

    score: float
    coverage: float
    first: int
    last: int


_UNSCORED = _Scored(0.0, 0.0, 0, 0)


class LawIndex:
    """A reader of an index file, which is copied into memory (some 10 MB for four laws): it holds no file open, so
    that the file can be replaced at any time, and any number of threads may search it.

    ``laws`` are the laws with a text here, the newer of two editions first; ``known`` also the catalogue's.

    Raises:
        LeyloraError: the file is missing, is no index, or was written by another version.
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
            raise LeyloraError(f"{path} is no index of laws ({error}); delete it, and it is built again.") from None
        if version != VERSION:
            raise LeyloraError(f"{path} was written by another version of leylora; delete it, and it is built again.")
        self._db.execute("PRAGMA query_only=ON")
        self._keys: dict[tuple[int, str], int] = {
            (law, number.lower()): key for key, law, number in self._rows("SELECT key, law, number FROM articles")
        }
        self.known = tuple(self._read_laws())
        self.laws = tuple(law for law in self.known if law.articles)
        self._size = int(self._rows("SELECT count(*) FROM passages")[0][0])

    def search(self, query: str, limit: int = 5) -> list[Hit]:
        """The articles that fit a query best: those it names first, then by relevance; [] when no word is found."""
        asked = read_query(query, self.known)
        scored = self._scored(asked)
        named = {
            self._keys[place]: citation.numeral or citation.literal or ""
            for citation in asked.citations
            for place in self._named(citation, asked.law_ids)
        }
        direct = sorted(named, key=lambda key: -scored.get(key, _UNSCORED).score)
        rest = sorted((key for key in scored if key not in named), key=lambda key: -scored[key].score)
        return [self._hit(key, scored.get(key, _UNSCORED), named.get(key)) for key in [*direct, *rest][:limit]]

    def stems(self, words: Iterable[str]) -> dict[str, float]:
        """The stems of query words, each with the weight of its rarity: the idf of FTS5.

        A word typed without its ñ ("ano") is taken for the one that the laws have, if they have no other.
        """
        found: dict[str, float] = {}
        for word in words:
            spellings = [word] + [word[:at] + "ñ" + word[at + 1 :] for at, char in enumerate(word) if char == "n"]
            counted = [(one, self._count(one)) for one in map(stem, spellings)]
            best, count = next((one for one in counted if one[1]), counted[0])
            found[best] = max(math.log((self._size - count + 0.5) / (count + 0.5)), RARITY)
        return found

    def absent(self, query: str) -> list[IndexedLaw]:
        """The laws a query names of which no text is here."""
        named = read_query(query, self.known).law_ids
        return [law for law in self.known if law.id in named and not law.articles]

    def sought(self, query: str) -> frozenset[str]:
        """The stems that a search for ``query`` looks for, those of the legal words too: what to highlight."""
        stems = self.stems(read_query(query, self.known).words)
        return frozenset(stems).union(*(legal_stems(one) for one in stems))

    def article(self, law_id: str, number: str) -> IndexedArticle | None:
        """One article by its law's id and its number."""
        for place, law in enumerate(self.known):
            key = self._keys.get((place, number.strip().lower()))
            if law.id == law_id and key is not None:
                return self._article(key)
        return None

    def find(self, citation: Citation) -> IndexedArticle | None:
        """The article a citation names: of the edition it names, else of the newest; None without a law of ours."""
        places = list(self._named(citation, frozenset()))
        return self._article(self._keys[places[0]]) if places and citation.law_id else None

    def law(self, citation: Citation) -> IndexedLaw | None:
        """The law a citation names, in the edition it names where that is here."""
        places = self._editions(citation)
        return self.known[places[0]] if places else None

    def close(self) -> None:
        """Free the memory; the object is of no use afterwards."""
        with self._lock:
            self._db.close()

    def _named(self, citation: Citation, law_ids: frozenset[str]) -> Iterator[tuple[int, str]]:
        """The law (its place in ``known``) and number of the article a citation names; where it names no law, that of
        every law named elsewhere or, if there is none, of every law that has the number."""
        if citation.law_id:
            laws = self._editions(citation)[:1]
        elif citation.law_text:
            laws = []
        else:
            laws = [at for at, law in enumerate(self.known) if not law_ids or law.id in law_ids]
        number = citation.article.lower()
        yield from ((at, number) for at in laws if (at, number) in self._keys)

    def _editions(self, citation: Citation) -> list[int]:
        """Places in ``known`` of the law a citation names, the edition it names first."""
        named = next((law for law in self.known if law.id == citation.law_id), None)
        if named is None:
            return []
        same = [at for at, law in enumerate(self.known) if law.id == named.id or law.name == named.name]
        return sorted(same, key=lambda at: self.known[at].edition != citation.edition)

    def _scored(self, asked: Query) -> dict[int, _Scored]:
        """The articles of the best passages that have one of the question's words, by key."""
        stems = self.stems(asked.words)
        if not stems:
            return {}
        legal = {one: legal_stems(one) for one in stems}
        pairs = [f"{one} {after}" for one, after in pairwise(stems)]  # "debido proceso" is more than its two words
        more = {word for words in legal.values() for word in words if word not in stems}
        passages: dict[int, float] = dict(self._matches([*stems, *pairs]))
        for passage, score in self._matches(sorted(more)):
            passages[passage] = passages.get(passage, 0.0) + LEGAL_WORDS * score
        whole = sum(stems.values())
        meant = [(weight, [f" {word} " for word in (one, *legal[one])]) for one, weight in stems.items()]
        found: dict[int, _Scored] = {}
        for passage, key, first, last, law, status, rubric, defines, text in self._rows(
            "SELECT p.key, article, first, last, law, status, rubric, defines, stems FROM passages p JOIN articles "
            f"ON articles.key = article WHERE p.key IN ({','.join(map(str, passages))})"
        ):
            coverage = sum(weight for weight, words in meant if any(word in text for word in words)) / whole
            score = passages[passage] / whole * (COVERAGE + coverage) * STATUS.get(status, 1.0)
            score *= NAMED_LAW if self.known[law].id in asked.law_ids else 1.0
            if status not in STATUS and (titled := frozenset(terms(rubric))) and titled <= stems.keys():
                score *= TITLED
            if asked.definition and (stems.keys() <= set(defines.split()) or list(stems) == terms(rubric)):
                score *= DEFINES
            if key not in found or score > found[key].score:
                found[key] = _Scored(score, coverage, first, last)
        return found

    def _matches(self, sought: Sequence[str]) -> list[tuple[int, float]]:
        """The passages that have one of these stems or pairs of stems, with their BM25 score, the best first."""
        if not sought:
            return []
        return self._rows(
            "SELECT rowid, -bm25(words, ?, ?, ?) AS score FROM words WHERE words MATCH ? ORDER BY score DESC LIMIT ?",
            (*WEIGHTS, " OR ".join(f'"{one}"' for one in sought), CANDIDATES),
        )

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
        return Hit(article, passage, scored.score, scored.coverage, part is not None)

    def _article(self, key: int) -> IndexedArticle:
        law, number, rubric, body, status, path, citation, parts = self._rows(
            "SELECT law, number, rubric, body, status, path, citation, parts FROM articles WHERE key = ?", (key,)
        )[0]
        known = self.known[law]
        return IndexedArticle(known, number, rubric, body, status, path, citation, tuple(json.loads(parts)))

    def _count(self, one: str) -> int:
        """How many passages have a stem."""
        rows = self._rows("SELECT doc FROM vocabulary WHERE term = ?", (one,))
        return int(rows[0][0]) if rows else 0

    def _read_laws(self) -> Iterator[IndexedLaw]:
        numbers: dict[int, list[str]] = {}
        for law, number in self._keys:
            numbers.setdefault(law, []).append(number)
        rows = self._rows("SELECT key, id, name, siglas, aliases, edition FROM laws ORDER BY key")
        for key, law_id, name, siglas, aliases, edition in rows:
            articles = frozenset(numbers.get(key, ()))
            yield IndexedLaw(law_id, name, siglas, tuple(json.loads(aliases)), edition, articles)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()
