"""A law as the rest of the project sees it: articles that can be named, and a record of how they were read.

law = parse_file("constitucion.pdf")
law["76"].numeral(7).literal("a").text
law.cite("76")                       # "Art. 76, Constitución de la República del Ecuador, ed. 2011-07-13"
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_json, read_jsonl, staged_folder, write_json, write_jsonl
from leylora.grounding.citations import DIVISIONS, format_citation

Kind = Literal["articulo", "disposicion"]
Status = Literal["vigente", "derogado", "derogado_parcial", "inconstitucional_parcial", "dudoso"]
DivisionKind = Literal["libro", "titulo", "capitulo", "seccion", "paragrafo"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Division(_Record):
    """One step of the path to an article: ``Division(kind="titulo", number="II", name="Derechos")``."""

    kind: DivisionKind
    number: str
    name: str = ""

    def __str__(self) -> str:
        heading = f"{DIVISIONS[self.kind]} {self.number}"
        return f"{heading}, {self.name}" if self.name else heading


class Numeral(_Record):
    """A numbered item of an article (``label`` "3") or a lettered one ("a"), with the items nested in it."""

    label: str
    text: str
    literals: tuple["Numeral", ...] = ()

    def literal(self, label: str) -> "Numeral":
        """The nested item called ``label``. Raises LeyloraError when there is none."""
        return _item(self.literals, label, f"numeral {self.label}")


class Article(_Record):
    """One article, or one final provision, of a law.

    ``body`` is the text in force only, after the rubric, one inciso a line; what the publisher added stands in
    ``notes``, ``concordances``, ``case_law`` and ``reform_marks``. ``pages`` are 1-based; ``span`` is the half-open
    range of characters in the normalised text of the source (`leylora.laws.source.read_source(...).text`).
    """

    law_id: str
    kind: Kind
    number: str
    rubric: str | None
    body: str
    status: Status
    path: tuple[Division, ...] = ()
    numerals: tuple[Numeral, ...] = ()
    notes: tuple[str, ...] = ()
    concordances: tuple[str, ...] = ()
    case_law: tuple[str, ...] = ()
    reform_marks: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    span: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """The article as it is printed after its number: "Objeto.- Esta ley regula ..."."""
        return f"{self._prefix}{self.body}"

    @property
    def _prefix(self) -> str:
        # A rubric that is the phrase opening an enumeration stands in the body already; see `laws.rubrics`.
        printed_apart = self.kind == "articulo" and self.rubric and not self.body.startswith(f"{self.rubric}:")
        return f"{self.rubric}.- " if printed_apart else ""

    def to_row(self) -> dict[str, Any]:
        """The line of ``articles.jsonl``: the fields, but with the whole printed `text` as ``body``."""
        return {**self.model_dump(), "body": self.text.strip()}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Article":
        """The article a line of ``articles.jsonl`` describes. Raises pydantic's ValidationError."""
        article = cls.model_validate(row)
        opening = f"{article.rubric}.-"
        if article.kind == "articulo" and article.rubric and article.body.startswith(opening):
            return article.model_copy(update={"body": article.body[len(opening) :].lstrip(" ")})
        return article

    @property
    def in_force(self) -> bool:
        """Whether the body can be quoted as law today: neither repealed nor doubtful, and not empty."""
        return bool(self.body) and self.status not in ("derogado", "dudoso")

    def numeral(self, label: int | str) -> Numeral:
        """The item of the body's first level called ``label`` (3, "3" or "a"). Raises LeyloraError if absent."""
        return _item(self.numerals, str(label), f"article {self.number} of {self.law_id}")


