"""The text of a PDF's pages, with what the places of its words say: columns, and which lines end a paragraph.

Publishers justify their pages, so a line that stops short of the margin is the last of its paragraph: the one
sure sign of an inciso, since a full stop at the margin may end a sentence only.
"""

import ctypes
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from leylora.children import in_child
from leylora.errors import LeyloraError

MAX_CHARACTERS = 40_000_000  # twenty times the longest code; more is not a law, and would not fit in memory

REACHES, STOPS_SHORT = "\u2028", "\u2029"
_TOLERANCE = 2.0  # points
_WIDEST_SPACE = 14.0  # points; a gutter between columns is wider
_LONG_LINE, _FULL_LINE = 30, 70  # characters
_GLUED = "Descargado"  # a watermark's first word, which pdfium may glue to the last word of a page


@dataclass(frozen=True)
class Page:
    """One page measured; a damaged page is an empty one, which the audit reports.

    ``lines`` are in reading order and, as `read_pdf` gives them, carry the marks of `mark_line_ends`; ``ends[i]`` is
    where ``lines[i]`` ends, in points from the left edge (0 if it is empty). ``columns`` is 1 or 2, ``switches`` how
    often the reading order changes column (1 when the left one is read before the right), ``picture`` whether an
    image covers the page.
    """

    lines: tuple[str, ...] = ()
    ends: tuple[float, ...] = ()
    columns: int = 1
    switches: int = 0
    picture: bool = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def read_pdf(path: Path) -> list[Page]:
    """The pages of a PDF, read in a child process.

    Raises:
        LeyloraError: it is not a PDF, is damaged or encrypted, or exceeds the limits of time or memory.
    """
    return in_child(path, _read_pages, path)


def _read_pages(path: Path) -> list[Page]:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise LeyloraError(f"{path} is encrypted; remove its password (for example with qpdf) first.") from None
        raise LeyloraError(f"{path} is not a readable PDF ({error}); download it again.") from None
    pages, characters = [], 0
    try:
        for index in range(len(document)):
            pages.append(_read_page(document, index))
            characters += sum(map(len, pages[-1].lines))
            if characters > MAX_CHARACTERS:
                raise LeyloraError(f"{path} holds more than {MAX_CHARACTERS:,} characters; split it into single laws.")
    finally:
        document.close()
    return mark_line_ends(pages)


def _read_page(document: pypdfium2.PdfDocument, index: int) -> Page:
    try:
        page = document[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return Page()
    try:
        lines = textpage.get_text_range().split("\r\n")
        columns, switches = _columns(textpage, lines, page.get_width())
        ends = _line_ends(textpage, lines)
        lines = [" ".join(line.splitlines()) for line in lines]
        picture = False
        if sum(map(len, lines)) < 200:
            for image in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
                left, bottom, right, top = image.get_bounds()
                picture |= (right - left) * (top - bottom) > page.get_width() * page.get_height() / 2
        return Page(tuple(lines), tuple(ends), columns, switches, picture)
    except pypdfium2.PdfiumError:
        return Page()
    finally:
        textpage.close()
        page.close()


def _columns(textpage: pypdfium2.PdfTextPage, lines: list[str], width: float) -> tuple[int, int]:
    """How many columns a page has, and how often the reading order changes column. Only pieces of text at least a
    fifth of the page wide count; in two columns nearly none of them crosses the middle."""
    pieces = pdfium.FPDFText_CountRects(textpage, 0, -1)
    if pieces < 1.4 * len(lines) and sum(len(line) > _FULL_LINE for line in lines) > len(lines) / 4:
        return 1, 0  # many long lines, each in one piece
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    corners = [ctypes.byref(corner) for corner in (left, top, right, bottom)]
    handle, get_rectangle = textpage.raw, pdfium.FPDFText_GetRect
    middle, wide = width / 2, width / 5
    sides = []
    start = end = base = -1000.0
    for rectangle in range(pieces + 1):
        more = get_rectangle(handle, rectangle, *corners)
        x, y = left.value, bottom.value
        if more and -2 < x - end < _WIDEST_SPACE and -4 < y - base < 4:
            end = right.value  # the next word of the same line
            continue
        if end - start >= wide:
            sides.append(-1 if end < middle + 8 else 1 if start > middle - 8 else 0)
        start, end, base = x, right.value, y
    if min(sides.count(-1), sides.count(1)) < 8 or sides.count(0) > len(sides) / 8:
        return 1, 0
    sides = [side for side in sides if side]
    return 2, sum(a != b for a, b in pairwise(sides))


def _line_ends(textpage: pypdfium2.PdfTextPage, lines: list[str]) -> list[float]:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    corners = [ctypes.byref(corner) for corner in (left, right, bottom, top)]
    handle, get_box, get_index = textpage.raw, pdfium.FPDFText_GetCharBox, pdfium.FPDFText_GetCharIndexFromTextIndex
    # Characters without text make indexes of text and of characters differ.
    same = textpage.count_chars() == sum(map(len, lines)) + 2 * (len(lines) - 1)
    ends = []
    at = 0
    for line in lines:
        last = at + len(line.rstrip().removesuffix(_GLUED)) - 1
        found = last >= at and get_box(handle, last if same else get_index(handle, last), *corners)
        ends.append(right.value if found else 0.0)
        at += len(line) + 2
    return ends


def mark_line_ends(pages: list[Page]) -> list[Page]:
    """The pages, where justified with U+2028 behind lines that reach the margin, U+2029 behind others.

    A margin is where most long lines of a column end: at least four of them, and with its likes a third of all. A
    page without a margin of its own, being short or full of short lines, takes the margin of the others.
    """
    own = [_margins(page) for page in pages]
    usual = Counter(margins[0] for page, margins in zip(pages, own, strict=True) if margins and page.columns == 1)
    fallback = [usual.most_common(1)[0][0]] if usual.total() > len(pages) / 2 else []
    marked = []
    for page, margins in zip(pages, own, strict=True):
        if not margins and page.columns == 1:
            margins = fallback
        lines = []
        for line, end in zip(page.lines, page.ends, strict=True):
            if len(margins) == 1:  # in a single column a line may also hang over
                reaches = end >= margins[0] - _TOLERANCE
            else:
                reaches = any(abs(end - margin) <= _TOLERANCE for margin in margins)
            lines.append(line + (REACHES if reaches else STOPS_SHORT) if margins else line)
        marked.append(replace(page, lines=tuple(lines)))
    return marked


def _margins(page: Page) -> list[int]:
    long = [end for line, end in zip(page.lines, page.ends, strict=True) if len(line) >= _LONG_LINE]
    common = Counter(map(round, long)).most_common(page.columns)
    margins = [end for end, count in common if count >= 4]
    near = sum(abs(end - margin) <= _TOLERANCE for end in long for margin in margins)
    return margins if near >= len(long) / 3 else []
