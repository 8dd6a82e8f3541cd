"""The lines of one article, sorted into its text in force and what the publisher added; and its status.

Publishers print, after (and sometimes inside) an article: reform notes ("Nota: Inciso segundo agregado por ..."),
concordances, case law, and in FielWeb reform marks in parentheses inside the text. A reform note ends with its
paragraph and the article may go on; a note on a ruling may have many paragraphs, so after it the article goes on only
where its list does. A note that announces a text ("era el siguiente:"), leaves a quotation open or repeats the
article's own heading takes everything up to the next block.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from leylora.laws.law import Status
from leylora.laws.metadata import parse_date
from leylora.laws.structure import ITEM

Part = Literal["body", "notes", "concordances", "case_law"]

_OPENING = re.compile(
    r"(?:(?P<notes>notas?(?: general)?)|(?P<concordances>concordancias?)|(?P<case_law>jurisprudencia))\s?:"
    r"\s*(?P<rest>.*)",
    re.I,
)
_BARE: dict[str, Part] = {"CONCORDANCIAS": "concordances", "CONCORDANCIA": "concordances", "JURISPRUDENCIA": "case_law"}
_GLUED_NOTE = re.compile(r"(?P<before>.{0,60}?\S)\s?(?=Nota:\s*[A-Z])")
_REFORM = (
    r"(?:agregad|sustitu[ií]d|reformad|derogad|suprimid|renumerad|añadid|incorporad|interpretad|modificad|reemplazad"
    r"|restablecid|declarad|insertad|eliminad|trasladad|numerad|restituid|inclu[ií]d)[oa]s?"
)
_UNIT = (
    r"(?:art[íi]culo|inciso|numeral|literal|cap[íi]tulo|t[íi]tulo|secci[óo]n|par[áa]grafo|ep[íi]grafe"
    r"|disposici[óo]n)(?:e?s)?"
)
_AUTHORITY = r"(?:R\.\s?O\b|\b(?:Ley|Arts?|Disp|Decreto|Mandato|Sentencia|Res|C[óo]digo)\w*)"
REFORM_MARK = re.compile(
    rf"\(\s?(?:{_UNIT} [^()]{{0,60}})?{_REFORM}\b(?=[^()]{{0,300}}?{_AUTHORITY})"
    r"[^()]{0,1500}(?:\([^()]{0,200}\)[^()]{0,600}){0,8}\)(?:\s?\.?\s?[-–—]+|\.(?=$|\s))?\s*",
    re.I,
)
_REFORM_NOTE = re.compile(rf"(?:\S+ )?{_UNIT}\b.{{0,80}}?\b{_REFORM}\b", re.I)
_SENTENCE_END = re.compile(r"[.;:!?][\"”»')\]]*$|[\"”»]$")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:arts?|nos?|nro|núm|num|dra?|ing|lic|ab|sra?|econ?|pp?|inc|lit|cap|tít|disp|res|r\.\s?o|[dse]\.\s?[aec]|(?-i:[A-Z]|[b-df-hj-np-tvwxz]))\.$",
    re.I,
)
_AND = (",", " y", " o", " e")
_CONTINUES = re.compile(r"[a-záéíóúüñ(,;]")


@dataclass
class Block:
    """``versions`` are the notes that announce a repeat of the article's own heading; ``subtitles`` the lines in
    capitals that head the next articles without being a Título or the like ("II", "REGLAS RELATIVAS A LA EDAD")."""

    body: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    concordances: list[str] = field(default_factory=list)
    case_law: list[str] = field(default_factory=list)
    reform_marks: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)


def read_block(lines: Sequence[str], full: Sequence[bool | None], width: int, repeats: Collection[int] = ()) -> Block:
    """Sort the lines of one article; ``lines[0]`` is what follows the number on the heading's line.

    ``full`` is whether each line reaches the margin, as in `Source`; where that is unknown, ``width``, the usual length
    of a full line, has to tell a line that ends early. ``repeats`` are the indexes of lines that repeat the heading.
    """
    block = Block()
    parts: dict[Part, list[str]] = {"body": block.body, "concordances": block.concordances, "case_law": block.case_law}
    part: Part = "body"
    paragraph: list[str] = []
    announced = False  # a note announced a text that is no longer, or not yet, in force
    one_paragraph = False  # the note is of the kind that ends with its paragraph
    same_note = False  # the paragraph belongs to the note before it
    note_paragraphs: list[list[str]] = []  # of each note

    def close() -> None:
        nonlocal same_note
        text = " ".join(filter(None, paragraph))
        paragraph.clear()
        if text and part == "notes":
            if not same_note:
                note_paragraphs.append([])
            note_paragraphs[-1].append(text)
            same_note = True
        elif text:
            parts[part].append(text)

    for index, line in _unglue(lines):
        if opening := _opening(line):
            close()
            (part, line), announced, same_note = opening, False, False
            one_paragraph = not line or (bool(_REFORM_NOTE.match(line)) and "interpretad" not in line)
        elif index in repeats:
            close()
            block.versions.append(note_paragraphs[-1][-1] if note_paragraphs else "")
            part, announced, same_note = "notes", True, bool(note_paragraphs)
        elif part in ("concordances", "case_law"):
            if paragraph and (paragraph[-1][-1:].isdigit() or paragraph[-1].endswith(".")):
                close()  # a date, a number or a full stop ends a reference
        elif paragraph in ([], [""]):
            pass
        elif part == "notes" and line.startswith("-") and _SENTENCE_END.search(paragraph[-1]):
            close()
            same_note = False
        elif starts_paragraph(paragraph, line, full[index - 1], width):
            if part == "notes":  # whether it announces a text that follows it, or has not closed a quotation
                text = " ".join(paragraph)
                announced |= text.rstrip('"” ').endswith(":") or text.count("“") > text.count("”")
                announced |= text.count('"') % 2 == 1
            close()
            if part == "notes" and not announced and (one_paragraph or _goes_on(block.body, line)):
                part, same_note = "body", False
        paragraph.append(line)
    close()
    block.notes = ["\n".join(paragraphs) for paragraphs in note_paragraphs]
    while len(block.body) > 1 and block.body[-1].isupper() and not _SENTENCE_END.search(block.body[-1]):
        block.subtitles.insert(0, block.body.pop())
    block.body = _take_marks(block.body, block.reform_marks)
    return block


def _unglue(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The lines with their indexes, "i)Nota: Literal derogado ..." cut in two."""
    for index, line in enumerate(lines):
        glued = _GLUED_NOTE.match(line) if "Nota:" in line else None
        if glued and not _OPENING.match(line):
            yield index, glued["before"]
            line = line[glued.end("before") :].lstrip()
        yield index, line


