"""Does an answer say only what the article it cites says? Used on training rows, model answers and chats alike.

`verify_answer` holds an answer against a `Shelf` of parsed laws. It must end in one canonical citation that exists,
to an article in force. What it quotes (« ») must stand there word for word; every number, penalty, deadline,
amount, date, numeral, law and article it names outside the quotes must be the article's own. `verify_row` also
holds a training row's prompt against the laws and its answer against its question.

What it cannot see is a wrong paraphrase without numbers or names. Quote, and it can.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from leylora.data.compose import names_of
from leylora.data.shelf import Entry, Shelf
from leylora.grounding.citations import parse_citations
from leylora.grounding.prompt import REPEALED, Passage, is_abstention
from leylora.grounding.quantities import figure_fault, quantities, references
from leylora.laws.catalog import catalog
from leylora.laws.law import Law
from leylora.text import fold, one_line

EDITION = r"ed\. (?:\d{4}-\d{2}-\d{2}|s\. f\.)"
CANONICAL = re.compile(rf"\((Art\. [^\n]*?, {EDITION})\)")
WHOLE_LAW = re.compile(rf"\(((?!Art\. )[^()]+, {EDITION})\)")
QUOTE = re.compile(r"«([^«»]*)»")
NAMED_NUMERAL = re.compile(r"\b(?:numeral|número|núm\.|num\.)\s+(\d{1,3})\b", re.IGNORECASE)
NAMED_LITERAL = re.compile(r"\bliteral\s+([a-zñ])\b", re.IGNORECASE)
LISTED = re.compile(r"^(\d{1,2})\.\s+«([^«»]*)»\s*$", re.MULTILINE)
COUNTED = re.compile(r"\bSon (\d+):")
ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()  # noqa: SIM905
WRITTEN_DATE = re.compile(rf"\b(\d{{1,2}})\s+de\s+({'|'.join(MONTHS)})\s+(?:de|del)\s+(\d{{4}})\b", re.IGNORECASE)
PENAL_WORDS: tuple[tuple[str, ...], ...] = (  # what stands together means the same
    ("pena privativa de libertad", "pena privativa de la libertad", "privacion de libertad", "prision", "carcel"),
    ("multa",), ("destitucion",), ("reclusion",), ("arresto",), ("inhabilitacion",), ("suspension",), ("clausura",),
    ("comiso", "decomiso"), ("trabajo comunitario", "servicio comunitario"), ("cadena perpetua",), ("pena de muerte",),
    ("amonestacion",), ("expulsion",), ("perdida de la nacionalidad",), ("indemnizacion",), ("caducidad",),
    ("nulidad",),
)  # fmt: skip
LAW_NAME = re.compile(
    r"\b(?:Código|Ley|Reglamento|Constitución|Estatuto|Decreto|Codificación)"
    r"(?:\s+(?:(?:de|del|la|las|los|el|y|en|a|al|para)\s+)*[A-ZÁÉÍÓÚÑ][\wáéíóúñ]+)+"
)
SIGLAS = re.compile(r"\b(?:[A-Z]{3,}|C[A-Z])\b")
NEGATION = re.compile(
    r"\b(?:no|nunca|jamás|ningún|ninguna|prohíb\w*|prohibid\w*|tampoco|excluy\w*|sin)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an answer: its kind, for counting, and what exactly."""

    kind: str
    detail: str


def verify_answer(answer: str, shelf: Shelf, supplied: Sequence[Passage] = ()) -> list[Fault]:
    """The faults of one answer, empty when it holds.

    Args:
        answer: what the model or a generator says, the citation included.
        shelf: the laws it may cite.
        supplied: the passages of the prompt; when given, the citation must be one of theirs.

    An abstention (`is_abstention`) needs no citation; what it cites all the same is checked.
    """
    cited = CANONICAL.findall(answer)
    if not cited:
        if not is_abstention(answer):
            return [Fault("no citation", answer[-80:])]
        named = WHOLE_LAW.findall(answer)
        return [Fault("unknown law or edition", words) for words in named if shelf.whole_law(words) is None]
    if len(cited) > 1:
        return [Fault("several citations", "; ".join(cited))]
    if not answer.rstrip(" .\n").endswith(f"({cited[0]})"):
        return [Fault("citation is not last", answer[-80:])]
    entry = shelf.find(cited[0])
    if entry is None:
        return [Fault("unknown citation", cited[0])]
    faults: list[Fault] = []
    if supplied and cited[0] not in {given.citation for given in supplied}:
        faults.append(Fault("cites an article that was not supplied", cited[0]))
    if answer.lstrip().startswith(REPEALED):
        if entry.article.status != "derogado":
            faults.append(Fault("calls an article in force repealed", cited[0]))
        return faults
    if not entry.article.in_force:
        return [*faults, Fault("cites an article that is not in force as law", f"{cited[0]}: {entry.article.status}")]
    if is_abstention(answer):
        return [*faults, Fault("abstains and cites an article", cited[0])]
    said = CANONICAL.sub("", answer)
    faults += [Fault("quote is not in the article", quote[:120]) for quote in QUOTE.findall(said)
               if one_line(quote).rstrip("….;, ") not in entry.text]  # fmt: skip
    faults += _enumeration(said, entry)
    loose = LISTED.sub("", said)
    loose = COUNTED.sub("", QUOTE.sub(" ", loose))
    return faults + loose_faults(loose, entry)


