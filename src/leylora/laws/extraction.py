"""The text of a PDF's pages, read with pdfium in a child process so that no file can hang or crash the parent.

A malformed PDF can keep pdfium busy for ever or bring it down. The child is forked where the system can fork
(it then starts in milliseconds and inherits the loaded library); elsewhere the pages are read in place and the
time limit holds only between pages.
"""

import gc
import json
import os
import select
import signal
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NoReturn

import pypdfium2
import pypdfium2.raw as pdfium

from leylora.errors import LeyloraError
from leylora.laws.geometry import Layout, mark_line_ends, measure

SECONDS_PER_FILE = 120.0
MAX_CHARACTERS = 40_000_000  # twenty times the longest code; more is not a law, and would not fit in memory


@dataclass(frozen=True)
class Page:
    """One page: its text in reading order, and what its geometry says about that order.

    ``text`` carries the marks of `leylora.laws.geometry.mark_line_ends`. ``switches`` counts the jumps between two
    columns, 1 when the left one is read before the right; ``picture`` is whether an image covers the page.
    """

    text: str
    columns: int = 1
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
    gc.disable()  # a collection would copy every page of memory shared with the parent
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
        layouts, pictures = [], []
        characters = 0
        for index in range(len(document)):
            if time.monotonic() > deadline:
                raise _too_slow(path)
            layout, picture = _read_page(document, index)
            layouts.append(layout)
            pictures.append(picture)
            characters += sum(map(len, layout.lines))
            if characters > MAX_CHARACTERS:
                raise LeyloraError(f"{path} holds more than {MAX_CHARACTERS:,} characters; split it into single laws.")
    finally:
        document.close()
    return [
        Page(text, layout.columns, layout.switches, picture)
        for text, layout, picture in zip(mark_line_ends(layouts), layouts, pictures, strict=True)
    ]


def _read_page(document: pypdfium2.PdfDocument, index: int) -> tuple[Layout, bool]:
    """A page's lines and places, and whether it is a picture; a damaged page is empty, which the audit reports."""
    try:
        page = document[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return Layout(), False
    try:
        layout = measure(textpage, page.get_width())
        return layout, sum(map(len, layout.lines)) < 200 and _has_picture(page)
    except pypdfium2.PdfiumError:
        return Layout(), False
    finally:
        textpage.close()
        page.close()


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
