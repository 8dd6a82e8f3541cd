"""Name, Registro Oficial and dates of a law, from the header block its publisher prints."""

import re
from collections.abc import Iterable, Sequence
from datetime import date

from leylora.grounding.citations import roman
from leylora.laws.catalog import find_in_catalog
from leylora.laws.law import Identity
from leylora.text import fold

_MONTHS = ["ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic"]
_DATE = re.compile(
    r"(?P<iso>\d{4}-\d{2}-\d{2})"
    r"|(?P<day>\d{1,2})(?:\s+de\s+|[-/ ])(?P<month>[a-záéíóú]{3,10}\.?|[IVX]{1,4}|\d{1,2})"
    r"(?:\s+del?\s+|[-/ ])(?P<year>\d{4})",
    re.I,
)
_GAZETTE = re.compile(
    r"(?P<before>(?:\w+\s+)?Suplemento\s+del\s+)?(?:Edici[óo]n\s+\w+\s+del\s+)?Registro\s+Oficial"
    r"(?P<after>\s+(?:Suplemento|Edici[óo]n\s+Especial|Edici[óo]n\s+Constitucional))?\s*(?:No\.?|N[º°o]\.?)?\s*(?P<number>\d+)",
    re.I,
)
_LAST_REFORM = re.compile(r"[úu]ltima\s+(?:modificaci[óo]n|reforma)\s*:\s*(.+)", re.I)
_LEXIS_REFORM = re.compile(r"fecha\s+de\s+[úu]ltima\s+modificaci[óo]n\s*:\s*(.+)", re.I)
_LEXIS_PUBLISHED = re.compile(
    r"fecha\s+de\s+publicaci[óo]n\s*:\s*(\d{4}-\d{2}-\d{2})(?:.*tipo\s+publicaci[óo]n\s*:\s*(.+))?", re.I
)
_LEXIS_NUMBER = re.compile(r"n[úu]mero\s+de\s+publicaci[óo]n\s*:\s*(\d+)", re.I)
_TITLE = re.compile(
    r"(?:constituci[óo]n|c[óo]digo|ley|reglamento|estatuto|ordenanza|resoluci[óo]n|decreto|acuerdo|mandato|codificaci[óo]n|normas?)\b",
    re.I,
)
_AFTER_TITLE = re.compile(
    r"(?:ley|decreto|c[óo]digo|codificaci[óo]n|tipo\s+norma|registro|suplemento|normativa|notas?|estado|resoluci[óo]n)\b.{0,25}\d|tipo\s+norma|\(|notas?\s*:"
    r"|registro\s+oficial|[úu]ltima|estado\s*:|normativa\s*:|[íi]ndice$|.*(?:considerando|asamblea|congreso\s+nacional|expide|comisi[óo]n|pleno)",
    re.I,
)
_MARK_DATE = re.compile(
    r"R\.\s?O\.[^;()]{0,40}?,\s*(\d{1,2}-[IVX]{1,4}-\d{4})|publicad[oa]\s+en\s+[^;]{0,80}?\sde\s+(\d{1,2}\s+de\s+\w+\s+del?\s+\d{4})"
)
_SMALL_WORDS = "a al con contra de del e el en la las los o para por que sobre su u y".split()  # noqa: SIM905
_ENDS_IN_NUMBER = re.compile(r"(?<!\d)(?!(?:19|20)\d\d$)\d+\s*$")  # "Ley 0", but not a year
_OPENS_TEXT = re.compile(r"(?:T[ÍI]TULO|LIBRO|CAP[ÍI]TULO|ART)\b")
_HEADER_LINES = 40


