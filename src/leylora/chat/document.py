"""A document held against the laws: read it (text, Markdown, .docx, PDF), check it, show it with its marks.

    document = read_document(Path("demanda.docx"))
    checked = check_document(document, index)
    print_document(checked); write_page([checked], Path("demanda.html")); as_json(checked)

A file is only read, never run: macros, fields and links of a .docx are left out, and what its text says of itself
cannot change how it is judged. Offsets of claims are those of `Document.text`, whose lines are the file's.
"""

import html
import io
import re
import sys
import zipfile
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from rich.text import Text

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_bytes, write_text
from leylora.grounding.checker import NAMES, CheckedCitation, CheckedClaim, CheckedText, Verdict, check_text, explain
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import age_notes
from leylora.laws.pdf import REACHES, STOPS_SHORT, read_pdf

LARGEST = 20_000_000  # bytes of a file
LONGEST = 4_000_000  # characters, some 1,500 pages
FOUND = 3  # articles looked at for a sentence that cites none
SCANNED = 40  # characters a page below which a PDF is pictures
OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # the container of old .doc files and of encrypted .docx
COLOURS = {"✓": "green", "✗": "red", "⚠": "yellow"}
_CLASSES = {"✓": "good", "✗": "bad", "⚠": "doubt"}
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_NEW_LINE = re.compile(r"\s*(?:[-*•#>|]|\d{1,3}[.)]|[a-z]\)|Art(?:ículo|\.)\s*\d)", re.IGNORECASE)


class Document(NamedTuple):
    """``text`` has the file's own lines; ``name`` is the file's, as it was named."""

    name: str
    text: str


class CheckedDocument(NamedTuple):
    document: Document
    checked: CheckedText

    @property
    def uncheckable(self) -> int:
        """How many claims and citations nothing is known of."""
        unknown = (Verdict.UNCHECKABLE, Verdict.UNCLEAR)
        apart = [one for one in self.checked.citations if one.verdict in unknown]
        inside = {id(cited) for claim in self.checked.claims for cited in claim.citations}
        claims = sum(claim.verdict in unknown for claim in self.checked.claims)
        return claims + sum(id(one) not in inside for one in apart)

    @property
    def ages(self) -> list[str]:
        """What to know of the editions that the text was held against."""
        against = [claim.article.law for claim in self.checked.claims if claim.article is not None]
        return age_notes(against + [one.article.law for one in self.checked.citations if one.article is not None])

    @property
    def summary(self) -> str:
        checked = self.checked
        return (
            f"{len(checked.citations)} citas y {len(checked.claims)} afirmaciones vistas, "
            f"{self.uncheckable} no comprobables"
        )


def read_document(path: Path | None) -> Document:
    """The text of a file, or of standard input for None.

    Raises:
        UsageError: it cannot be read as text: missing, too large, damaged, encrypted, scanned.
    """
    if path is None:
        return _limited(Document("-", _decoded(sys.stdin.buffer.read(LARGEST + 1), "standard input")))
    try:
        if path.suffix.lower() == ".pdf":
            return _limited(Document(str(path), _pdf_text(path)))
        data = read_bytes(path, LARGEST)
    except UsageError:
        raise
    except LeyloraError as error:
        raise UsageError(str(error)) from None
    if data.startswith(OLE):
        what = "encrypted" if path.suffix.lower() == ".docx" else "an old Word file"
        raise UsageError(f"{path} is {what}; save it in Word as .docx without a password, and check that.")
    if path.suffix.lower() == ".docx" or data.startswith(b"PK\x03\x04"):
        return _limited(Document(str(path), _docx_text(data, path)))
    return _limited(Document(str(path), _decoded(data, str(path))))


def _limited(document: Document) -> Document:
    if len(document.text) > LONGEST:
        raise UsageError(f"{document.name} has more than {LONGEST:,} characters; check it in parts.")
    return document