@dataclass(frozen=True)
class Law:
    """A parsed law. Iterating yields the articles in printed order; ``provisions`` stand apart."""

    id: str
    name: str
    siglas: str
    aliases: tuple[str, ...]
    registro_oficial: str
    published: date | None
    last_reform: date | None
    layout: str
    pages: int
    source_sha256: str
    articles: tuple[Article, ...] = field(repr=False)
    provisions: tuple[Article, ...] = field(repr=False)
    audit: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: Path | str) -> "Law":
        """Read back what `save` wrote. Raises LeyloraError when a file is missing or does not fit."""
        folder = Path(folder)
        facts = read_json(folder / "law.json")
        rows = []
        for line, row in read_jsonl(folder / "articles.jsonl"):
            try:
                rows.append(Article.from_row(row))
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(map(str, fault["loc"]))
                raise LeyloraError(
                    f"{folder / 'articles.jsonl'}, line {line}, key {where}: {fault['msg']}; parse the law again."
                ) from None
        try:
            return cls(
                id=facts["id"],
                name=facts["name"],
                siglas=facts["siglas"],
                aliases=tuple(facts["aliases"]),
                registro_oficial=facts["registro_oficial"],
                published=_date(facts["published"]),
                last_reform=_date(facts["last_reform"]),
                layout=facts["layout"],
                pages=facts["pages"],
                source_sha256=facts["source_sha256"],
                articles=tuple(row for row in rows if row.kind == "articulo"),
                provisions=tuple(row for row in rows if row.kind == "disposicion"),
                audit=read_json(folder / "audit.json"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LeyloraError(f"{folder / 'law.json'}: {error!r}; parse the law again.") from None

    def save(self, folder: Path | str) -> Path:
        """Write ``law.json``, ``articles.jsonl`` and ``audit.json`` into ``folder`` in one step.

        An earlier parse that stands there is replaced.

        Raises:
            UsageError: ``folder`` holds something else.
        """
        folder = Path(folder)
        with staged_folder(folder, overwrite=(folder / "law.json").exists()) as staging:
            write_json(staging / "law.json", self.facts())
            write_jsonl(staging / "articles.jsonl", (row.to_row() for row in (*self.articles, *self.provisions)))
            write_json(staging / "audit.json", self.audit)
        return folder

    def facts(self) -> dict[str, Any]:
        """What ``law.json`` holds: the law's identity and its source, without the text."""
        return {
            "id": self.id,
            "name": self.name,
            "siglas": self.siglas,
            "aliases": list(self.aliases),
            "registro_oficial": self.registro_oficial,
            "published": self.published.isoformat() if self.published else None,
            "last_reform": self.last_reform.isoformat() if self.last_reform else None,
            "edition": self.edition,
            "layout": self.layout,
            "pages": self.pages,
            "source_sha256": self.source_sha256,
        }

    @property
    def edition(self) -> str:
        """ISO date of the last reform this text includes, else of publication, else ""."""
        day = self.last_reform or self.published
        return day.isoformat() if day else ""

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The numbers of the articles in printed order."""
        return tuple(article.number for article in self.articles)

    def article(self, number: int | str) -> Article:
        """The article called ``number``: 76, "76", "30.1", "152-innumerado-2".

        Raises:
            LeyloraError: the law has no such article.
        """
        try:
            return self._by_number[str(number).strip().lower()]
        except KeyError:
            last = self.articles[-1].number if self.articles else "none"
            raise LeyloraError(f"{self.name} has no article {number} (its last is {last}); check the number.") from None

    def cite(self, number: int | str) -> str:
        """The citation every training answer ends in: ``Art. 188, Código del Trabajo, ed. 2023-02-01``."""
        return format_citation(self, self.article(number).number)

    @cached_property
    def _by_number(self) -> dict[str, Article]:
        return {article.number.lower(): article for article in self.articles}

    def __getitem__(self, number: int | str) -> Article:
        return self.article(number)

    def __contains__(self, number: object) -> bool:
        return str(number).strip().lower() in self._by_number

    def __iter__(self) -> Iterator[Article]:
        return iter(self.articles)

    def __len__(self) -> int:
        return len(self.articles)


def _item(items: tuple[Numeral, ...], label: str, place: str) -> Numeral:
    for item in items:
        if item.label == label.strip().lower():
            return item
    known = ", ".join(item.label for item in items) or "none"
    raise LeyloraError(f"{place} has no item {label}; it has: {known}.")


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def load_laws(folder: Path) -> list[Law]:
    """The law in ``folder``, or the laws in its subfolders, by name.

    Raises:
        LeyloraError: the folder is missing or holds no parsed law.
    """
    if not folder.is_dir():
        raise LeyloraError(f"{folder} is not a folder; name the folder that scripts/parse_law.py wrote.")
    if (folder / "law.json").exists():
        return [Law.load(folder)]
    laws = [Law.load(file.parent) for file in sorted(folder.glob("*/law.json"))]
    if not laws:
        raise LeyloraError(f"{folder} holds no parsed law; run scripts/parse_law.py LAW.pdf --out {folder} first.")
    return laws
