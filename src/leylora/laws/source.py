"""From a PDF, HTML, Markdown or text file to clean lines with page numbers; nothing here knows about articles.

``Source.text``, the lines joined by ``\n``, is what every span refers to. Page furniture is recognised by what the
known publishers print on every page and, for others, by repetition: a line at the top or bottom of more than half the
pages, digits apart.
"""

import hashlib
import html
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from itertools import accumulate
from pathlib import Path

from leylora.children import in_child
from leylora.errors import LeyloraError
from leylora.files import read_bytes
from leylora.laws.pdf import REACHES, STOPS_SHORT, Page, read_pdf
from leylora.text import nfc

_SPACES = re.compile(r"[\t\xa0\u2000-\u200a\u202f\u205f\u3000]")
_MANY_SPACES = re.compile(r"  +")
_WINDOWS = re.compile(r"[\x80-\x84\x86-\x9f]")  # quotes and dashes of Windows, decoded as if they were Latin-1
_HYPHENS = re.compile(r"[\u2010\u2011\u2212]")
# U+0002 stays for now: it is pdfium's sign for a hyphen at a line end.
_INVISIBLE = re.compile(r"[\x00\x01\x03-\x08\x0e-\x1f\x7f\u200b-\u200f\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_RARE = re.compile(
    "|".join(pattern.pattern for pattern in (_SPACES, _WINDOWS, _HYPHENS, _INVISIBLE)) + r"|[\x85\v\xad]"
)
_LINE_ENDS = re.compile(r"\r\n?|\x85|\v")
_LETTER = "a-záéíóúüñ"
_SOFT_HYPHEN_IN_WORD = re.compile(rf"(?<=[{_LETTER}])\xad(?=[{_LETTER}])")
_BROKEN_WORD = re.compile(rf"(?<=[{_LETTER}])(?:\x02|[-\xad][\u2028\u2029]?\n)(?=[{_LETTER}])", re.I)
_WORD = re.compile(r"[^\W\d_]+")
_LINE_END_HYPHEN = re.compile(r"\x02|[-\xad][\u2028\u2029]?\n")
_BROKEN_SOMEWHERE = re.compile(r"(?<!\w)[^\W\d_]{1,40}(?:\x02|-\s+)[^\W\d_]+")
_OPEN_WORD = re.compile(r"[^\W\d_]-$")
_LONGEST_WORD = 40

# What publishers print on every page: a sign to look for first, and the whole. Removed as substrings, since pdfium
# glues a watermark to the word before it.
FURNITURE = {
    "lexis": ("Descargado", r"Descargado\s+gratuitamente\s+desde\s+www\.\s*lexis\.\s*com\.\s*ec(?!\w)"),
    "lexis-finder": ("LEXIS FINDER", r"(?:^|(?<=\n))[^\n]{1,250}? - Página \d+\s+LEXIS FINDER - www\.lexis\.com\.ec"),
    "esilec": ("eSilec", r"(?:^|(?<=\n))[^\n]{1,250}? - Página \d+\s+eSilec[^\n]{0,30} - www\.lexis\.com\.ec"),
    "fielweb": (
        "ww.fielweb.com",
        r"(?:https?://)?www\.fielweb\.com\.?\s+Pág\.\s+\d+\s+de\s+\d+"
        r"|Fiel Web \(www\.fielweb\.com\) :: Ediciones Legales, \d{4}\s+Página\s+\d+\s+de\s+\d+",
    ),
}
_DIGITS = re.compile(r"\d+")
_EDGE = 4  # lines at the top and at the bottom of a page where furniture can be
_NEVER_FURNITURE = re.compile(
    r"\W*(?:art|libro|t[íi]tulo|cap[íi]tulo|secci[óo]n|par[áa]grafo|disposici|concordancia|jurisprudencia|notas?\b)",
    re.I,
)


@dataclass(frozen=True)
class CleanText:
    """Clean lines without page furniture; an empty one is a paragraph break (text formats only).

    ``pages[i]`` is the 1-based page of ``lines[i]``; ``full[i]`` is True if it reaches the margin of a justified page,
    False if it stops short, None if that is unknown. ``furniture`` is what was removed, and how often.
    """

    lines: tuple[str, ...]
    pages: tuple[int, ...]
    full: tuple[bool | None, ...]
    furniture: dict[str, int]