def _decoded(data: bytes, name: str) -> str:
    if len(data) > LARGEST:
        raise UsageError(f"{name} has more than {LARGEST:,} bytes; check it in parts.")
    if b"\0" in data[:4096]:
        raise UsageError(f"{name} is not text; give a .txt, .md, .docx or .pdf file.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise UsageError(f"{name} is not text in UTF-8 or Windows-1252; save it as UTF-8.")


def _pdf_text(path: Path) -> str:
    pages = read_pdf(path)
    lines = [line.rstrip(REACHES + STOPS_SHORT + " ") for page in pages for line in page.lines]
    text = "\n".join(lines)
    if len(text) < SCANNED * len(pages):
        raise UsageError(
            f"{path} holds pictures of pages and no text; make it searchable first, for example with "
            "ocrmypdf --language spa IN.pdf OUT.pdf."
        )
    return text


def _docx_text(data: bytes, path: Path) -> str:
    """The paragraphs of a .docx with its footnotes after them, one a line."""
    found = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "word/document.xml" not in names:
                raise UsageError(f"{path} is a zip file but not a .docx; export the document as .docx.")
            for name in ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml"):
                if name not in names:
                    continue
                info = archive.getinfo(name)
                if info.file_size > 5 * LARGEST:
                    raise UsageError(f"{path} unpacks to more than {5 * LARGEST:,} bytes; check it in parts.")
                if info.flag_bits & 1:
                    raise UsageError(f"{path} is encrypted; save it without a password, and check that.")
                found += _paragraphs(archive.read(name), path)
    except (zipfile.BadZipFile, ElementTree.ParseError, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise UsageError(f"{path} is damaged ({error}); open it in Word and save it again as .docx.") from None
    return "\n".join(found)


def _paragraphs(xml: bytes, path: Path) -> list[str]:
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:  # Word writes none; entities could grow without end
        raise UsageError(f"{path} holds XML that Word does not write; open it in Word and save it again.")
    found = []
    for paragraph in ElementTree.fromstring(xml).iter(f"{_W}p"):
        pieces = []
        for node in paragraph.iter():
            if node.tag == f"{_W}t":
                pieces.append(node.text or "")
            elif node.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
                pieces.append(" ")
        found.append("".join(pieces))
    return found


def check_document(document: Document, index: LawIndex) -> CheckedDocument:
    def find(said: str) -> list[Any]:
        return [hit.article for hit in index.search(said, FOUND)]

    return CheckedDocument(document, check_text(unwrapped(document.text), index, find=find))


def unwrapped(text: str) -> str:
    """The text with a blank for each line end inside a paragraph; as long as it was, so that offsets stay."""
    ends = []
    for match in re.finditer(r"\n", text):
        before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()].rstrip()
        after = text[match.end() : match.end() + 80]
        goes_on = before and not before.endswith((".", ":", ";", "!", "?")) and not before.lstrip().startswith("#")
        if goes_on and after.strip() and not after.startswith("\n") and not _NEW_LINE.match(after):
            ends.append(match.start())
    letters = list(text)
    for at in ends:
        letters[at] = " "
    return "".join(letters)


def as_json(checked: CheckedDocument) -> dict[str, Any]:
    """What ``--json`` prints of one file."""
    starts = [0, *(at + 1 for at, letter in enumerate(checked.document.text) if letter == "\n")]
    claims = []
    for claim in checked.checked.claims:
        against = None
        if claim.article is not None:
            against = {
                "law_id": claim.article.law.id,
                "article": claim.article.number,
                "part": claim.part or None,
                "text": claim.against or claim.article.body,
            }
        claims.append(
            {
                "line": bisect_right(starts, claim.span[0]),
                "text": claim.text,
                "verdict": claim.verdict.value,
                "why": explain(claim),
                "against": against,
                "citations": [_citation_json(one) for one in claim.citations],
            }
        )
    seen = {"citations": len(checked.checked.citations), "claims": len(claims)}
    name, unknown = checked.document.name, checked.uncheckable
    return {"file": name, "claims": claims, "seen": seen, "uncheckable": unknown, "editions": checked.ages}


def _citation_json(one: CheckedCitation) -> dict[str, Any]:
    law_id = one.law.id if one.law else one.citation.law_id
    number = one.article.number if one.article else one.citation.article or None
    part = one.citation.part or None
    return {"text": one.text, "law_id": law_id, "article": number, "part": part, "verdict": one.verdict.value}


# Terminal


def print_document(checked: CheckedDocument) -> None:
    """The text with coloured marks, the reason under each claim that is not plainly supported, and the count."""
    text = unwrapped(checked.document.text)
    at = 0
    console.out.rule(Text(checked.document.name, "bold"), align="left")
    for claim in checked.checked.claims:
        first, last = claim.span
        between = text[at:first].strip()
        if between:
            console.out.print(Text(between, "dim"))
        colour = COLOURS[claim.mark]
        line = Text(f"{claim.mark} ", f"bold {colour}")
        line.append(text[first:last].strip(), "" if claim.mark == "✓" else colour)
        console.out.print(line)
        if claim.verdict is not Verdict.SUPPORTED:
            console.out.print(Text(f"    {NAMES[claim.verdict]}: {explain(claim)}", colour))
            if claim.article is not None and claim.against:
                console.out.print(Text(f"    {claim.article.citation}: «{_short(claim.against)}»", "dim"))
        at = last
    if rest := text[at:].strip():
        console.out.print(Text(rest, "dim"))
    for one in apart(checked):
        console.out.print(Text(f"⚠ {one.text}: {explain(one)}", "yellow"))
    for note in checked.ages:
        console.out.print(Text(f"⚠ {note}", "yellow"))
    console.out.print(Text(checked.summary, "bold"))


def apart(checked: CheckedDocument) -> list[CheckedCitation]:
    """The citations that no claim has: rulings and gazettes, mostly."""
    inside = {one.span for claim in checked.checked.claims for one in claim.citations}
    return [one for one in checked.checked.citations if one.span not in inside]


def _short(text: str, most: int = 240) -> str:
    return text if len(text) <= most else text[: text.rfind(" ", 0, most)] + " …"


# Page

_STYLE = """
:root { color-scheme: light dark; --good: #1b7f3b; --bad: #b3261e; --doubt: #8a6100; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --good: #6fd08c; --bad: #ff8a80; --doubt: #f0c36d; } }
body { font: 16px/1.55 Georgia, serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } .sum { font-weight: bold; }
.row { display: grid; grid-template-columns: 3fr 2fr; gap: 1.5rem; padding: .5rem 0;
  border-top: 1px solid var(--line); }
.row > div { min-width: 0; overflow-wrap: anywhere; } .plain { opacity: .75; }
.note { font: 14px/1.45 system-ui, sans-serif; } .note blockquote { margin: .3rem 0 0; padding-left: .6rem;
  border-left: 3px solid var(--line); }
.good { color: var(--good); } .bad { color: var(--bad); } .doubt { color: var(--doubt); }
.said.bad, .said.doubt { text-decoration: underline wavy; text-underline-offset: 4px; }
@media (max-width: 700px) { .row { grid-template-columns: 1fr; gap: .3rem; } .note { padding-left: .8rem; } }
@media print { body { max-width: none; font-size: 11pt; } .row { break-inside: avoid; } }
"""


def page(documents: Sequence[CheckedDocument]) -> str:
    """A page without anything from elsewhere: each claim with its mark, beside it the law's text."""
    body = []
    for checked in documents:
        text = unwrapped(checked.document.text)
        body.append(f"<h1>{html.escape(checked.document.name)}</h1><p class='sum'>{html.escape(checked.summary)}.</p>")
        body += [f"<p class='note doubt'>⚠ {html.escape(note)}</p>" for note in checked.ages]
        at = 0
        for claim in checked.checked.claims:
            first, last = claim.span
            body.append(_plain_row(text[at:first]))
            body.append(_claim_row(claim, text[first:last]))
            at = last
        body.append(_plain_row(text[at:]))
        listed = "".join(f"<li>⚠ {html.escape(one.text)}: {html.escape(explain(one))}</li>" for one in apart(checked))
        body.append(f"<h2>No comprobables aquí</h2><ul class='note doubt'>{listed}</ul>" if listed else "")
    return (
        "<!doctype html><html lang='es'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Texto comprobado con la ley</title><style>{_STYLE}</style></head><body>{''.join(body)}"
        "<p class='note'>Comprobado por reglas contra el texto de las leyes que están aquí, en la edición que cada "
        "cita dice. No reemplaza a quien ejerce el derecho.</p></body></html>\n"
    )


def _plain_row(words: str) -> str:
    if not words.strip():
        return ""
    lines = "<br>".join(html.escape(line) for line in words.strip().split("\n") if line.strip())
    return f"<div class='row'><div class='plain'>{lines}</div><div></div></div>"


def _claim_row(claim: CheckedClaim, words: str) -> str:
    kind = _CLASSES[claim.mark]
    note = f"<b class='{kind}'>{claim.mark} {NAMES[claim.verdict]}</b>. {html.escape(explain(claim))}"
    if claim.article is not None:
        law = claim.against or claim.article.body or "(derogado)"
        note += (
            f"<blockquote>{html.escape(_short(law, 900))}<br><i>{html.escape(claim.article.citation)}</i></blockquote>"
        )
    said = f"<span class='said {kind}'>{html.escape(words.strip())}</span>"
    return f"<div class='row'><div>{said} <b class='{kind}'>{claim.mark}</b></div><div class='note'>{note}</div></div>"


def write_page(documents: Sequence[CheckedDocument], path: Path, *, overwrite: bool = False) -> None:
    """Write the page; a file that is there is replaced only if asked."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file for the page, such as {path / 'comprobado.html'}.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; name another file, or add --overwrite.")
    write_text(path, page(documents))
