"""Draw typeset paragraphs on the pages of a PDF, with each publisher's furniture and the traps of its files."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from leylora.errors import LeyloraError
from leylora.laws.printing import Layout, PrintedLaw
from leylora.laws.typesetting import Paragraph, printed_name, with_dashes

if TYPE_CHECKING:
    from fpdf import FPDF

FONT, SIZE, LEADING = "helvetica", 10, 5.0  # millimetres between lines
LEFT, TOP, BOTTOM, WIDTH = 20.0, 22.0, 275.0, 170.0
COLUMN_WIDTH, GUTTER = 80.0, 10.0
_TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})


@dataclass(frozen=True)
class Line:
    """One line to draw; ``number`` is drawn in bold at its start."""

    text: str
    number: str = ""


def press(paragraphs: list[Paragraph], law: PrintedLaw, layout: Layout, path: Path) -> None:
    """Write the PDF. Only letters of Latin-1 can be drawn; typographic quotes and dashes are replaced."""
    try:
        from fpdf import FPDF
    except ImportError:
        raise LeyloraError("Printing a law needs fpdf2; install it with: pip install 'leylora[demo]'") from None
    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=False)
    pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=UTC))
    pdf.alias_nb_pages("{pages}")
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
    for start in range(0, len(lines), per_page):
        _draw_page(pdf, lines[start : start + per_page], law, layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(pdf.output()))


def _wrap(pdf: "FPDF", paragraph: Paragraph, width: float, *, broken: bool) -> Iterator[Line]:
    """Break a paragraph into lines no wider than ``width`` millimetres, at spaces or, if ``broken``, inside words."""
    line, number = "", paragraph.number
    for word in paragraph.text.translate(_TYPOGRAPHY).split():
        candidate = f"{line} {word}".strip()
        if not line or pdf.get_string_width(candidate) <= width:
            line = candidate
            continue
        if broken and len(word) > 7 and word.isalpha() and pdf.get_string_width(f"{line} {word[:4]}-") <= width:
            line, word = f"{line} {word[:4]}-", word[4:]
        yield Line(line, number)
        line, number = word, ""
    yield Line(line, number)


def _draw_page(pdf: "FPDF", lines: list[Line], law: PrintedLaw, layout: Layout) -> None:
    pdf.add_page()
    if "scanned" in law.traps:
        from PIL import Image

        pdf.image(Image.new("L", (60, 84), 200), 0, 0, 210, 297)
        return
    if layout == "lexis" and "glued-watermark" not in law.traps:
        _draw_watermark(pdf, 4.0)
    if layout == "fielweb":
        pdf.text(LEFT, 12, f"https://www.fielweb.com. Pág. {pdf.page_no()} de {{pages}}")
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
        _draw_watermark(pdf, LEFT + pdf.get_string_width(lines[-1].text) + 0.2, TOP + (len(lines) - 1) * LEADING)
    if layout in ("lexis-finder", "esilec"):
        publisher = "LEXIS FINDER" if layout == "lexis-finder" else "eSilec Profesional"
        pdf.text(LEFT, 284, f"{printed_name(law, layout)[:80]} - Página {pdf.page_no()}")
        pdf.text(LEFT, 289, f"{publisher} - www.lexis.com.ec")


def _draw_line(pdf: "FPDF", line: Line, column: int, row: int, law: PrintedLaw) -> None:
    x, y = LEFT + column * (COLUMN_WIDTH + GUTTER), TOP + row * LEADING
    text = line.text.replace(" ", "\xa0") if "hard-spaces" in law.traps else line.text
    if not line.number or not text.startswith(line.number):
        pdf.text(x, y, text)
        return
    pdf.set_font(style="B")
    indent = pdf.get_string_width(line.number)
    if "number-after-text" in law.traps:
        pdf.set_font(style="")
        pdf.text(x + indent, y, text[len(line.number) :])
        pdf.set_font(style="B")
        pdf.text(x, y, line.number)
    else:
        pdf.text(x, y, line.number)
        pdf.set_font(style="")
        pdf.text(x + indent, y, text[len(line.number) :])
    pdf.set_font(style="")


def _draw_watermark(pdf: "FPDF", x: float, y: float = TOP) -> None:
    for row, text in enumerate(("Descargado", "gratuitamente desde", "www.lexis.com.", "ec")):
        pdf.text(x, y + row * 3, text)