def _opening(line: str) -> tuple[Part, str] | None:
    """The part a line opens and the first words of it, or None."""
    if not line or line[0] not in "NCJncj":
        return None
    if match := _OPENING.match(line):
        part: Part = "notes" if match["notes"] else "concordances" if match["concordances"] else "case_law"
        return part, match["rest"]
    return (_BARE[line], "") if line in _BARE else None


def starts_paragraph(before: Sequence[str], line: str, full: bool | None, width: int) -> bool:
    """Whether ``line`` opens a new paragraph after the lines ``before`` of the current one.

    The last line of a paragraph stops short of the margin. Where margins are unknown (``full`` is None), it ends a
    sentence; one that is much shorter than ``width`` ends a paragraph too.
    """
    last = before[-1]
    if not line or not last:  # an empty line is a break the source itself marks, unless the sentence plainly goes on
        last = next((text for text in reversed(before) if text), "")
        return bool(line) and not (_CONTINUES.match(line) and not _SENTENCE_END.search(last))
    item = ITEM.match(line)
    if not item and (full or line[0].islower() or line[0].isdigit() or line[0] in "(,;.)"):
        return False
    ended = _SENTENCE_END.search(last) is not None and not _ABBREVIATION.search(last)
    if item:
        return full is False or ended or (full is None and (last.endswith(_AND) or len(last) < 0.8 * width))
    return full is False or ended or len(last) < 0.6 * width


def _goes_on(body: Sequence[str], line: str) -> bool:
    """Whether ``line`` is the item that comes next in the list the body ended with."""
    item = ITEM.match(line)
    if item is None:
        return False
    for paragraph in reversed(body):
        before = ITEM.match(paragraph)
        if before and before["label"].isdigit() and item["label"].isdigit():
            return 0 < int(item["label"]) - int(before["label"]) <= 3
        if before and len(before["label"]) == len(item["label"]) == 1:
            return 0 < ord(item["label"]) - ord(before["label"]) <= 3
    return False


