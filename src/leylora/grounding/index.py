"""From a folder of parsed laws to its search index, built again when the laws' files have changed.

The files of a parsed law are read as plain JSON; `leylora.grounding.search` is the reader of what is built.
"""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from .. import text
from ..errors import LeyloraError
from ..files import read_json_object, read_jsonl, read_text
from ..project import ROOT
from . import citations, search
from .citations import IndexedArticle, IndexedLaw, Named, read_law, with_names
from .clauses import DEFINITION
from .search import VERSION, LawIndex, pieces, terms

LAWS = Path("data/build/laws")
DEMO_LAWS = Path("data/build/demo/laws")
EMBEDDED = 600  # characters of a passage that are embedded: nine in ten are shorter
INDEX_FILE = "index.sqlite"
ASKED = ROOT / "data" / "questions" / "train.jsonl"
EVERYDAY = ROOT / "data" / "questions" / "everyday-words.tsv"
OPENING = 5  # words of the body, in place of a missing rubric
_DEFINITION = re.compile(
    r"((?:(?:El|La|Los|Las|Un|Una)\s+)?[^.;:\n]{3,90}?),?\s+(?:es|son)\s+(?:una?|unos|unas|el|la|los|las|todo|toda|aquel\w*)\s"
)

_SCHEMA = """
CREATE TABLE meta (version INTEGER, fingerprint TEXT);
CREATE TABLE laws (key INTEGER PRIMARY KEY, id TEXT, name TEXT, siglas TEXT, aliases TEXT, edition TEXT, dates TEXT);
CREATE TABLE articles (
    key INTEGER PRIMARY KEY, law INTEGER, number TEXT, rubric TEXT, body TEXT, status TEXT, path TEXT, citation TEXT,
    parts TEXT, stems TEXT, defines TEXT, struck TEXT
);
CREATE UNIQUE INDEX by_number ON articles (law, number);
CREATE TABLE passages (key INTEGER PRIMARY KEY, article INTEGER, first INTEGER, last INTEGER);
CREATE TABLE texts (key INTEGER PRIMARY KEY, article INTEGER, kind INTEGER, text TEXT, digest TEXT);
CREATE TABLE vectors (model TEXT, digest TEXT, vector BLOB, PRIMARY KEY (model, digest)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5 (
    rubric, path, body, everyday, content='', tokenize="unicode61 remove_diacritics 0"
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
"""


def open_laws(folder: Path | None, names: Iterable[Named]) -> LawIndex:
    """The index of the laws in ``folder`` (``folder/index.sqlite``), built first where it is missing or out of date.

    ``folder`` defaults to ``data/build/laws``, and to the demo's laws where that has none; ``names`` are laws known by
    name though their text is not here (`leylora.laws.catalog`).

    Raises:
        LeyloraError: there is no parsed law; the message names the command that makes one.
    """
    folder, names = folder or default_laws(), tuple(names)
    path = folder / INDEX_FILE
    with suppress(LeyloraError):  # missing, of another version, or damaged
        index = LawIndex(path)
        if index.fingerprint == fingerprint(folder, names):
            return index
    try:
        return LawIndex(build_index(folder, names, path))
    except PermissionError:  # laws that only an administrator may change: built each time, kept in memory only
        with tempfile.TemporaryDirectory() as elsewhere:
            return LawIndex(build_index(folder, names, Path(elsewhere) / INDEX_FILE))


def default_laws() -> Path:
    """The folder of parsed laws that is there. Raises LeyloraError when there is none."""
    for folder in (LAWS, DEMO_LAWS):
        if any(folder.glob("*/law.json")):
            return folder
    raise LeyloraError(
        f"No law is parsed yet; run scripts/parse_law.py LAW.pdf (it writes to {LAWS}), or name a folder with --laws."
    )


def build_index(folder: Path, names: Iterable[Named], path: Path) -> Path:
    """Write the index of the laws in ``folder`` to ``path`` in one step; a reader of an older one is not disturbed."""
    names = tuple(names)
    mark = fingerprint(folder, names)
    read = []
    for one in law_folders(folder):
        try:
            rows = (row for _, row in read_jsonl(one / "articles.jsonl"))
            read.append(read_law(read_json_object(one / "law.json"), rows))
        except (KeyError, TypeError) as error:
            raise LeyloraError(
                f"{one} was written by another version of leylora ({error!r}); parse the law again."
            ) from None
    known = with_names([law for law, _ in read], names)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as db:
            db.execute("PRAGMA journal_mode=OFF")
            db.executescript(_SCHEMA)
            with db:
                db.execute("INSERT INTO meta VALUES (?, ?)", (VERSION, mark))
                for key, law in enumerate(known):
                    facts = (law.id, law.name, law.siglas, json.dumps(law.aliases), law.edition, json.dumps(law.dates))
                    db.execute("INSERT INTO laws VALUES (?, ?, ?, ?, ?, ?, ?)", (key, *facts))
                _write_articles(db, known, [article for _, articles in read for article in articles])
            db.execute("INSERT INTO words (words) VALUES ('optimize')")
            _keep_vectors(db, path)
            db.commit()
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def everyday_words() -> dict[str, tuple[str, ...]]:
    """How people put what an article is about, ``{"coip:196": ("me robaron sin violencia", ...)}``, by a law's id alone
    what it treats, by "-" what no law does; written for this project, no law text. Nothing when leylora is installed
    without its ``data`` folder."""
    if not EVERYDAY.is_file():
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in read_text(EVERYDAY).splitlines():
        article, _, said = line.partition("\t")
        found[article] = (*found.get(article, ()), *said.split(", "))
    return found


