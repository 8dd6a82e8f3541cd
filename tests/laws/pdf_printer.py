"""Print a structured law as the publishers of Ecuadorian law print theirs, to test the parser.

``python tests/laws/pdf_printer.py`` prints the sample law again: data/samples/ley-de-muestra.pdf.

The input is a `PrintedLaw`, readable from YAML:

    name: Ley de Muestra de las Bibliotecas Barriales
    siglas: LMBB                        # optional
    aliases: [Ley de Bibliotecas]       # optional
    registro_oficial: Registro Oficial Suplemento 901     # optional
    published: 2019-03-04               # optional, ISO dates
    last_reform: 2024-08-15             # optional
    divisions:
      - kind: titulo                    # libro, titulo, capitulo, seccion, paragrafo
        number: I                       # as printed: I, PRIMERO, 1o.
        name: Normas generales
        articles:
          - number: "1"                 # "1", "30.1" or "..." for an unnumbered article
            rubric: Objeto              # optional
            body: |                     # a paragraph a line or separated by blank lines; numerals are paragraphs
              Esta ley regula las bibliotecas de barrio:

              1. El préstamo de libros.

              2. La lectura en voz alta:

              a) En la plaza; y,

              b) En la escuela.
            notes: ["Artículo sustituido por artículo 4 de Ley No. 0, publicada en Registro Oficial ..."]
            concordances: ["CONSTITUCIÓN DE LA REPÚBLICA DEL ECUADOR, Arts. 3, 26"]
            case_law: ["Gaceta Judicial, DEVOLUCION TARDIA, 02-mar-1999"]
            reform_mark: "Sustituido por el Art. 4 de la Ley s/n, R.O. 901-S, 4-III-2019"   # FielWeb's way
          - {number: "2", rubric: Tasa, body: "", repealed: true, notes: [Artículo derogado por ...]}
        divisions: []                   # nested: capítulos inside a título, and so on
    articles: []                        # articles that stand before any division
    provisions:
      - {kind: transitoria, number: 1, body: "En el plazo de noventa días ..."}
        # general, transitoria, reformatoria, derogatoria, final
    traps: []                           # what makes real files hard to read, see Trap

``print_law(law, layout, path)`` writes the PDF.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

import yaml
from fpdf import FPDF
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.errors import LeyloraError
from leylora.files import read_text
from leylora.laws.law import DivisionKind
from leylora.project import SAMPLES
from leylora.text import fold

Layout = Literal["lexis", "lexis-finder", "esilec", "fielweb"]
Trap = Literal[
    "number-after-text",  # the bold number of a heading is drawn after the text beside it
    "glued-watermark",  # a watermark is drawn right after the last word of a page
    "soft-hyphens",  # U+00AD stands for the dash of headings and numerals
    "hard-spaces",  # U+00A0 stands for every space
    "broken-words",  # words are broken at line ends
    "index",  # an index of titles and articles comes first
    "quoted-article",  # a note quotes an article of another law
    "second-version",  # a note is followed by the article in another wording
    "reform-annex",  # a final provision sets out articles of another law
    "out-of-order",  # the last article is printed before the one that precedes it
    "two-columns",  # left column, then right
    "interleaved-columns",  # left and right column line by line: unreadable
    "scanned",  # pages are pictures
    "encrypted",  # the file asks for a password
]
ProvisionKind = Literal["general", "transitoria", "reformatoria", "derogatoria", "final"]


class _Printed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrintedArticle(_Printed):
    """An article as it is to appear; see the module's docstring for what each field looks like."""

    number: str
    rubric: str | None = None
    body: str = ""
    notes: tuple[str, ...] = ()
    concordances: tuple[str, ...] = ()
    case_law: tuple[str, ...] = ()
    reform_mark: str | None = None
    repealed: bool = False


class PrintedDivision(_Printed):
    """A Libro, Título, Capítulo, Sección or Parágrafo with its articles and the divisions inside it."""

    kind: DivisionKind
    number: str
    name: str = ""
    articles: tuple[PrintedArticle, ...] = ()
    divisions: tuple["PrintedDivision", ...] = ()


class PrintedProvision(_Printed):
    """A final provision; ``number`` counts within its kind."""

    kind: ProvisionKind
    number: int = Field(ge=1, le=99)
    body: str


