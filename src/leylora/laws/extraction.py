"""The text of a PDF's pages, read with pdfium in a child process so that no file can hang or crash the parent.

A malformed PDF can keep pdfium busy for ever or bring it down. The child is forked where the system can fork
(it then starts in milliseconds and inherits the loaded library); elsewhere the pages are read in place and the
time limit holds only between pages.
"""

import ctypes
import multiprocessing
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from leylora.errors import LeyloraError

SECONDS_PER_FILE = 120.0
MAX_CHARACTERS = 40_000_000  # twenty times the longest code; more is not a law, and would not fit in memory


@dataclass(frozen=True)
class Page:
    """One page: its text in reading order, and what its geometry says about that order.

    ``columns`` is whether the text stands in two columns; ``switches`` counts the jumps from one column to the
    other, 1 when the left column is read before the right one; ``picture`` is whether an image covers the page.
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
    if sys.platform != "linux":  # forking is unsafe with the system libraries of macOS and absent on Windows
        return _read_pages(path, time.monotonic() + limit_s)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_send_pages, args=(path, time.monotonic() + limit_s, theirs))
    child.start()
    theirs.close()
    try:
        if not ours.poll(limit_s + 1):
            raise _too_slow(path)
        answer = ours.recv()
    except EOFError:
        raise LeyloraError(
            f"{path}: the PDF library broke down on it; the file is damaged, download it again."
        ) from None
    finally:
        child.kill()
        child.join()
        ours.close()
    if isinstance(answer, str):
        raise LeyloraError(answer)
    return answer


def _send_pages(path: Path, deadline: float, pipe: Connection) -> None:
    try:
        pipe.send(_read_pages(path, deadline))
    except LeyloraError as error:
        pipe.send(str(error))


def _read_pages(path: Path, deadline: float) -> list[Page]:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise LeyloraError(f"{path} is encrypted; remove its password (for example with qpdf) first.") from None
        raise LeyloraError(f"{path} is not a readable PDF ({error}); download it again.") from None
    try:
        pages, characters = [], 0
        for index in range(len(document)):
            if time.monotonic() > deadline:
                raise _too_slow(path)
            pages.append(_read_page(document, index))
            characters += len(pages[-1].text)
            if characters > MAX_CHARACTERS:
                raise LeyloraError(f"{path} holds more than {MAX_CHARACTERS:,} characters; split it into single laws.")
        return pages
    finally:
        document.close()


def _read_page(document: pypdfium2.PdfDocument, index: int) -> Page:
    try:
        page = document[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return Page("")  # one damaged page; the audit reports it as a page without text
    try:
        text = textpage.get_text_range()
        columns, switches = _columns(textpage, page.get_width())
        return Page(text, columns, switches, picture=len(text) < 200 and _has_picture(page))
    except pypdfium2.PdfiumError:
        return Page("")
    finally:
        textpage.close()
        page.close()


def _columns(textpage: pypdfium2.PdfTextPage, width: float) -> tuple[bool, int]:
    """Whether a page of ``width`` points is set in two columns, and how often the reading order changes column.

    Looks only at pieces of text at least a fifth of the page wide; in two columns nearly none crosses the middle.
    """
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    corners = [ctypes.byref(corner) for corner in (left, top, right, bottom)]
    middle = width / 2
    sides = []
    for rectangle in range(pdfium.FPDFText_CountRects(textpage, 0, -1)):
        pdfium.FPDFText_GetRect(textpage, rectangle, *corners)
        if right.value - left.value >= width / 5:
            sides.append(-1 if right.value < middle + 8 else 1 if left.value > middle - 8 else 0)
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
