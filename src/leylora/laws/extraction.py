"""The text of a PDF's pages, read with pdfium in a child process so that no file can hang or crash the parent.

A malformed PDF can keep pdfium busy for ever or bring it down. The child is forked where the system can fork
(it then starts in milliseconds and inherits the loaded library); elsewhere the pages are read in place and the
time limit holds only between pages.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections import Counter
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pypdfium2
import pypdfium2.raw as pdfium

from leylora.errors import LeyloraError

SECONDS_PER_FILE = 120.0
_WIDEST_SPACE = 14.0  # points; a gutter between columns is wider
_GLUED = "Descargado"  # a watermark's first word, which pdfium may glue to the last word of a page
_LONG_LINE, _FULL_LINE = 30, 70  # characters
MAX_CHARACTERS = 40_000_000  # twenty times the longest code; more is not a law, and would not fit in memory


@dataclass(frozen=True)
class Page:
    """One page: its text in reading order, and what its geometry says about that order.

    In ``text``, U+2029 follows a line that stops short of the right margin and U+2028 one that reaches it, where
    the page is justified; a line of a ragged page carries neither. ``columns`` is whether the text stands in two
    columns; ``switches`` counts the jumps from one to the other, 1 when the left column is read before the right;
    ``picture`` is whether an image covers the page.
    """

    text: str
    columns: bool = False
    switches: int = 0
    picture: bool = False


def read_pdf(path: Path, *, limit_s: float = SECONDS_PER_FILE) -> list[Page]:
    """The pages of a PDF.

    Raises:
        LeyloraError: it is not a PDF, is damaged or encrypted, or takes longer than ``limit_s`` seconds.
    """
    deadline = time.monotonic() + limit_s
    if sys.platform != "linux":  # forking is unsafe with the system libraries of macOS and absent on Windows
        return _read_pages(path, deadline)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(path, deadline, writing)
    os.close(writing)
    try:
        answer = _receive(reading, deadline + 1)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if answer is None:
        raise _too_slow(path)
    try:
        fault, pages = json.loads(answer.decode("utf-8", "surrogatepass"))
    except ValueError:
        raise LeyloraError(f"{path} broke the PDF library; the file is damaged, download it again.") from None
    if fault:
        raise LeyloraError(fault)
    return [Page(*page) for page in pages]


def _answer(path: Path, deadline: float, pipe: int) -> NoReturn:
    """In the child: write ``[fault, pages]`` as JSON and end at once, leaving the parent's clean-up to the parent."""
    try:
        try:
            answer = ("", [astuple(page) for page in _read_pages(path, deadline)])
        except LeyloraError as error:
            answer = (str(error), [])
        with os.fdopen(pipe, "wb") as file:
            file.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    finally:
        os._exit(0)


