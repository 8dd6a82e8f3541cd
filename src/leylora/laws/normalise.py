"""Clean characters, take out page furniture, cut into lines.

Nothing here knows about articles. Furniture is recognised by what the publishers print on every page and, for
publishers not seen before, by repetition: a line that stands at the top or bottom of more than half the pages,
digits apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from leylora.laws.geometry import REACHES, STOPS_SHORT

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
_FURNITURE = {name: (sign, re.compile(pattern)) for name, (sign, pattern) in FURNITURE.items()}
_DIGITS = re.compile(r"\d+")
_FULL = {REACHES: True, STOPS_SHORT: False}
_EDGE = 4  # lines at the top and at the bottom of a page where furniture can stand
_NEVER_FURNITURE = re.compile(
    r"\W*(?:art|libro|t[íi]tulo|cap[íi]tulo|secci[óo]n|par[áa]grafo|disposici|concordancia|jurisprudencia|notas?\b)",
    re.I,
)


@dataclass(frozen=True)
class Normalised:
    """Clean lines; for each, its 1-based page and whether it is full: True if it reaches the margin of a justified
    page, False if it stops short, None if that cannot be told. ``furniture`` is what was removed, and how often."""

    lines: tuple[str, ...]
    pages: tuple[int, ...]
    full: tuple[bool | None, ...]
    furniture: dict[str, int]


def normalise_pages(pages: list[str], *, blank_lines: bool) -> Normalised:
    """Clean the pages.

    ``blank_lines`` keeps one empty line where the text had any: a paragraph break in text formats, noise in a PDF.
    """
    removed: Counter[str] = Counter()
    clean = [_remove_known_furniture(_clean(page), removed) for page in pages]
    words = _Words(clean)
    split = [[line.strip(" ") for line in _mend(page, words).split("\n")] for page in clean]
    repeated = _repeated_lines(split)
    lines: list[str] = []
    page_of: list[int] = []
    full: list[bool | None] = []
    for number, page in enumerate(split, 1):
        for line in page:
            mark = _FULL.get(line[-1:])
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
    return Normalised(tuple(lines), tuple(page_of), tuple(full), dict(removed))


def _clean(page: str) -> str:
    if "\r" in page or _RARE.search(page):
        page = _SPACES.sub(" ", _LINE_ENDS.sub("\n", page.replace("\xa0", " ")))
        page = _WINDOWS.sub(lambda match: match[0].encode("latin-1").decode("cp1252", "ignore"), page)
        page = _SOFT_HYPHEN_IN_WORD.sub("", _INVISIBLE.sub("", _HYPHENS.sub("-", page)))
    if "  " in page:
        page = _MANY_SPACES.sub(" ", page)
    return unicodedata.normalize("NFC", page)


def _mend(page: str, words: "_Words") -> str:
    """The page with broken words put together again and all its hyphens written "-"."""
    if _LINE_END_HYPHEN.search(page):
        page = _BROKEN_WORD.sub(words.mend, page)
    return page.replace("\x02", "-").replace("\xad", "-")


def _remove_known_furniture(page: str, removed: Counter[str]) -> str:
    for name, (sign, pattern) in _FURNITURE.items():
        at = page.find(sign)
        if at >= 0:
            start = max(0, at - 400)  # a footer's first line comes before its sign
            rest, count = pattern.subn("", page[start:])
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
        """What stands between the halves of a broken word."""
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
    """The digit-masked lines that stand at the edge of more than half of at least four pages."""
    if len(pages) < 4:
        return frozenset()
    seen: Counter[str] = Counter()
    for page in pages:
        edges = (line.rstrip(" \u2028\u2029") for line in _edges(page))
        seen.update({_DIGITS.sub("#", line) for line in edges if line and not _NEVER_FURNITURE.match(line)})
    return frozenset(line for line, count in seen.items() if count > len(pages) / 2)


def _edges(page: list[str]) -> Iterable[str]:
    return page if len(page) <= 2 * _EDGE else page[:_EDGE] + page[-_EDGE:]
