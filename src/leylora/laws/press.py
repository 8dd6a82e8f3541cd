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
    """One line to draw; ``number`` is drawn in bold at its start, ``wrapped`` lines are stretched to the margin."""

    text: str
    number: str = ""
    wrapped: bool = False


def press(paragraphs: list[Paragraph], law: PrintedLaw, layout: Layout, path: Path) -> None:
    """Write the PDF. Only letters of Latin-1 can be drawn; typographic quotes and dashes are replaced."""
    try:
        from fpdf import FPDF
    except ImportError:
        raise LeyloraError("Printing a law needs fpdf2; install it with: pip install 'leylora[demo]'") from None
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
        yield Line(line, number, wrapped=True)
        line, number = word, ""
    yield Line(line, number)


def _draw_page(pdf: "FPDF", lines: list[Line], law: PrintedLaw, layout: Layout, pages: int) -> None:
    pdf.add_page()
    if "scanned" in law.traps:
        from PIL import Image

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


def _draw_line(pdf: "FPDF", line: Line, column: int, row: int, law: PrintedLaw) -> None:
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


def _draw_watermark(pdf: "FPDF", x: float, y: float = TOP) -> None:
    for row, text in enumerate(("Descargado", "gratuitamente desde", "www.lexis.com.", "ec")):
        pdf.text(x, y + row * 3, text)