def _receive(pipe: int, deadline: float) -> bytes | None:
    """Everything written to ``pipe`` until it is closed; None when that takes beyond ``deadline``."""
    parts: list[bytes] = []
    while select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
        part = os.read(pipe, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None


def _read_pages(path: Path, deadline: float) -> list[Page]:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise LeyloraError(f"{path} is encrypted; remove its password (for example with qpdf) first.") from None
        raise LeyloraError(f"{path} is not a readable PDF ({error}); download it again.") from None
    try:
        pages: list[tuple[Page, list[float]]] = []
        characters = 0
        for index in range(len(document)):
            if time.monotonic() > deadline:
                raise _too_slow(path)
            pages.append(_read_page(document, index))
            characters += len(pages[-1][0].text)
            if characters > MAX_CHARACTERS:
                raise LeyloraError(f"{path} holds more than {MAX_CHARACTERS:,} characters; split it into single laws.")
        return _mark_line_ends(pages)
    finally:
        document.close()


def _read_page(document: pypdfium2.PdfDocument, index: int) -> tuple[Page, list[float]]:
    """A page, and where each of its lines ends, in points from the left edge (0 for an empty line)."""
    try:
        page = document[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return Page(""), [0]  # one damaged page; the audit reports it as a page without text
    try:
        text = textpage.get_text_range()
        columns, switches = _columns(textpage, text, page.get_width())
        picture = len(text) < 200 and _has_picture(page)
        return Page(text.replace("\r\n", "\n"), columns, switches, picture), _line_ends(textpage, text)
    except pypdfium2.PdfiumError:
        return Page(""), [0]
    finally:
        textpage.close()
        page.close()


def _line_ends(textpage: pypdfium2.PdfTextPage, text: str) -> list[float]:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    corners = [ctypes.byref(corner) for corner in (left, right, bottom, top)]
    handle, get_box, get_index = textpage.raw, pdfium.FPDFText_GetCharBox, pdfium.FPDFText_GetCharIndexFromTextIndex
    same = textpage.count_chars() == len(text)  # else some characters have no text, and indexes must be translated
    ends = []
    at = 0
    for line in text.split("\r\n"):
        last = at + len(line.rstrip().removesuffix(_GLUED)) - 1
        if last < at or not get_box(handle, last if same else get_index(handle, last), *corners):
            ends.append(0.0)
        else:
            ends.append(right.value)
        at += len(line) + 2
    return ends


def _mark_line_ends(pages: list[tuple[Page, list[float]]]) -> list[Page]:
    """Put the marks described at `Page` behind the lines of justified pages.

    A margin is where most long lines of a column end: at least four of them, and with its likes a third of all. A
    page that shows none by itself, being short or full of short lines, takes the margin of the others.
    """
    own = []
    for page, ends in pages:
        long = [round(end) for line, end in zip(page.text.split("\n"), ends, strict=True) if len(line) >= _LONG_LINE]
        common = Counter(long).most_common(2 if page.columns else 1)
        margins = [end for end, count in common if count >= 4]
        reaching = sum(any(abs(end - margin) <= 2 for margin in margins) for end in long)
        own.append(margins if reaching >= len(long) / 3 else [])
    usual = Counter(margins[0] for (page, _), margins in zip(pages, own, strict=True) if margins and not page.columns)
    fallback = [usual.most_common(1)[0][0]] if usual.total() > len(pages) / 2 else []
    return [
        _marked(page, ends, margins or ([] if page.columns else fallback))
        for (page, ends), margins in zip(pages, own, strict=True)
    ]


def _marked(page: Page, ends: list[float], margins: list[int]) -> Page:
    if not margins:
        return page
    beyond = max(margins) if not page.columns else float("inf")
    lines = (
        line + ("\u2028" if end > beyond or any(abs(end - margin) <= 2 for margin in margins) else "\u2029")
        for line, end in zip(page.text.split("\n"), ends, strict=True)
    )
    return replace(page, text="\n".join(lines))


def _columns(textpage: pypdfium2.PdfTextPage, text: str, width: float) -> tuple[bool, int]:
    """Whether a page of ``width`` points is set in two columns, and how often the reading order changes column.

    Words of one line are put together first. Only pieces of text at least a fifth of the page wide count; in two
    columns nearly none of them crosses the middle.
    """
    lengths = [len(line) for line in text.split("\r\n")]
    pieces = pdfium.FPDFText_CountRects(textpage, 0, -1)
    if pieces < 1.4 * len(lengths) and sum(length > _FULL_LINE for length in lengths) > len(lengths) / 4:
        return False, 0  # many long lines, each in one piece
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
        return False, 0
    sides = [side for side in sides if side]
    return True, sum(a != b for a, b in pairwise(sides))


def _has_picture(page: pypdfium2.PdfPage) -> bool:
    area = page.get_width() * page.get_height()
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = picture.get_bounds()
        if (right - left) * (top - bottom) > area / 2:
            return True
    return False


def _too_slow(path: Path) -> LeyloraError:
    return LeyloraError(
        f"{path} could not be read within the time limit; it is damaged or far too large, print it again."
    )