class PrintedLaw(_Printed):
    """A whole law; see the module's docstring for an example in YAML."""

    name: str
    siglas: str = ""
    aliases: tuple[str, ...] = ()
    registro_oficial: str = ""
    published: date | None = None
    last_reform: date | None = None
    articles: tuple[PrintedArticle, ...] = ()
    divisions: tuple[PrintedDivision, ...] = ()
    provisions: tuple[PrintedProvision, ...] = ()
    traps: tuple[Trap, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "PrintedLaw":
        """Read a law from YAML. Raises LeyloraError, naming the key, when it is not as described above."""
        try:
            return cls.model_validate(yaml.safe_load(read_text(path)))
        except yaml.YAMLError as error:
            raise LeyloraError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise LeyloraError(
                f"{path}, key {where}: {fault['msg']}; see tests/laws/pdf_printer.py for the keys."
            ) from None


_MONTHS = "ene feb mar abr may jun jul ago sep oct nov dic".split()  # noqa: SIM905
_LONG_MONTHS = "Enero Febrero Marzo Abril Mayo Junio Julio Agosto Septiembre Octubre Noviembre Diciembre".split()  # noqa: SIM905
_ROMAN = "I II III IV V VI VII VIII IX X XI XII".split()  # noqa: SIM905
_KINDS = {"libro": "Libro", "titulo": "Título", "capitulo": "Capítulo", "seccion": "Sección", "paragrafo": "Parágrafo"}
_PLURALS = {
    "general": "GENERALES",
    "transitoria": "TRANSITORIAS",
    "reformatoria": "REFORMATORIAS",
    "derogatoria": "DEROGATORIAS",
    "final": "FINALES",
}


@dataclass(frozen=True)
class Paragraph:
    """One paragraph to set; ``number`` is the part ("Art. 5") that some publishers draw in bold on its own."""

    text: str
    number: str = ""


def typeset(law: PrintedLaw, layout: Layout) -> list[Paragraph]:
    """The paragraphs of the whole document, front matter and traps included, page furniture excluded."""
    articles = [*law.articles, *(article for division in law.divisions for article in _all_articles(division))]
    paragraphs = [Paragraph(line) for line in _header(law, layout)]
    if "index" in law.traps:
        paragraphs += [Paragraph("ÍNDICE"), *(Paragraph(line) for line in _index(law, layout))]
        paragraphs += [
            Paragraph("Una comunidad que lee es una comunidad que conversa; por lo que se expide este texto.")
        ]
    body = list(_articles(law.articles, law, layout))
    for division in law.divisions:
        body += _division(division, law, layout)
    if "out-of-order" in law.traps and len(articles) > 4:
        body = _swap_last(body)
    return [*paragraphs, *body, *_provisions(law, layout)]


def printed_name(law: PrintedLaw, layout: Layout) -> str:
    """The title as the publisher prints it: capitals, in the older layouts without accents."""
    name = law.name.upper() if layout in ("lexis", "fielweb") else fold(law.name, keep_ñ=False).upper()
    return f"{name}, {law.siglas}" if layout == "lexis" and law.siglas else name


def _all_articles(division: PrintedDivision) -> Iterator[PrintedArticle]:
    yield from division.articles
    for inner in division.divisions:
        yield from _all_articles(inner)


def _header(law: PrintedLaw, layout: Layout) -> Iterator[str]:
    gazette, _, number = (law.registro_oficial or "Registro Oficial 1").rpartition(" ")
    published, reform = law.published, law.last_reform
    if layout == "lexis":
        yield "Este documento ha sido descargado con el único propósito de consulta."
        yield printed_name(law, layout)
        yield "Tipo norma: Ley Número de Norma: 0"
        yield f"Fecha de publicación: {published} Tipo publicación: {gazette}" if published else "Sin publicar"
        yield f"Estado: {'Reformado' if reform else 'Vigente'} Número de publicación: {number}"
        if reform:
            yield f"Fecha de última modificación: {reform}"
    elif layout == "fielweb":
        supplement = "Suplemento del " if gazette.endswith("Suplemento") else ""
        if published:
            day = f"{published.day} de {_LONG_MONTHS[published.month - 1]} {published.year}"
            yield f"{supplement}Registro Oficial No. {number} , {day}"
        yield "Normativa: Vigente"
        if reform:
            yield f"Última Reforma: Suplemento del Registro Oficial 900, {_roman_date(reform)}"
        yield printed_name(law, layout)
    else:
        yield printed_name(law, layout)
        yield "Ley 0"
        if published:
            yield f"{gazette} {number} de {_short_date(published)}"
        if reform:
            yield f"Ultima modificación: {_short_date(reform)}"
        yield f"Estado: {'Reformado' if reform else 'Vigente'}"
    yield "EL PLENO DE LA ASAMBLEA VECINAL"
    yield "Considerando:"
    yield "Que, leer en común es un derecho, según el Art. 5 de la Carta de los Barrios, y conviene ordenarlo;"
    yield "En ejercicio de sus facultades, expide la siguiente:"


def _short_date(day: date) -> str:
    return f"{day.day:02}-{_MONTHS[day.month - 1]}.-{day.year}"


def _roman_date(day: date) -> str:
    return f"{day.day}-{_ROMAN[day.month - 1]}-{day.year}"


def _index(law: PrintedLaw, layout: Layout) -> Iterator[str]:
    for division in law.divisions:
        yield from (paragraph.text for paragraph in _division_title(division, layout))
        for inner in division.divisions:
            yield from (paragraph.text for paragraph in _division_title(inner, layout))
        for article in _all_articles(division):
            yield f"Art. {article.number}.- {article.rubric or 'Texto'} ........ 3"


def _division(division: PrintedDivision, law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    yield from _division_title(division, layout)
    yield from _articles(division.articles, law, layout)
    for inner in division.divisions:
        yield from _division(inner, law, layout)


def _division_title(division: PrintedDivision, layout: Layout) -> Iterator[Paragraph]:
    kind = _KINDS[division.kind]
    yield Paragraph(f"{kind.upper() if layout == 'lexis' or division.kind == 'titulo' else kind} {division.number}")
    if division.name:
        yield Paragraph(division.name.upper() if layout == "fielweb" else division.name)


def _articles(articles: tuple[PrintedArticle, ...], law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    unnumbered = 0
    for article in articles:
        unnumbered = unnumbered % 2 + 1 if article.number == "..." else 0  # the count some publishers let restart
        yield from _article(article, unnumbered, law, layout)


def _article(article: PrintedArticle, unnumbered: int, law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    number = f"Art. {article.number}"
    if unnumbered:
        number = f"Art. ... ({unnumbered})" if layout == "fielweb" else "Art. (...)"
    notes = list(article.notes)
    body = [] if article.repealed else [line for line in article.body.splitlines() if line.strip()]
    opening = f"{article.rubric}.- " if article.rubric else ""
    if article.repealed and not (notes or article.reform_mark):
        notes = [
            "Artículo derogado por artículo 1 de Ley No. 0, publicada en Registro Oficial 901 de 1 de Marzo del 2022 ."
        ]
    if layout == "fielweb":
        if article.repealed:
            reason = article.reform_mark or notes.pop(0).removeprefix("Artículo d").rstrip(" .")
            opening += f"({reason if reason.startswith('D') else 'D' + reason})."
        elif article.reform_mark:
            opening += f"({article.reform_mark}).- "
    elif article.reform_mark:
        notes.insert(0, f"Artículo {article.reform_mark[0].lower()}{article.reform_mark[1:]} .")
    yield Paragraph(f"{number}.- {opening}{body[0] if body else ''}".rstrip(), number)
    yield from (Paragraph(line) for line in body[1:])
    yield from _additions(article, number, notes, law, layout)


def _additions(
    article: PrintedArticle, number: str, notes: list[str], law: PrintedLaw, layout: Layout
) -> Iterator[Paragraph]:
    if "quoted-article" in law.traps and article.number == "2":
        yield Paragraph("Nota: La sentencia transcribe una norma ajena, según la cual:")
        yield Paragraph('"Art. 3.- Los faroles de la plaza se encenderán al anochecer.')
        yield Paragraph('Art. 4.- Los faroles se apagarán al amanecer."')
    for note in notes:
        if layout == "fielweb":
            yield Paragraph("Nota:")
        yield Paragraph(note if layout == "fielweb" else f"Nota: {note}")
    if "second-version" in law.traps and article.number == "1":
        yield Paragraph(
            "Nota: Por votación popular se aprobó sustituir este artículo, cuyo texto se describe a continuación."
        )
        yield Paragraph(
            f"{number}.- {article.rubric}.- Este texto es el de la votación popular."
            if article.rubric
            else f"{number}.- Este texto es el de la votación popular.",
            number,
        )
    small = layout == "lexis-finder"
    if article.concordances:
        yield Paragraph("Concordancias:" if small else "CONCORDANCIAS:")
        yield from map(Paragraph, article.concordances)
    if article.case_law:
        yield Paragraph("Jurisprudencia:" if small else "JURISPRUDENCIA:")
        yield from map(Paragraph, article.case_law)


def _swap_last(body: list[Paragraph]) -> list[Paragraph]:
    """Put the last but one article behind the one before it, whole: ... 8, 10, 9, 11."""
    starts = [index for index, paragraph in enumerate(body) if paragraph.number and "." not in paragraph.number[5:]]
    third, second, last = starts[-3], starts[-2], starts[-1]
    return [*body[:third], *body[second:last], *body[third:second], *body[last:]]


def _provisions(law: PrintedLaw, layout: Layout) -> Iterator[Paragraph]:
    for kind, group in groupby(law.provisions, key=lambda provision: provision.kind):
        provisions = list(group)
        if len(provisions) == 1 and provisions[0].number == 1:
            title = f"DISPOSICIÓN {kind.upper()}"
            lines = provisions[0].body.splitlines()
            if layout in ("lexis", "lexis-finder"):
                lines[0] = f"{title}.- {lines[0]}"
            else:
                yield Paragraph(title)
                lines[0] = f"ÚNICA.- {lines[0]}"
            yield from (Paragraph(line) for line in lines if line.strip())
            continue
        yield Paragraph(f"DISPOSICIONES {_PLURALS[kind]}")
        for provision in provisions:
            word = feminine_ordinal(provision.number)
            word = word.capitalize() if layout == "fielweb" else word.upper()
            lines = [line for line in provision.body.splitlines() if line.strip()]
            yield Paragraph(f"{word}{':' if layout == 'lexis' else '.-'} {lines[0]}")
            yield from map(Paragraph, lines[1:])
    if "reform-annex" in law.traps:
        yield Paragraph("DISPOSICIONES REFORMATORIAS")
        yield Paragraph("PRIMERA.- En la Ordenanza de Faroles agréguense los siguientes artículos:")
        yield from (
            Paragraph(f"Art. {number}.- Los faroles llevarán el número {number}.", f"Art. {number}")
            for number in range(90, 96)
        )


def with_dashes(paragraph: Paragraph, dash: str) -> Paragraph:
    """The paragraph with another character for the dash that ends numbers."""
    return replace(paragraph, text=paragraph.text.replace(".-", f".{dash}"))


FONT, SIZE, LEADING = "helvetica", 10, 5.0  # millimetres between lines
LEFT, TOP, BOTTOM, WIDTH = 20.0, 22.0, 275.0, 170.0
COLUMN_WIDTH, GUTTER = 80.0, 10.0
_TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})


@dataclass(frozen=True)
class Line:
    """One line to draw; ``number`` is drawn in bold at its start, ``wrapped`` lines are stretched to the margin."""

    text: str
    number: str = ""
    wrapped: bool = False


def print_law(law: PrintedLaw, layout: Layout, path: Path) -> None:
    """Write ``law`` to ``path`` as a PDF in the manner of ``layout``, with its traps.

    Only letters of Latin-1 can be drawn; typographic quotes and dashes are replaced."""
    paragraphs = typeset(law, layout)
    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=False)
    pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=UTC))
    pdf.set_title(law.name)
    if "encrypted" in law.traps:
        pdf.set_encryption(owner_password="owner", user_password="reader")
    pdf.set_font(FONT, size=SIZE)
    if "soft-hyphens" in law.traps:
        paragraphs = [with_dashes(paragraph, "\xad") for paragraph in paragraphs]
    columns = "two-columns" in law.traps or "interleaved-columns" in law.traps
    width = COLUMN_WIDTH if columns else WIDTH
    broken = "broken-words" in law.traps
    lines = [line for paragraph in paragraphs for line in _wrap(pdf, paragraph, width, broken=broken)]
    per_page = int((BOTTOM - TOP) / LEADING) * (2 if columns else 1)
    starts = range(0, len(lines), per_page)
    for start in starts:
        _draw_page(pdf, lines[start : start + per_page], law, layout, len(starts))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(pdf.output()))