def read_metadata(front: Sequence[str], law_id: str | None, marks: Iterable[str]) -> tuple[Identity, str]:
    """Read the lines before the first article; what they lack comes from the catalogue if the law is in it.

    Without a date of last reform in the header, the latest Registro Oficial named in the articles' reform ``marks``
    is taken: the text includes that reform. The second value is where that date was read: "header", "reform marks"
    or "".
    """
    head = [line for line in front if line][:_HEADER_LINES]
    title = _title(head)
    entry = find_in_catalog(title)
    gazette, published = _publication(head)
    reforms = (_LEXIS_REFORM.search(line) or _LAST_REFORM.search(line) for line in head)
    last_reform = next((day for match in reforms if match and (day := parse_date(match[1]))), None)
    reform_source = "header"
    if last_reform is None:
        found = (parse_date(match[1] or match[2]) for mark in marks for match in _MARK_DATE.finditer(mark))
        last_reform = max(filter(None, found), default=None)
        reform_source = "reform marks" if last_reform else ""
    name, siglas = (entry.name, entry.siglas) if entry else _name_and_siglas(title)
    identity = Identity(
        id=law_id or (entry.id if entry else slug(name) or "ley"),
        name=name or law_id or "Ley sin nombre",
        siglas=siglas,
        aliases=entry.aliases if entry else (),
        registro_oficial=gazette or (entry.registro_oficial if entry else ""),
        published=published or (entry.published if entry else None),
        last_reform=last_reform,
    )
    return identity, reform_source


def slug(name: str) -> str:
    """A name as a folder: ``slug("Ley de Aguas") == "ley-de-aguas"``."""
    return re.sub(r"[^a-z0-9]+", "-", fold(name, keep_ñ=False)).strip("-")[:80].strip("-")


def parse_date(text: str) -> date | None:
    """The first date in a text, as publishers write it: 2014-02-10, 22-oct.-2009, 1-II-2023, 16 de Diciembre 2005."""
    for match in _DATE.finditer(text):
        try:
            if match["iso"]:
                return date.fromisoformat(match["iso"])
            if month := _month(match["month"]):
                return date(int(match["year"]), month, int(match["day"]))
        except ValueError:
            continue  # 31 de febrero
    return None


def _month(text: str) -> int | None:
    if text.isdigit():
        return int(text)
    if text.upper() == text and (value := roman(text)):
        return value
    start = fold(text)[:3]
    return _MONTHS.index(start) + 1 if start in _MONTHS else 9 if start == "set" else None


def _title(head: Sequence[str]) -> str:
    """The law's printed name: the first line that opens like one, with the lines it was wrapped to."""
    for index, line in enumerate(head):
        sentence = line.endswith((".", ";")) and not line.isupper()
        if not _TITLE.match(line) or len(line) > 160 or sentence or _ENDS_IN_NUMBER.search(line):
            continue
        title = [line]
        for following in head[index + 1 : index + 4]:
            other = not following.isupper() or not line.isupper() or following.startswith(line[:20])
            if other or _AFTER_TITLE.match(following) or _OPENS_TEXT.match(following):
                break
            title.append(following)
        return " ".join(title)
    return ""


def _name_and_siglas(title: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.+?)\s*(?:,\s*([A-ZÁÉÍÓÚÑ]{2,12})|\(([A-ZÁÉÍÓÚÑ]{2,12})\))", title)
    siglas = ""
    if match:
        title, siglas = match[1], match[2] or match[3]
    title = re.sub(r"\s+(?:19|20)\d\d$", "", title).strip(" .,-")
    if title.isupper():
        words = title.lower().split()
        title = " ".join(word if word.strip(",") in _SMALL_WORDS else word[:1].upper() + word[1:] for word in words)
        title = title[:1].upper() + title[1:]
    return title, siglas


def _publication(head: Sequence[str]) -> tuple[str, date | None]:
    kind, number, published = "Registro Oficial", "", None
    for line in head:
        if match := _LEXIS_PUBLISHED.search(line):
            published = parse_date(match[1])
            kind = (match[2] or kind).strip()
        if match := _LEXIS_NUMBER.search(line):
            number = match[1]
    if published:
        return (f"{kind} {number}" if number else ""), published
    for line in head:
        if len(line) > 150 or _LAST_REFORM.search(line):
            continue
        match = _GAZETTE.search(line)
        if match and (day := parse_date(line[match.end() :])):
            after = match["after"] or ""
            supplement = " Suplemento" if match["before"] or "suplemento" in after.lower() else after
            return f"Registro Oficial{supplement} {match['number']}", day
    return "", None
