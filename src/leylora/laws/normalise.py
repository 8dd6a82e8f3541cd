"""Clean characters, take out page furniture, cut into lines.

Nothing here knows about articles. Furniture is recognised by what the publishers print on every page and, for
publishers not seen before, by repetition: a line that stands at the top or bottom of more than half the pages,
digits apart.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_SPACES = re.compile(r"[\t\xa0\u2000-\u200a\u202f\u205f\u3000]")
_HYPHENS = re.compile(r"[\u2010\u2011\u2212]")
# U+0002 stays for now: it is pdfium's sign for a hyphen at a line end.
_INVISIBLE = re.compile(r"[\x00\x01\x03-\x09\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff\ufffe\uffff\ud800-\udfff]")
_LINE_ENDS = re.compile(r"\r\n?|\u2028|\u2029|\x85|\v")
_LETTER = "a-záéíóúüñ"
_SOFT_HYPHEN_IN_WORD = re.compile(rf"(?<=[{_LETTER}])\xad(?=[{_LETTER}])")
_BROKEN_WORD = re.compile(rf"(?<=[{_LETTER}])(?:\x02|[-\xad]\n)(?=[{_LETTER}])", re.I)
_WORD = re.compile(r"[^\W\d_]+")
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
_EDGE = 4  # lines at the top and at the bottom of a page where furniture can stand
_NEVER_FURNITURE = re.compile(
    r"\W*(?:art|libro|t[íi]tulo|cap[íi]tulo|secci[óo]n|par[áa]grafo|disposici|concordancia|jurisprudencia|notas?\b)",
    re.I,
)


def normalise_pages(pages: list[str], *, blank_lines: bool) -> tuple[list[str], list[int], dict[str, int]]:
    """Lines of the pages, the 1-based page of each, and what furniture was removed how often.

    ``blank_lines`` keeps one empty line where the text had any: a paragraph break in text formats, noise in a PDF.
    """
    removed: Counter[str] = Counter()
    clean = [_remove_known_furniture(_clean(page), removed) for page in pages]
    words = _Words(clean)
    split = [_BROKEN_WORD.sub(words.mend, page).replace("\x02", "-").replace("\xad", "-").split("\n") for page in clean]
    split = [[" ".join(line.split()) for line in page] for page in split]
    repeated = _repeated_lines(split)
    lines: list[str] = []
    page_of: list[int] = []
    for number, page in enumerate(split, 1):
        for line in page:
            if repeated and (mask := _DIGITS.sub("#", line)) in repeated:
                removed[f"repeated line: {mask}"] += 1
            elif line or (blank_lines and lines and lines[-1]):
                lines.append(line)
                page_of.append(number)
    return lines, page_of, dict(removed)


def _clean(page: str) -> str:
    page = _SPACES.sub(" ", _LINE_ENDS.sub("\n", page))
    page = _INVISIBLE.sub("", _HYPHENS.sub("-", page))
    return unicodedata.normalize("NFC", _SOFT_HYPHEN_IN_WORD.sub("", page))


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
    """Decides whether the hyphen at a line end belongs to the word ("socio-económica") or only broke it."""

    def __init__(self, pages: list[str]) -> None:
        self.pages = pages
        self.known: frozenset[str] | None = None  # made on first use: most files break no words

    def mend(self, match: re.Match[str]) -> str:
        if self.known is None:
            self.known = frozenset(_WORD.findall("\n".join(self.pages).lower()))
        before = match.string[max(0, match.start() - _LONGEST_WORD) : match.start()].lower()
        after = match.string[match.end() : match.end() + _LONGEST_WORD].lower()
        left, right = _WORD.findall(before)[-1], _WORD.findall(after)[0]
        return "" if left + right in self.known or not {left, right} <= self.known else "-"


def _repeated_lines(pages: list[list[str]]) -> frozenset[str]:
    """The digit-masked lines that stand at the edge of more than half of at least four pages."""
    if len(pages) < 4:
        return frozenset()
    seen: Counter[str] = Counter()
    for page in pages:
        seen.update({_DIGITS.sub("#", line) for line in _edges(page) if line and not _NEVER_FURNITURE.match(line)})
    return frozenset(line for line, count in seen.items() if count > len(pages) / 2)


def _edges(page: list[str]) -> Iterable[str]:
    return page if len(page) <= 2 * _EDGE else page[:_EDGE] + page[-_EDGE:]