def _wrap(pdf: FPDF, paragraph: Paragraph, width: float, *, broken: bool) -> Iterator[Line]:
    """Break a paragraph into lines no wider than ``width`` millimetres, at spaces or, if ``broken``, inside words."""
    line, number = "", paragraph.number
    for word in paragraph.text.translate(_TYPOGRAPHY).split():
        candidate = f"{line} {word}".strip()
        if not line or pdf.get_string_width(candidate) <= width:
            line = candidate
            continue
        if broken and len(word) > 7 and word.isalpha() and pdf.get_string_width(f"{line} {word[:4]}-") <= width:
            line, word = f"{line} {word[:4]}-", word[4:]
        yield Line(line, number, wrapped=True)
        line, number = word, ""
    yield Line(line, number)


def _draw_page(pdf: FPDF, lines: list[Line], law: PrintedLaw, layout: Layout, pages: int) -> None:
    pdf.add_page()
    if "scanned" in law.traps:
        pdf.image(Image.new("L", (60, 84), 200), 0, 0, 210, 297)
        return
    if layout == "lexis" and "glued-watermark" not in law.traps:
        _draw_watermark(pdf, 4.0)
    if layout == "fielweb":
        pdf.text(LEFT, 12, f"https://www.fielweb.com. Pág. {pdf.page_no()} de {pages}")
    half = (len(lines) + 1) // 2
    if "interleaved-columns" in law.traps:
        for row in range(half):
            for column in range(2):
                if row + column * half < len(lines):
                    _draw_line(pdf, lines[row + column * half], column, row, law)
    else:
        per_column = half if "two-columns" in law.traps else len(lines)
        for index, line in enumerate(lines):
            _draw_line(pdf, line, index // per_column, index % per_column, law)
    if layout == "lexis" and "glued-watermark" in law.traps:
        end = WIDTH if lines[-1].wrapped else pdf.get_string_width(lines[-1].text)
        _draw_watermark(pdf, LEFT + end + 0.2, TOP + (len(lines) - 1) * LEADING)
    if layout in ("lexis-finder", "esilec"):
        publisher = "LEXIS FINDER" if layout == "lexis-finder" else "eSilec Profesional"
        pdf.text(LEFT, 284, f"{printed_name(law, layout)[:80]} - Página {pdf.page_no()}")
        pdf.text(LEFT, 289, f"{publisher} - www.lexis.com.ec")


def _draw_line(pdf: FPDF, line: Line, column: int, row: int, law: PrintedLaw) -> None:
    """Draw a line word by word, a wrapped one justified; the bold number first or, as a trap, last."""
    x, y = LEFT + column * (COLUMN_WIDTH + GUTTER), TOP + row * LEADING
    space = "\xa0" if "hard-spaces" in law.traps else " "
    bold = line.number if line.text.startswith(line.number) else ""
    words = line.text[len(bold) :].split()
    if line.text[len(bold) : len(bold) + 1] == " ":
        words.insert(0, "")
    if bold:
        pdf.set_font(style="B")
    start = x + (pdf.get_string_width(bold) if bold else 0)
    if bold and "number-after-text" not in law.traps:
        pdf.text(x, y, bold)
    pdf.set_font(style="")
    gaps = max(1, len(words) - 1)
    used = start - x + sum(pdf.get_string_width(word) for word in words)
    width = COLUMN_WIDTH if "two-columns" in law.traps or "interleaved-columns" in law.traps else WIDTH
    gap = (width - used) / gaps if line.wrapped else pdf.get_string_width(" ")
    for index, word in enumerate(words):
        last = index == len(words) - 1
        pdf.text(start, y, word if last else word + space)
        start += pdf.get_string_width(word) + gap
    if bold and "number-after-text" in law.traps:
        pdf.set_font(style="B")
        pdf.text(x, y, bold)
        pdf.set_font(style="")


def _draw_watermark(pdf: FPDF, x: float, y: float = TOP) -> None:
    for row, text in enumerate(("Descargado", "gratuitamente desde", "www.lexis.com.", "ec")):
        pdf.text(x, y + row * 3, text)


def main() -> None:
    print_law(PrintedLaw.load(SAMPLES / "ley-de-muestra.yaml"), "lexis", SAMPLES / "ley-de-muestra.pdf")


if __name__ == "__main__":
    main()


def feminine_ordinal(number: int) -> str:
    """The ordinal of 1..59 as provisions carry it: ``feminine_ordinal(21) == "vigésima primera"``."""
    units = ("", "primera", "segunda", "tercera", "cuarta", "quinta", "sexta", "séptima", "octava", "novena")
    tens = ("", "décima", "vigésima", "trigésima", "cuadragésima", "quincuagésima")
    return f"{tens[number // 10]} {units[number % 10]}".strip()
