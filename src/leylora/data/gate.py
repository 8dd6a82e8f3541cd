"""The quality gate: drafts in, clean conversations out, and a report of what each step dropped or mended.

Steps, in this order: schema -> repair -> empty -> length -> the rules of `leylora.data.fitness`, one after the other
-> exact duplicates -> near duplicates -> template rows -> personal data -> benchmark overlap -> short answers. Every
step counts what it dropped by reason and keeps five samples. A judge takes one conversation and returns None, or a
short reason.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from hashlib import blake2b

import ftfy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.data.conversation import Conversation, Message
from leylora.data.duplicates import exact_duplicates, marks, near_duplicates, template_rows
from leylora.data.fitness import (
    ABOUT_CODE,
    cut_off,
    damaged,
    empty_or_placeholder,
    foreign_law,
    insult_or_spam,
    machine_translation,
    mixed_dialect,
    needs_missing_input,
    not_spanish,
    prompt_markers,
    refusal_or_identity,
    repetitive,
    template_or_markup,
)
from leylora.data.readers import Draft, RecordFault
from leylora.text import nfc, one_line, words

SAMPLES = 5
SAMPLE_CHARACTERS = 160
SHORT = 3  # words
SHORT_KEPT = 50  # short answers that any source may have


class GateSettings(BaseModel):
    """Bounds of the gate, in characters of plain text."""

    model_config = ConfigDict(extra="forbid")

    max_characters: int = Field(default=24_000, gt=0, description="of a whole conversation; longer rows are dropped")
    min_answer: int = Field(default=1, ge=1)
    max_answer: int = Field(default=12_000, gt=0)
    near_duplicates: float = Field(default=0.8, gt=0.3, le=1.0, description="Jaccard similarity of word triples")
    require_spanish: bool = True
    max_short_answers: float = Field(
        default=0.3, ge=0, le=1, description="share of a source's rows whose answer has at most three words"
    )


class Sample(BaseModel):
    """A row that a step touched: where it stood, why, and how it began."""

    place: str
    reason: str
    text: str


class Step(BaseModel):
    """What one step did. ``reasons`` counts by kind, most frequent first."""

    name: str
    dropped: int = 0
    mended: int = 0
    reasons: dict[str, int] = {}
    samples: list[Sample] = []


class GateReport(BaseModel):
    """Counts of the whole gate; ``rows_in`` = ``rows_out`` + the sum of ``dropped``."""

    rows_in: int = 0
    rows_out: int = 0
    steps: list[Step] = []
    warnings: list[str] = []

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


Placed = tuple[str, Conversation]
Judge = Callable[[Conversation], str | None]
JUDGES: dict[str, Judge] = {
    "prompt markers": prompt_markers,
    "damaged letters": damaged,
    "not Spanish": not_spanish,
    "refusal or identity": refusal_or_identity,
    "needs a missing input": needs_missing_input,
    "template or markup": template_or_markup,
    "machine translation": machine_translation,
    "foreign law": foreign_law,
    "mixed dialect": mixed_dialect,
    "insult or advertising": insult_or_spam,
    "repetition": repetitive,
    "cut off": cut_off,
}


def clean(
    drafts: Iterable[Draft | RecordFault],
    *,
    source: str,
    license: str,
    settings: GateSettings = GateSettings(),  # noqa: B008 - never changed
    benchmark: Set[int] = frozenset(),
    tick: Callable[[int], None] = lambda rows: None,
) -> tuple[list[Conversation], GateReport]:
    """Run every draft through the gate.

    Args:
        source: goes into the rows and their ids (``source:own id`` or ``source:running number``).
        benchmark: word runs (`duplicates.marks`) that no row may contain.
        tick: called with the number of rows read so far, for a progress bar.
    """

    def length(row: Conversation) -> str | None:
        if len(row.answer) < settings.min_answer:
            return f"answer under {settings.min_answer} characters"
        if len(row.answer) > settings.max_answer:
            return f"answer over {settings.max_answer} characters"
        if row.characters > settings.max_characters:
            return f"conversation over {settings.max_characters} characters"
        return None

    def private(row: Conversation) -> str | None:
        office = PUBLIC_OFFICE.search(row.prompt) is not None
        return next((found for turn in row.messages if (found := personal_data(turn.content, office=office))), None)

    def overlap(row: Conversation) -> str | None:
        leaks = benchmark and any(not benchmark.isdisjoint(marks(turn.content)) for turn in row.messages)
        return "shares eight words with the benchmark" if leaks else None

    rows, report = _read(drafts, source, license, tick)
    judges = {"empty or placeholder": empty_or_placeholder, "length": length, **JUDGES}
    if not settings.require_spanish:
        del judges["not Spanish"]
    rows = _filter(rows, judges, report)
    whole = ["\n".join(turn.content for turn in row.messages) for _, row in rows]
    rows = _without(rows, "exact duplicate", exact_duplicates(whole), report)
    pairs = [(row.prompt, row.answer) for _, row in rows]
    rows = _without(rows, "near duplicate", near_duplicates(pairs, settings.near_duplicates), report)
    pairs = [(row.prompt, row.answer) for _, row in rows]
    rows = _without(rows, "template row", template_rows(pairs), report)
    rows = _filter(rows, {"personal data": private}, report, hide=True)
    rows = _filter(rows, {"benchmark overlap": overlap}, report)
    rows = _few_short_answers(rows, source, settings.max_short_answers, report)
    report.rows_out = len(rows)
    for step in report.steps:
        step.reasons = dict(Counter(step.reasons).most_common())
    return [row for _, row in rows], report


def _read(
    drafts: Iterable[Draft | RecordFault], source: str, license: str, tick: Callable[[int], None]
) -> tuple[list[Placed], GateReport]:
    """Schema and repair in one pass: a draft becomes a `Conversation` or a sample of the schema step."""
    report = GateReport(steps=[Step(name="schema"), Step(name="repair")])
    schema, mending = report.steps
    rows: list[Placed] = []
    seen: dict[str, str] = {}
    for number, draft in enumerate(drafts, start=1):
        report.rows_in = number
        if number % 500 == 0:
            tick(number)
        if isinstance(draft, RecordFault):
            _drop(schema, draft.place, draft.reason, "")
            continue
        code = any(ABOUT_CODE.search(turn["content"]) for turn in draft.turns if turn["role"] == "user")
        turns = [{"role": turn["role"], "content": repair(turn["content"], code=code)} for turn in draft.turns]
        if turns and turns[0] == {"role": "system", "content": ""}:
            turns = turns[1:]
        key = f"{source}:{repair(draft.own_id) or number}"
        if key in seen:
            _drop(schema, draft.place, f"the id {draft.own_id!r} was already used ({seen[key]})", "")
            continue
        try:
            messages = [Message.model_validate(turn) for turn in turns]
            row = Conversation(id=key, messages=messages, task=repair(draft.task), source=source, license=license)
        except ValidationError as error:
            why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            _drop(schema, draft.place, why, " / ".join(turn["content"] for turn in turns))
            continue
        seen[key] = draft.place
        if any(old["content"].strip() != new["content"] for old, new in zip(draft.turns, turns, strict=False)):
            mending.mended += 1
            if len(mending.samples) < SAMPLES:
                mending.samples.append(Sample(place=draft.place, reason="text mended", text=_begin(row.prompt)))
        rows.append((draft.place, row))
    tick(report.rows_in)
    return rows, report


def _filter(
    rows: Sequence[Placed], judges: Mapping[str, Judge], report: GateReport, *, hide: bool = False
) -> list[Placed]:
    """Drop the rows one of the judges gives a reason for, a step for each; ``hide`` keeps their text out of the report.

    All judges see one row before the next one, so that what they share about it is worked out once.
    """
    steps = [(Step(name=name), judge) for name, judge in judges.items()]
    report.steps += [step for step, _ in steps]
    kept: list[Placed] = []
    for place, row in rows:
        for step, judge in steps:
            if reason := judge(row):
                _drop(step, place, reason, "(hidden)" if hide else row.prompt)
                break
        else:
            kept.append((place, row))
    return kept


def _few_short_answers(rows: list[Placed], source: str, most: float, report: GateReport) -> list[Placed]:
    """At most the share ``most`` of answers of one to three words; the same rows stay in every run.

    A reading set such as XQuAD is nothing else: as instructions it teaches a model to reply in one word.
    """
    step = Step(name="short answers")
    report.steps.append(step)
    short = {at for at, (_, row) in enumerate(rows) if len(words(row.answer)) <= SHORT}
    allowed = max(SHORT_KEPT, int((len(rows) - len(short)) * most / (1 - most))) if most < 1 else len(rows)
    if len(short) <= allowed:
        return rows
    in_order = sorted(short, key=lambda at: blake2b(rows[at][1].id.encode(), digest_size=8).digest())
    gone = set(in_order[allowed:])
    for at in sorted(gone):
        _drop(step, rows[at][0], f"an answer of at most {SHORT} words", rows[at][1].prompt)
    report.warnings.append(
        f"{source}: {len(short):,} of {len(rows):,} answers have at most {SHORT} words, {len(gone):,} of them were "
        "left out; `gate.max_short_answers: 1` in the mixture keeps them all."
    )
    return [row for at, row in enumerate(rows) if at not in gone]


def _without(rows: Sequence[Placed], name: str, copies: dict[int, int], report: GateReport) -> list[Placed]:
    report.steps.append(Step(name=name))
    for index, first in copies.items():
        _drop(report.steps[-1], rows[index][0], f"like {rows[first][0]}", rows[index][1].prompt, kind=name)
    return [row for index, row in enumerate(rows) if index not in copies]


def _drop(step: Step, place: str, reason: str, text: str, kind: str = "") -> None:
    step.dropped += 1
    kind = kind or _begin(reason.split(" (")[0])
    step.reasons[kind] = step.reasons.get(kind, 0) + 1
    if len(step.samples) < SAMPLES:
        step.samples.append(Sample(place=place, reason=_begin(reason), text=_begin(text)))


def _begin(text: str) -> str:
    line = one_line(text[: 4 * SAMPLE_CHARACTERS].encode("utf-8", "replace").decode())
    return line if len(line) <= SAMPLE_CHARACTERS else line[: SAMPLE_CHARACTERS - 1] + "…"


# --- repair -----------------------------------------------------------------------------------------------------

# Quotes stay as typed: curling or uncurling them is not a repair.
FTFY = ftfy.TextFixerConfig(uncurl_quotes=False, unescape_html="auto", explain=False)
AS_TYPED = FTFY._replace(unescape_html=False)
SUSPECT = re.compile(r"[^\x20-\x7e\náéíóúüñÁÉÍÓÚÜÑ¿¡«»“”‘’–—…ºª°€]|&[#a-z]|\\u[0-9a-f]{4}")
ESCAPED = re.compile(r"\\u(00[0-9a-fA-F]{2})|\\x([c-fC-F][0-9a-fA-F])")
LINE_ESCAPED = re.compile(r"\\n(?=[A-ZÁÉÍÓÚÑ¿¡\d\s*-]|\\n|$)")
# Latin letters read as those of an old Macintosh, or those of DOS read as Latin: nación as naciÛn, niño as ni¤o.
MISREAD = re.compile(r"\b\w*[a-záéíóúñ][ÀÁÂÃÄÅÆÇÈÊËÌÎÏÐÒÔÕÖÙÚÛÝÞÒÓÈ˙¤¢£][a-z]*|\b\w*[a-z][˙¤¢£]\w*")
PLAIN_WORD = re.compile(r"[A-Za-záéíóúüñÁÉÍÓÚÑ]+")


def repair(text: str, *, code: bool = False) -> str:
    """``text`` in NFC, mojibake undone, control characters gone, line ends ``\\n``, outer blanks trimmed.

    Escapes and HTML entities left as text become the letters they stand for, unless the row is about ``code``.
    ftfy takes 0.1 ms per kilobyte, so it only sees text with a character that well-formed Spanish does not use.
    """
    if not code and "\\" in text and "```" not in text:
        text = ESCAPED.sub(lambda found: chr(int(found.group(1) or found.group(2), 16)), text)
        text = LINE_ESCAPED.sub("\n", text)
    if SUSPECT.search(text):
        text = ftfy.fix_text(text, AS_TYPED if code else FTFY)
        text = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Co", "Cs"))
        if not code:
            text = MISREAD.sub(_reread, text)
    return nfc(text).strip()


def _reread(found: re.Match[str]) -> str:
    """The word in the encoding that makes it plain Spanish, or as it was."""
    word = found.group(0)
    for wrong, right in (("mac_roman", "latin-1"), ("latin-1", "cp850")):
        try:
            read = word.encode(wrong).decode(right)
        except UnicodeError:
            continue
        if PLAIN_WORD.fullmatch(read) and read[1:] == read[1:].lower():
            return read
    return word


# --- personal data -----------------------------------------------------------------------------------------------

# Ecuador's cédula and RUC, e-mail addresses, telephones, cards; not gazette numbers, article numbers, dates or amounts.
EMAIL = re.compile(r"\b[\w.+-]+@(?!(?:example|ejemplo|correo|dominio|email)\.)[\w-]+(?:\.[\w-]+)+\b", re.IGNORECASE)
TEN_DIGITS = re.compile(r"(?<![\d.,-])(\d{10})(001)?(?![\d]|[.,-]\d)")
# Ecuador: mobile 09 9xxx xxxx, landline (0A) xxx xxxx, both with or without +593.
PHONE = re.compile(
    r"(?<![\d.])(?:\+593[\s.-]?\(?(?:9[\s.-]?\d|[2-7])\)?|\(?09\)?[\s.-]?\d|\(0[2-7]\)|\b0[2-7][\s-])"
    r"[\s.-]?\d{3}[\s.-]?\d{4}(?!\d)|(?<!\d)\+\d{2}[\s.-]?\d{2,3}(?:[\s.-]?\d{2,4}){2,3}(?!\d)"
)
DASHED = re.compile(r"(?<![\d.,-])(\d{9})-(\d)(?![\d-])")
PASSPORT = re.compile(
    r"\bpasaporte(?:\s+(?:ecuatoriano|n[úu]mero|es|el|no\.?|n[.º°]+))*\W{0,3}\s*(?=[A-Z]*\d{5})[A-Z]{0,3}\d{5,10}\b",
    re.IGNORECASE,
)
ACCOUNT = re.compile(
    r"\bcuenta(?:\s+(?:de\s+ahorros?|corriente|bancaria|n[úu]mero|es|la|el|del?\s+banco(?:\s+del?)?(?:\s+\w+)?|no\.?|n[.º°]+))*"
    r"\W{0,3}\s*#?\d[\d-]{6,18}\d\b",
    re.IGNORECASE,
)
PUBLIC_MAIL = re.compile(
    r"@[\w.-]*\.(?:gob|gov|mil|fin)(?:\.\w\w)?$|@[\w.-]*(?:iess|defensoria|fiscalia|municipio|onu|cruzroja)[\w.-]*$"
    r"|^(?:info|contacto|atencion\w*|ayuda|soporte|quejas|denuncias|secretaria|consultas|servicioalcliente)@",
    re.IGNORECASE,
)
PUBLIC_OFFICE = re.compile(
    r"\b(?:iess|sri|ecu\s?911|issfa|isspol|ant|cne|biess|fiscal[ií]a|defensor[ií]a|ministerio|municipi\w+|alcald[ií]a|"
    r"prefectura|consejo|corte|tribunal|juzgado|unidad\s+judicial|registro\s+civil|polic[ií]a|bomberos|cruz\s+roja|"
    r"hospital|embajada|consulado|superintendencia|contralor[ií]a|procuradur[ií]a|secretar[ií]a|universidad|asamblea|"
    r"agencia|instituto|servicio\s+de\s+rentas|banco\s+central|aduana|notar[ií]a|intendencia|centro\s+de\s+salud)\b",
    re.IGNORECASE,
)
SAMPLE_NUMBER = re.compile(r"\b(?:ejemplo|pruebas?|fictici\w+|inventad\w+|formato|muestra)\b", re.IGNORECASE)
DIGITS = re.compile(r"\d\d")  # every number below has two in a row
MOBILE = re.compile(r"(?<![\d.])09\d{2}[\s.-]\d{3}[\s.-]?\d{3}(?!\d)")
CARD = re.compile(r"(?<!\d)(?:\d{4}[\s-]?){3}\d{4}(?!\d)")
OFFICIAL = re.compile(
    r"(?:registro\s+oficial|r\.\s?o\.|suplemento|resoluci[oó]n|sentencia|acuerdo|oficio|n[úu]mero|No\.)[^.\n]{0,30}$",
    re.IGNORECASE,
)


def personal_data(text: str, *, office: bool = False) -> str | None:
    """The kind of the first piece of personal data in ``text``, or None; never the piece itself.

    The contacts of public offices and numbers given as a sample are nobody's; ``office``: the row asks about one.
    """

    if "@" not in text and not DIGITS.search(text):
        return None

    def before(match: re.Match[str]) -> str:
        return re.split(r"\n|(?<=[a-z)])[.;] ", text[max(0, match.start() - 80) : match.start()])[-1]

    for match in EMAIL.finditer(text):
        if not PUBLIC_MAIL.search(match.group(0)) and not SAMPLE_NUMBER.search(before(match)):
            return "an e-mail address"
    for match in TEN_DIGITS.finditer(text):
        if is_cedula(match.group(1)) and not OFFICIAL.search(text[max(0, match.start() - 60) : match.start()]):
            return "a RUC" if match.group(2) else "a cédula"
    if any(is_cedula(match.group(1) + match.group(2)) for match in DASHED.finditer(text)):
        return "a cédula"
    if PASSPORT.search(text):
        return "a passport number"
    if ACCOUNT.search(text):
        return "a bank account"
    for match in (*PHONE.finditer(text), *MOBILE.finditer(text)):
        mobile = re.search(r"^\(?0?9|^\+593\D*9", match.group(0))
        if not ((office and not mobile) or PUBLIC_OFFICE.search(before(match))) and not SAMPLE_NUMBER.search(
            before(match)
        ):
            return "a telephone number"
    for match in CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group(0))
        if _luhn(digits) and len(set(digits)) > 1 and not SAMPLE_NUMBER.search(before(match)):
            return "a card number"
    return None


def is_cedula(digits: str) -> bool:
    """Whether this is an identity number of Ecuador: province 01-24 or 30, third digit below 6, check digit by Luhn."""
    if len(digits) != 10 or not digits.isdigit():
        return False
    return int(digits[:2]) in {*range(1, 25), 30} and digits[2] < "6" and _luhn(digits)


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(product - 9 if product > 9 else product for product in doubled) % 10 == 0


# --- licences ----------------------------------------------------------------------------------------------------

# Licences that permit commercial use of a model trained on the data. Every other one, non-commercial and unstated
# included, is refused unless the mixture names it in `allow_licenses`. This is a filter, not a legal opinion.
ALLOWED = {"apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "pddl", "odc-by", "cdla-permissive-2.0"}
ALLOWED |= {"cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "public-domain"}


def normalise(license: str) -> str:
    """``"CC BY-SA 4.0"`` -> ``"cc-by-sa-4.0"``, ``"Apache License 2.0"`` -> ``"apache-2.0"``."""
    name = re.sub(r"[\s_]+", "-", license.strip().lower())
    name = re.sub(r"-?(licen[sc]e|version)-?", "-", name).strip("-")
    return re.sub(r"^(apache)-?v?(\d)", r"\1-\2", name)


def refusal(license: str, allow: list[str]) -> str | None:
    """Why rows under ``license`` may not be used, or None when they may; ``allow`` names licences besides `ALLOWED`."""
    name = normalise(license)
    if name in ALLOWED or name in {normalise(extra) for extra in allow}:
        return None
    if not name or name in {"unknown", "other"}:
        return "its licence is not stated"
    if "-nc" in name or "noncommercial" in name or "non-commercial" in name:
        return f"its licence {license} forbids commercial use"
    return f"its licence {license} is not on the allow-list"