def loose_faults(said: str, entry: Entry) -> list[Fault]:
    """The faults of an answer's own words, quotes and citation taken away."""
    source = fold(entry.text)
    faults = _named_parts(said, entry)
    for citation in parse_citations(said, [entry.law]):
        start, end = citation.span
        said = said[:start] + " " * (end - start) + said[end:]
    said = NAMED_NUMERAL.sub(" ", NAMED_LITERAL.sub(" ", said))
    faults += _dates(said, entry)
    said = WRITTEN_DATE.sub(" ", ISO_DATE.sub(" ", said))
    faults += _laws(said, entry)
    items = len(entry.article.numerals)
    found = (figure_fault(one, said, entry.quantities, items) for one in quantities(said))
    faults += [Fault(*fault) for fault in found if fault]
    mine = fold(said)
    for words in PENAL_WORDS:
        named = [word for word in words if re.search(rf"\b{word}\b", mine)]
        if named and not any(word in source for word in words):
            faults.append(Fault("names a consequence that the article does not", named[0]))
    if NEGATION.search(said) and not NEGATION.search(entry.text):
        faults.append(Fault("denies where the article does not", one_line(said)[:80]))
    return faults


def _enumeration(said: str, entry: Entry) -> list[Fault]:
    items = {item.label: one_line(item.text) for item in entry.article.numerals}
    faults = [Fault("list item is not that numeral", f"{label}. {text[:60]}") for label, text in LISTED.findall(said)
              if items.get(label, "") != one_line(text)]  # fmt: skip
    for count in COUNTED.findall(said):
        if int(count) != len(items) or len(QUOTE.findall(said)) < len(items):
            faults.append(Fault("list is not complete", f"says {count}, the article has {len(items)}"))
    return faults


def _named_parts(said: str, entry: Entry) -> list[Fault]:
    """Articles, numerals and literals named."""
    strange = [number for number in named_articles(said, entry.law) if number != entry.article.number]
    if strange:
        known = set(named_articles(entry.body, entry.law))
        known |= {number for _, number in references(entry.law, entry.article)}
        strange = [number for number in strange if number not in known]
    faults = [Fault("names an article that the cited one does not", number) for number in strange]
    labels = {item.label for item in entry.article.numerals}
    labels |= {inner.label for item in entry.article.numerals for inner in item.literals}
    labels |= set(NAMED_NUMERAL.findall(entry.body))
    for label in (*NAMED_NUMERAL.findall(said), *(letter.lower() for letter in NAMED_LITERAL.findall(said))):
        if label not in labels:
            faults.append(Fault("names a numeral that the article does not have", label))
    return faults


def named_articles(text: str, law: Law) -> list[str]:
    """Numbers of the articles a text names, ``law`` being the one meant where it names none.

    Without a law's name beside it, "artículo 30.1" may be read as numeral 1 of article 30; the law tells.
    """
    numbers = []
    for citation in parse_citations(text, [law]):
        dotted = f"{citation.article}.{citation.numeral}"
        numbers.append(dotted if dotted in law and dotted in text[slice(*citation.span)] else citation.article)
    return numbers


def _dates(said: str, entry: Entry) -> list[Fault]:
    facts = entry.law.facts()
    known = {facts[key] for key in ("edition", "published", "last_reform")} | set(dates(entry.body))
    return [Fault("date is neither the article's nor the edition's", day) for day in dates(said) if day not in known]


def dates(text: str) -> list[str]:
    """ISO dates of ``text``, written either way."""
    found = ["-".join(match) for match in ISO_DATE.findall(text)]
    for day, month, year in WRITTEN_DATE.findall(text):
        found.append(f"{year}-{MONTHS.index(month.lower()) + 1:02}-{int(day):02}")
    return found


def _laws(said: str, entry: Entry) -> list[Fault]:
    mine = [fold(name) for name in names_of(entry.law)]
    source = fold(entry.text)
    faults = []
    for match in LAW_NAME.finditer(said):
        name = fold(match.group(0))
        if not any(known.startswith(name) or name.startswith(known) for known in mine) and name not in source:
            faults.append(Fault("names another law", match.group(0)))
    known_siglas = {entry.siglas for entry in catalog() if entry.siglas}
    for word in SIGLAS.findall(said):
        if word in known_siglas and word.lower() not in mine and word.lower() not in source:
            faults.append(Fault("names another law", word))
    return faults