def normalise_pages(pages: list[str], *, blank_lines: bool) -> CleanText:
    """Clean the pages; ``blank_lines`` keeps one empty line where the text had any: a paragraph break in text formats,
    noise in a PDF."""
    removed: Counter[str] = Counter()
    clean = [_remove_known_furniture(_clean(page), removed) for page in pages]
    words = _Words(clean)
    split = []
    for page in clean:
        if _LINE_END_HYPHEN.search(page):
            page = _BROKEN_WORD.sub(words.mend, page)
        split.append([line.strip(" ") for line in page.replace("\x02", "-").replace("\xad", "-").split("\n")])
    repeated = _repeated_lines(split)
    lines: list[str] = []
    page_of: list[int] = []
    full: list[bool | None] = []
    for number, page_lines in enumerate(split, 1):
        for line in page_lines:
            mark = {REACHES: True, STOPS_SHORT: False}.get(line[-1:])
            if mark is not None:
                line = line[:-1].rstrip(" ")
            if repeated and (mask := _DIGITS.sub("#", line)) in repeated:
                removed[f"repeated line: {mask}"] += 1
                continue
            if line and lines and lines[-1].endswith("-") and line[0].islower() and _OPEN_WORD.search(lines[-1]):
                head, _, line = line.partition(" ")  # a word broken over two pages
                lines[-1] = lines[-1][:-1] + words.hyphen(lines[-1][:-1], head) + head
            if line or (blank_lines and lines and lines[-1]):
                lines.append(line)
                page_of.append(number)
                full.append(mark)
    return CleanText(tuple(lines), tuple(page_of), tuple(full), dict(removed))


def _clean(page: str) -> str:
    if "\r" in page or _RARE.search(page):
        page = _SPACES.sub(" ", _LINE_ENDS.sub("\n", page.replace("\xa0", " ")))
        page = _WINDOWS.sub(lambda match: match[0].encode("latin-1").decode("cp1252", "ignore"), page)
        page = _SOFT_HYPHEN_IN_WORD.sub("", _INVISIBLE.sub("", _HYPHENS.sub("-", page)))
    if "  " in page:
        page = _MANY_SPACES.sub(" ", page)
    return nfc(page)


def _remove_known_furniture(page: str, removed: Counter[str]) -> str:
    for name, (sign, pattern) in FURNITURE.items():
        at = page.find(sign)
        if at >= 0:
            start = max(0, at - 400)  # a footer's first line comes before its sign
            rest, count = re.subn(pattern, "", page[start:])
            if count:
                page = page[:start] + rest
                removed[name] += count
    return page


class _Words:
    """Decides whether the hyphen at a line end belongs to the word ("socio-económica") or only broke it.

    It broke the word if the whole occurs elsewhere. If not, it depends on the file: most legal publishers break no
    words, so that a hyphen before a known word is its own; in a file full of breaks both halves must be known words.
    """

    def __init__(self, pages: list[str]) -> None:
        self.pages = pages
        self.known: frozenset[str] | None = None  # made on first use: most files break no words
        self.breaks_words = False

    def mend(self, match: re.Match[str]) -> str:
        before = match.string[max(0, match.start() - _LONGEST_WORD) : match.start()]
        return self.hyphen(before, match.string[match.end() : match.end() + _LONGEST_WORD])

    def hyphen(self, before: str, after: str) -> str:
        """ "-" or "", for the word that ``before`` ends with and ``after`` begins with."""
        if self.known is None:
            text = _BROKEN_SOMEWHERE.sub(" ", "\n".join(self.pages).lower())
            self.known = frozenset(_WORD.findall(text))
            self.breaks_words = sum(len(_BROKEN_WORD.findall(page)) for page in self.pages) > len(self.pages) / 2
        left, right = _WORD.findall(before.lower())[-1], _WORD.findall(after.lower())[0]
        if left + right in self.known or right not in self.known:
            return ""
        return "-" if left in self.known or not self.breaks_words else ""


def _repeated_lines(pages: list[list[str]]) -> frozenset[str]:
    """The digit-masked lines at the edge of more than half of at least four pages."""
    if len(pages) < 4:
        return frozenset()
    seen: Counter[str] = Counter()
    for page in pages:
        edges = page if len(page) <= 2 * _EDGE else page[:_EDGE] + page[-_EDGE:]
        bare = (line.rstrip(" \u2028\u2029") for line in edges)
        seen.update({_DIGITS.sub("#", line) for line in bare if line and not _NEVER_FURNITURE.match(line)})
    return frozenset(line for line, count in seen.items() if count > len(pages) / 2)


MAX_BYTES = 64 * 2**20
SECONDS_PER_TEXT = 30.0  # of HTML, Markdown or text
MIN_CHARACTERS_PER_PAGE = 200


