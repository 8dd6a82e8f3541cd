"""A file on disk becomes clean lines with page numbers, whatever its format.

``Source.text`` is the normalised text that every span refers to: the lines joined by ``\\n``.
"""

import hashlib
import html
import re
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

from leylora.errors import LeyloraError
from leylora.laws.extraction import Page, read_pdf
from leylora.laws.normalise import normalise_pages

MAX_BYTES = 64 * 2**20
MIN_CHARACTERS_PER_PAGE = 200


@dataclass(frozen=True)
class Source:
    """The normalised text of a file.

    ``lines`` are clean and never carry page furniture; an empty line is a paragraph break (text formats only).
    ``pages[i]`` is the 1-based page of ``lines[i]`` and ``full[i]`` whether it reaches the margin (None: unknown).
    ``furniture`` maps what was removed to how often.
    ``warnings`` say what could not be read as it should.
    """

    path: Path
    format: str
    sha256: str
    page_count: int
    lines: tuple[str, ...]
    pages: tuple[int, ...]
    full: tuple[bool | None, ...]
    furniture: dict[str, int]
    warnings: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Offset in ``text`` of the first character of each line, and one past the end."""
        starts, at = [], 0
        for line in self.lines:
            starts.append(at)
            at += len(line) + 1
        return (*starts, at)


def read_source(path: Path) -> Source:
    """Read and normalise a PDF, HTML, Markdown or text file.

    Raises:
        LeyloraError: the file is missing, empty, too large, encrypted, a scan, of another kind, or its columns
            are interleaved so that sentences of different articles would run into each other.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise LeyloraError(f"{path} has {size / 2**20:.0f} MiB; the limit is {MAX_BYTES // 2**20}. Split it first.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise LeyloraError(f"{path} does not exist; check the path.") from None
    except IsADirectoryError:
        raise LeyloraError(f"{path} is a folder; name the files inside it.") from None
    except PermissionError:
        raise LeyloraError(f"{path} cannot be read: permission denied; check its owner and mode.") from None
    if not data.strip():
        raise LeyloraError(f"{path} is empty; download it again.")
    warnings: list[str] = []
    if b"%PDF-" in data[:1024]:
        form, raw = "pdf", read_pdf(path)
        warnings += _check_pages(path, raw)
        pages = [page.text for page in raw]
    else:
        text, encoding = _decode(path, data)
        if encoding != "utf-8":
            warnings.append(f"not UTF-8: read as {encoding}; check the accents")
        form = _text_format(path, text)
        text = _from_html(text) if form == "html" else _from_markdown(text) if form == "markdown" else text
        pages = re.sub("[\u2028\u2029]", "\n", text).split("\f")
    clean = normalise_pages(pages, blank_lines=form != "pdf")
    return Source(
        path=path,
        format=form,
        sha256=hashlib.sha256(data).hexdigest(),
        page_count=len(pages),
        lines=clean.lines,
        pages=clean.pages,
        full=clean.full,
        furniture=clean.furniture,
        warnings=tuple(warnings),
    )


def _check_pages(path: Path, pages: list[Page]) -> list[str]:
    """Refuse scans and interleaved columns; warn about single pages without text."""
    characters = sum(len(page.text.strip()) for page in pages)
    pictures = [number for number, page in enumerate(pages, 1) if page.picture]
    # Covers may be pictures, and text may stand on a background picture.
    inner = [number for number in pictures if 1 < number < len(pages) and len(pages[number - 1].text.strip()) < 50]
    if not characters or (characters < MIN_CHARACTERS_PER_PAGE * len(pages) and pictures):
        raise LeyloraError(
            f"{path} is a scan: {characters} characters on {len(pages)} pages. "
            "Run OCR on it first, for example: ocrmypdf -l spa IN.pdf OUT.pdf"
        )
    if inner:
        raise LeyloraError(
            f"{path}: {_page_list(inner)} {'is a scan' if len(inner) == 1 else 'are scans'} without text, so articles "
            "would be missing. Run OCR on it first, for example: ocrmypdf --skip-text -l spa IN.pdf OUT.pdf"
        )
    mixed = [number for number, page in enumerate(pages, 1) if page.switches > 3]
    if mixed:
        raise LeyloraError(
            f"{path}: {_page_list(mixed)}: two columns whose lines are interleaved, so the text is in the wrong order. "
            "Get another edition, or one column a page (for example with k2pdfopt)."
        )
    warnings = []
    empty = [number for number, page in enumerate(pages, 1) if not page.text.strip()]
    if empty:
        warnings.append(f"without text: {_page_list(empty)}")
    columns = [number for number, page in enumerate(pages, 1) if page.columns == 2]
    if columns:
        warnings.append(f"two columns, read one after the other: {_page_list(columns)}")
    return warnings


def _page_list(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"


def _decode(path: Path, data: bytes) -> tuple[str, str]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), "utf-16"
    if data.startswith(b"PK\x03\x04") or b"\0" in data[:4096]:
        raise LeyloraError(f"{path} is not a PDF, HTML, Markdown or text file; save it as one of these first.")
    try:
        return data.decode("utf-8-sig"), "utf-8"
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "cp1252"


def _text_format(path: Path, text: str) -> str:
    if path.suffix.lower() in (".html", ".htm", ".xhtml") or re.match(r"\s*<(!doctype html|html)", text[:200], re.I):
        return "html"
    return "markdown" if path.suffix.lower() in (".md", ".markdown") else "text"


_MARKDOWN = (
    (re.compile(r"<!--.*?-->|!\[[^\]\n]*\]\([^)\n]*\)", re.S), ""),  # comments and pictures
    (re.compile(r"\[([^\]\n]*)\]\((?:https?:|#|mailto:)[^)\n]*\)"), r"\1"),  # links
    (re.compile(r"(?<=\S)[ \t]*(?=\*\*Art(?:\.|[íi]culo))"), "\n"),  # a bold heading that a converter glued to a line
    (re.compile(r"^[ \t]{0,3}(?:#{1,6}[ \t]+|>[ \t]?)+", re.M), ""),  # headings and quotations
    (re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.M), ""),  # rules
    (re.compile(r"\*{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)"), ""),  # emphasis
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),  # escapes
)


def _from_markdown(text: str) -> str:
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return html.unescape(text)


class _HTMLText(HTMLParser):
    """Text of an HTML page: block elements end paragraphs, ``<br>`` ends a line, scripts and styles are dropped."""

    BLOCKS = frozenset(("article", "blockquote", "center", "dd", "div", "dl", "dt", "footer", "h1", "h2", "h3", "h4",
                        "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section", "table", "tr", "ul",
                        ))  # fmt: skip
    DROPPED = frozenset(("script", "style", "head", "template", "noscript"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.dropping = 0
        self.preformatted = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.DROPPED:
            self.dropping += 1
        elif tag == "body":
            self.dropping = 0  # pages with an unclosed <head> exist
        self.preformatted |= tag == "pre"
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.DROPPED:
            self.dropping = max(0, self.dropping - 1)
        self.preformatted &= tag != "pre"
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self.dropping:
            self.parts.append(data if self.preformatted else re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag in self.BLOCKS:
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")


def _from_html(text: str) -> str:
    parser = _HTMLText()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts)
