"""The rubric of an article: "Asesinato" in "Art. 140.- Asesinato.- La persona que mate a otra ..."."""

import re

from leylora.laws.numerals import ITEM

# A rubric is one phrase: no colon or semicolon, no full stop but that of an abbreviation, ended by ".-".
_RUBRIC = re.compile(
    r"[\"“]?(?P<rubric>[^\W\d_](?:[^.:;]|\.(?=\s?[a-záéíóúñ\d,)]|[A-Z]\.)){1,300}?)\s?\.\s?[-–—]+(?=\s|$|[A-ZÁÉÍÓÚÑ\"“(¿])\s*"
)


_BARE_PHRASE = re.compile(r"[^\W\d_a-z][^.:;!?]{2,118}[^\W\d_]")
_LONGEST_PHRASE = 160


def split_rubric(paragraphs: list[str], *, own_line: bool = False) -> tuple[str | None, list[str]]:
    """The rubric that opens the first paragraph, or None, and the paragraphs without it.

    With ``own_line``, nothing stood beside the number: a phrase without a full stop on the next line is the rubric.
    The old codes print no rubrics, but name an enumeration by the phrase that opens it ("Son causas de divorcio:
    1a.- ..."). That phrase serves as the article's rubric, and stays in the text.
    """
    match = _RUBRIC.match(paragraphs[0]) if paragraphs else None
    if match and match["rubric"][0].isupper():
        rest = paragraphs[0][match.end() :]
        return match["rubric"].strip(), ([rest] if rest else []) + paragraphs[1:]
    if own_line and len(paragraphs) > 1 and _BARE_PHRASE.fullmatch(paragraphs[0]):
        return paragraphs[0], paragraphs[1:]
    return _introducing_phrase(paragraphs), paragraphs


def _introducing_phrase(paragraphs: list[str]) -> str | None:
    item = ITEM.match(paragraphs[1]) if len(paragraphs) > 1 else None
    if item is None or not item["label"].isdigit() or not item["end"].endswith("-"):
        return None
    phrase, colon, after = paragraphs[0].partition(":")
    one_phrase = colon and not after and "." not in phrase and len(phrase) <= _LONGEST_PHRASE
    return phrase.strip() if one_phrase else None
