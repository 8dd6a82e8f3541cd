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

from leylora.errors import LeyloraError, first_fault
from leylora.files import read_json_object, read_jsonl, write_json, write_jsonl
from leylora.folders import staged_folder
from leylora.grounding.citations import DIVISIONS, format_citation
from leylora.grounding.index import law_folders

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
        return f"{DIVISIONS[self.kind]} {self.number}" + (f", {self.name}" if self.name else "")


class Numeral(_Record):
    """An item of an article: numbered (``label`` "3") or lettered ("a"), with the items nested in it."""

    label: str
    text: str
    literals: tuple["Numeral", ...] = ()

    def literal(self, label: str) -> "Numeral":
        """The nested item called ``label``. Raises LeyloraError when there is none."""
        return _item(self.literals, label, f"numeral {self.label}")


class Article(_Record):
    """One article, or one final provision, of a law.

    ``body`` is the text in force only, after the rubric, one inciso a line; what the publisher added is in ``notes``,
    ``concordances``, ``case_law`` and ``reform_marks``. ``struck`` are the half-open ranges of ``body`` that the
    Constitutional Court declared unconstitutional and the publisher still prints. ``pages`` are 1-based; ``span`` is a
    half-open range of characters in `Source.text`.
    """

    law_id: str
    kind: Kind
    number: str
    rubric: str | None
    body: str
    status: Status
    path: tuple[Division, ...] = ()
    numerals: tuple[Numeral, ...] = ()
    struck: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()
    concordances: tuple[str, ...] = ()
    case_law: tuple[str, ...] = ()
    reform_marks: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    span: tuple[int, int] = (0, 0)

    @property
    def text(self) -> str:
        """The article as it is printed after its number: "Objeto.- Esta ley regula ..."."""
        return f"{self.rubric}.- {self.body}" if self.kind == "articulo" and self.rubric else self.body

    @property
    def in_force(self) -> bool:
        """Whether the body can be quoted as law today: neither repealed nor doubtful, and not empty."""
        return bool(self.body) and self.status not in ("derogado", "dudoso")

    def numeral(self, label: int | str) -> Numeral:
        """The item of the body's first level called ``label`` (3, "3" or "a"). Raises LeyloraError if absent."""
        return _item(self.numerals, str(label), f"article {self.number} of {self.law_id}")


@dataclass(frozen=True)
class Identity:
    """What a law is called, and where and when it was published."""

    id: str
    name: str
    siglas: str
    aliases: tuple[str, ...]
    registro_oficial: str
    published: date | None
    last_reform: date | None

    @property
    def edition(self) -> str:
        """ISO date of the last reform this text includes, else of publication, else ""."""
        day = self.last_reform or self.published
        return day.isoformat() if day else ""


# What law.json holds, in this order.
_FACTS = "id name siglas aliases registro_oficial published last_reform edition layout pages source_sha256".split()  # noqa: SIM905


@dataclass(frozen=True)
class Law(Identity):
    """A parsed law. Iterating yields the articles in printed order; ``provisions`` are kept apart."""

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
        facts = read_json_object(folder / "law.json")
        rows = []
        for line, row in read_jsonl(folder / "articles.jsonl"):
            if "struck" not in row:  # its body still repeats the rubric
                raise LeyloraError(f"{folder} was parsed by an earlier version of leylora; parse the law again.")
            try:
                rows.append(Article.model_validate(row))
            except ValidationError as error:
                where, why = first_fault(error)
                raise LeyloraError(
                    f"{folder / 'articles.jsonl'}, line {line}, key {where}: {why}; parse the law again."
                ) from None
        try:
            values = {name: facts[name] for name in _FACTS if name != "edition"}
            values["aliases"] = tuple(values["aliases"])
            for name in ("published", "last_reform"):
                values[name] = date.fromisoformat(values[name]) if values[name] else None
        except (KeyError, TypeError, ValueError) as error:
            raise LeyloraError(f"{folder / 'law.json'}: {error!r}; parse the law again.") from None
        return cls(
            **values,
            articles=tuple(row for row in rows if row.kind == "articulo"),
            provisions=tuple(row for row in rows if row.kind == "disposicion"),
            audit=read_json_object(folder / "audit.json"),
        )

    def save(self, folder: Path | str) -> Path:
        """Write ``law.json``, ``articles.jsonl`` and ``audit.json`` into ``folder`` in one step, replacing an earlier
        parse. Raises UsageError when it holds something else."""
        folder = Path(folder)
        with staged_folder(folder, overwrite=(folder / "law.json").exists()) as staging:
            write_json(staging / "law.json", self.facts())
            write_jsonl(staging / "articles.jsonl", self.rows())
            write_json(staging / "audit.json", self.audit)
        return folder

    def facts(self) -> dict[str, Any]:
        """What ``law.json`` holds: the law's identity and its source, without the text."""
        values = {name: getattr(self, name) for name in _FACTS} | {"aliases": list(self.aliases)}
        return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """The lines of ``articles.jsonl``: the articles, then the provisions."""
        return (row.model_dump() for row in (*self.articles, *self.provisions))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        return tuple(article.number for article in self.articles)

    def article(self, number: int | str) -> Article:
        """The article called ``number``: 76, "76", "30.1", "152-innumerado-2". Raises LeyloraError if absent."""
        try:
            return self._by_number[str(number).strip().lower()]
        except KeyError:
            last = self.articles[-1].number if self.articles else "none"
            raise LeyloraError(f"{self.name} has no article {number} (its last is {last}); check the number.") from None

    __getitem__ = article

    def cite(self, number: int | str) -> str:
        """The citation every training answer ends with: ``Art. 188, Código del Trabajo, ed. 2023-02-01``."""
        return format_citation(self, self.article(number).number)

    @cached_property
    def _by_number(self) -> dict[str, Article]:
        return {article.number.lower(): article for article in self.articles}

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


def load_laws(folder: Path) -> list[Law]:
    """The law in ``folder``, or those in its subfolders, by name. Raises LeyloraError when there is none."""
    return [Law.load(one) for one in law_folders(folder)]
