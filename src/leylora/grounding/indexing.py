"""Building the index of a folder of parsed laws, and building it again when the laws' files have changed."""

import hashlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from leylora.data.law_text import DEFINITION
from leylora.data.laws import load_laws
from leylora.laws.catalog import CATALOG, CatalogEntry, catalog
from leylora.laws.law import Article, Law

from ..errors import LeyloraError
from . import passages, words
from .index import VERSION, LawIndex
from .passages import pieces
from .words import terms

LAWS = Path("data/build/laws")
DEMO_LAWS = Path("data/build/demo/laws")
INDEX_FILE = "index.sqlite"
OPENING = 5  # words that stand in for a missing rubric
_DEFINITION = re.compile(
    r"(?P<term>(?:(?:El|La|Los|Las|Un|Una)\s+)?[^.;:\n]{3,90}?),?\s+(?:es|son)\s+(?:una?|unos|unas|el|la|los|las|todo|toda|aquel\w*)\s"
)

_SCHEMA = """
CREATE TABLE meta (version INTEGER, fingerprint TEXT);
CREATE TABLE laws (key INTEGER PRIMARY KEY, id TEXT, name TEXT, siglas TEXT, aliases TEXT, edition TEXT);
CREATE TABLE articles (
    key INTEGER PRIMARY KEY, law INTEGER, number TEXT, rubric TEXT, body TEXT, status TEXT, path TEXT, citation TEXT,
    parts TEXT, stems TEXT, defines TEXT
);
CREATE UNIQUE INDEX by_number ON articles (law, number);
CREATE TABLE passages (key INTEGER PRIMARY KEY, article INTEGER, first INTEGER, last INTEGER);
CREATE VIRTUAL TABLE words USING fts5 (rubric, path, body, content='', tokenize="unicode61 remove_diacritics 0");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row);
"""


def open_laws(folder: Path | None = None) -> LawIndex:
    """The index of the laws in ``folder`` (``folder/index.sqlite``), built first where it is missing or out of date.

    ``folder`` defaults to ``data/build/laws``, and to the demo's laws where that has none. Where it cannot be written
    to, the index is built anew each time and kept in memory only.

    Raises:
        LeyloraError: there is no parsed law; the message names the command that makes one.
    """
    folder = folder or default_laws()
    path = folder / INDEX_FILE
    if path.is_file():
        try:
            index = LawIndex(path)
        except LeyloraError:  # of another version, or damaged
            index = None
        if index is not None and index.fingerprint == fingerprint(folder):
            return index
    try:
        return LawIndex(build_index(folder, path))
    except PermissionError:  # laws that only an administrator may change
        with tempfile.TemporaryDirectory() as elsewhere:
            return LawIndex(build_index(folder, Path(elsewhere) / INDEX_FILE))


def default_laws() -> Path:
    """The folder of parsed laws that is there. Raises LeyloraError when there is none."""
    for folder in (LAWS, DEMO_LAWS):
        if any(folder.glob("*/law.json")):
            return folder
    raise LeyloraError(
        f"No law is parsed yet; run scripts/parse_law.py LAW.pdf (it writes to {LAWS}), or name a folder with --laws."
    )


def build_index(folder: Path, path: Path) -> Path:
    """Write the index of the laws in ``folder`` to ``path`` in one step; a reader of an older one is not disturbed.

    Raises:
        LeyloraError: ``folder`` holds no parsed law, or ``path`` cannot be written.
    """
    mark = fingerprint(folder)
    laws = load_laws(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    os.close(handle)
    try:
        with closing(sqlite3.connect(name)) as db:
            db.execute("PRAGMA journal_mode=OFF")
            db.executescript(_SCHEMA)
            with db:
                db.execute("INSERT INTO meta VALUES (?, ?)", (VERSION, mark))
                _write_laws(db, laws)
            db.execute("INSERT INTO words (words) VALUES ('optimize')")
            db.commit()
        Path(name).chmod(0o644)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def fingerprint(folder: Path) -> str:
    """SHA-256 of what the index is made of: every law's files, the catalogue of names, and the code that reads them."""
    digest = hashlib.sha256(str(VERSION).encode())
    for code in (__file__, passages.__file__, words.__file__):
        digest.update(Path(code).read_bytes())
    files = sorted([*folder.glob("*/law.json"), *folder.glob("*/articles.jsonl"), *folder.glob("law.json")])
    for file in [*files, *folder.glob("articles.jsonl"), *([CATALOG] if CATALOG.is_file() else [])]:
        digest.update(f"\n{file.name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _write_laws(db: sqlite3.Connection, laws: Sequence[Law]) -> None:
    # Where two editions of a law are there, the newer one is the one a bare name means.
    order = sorted(laws, key=lambda law: law.edition, reverse=True)
    article_key = passage_key = 0
    for key, law in enumerate(order):
        _write_law(db, key, law)
        for article in law:
            article_key += 1
            path = " > ".join(str(step) for step in article.path)
            parts = json.dumps([*_parts(article)])
            # Where no rubric says what an article is about, its first words do.
            rubric = terms(article.rubric or " ".join(article.body.split()[:OPENING]))
            place = terms(" ".join(step.name for step in article.path))
            stems = f" {' '.join(sorted({*rubric, *place, *terms(article.body)}))} "
            defines = " ".join(terms(_defined(article.body)))
            row = (article.number, article.rubric or "", article.body, article.status, path, law.cite(article.number))
            values = (article_key, key, *row, parts, stems, defines)
            db.execute(f"INSERT INTO articles VALUES ({', '.join('?' * len(values))})", values)
            for first, last in pieces(article.body):
                passage_key += 1
                db.execute("INSERT INTO passages VALUES (?, ?, ?, ?)", (passage_key, article_key, first, last))
                body = " ".join(terms(article.body[first:last]))
                db.execute(
                    "INSERT INTO words (rowid, rubric, path, body) VALUES (?, ?, ?, ?)",
                    (passage_key, " ".join(rubric), " ".join(place), body),
                )
    here = {law.id for law in laws} | {law.name for law in laws}
    absent = [entry for entry in catalog() if entry.id not in here and entry.name not in here]
    for key, entry in enumerate(absent, start=len(order)):
        _write_law(db, key, entry)


def _write_law(db: sqlite3.Connection, key: int, law: Law | CatalogEntry) -> None:
    edition = law.edition if isinstance(law, Law) else ""
    row = (key, law.id, law.name, law.siglas, json.dumps(law.aliases), edition)
    db.execute("INSERT INTO laws VALUES (?, ?, ?, ?, ?, ?)", row)


def _defined(body: str) -> str:
    """What a body that opens with a definition defines: "El dominio, que se llama también propiedad, es el ..."."""
    match = DEFINITION.match(body)
    if match:
        return match["told"] or match["named"]
    match = _DEFINITION.match(body)
    return match["term"] if match else ""


def _parts(article: Article) -> Iterator[str]:
    """What can be cited of an article: "7" its numeral, "7.a" a literal of it, "a" a literal of its own."""
    for item in article.numerals:
        yield item.label
        yield from (f"{item.label}.{inner.label}" for inner in item.literals)