def asked_before() -> dict[str, list[str]]:
    """The questions of the train part that an article answers, as they were asked: `data/questions/train.jsonl`."""
    found: dict[str, list[str]] = {}
    if ASKED.is_file():
        for _, row in read_jsonl(ASKED):
            told = " ".join([*(turn["question"] for turn in row["previous"][-1:]), row["question"]])
            for article in row["articles"][0] if row["articles"] else ():
                found.setdefault(article, []).append(told)
    return found


def embedded_text(article: IndexedArticle, first: int, last: int) -> str:
    """What an embedding model is given of a passage: law, place and rubric, then its words."""
    head = ". ".join(filter(None, (article.law.name, article.path.replace(" > ", ". "), article.rubric)))
    return f"{head}. {article.body[first:last][:EMBEDDED]}"


def _keep_vectors(db: sqlite3.Connection, old: Path) -> None:
    """Take over from the index that is replaced the vectors of texts that are still there."""
    if not old.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{old.resolve().as_uri()}?mode=ro", uri=True)) as before:
        here = {mark for (mark,) in db.execute("SELECT digest FROM texts")}
        kept = (row for row in before.execute("SELECT model, digest, vector FROM vectors") if row[1] in here)
        db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", kept)


def fingerprint(folder: Path, names: Iterable[Named]) -> str:
    """SHA-256 of what the index is made of: every law's files, the other names, and the code that reads them."""
    digest = hashlib.sha256(str(VERSION).encode())
    for code in (__file__, search.__file__, citations.__file__, text.__file__):
        digest.update(Path(code).read_bytes())
    for written in (EVERYDAY, ASKED):
        if written.is_file():
            digest.update(written.read_bytes())
    for named in names:
        digest.update(repr((named.id, named.name, named.siglas, named.aliases)).encode())
    for one in sorted([folder, *(file.parent for file in folder.glob("*/law.json"))]):
        for file in (one / "law.json", one / "articles.jsonl"):
            if file.is_file():
                digest.update(f"\n{file.name}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def law_folders(folder: Path) -> list[Path]:
    """The folder of one parsed law, or its subfolders that are each one; without any, a LeyloraError says so."""
    if not folder.is_dir():
        raise LeyloraError(f"{folder} is not a folder; name the folder that scripts/parse_law.py wrote.")
    if (folder / "law.json").exists():
        return [folder]
    found = sorted(file.parent for file in folder.glob("*/law.json"))
    if not found:
        raise LeyloraError(f"{folder} holds no parsed law; run scripts/parse_law.py LAW.pdf --out {folder} first.")
    return found


def _write_articles(db: sqlite3.Connection, known: list[IndexedLaw], articles: list[IndexedArticle]) -> None:
    everyday, asked = everyday_words(), asked_before()
    place_of = {id(law): place for place, law in enumerate(known)}  # a law's articles share its object
    passage_key = 0
    texts: list[tuple[int, int, str]] = []  # what an embedding model is given, with article and kind
    for key, article in enumerate(sorted(articles, key=lambda one: place_of[id(one.law)]), start=1):
        # Where no rubric says what an article is about, its first words do.
        rubric = terms(article.rubric or " ".join(article.body.split()[:OPENING]))
        place = terms(" ".join(step.partition(", ")[2] for step in article.path.split(" > ")))
        name = f"{article.law.id}:{article.number}"
        phrases = everyday.get(name, ())
        said = terms(" ".join(phrases))
        stems = f" {' '.join(sorted({*rubric, *place, *said, *terms(article.body)}))} "
        match = DEFINITION.match(article.body) or _DEFINITION.match(article.body)
        defines = " ".join(terms(next(filter(None, match.groups())))) if match else ""
        row = (article.number, article.rubric, article.body, article.status, article.path, article.citation)
        parts, struck = json.dumps(article.parts, ensure_ascii=False), json.dumps(article.struck)
        values = (key, place_of[id(article.law)], *row, parts, stems, defines, struck)
        db.execute(f"INSERT INTO articles VALUES ({', '.join('?' * len(values))})", values)
        texts += ((key, kind, one) for kind, found in ((1, phrases), (2, asked.get(name, ()))) for one in found)
        for first, last in pieces(article.body):
            passage_key += 1
            texts.append((key, 0, embedded_text(article, first, last)))
            db.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (passage_key, key, first, last))
            db.execute(
                "INSERT INTO words (rowid, rubric, path, body, everyday) VALUES (?, ?, ?, ?, ?)",
                (passage_key, *map(" ".join, (rubric, place, terms(article.body[first:last]), said))),
            )
    here = {article.law.id for article in articles}
    absent = {law.id: -1 - place for place, law in enumerate(known) if law.id not in here} | {"-": 0}
    texts += ((absent[key], 3, one) for key, phrases in everyday.items() if key in absent for one in phrases)
    marked = ((*one, hashlib.sha256(one[2].encode()).hexdigest()[:32]) for one in texts)
    db.executemany("INSERT INTO texts (article, kind, text, digest) VALUES (?, ?, ?, ?)", marked)