@dataclass(frozen=True)
class Source(CleanText):
    """The clean text of a file; ``warnings`` say what could not be read as it should."""

    path: Path
    format: str
    sha256: str
    page_count: int
    warnings: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Offset in ``text`` of the first character of each line, and one past the end."""
        return tuple(accumulate((len(line) + 1 for line in self.lines), initial=0))


def read_source(path: Path) -> Source:
    """Read and normalise a PDF, HTML, Markdown or text file.

    Raises:
        LeyloraError: the file is missing, empty, too large, encrypted, a scan, of another kind, or its columns are
            interleaved.
    """
    data = read_bytes(path, MAX_BYTES)
    if not data.strip():
        raise LeyloraError(f"{path} is empty; download it again.")
    if b"%PDF-" in data[:1024]:
        form, raw = "pdf", read_pdf(path)
        warnings = _check_pages(path, raw)
        pages = [page.text for page in raw]
    else:
        text, encoding = _decode(path, data)
        warnings = [] if encoding == "utf-8" else [f"not UTF-8: read as {encoding}; check the accents"]
        suffix = path.suffix.lower()
        if suffix in (".html", ".htm", ".xhtml") or re.match(r"\s*<(!doctype html|html)", text[:200], re.I):
            form, text = "html", in_child(path, _text_of_html, path, text, seconds=SECONDS_PER_TEXT)
        elif suffix in (".md", ".markdown"):
            form, text = "markdown", in_child(path, _text_of_markdown, text, seconds=SECONDS_PER_TEXT)
        else:
            form = "text"
        pages = re.sub("[\u2028\u2029]", "\n", text).split("\f")
    clean = normalise_pages(pages, blank_lines=form != "pdf")
    sha256 = hashlib.sha256(data).hexdigest()
    return Source(**vars(clean), path=path, format=form, sha256=sha256, page_count=len(pages), warnings=tuple(warnings))


def _check_pages(path: Path, pages: list[Page]) -> list[str]:
    """Refuse scans and interleaved columns; warn about single pages without text."""
    characters = sum(len(page.text.strip()) for page in pages)
    pictures = [number for number, page in enumerate(pages, 1) if page.picture]
    # Covers may be pictures, and text may have a background picture.
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
    empty = [number for number, page in enumerate(pages, 1) if not page.text.strip()]
    columns = [number for number, page in enumerate(pages, 1) if page.columns == 2]
    remarks = {"without text": empty, "two columns, read one after the other": columns}
    return [f"{remark}: {_page_list(numbers)}" for remark, numbers in remarks.items() if numbers]


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


_LONG_REFERENCE = re.compile(r"&#(?=[xX]?[0-9a-fA-F]{20})")  # names no character, and Python reads no such number
_MARKDOWN = (
    # The lengths are bounded, so that a page of opening brackets takes no quadratic time.
    (re.compile(r"!\[[^\]\n]{0,300}\]\([^)\n]{0,2000}\)"), ""),  # pictures
    (re.compile(r"\[([^\]\n]{0,600})\]\((?:https?:|#|mailto:)[^)\n]{0,2000}\)"), r"\1"),  # links
    (re.compile(r"(?<=\S)[ \t]*(?=\*\*Art(?:\.|[íi]culo))"), "\n"),  # a bold heading that a converter glued to a line
    (re.compile(r"^[ \t]{0,3}(?:#{1,6}[ \t]+|>[ \t]?)+", re.M), ""),  # headings and quotations
    (re.compile(r"^[ \t]*(?:[-*_][ \t]*){3,}$", re.M), ""),  # rules
    (re.compile(r"\*{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)"), ""),  # emphasis
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),  # escapes
)


def _text_of_markdown(text: str) -> str:
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    text = "".join([*kept, text[at:]])
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    return _unescaped(text)


def _text_of_html(path: Path, text: str) -> str:
    parser = _HTMLText()
    try:
        parser.feed(_LONG_REFERENCE.sub("&amp;#", text))
        parser.close()
    except AssertionError as error:  # html.parser, of a malformed declaration such as <![xxx>
        raise LeyloraError(f"{path} is not readable HTML ({error}); save the page anew, or as text.") from None
    return "".join(parser.parts)


def _unescaped(text: str) -> str:
    return html.unescape(_LONG_REFERENCE.sub("&amp;#", text))


class _HTMLText(HTMLParser):
    """Text of an HTML page: block elements end paragraphs, ``<br>`` ends a line, scripts and styles are dropped."""

    BLOCKS = re.compile(
        "article|blockquote|center|d[dlt]|div|footer|h[1-6]|header|hr|li|main|[ou]l|p|pre|section|table|tr"
    )
    DROPPED = ("script", "style", "head", "template", "noscript")

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
        if self.BLOCKS.fullmatch(tag):
            self.parts.append("\n\n")
        elif tag == "br":
            self.parts.append("\n")
        elif tag in ("td", "th"):
            self.parts.append(" ")