def _take_marks(paragraphs: list[str], marks: list[str]) -> list[str]:
    """Move FielWeb's reform marks, "(Sustituido por ...).-", out of the text."""
    kept = []
    for paragraph in paragraphs:
        if found := [match[0].strip(" .-–—") for match in REFORM_MARK.finditer(paragraph)]:
            marks += found
            paragraph = REFORM_MARK.sub("", paragraph).strip()
            item = ITEM.match(paragraph)
            if not paragraph or (item and item.end() == len(paragraph)):
                continue
        kept.append(paragraph)
    return kept


_LATER = r"(?:derogad|suprimid|eliminad)[oa]s?"
_WHOLE_REPEALED = re.compile(rf"(?:\W*Nota:)?\W*(?:este\s+)?art[íi]culo\s+(?:\S+\s+){{0,3}}?{_LATER}", re.I)
_WHOLE_ADDED = re.compile(r"\W*(?:este\s+)?art[íi]culo\s+(?:agregado|incorporado|restablecido|restituido)", re.I)
_PART_REPEALED = re.compile(
    rf"\W*(?:inciso|numeral|literal|frase|palabra|[úu]ltim[oa]|par[áa]grafo|p[áa]rrafo|oraci[óo]n)[a-z]*\b[^.;]{{0,80}}?{_LATER}",
    re.I,
)
_MARK_REPEALS = re.compile(rf"\(?\s*(?:art[íi]culo\s+)?{_LATER}\b", re.I)
_REPEAL_STUB = re.compile(rf"\W*(?:art[íi]culo\s+)?{_LATER}\W*", re.I)
_UNCONSTITUTIONAL = re.compile(r"inconstitucional", re.I)
_CONSTITUTIONAL_AFTER_ALL = re.compile(
    r"(?:no\s+es|niega|negar|rechaza|desestima)\w*[^.]{0,80}inconstitucional|inconstitucionalidad\s+(?:por|de)\s+omisi[óo]n",
    re.I,
)
_WHOLE_UNCONSTITUTIONAL = re.compile(
    r"(?:este\s+art[íi]culo|art[íi]culo)\s+(?:fue|ha\s+sido)?\s*declarado\s+inconstitucional"
    r"|inconstitucionalidad\s+(?:de\s+este|del\s+presente)\s+art[íi]culo(?!\s+en\s+cuanto)",
    re.I,
)
_FORMER_VERSION = re.compile(
    r"texto\s+(?:anterior|original|derogado|sustituido)|antes\s+de\s+la\s+reforma|dec[íi]a", re.I
)
_RANGE = re.compile(
    r"art[íi]culos?\s+(?:innumerados\s+)?\(?(?:desde\s+el\s+|del\s+)?(\d{1,4})\s+(?:al|a|hasta(?:\s+el)?)\s+(\d{1,4})\)?",
    re.I,
)
_LIST = re.compile(r"art[íi]culos\s+((?:\d{1,4}\s*(?:,|y|e)\s*)+\d{1,4})", re.I)
_GONE = re.compile(r"derogad|suprimid|eliminad|sustitu[ií]d|der[óo]gan?se|supr[íi]m", re.I)


def article_status(block: Block) -> Status:
    """The status of an article from its block.

    Only a note about the whole article repeals it; one about an inciso or a numeral repeals that part. A note that
    prints a second version of the article leaves open which text is in force, unless it says the other is the former
    one. Where one note adds an article and another repeals it, the later decides, by the dates the notes give:
    publishers print notes in no certain order. Without dates a person decides.
    """
    body = " ".join(block.body)
    notes = [note.partition("\n")[0] for note in block.notes]  # what follows is a ruling's or an old version's text
    if any(not _FORMER_VERSION.search(note) for note in block.versions):
        return "dudoso"
    repeals = [note for note in notes if _WHOLE_REPEALED.match(note)]
    added = [note for note in notes if _WHOLE_ADDED.match(note)]
    if repeals and added:
        days = [[parse_date(note) for note in group] for group in (repeals, added)]
        if any(None in group for group in days):
            return "dudoso"
        repealed_on, added_on = (max(day for day in group if day) for group in days)
        if repealed_on == added_on:
            return "dudoso"
        repealed = repealed_on > added_on
    else:
        repealed = bool(repeals)
    mark_repeals = any(_MARK_REPEALS.match(mark) for mark in block.reform_marks)
    if repealed or _REPEAL_STUB.fullmatch(body):
        return "derogado"
    if not body:
        return "derogado" if mark_repeals or any(_GONE.search(note) for note in notes) else "dudoso"
    unconstitutional = [
        note for note in notes if _UNCONSTITUTIONAL.search(note) and not _CONSTITUTIONAL_AFTER_ALL.search(note)
    ]
    if any(_WHOLE_UNCONSTITUTIONAL.search(note) for note in unconstitutional) and not block.versions:
        return "dudoso"
    if unconstitutional:
        return "inconstitucional_parcial"
    if mark_repeals or any(_PART_REPEALED.match(note) for note in notes):
        return "derogado_parcial"
    return "vigente"


_QUOTED = re.compile(r"[\"“«]([^\"”»]{2,600})[\"”»]")
# 'la inconstitucionalidad de la frase "X" y "Y"'; what "se sustituye por" or "adición" is followed by is not struck
_STRUCK_WORDS = re.compile(
    rf"(?:frases?|palabras?|expresi[óo]n(?:es)?|t[ée]rminos?|oraci[óo]n(?:es)?)\s*:?\s*"
    rf"(?:{_QUOTED.pattern}\s*(?:,|y|e)?\s*){{1,6}}",
    re.I,
)
_STRUCK_NUMERAL = re.compile(r"inconstitucionalidad\s+del?\s+(?:los\s+)?numeral(?:es)?\s+(\d{1,3})\b", re.I)
_SHORTEST_UNQUOTED = 4  # words; fewer may stand in an article for another reason


def struck_spans(body: str, notes: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of the body that notes say were declared unconstitutional: quoted words, and numerals printed
    between quotes. Quotation marks around them are left out. Words that the body has more than once are found only
    where it prints them between quotes, as publishers do with what was struck."""
    spans: set[tuple[int, int]] = set()
    printed = [match.span(1) for match in _QUOTED.finditer(body)]
    for note in notes:
        if not _UNCONSTITUTIONAL.search(note) or _CONSTITUTIONAL_AFTER_ALL.search(note):
            continue
        for passage in _STRUCK_WORDS.finditer(note):
            for quote in _QUOTED.finditer(passage[0]):
                phrase = quote[1].strip(" ,.;")
                found = [match.span() for match in re.finditer(_loosely(phrase), body, re.I)]
                quoted = [
                    span for span in found if any(first <= span[0] and span[1] <= last for first, last in printed)
                ]
                if quoted:
                    spans.update(quoted)
                elif len(found) == 1 and len(phrase.split()) >= _SHORTEST_UNQUOTED:
                    spans.update(found)
        for number in _STRUCK_NUMERAL.findall(note):
            spans.update(span for span in printed if re.match(rf"{number}\s*[.)]", body[slice(*span)]))
    return tuple(sorted(spans))


def _loosely(phrase: str) -> str:
    """A pattern of the words, whatever blanks and marks stand between them."""
    return r"\W+".join(re.escape(word) for word in re.findall(r"\w+", phrase))


def announced_repeals(lines: Sequence[str]) -> frozenset[int]:
    """Numbers that some passage declares gone as a group, of any law; a passage is three lines long."""
    passages = (" ".join(lines[at : at + 3]) for at, line in enumerate(lines) if "rtículos" in line)
    return frozenset(repealed_numbers(passages, ()))


def repealed_numbers(notes: Iterable[str], known: Iterable[int]) -> dict[int, str]:
    """Plain article numbers that a note says are gone as a group, with the note, leaving out ``known`` ones."""
    present = set(known)
    gone: dict[int, str] = {}
    for note in notes:
        if not _GONE.search(note):
            continue
        numbers: list[int] = []
        for first, last in _RANGE.findall(note):
            if int(first) <= int(last) <= int(first) + 400:
                numbers += range(int(first), int(last) + 1)
        for group in _LIST.findall(note):
            numbers += map(int, re.findall(r"\d+", group))
        gone |= {number: note for number in numbers if number not in present and number not in gone}
    return gone
