"""The quality gate: drafts in, clean conversations out, and a report of what each step dropped or mended.

Steps, in this order: schema -> repair -> empty or placeholder -> length -> Spanish -> refusal or identity -> image or
link -> repetition -> exact duplicates -> near duplicates -> personal data -> benchmark overlap. Every step counts what
it dropped by reason and keeps five samples. A judge takes one conversation and returns None, or a short reason.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set

import ftfy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leylora.data.conversation import Conversation, Message
from leylora.data.duplicates import exact_duplicates, marks, near_duplicates
from leylora.data.readers import Draft, RecordFault
from leylora.text import is_spanish, nfc, one_line

SAMPLES = 5
SAMPLE_CHARACTERS = 160


class GateSettings(BaseModel):
    """Bounds of the gate, in characters of plain text."""

    model_config = ConfigDict(extra="forbid")

    max_characters: int = Field(default=24_000, gt=0, description="of a whole conversation; longer rows are dropped")
    min_answer: int = Field(default=1, ge=1)
    max_answer: int = Field(default=12_000, gt=0)
    near_duplicates: float = Field(default=0.8, gt=0.3, le=1.0, description="Jaccard similarity of word triples")
    require_spanish: bool = True


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

    def step(self, name: str) -> Step:
        return next(step for step in self.steps if step.name == name)


Placed = tuple[str, Conversation]
Judge = Callable[[Conversation], str | None]


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
        return next((found for turn in row.messages if (found := personal_data(turn.content))), None)

    def overlap(row: Conversation) -> str | None:
        leaks = benchmark and any(not benchmark.isdisjoint(marks(turn.content)) for turn in row.messages)
        return "shares eight words with the benchmark" if leaks else None

    rows, report = _read(drafts, source, license, tick)
    rows = _filter(rows, "empty or placeholder", empty_or_placeholder, report)
    rows = _filter(rows, "length", length, report)
    if settings.require_spanish:
        rows = _filter(rows, "not Spanish", not_spanish, report)
    rows = _filter(rows, "refusal or identity", refusal_or_identity, report)
    rows = _filter(rows, "needs an image or link", needs_image_or_link, report)
    rows = _filter(rows, "repetition", repetitive, report)
    whole = ["\n".join(turn.content for turn in row.messages) for _, row in rows]
    rows = _without(rows, "exact duplicate", exact_duplicates(whole), report)
    pairs = [(row.prompt, row.answer) for _, row in rows]
    rows = _without(rows, "near duplicate", near_duplicates(pairs, settings.near_duplicates), report)
    rows = _filter(rows, "personal data", private, report, hide=True)
    rows = _filter(rows, "benchmark overlap", overlap, report)
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
        turns = [{"role": turn["role"], "content": repair(turn["content"])} for turn in draft.turns]
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


def _filter(rows: Sequence[Placed], name: str, judge: Judge, report: GateReport, *, hide: bool = False) -> list[Placed]:
    """Drop the rows ``judge`` gives a reason for; ``hide`` keeps their text out of the report."""
    report.steps.append(Step(name=name))
    kept: list[Placed] = []
    for place, row in rows:
        reason = judge(row)
        if reason is None:
            kept.append((place, row))
        else:
            _drop(report.steps[-1], place, reason, "(hidden)" if hide else row.prompt)
    return kept


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
SUSPECT = re.compile(r"[^\x20-\x7e\náéíóúüñÁÉÍÓÚÜÑ¿¡«»“”‘’–—…ºª°€]|&[#a-z]|\\u[0-9a-f]{4}")


def repair(text: str) -> str:
    """``text`` in NFC, mojibake undone, control characters gone, line ends ``\\n``, outer blanks trimmed.

    ftfy takes 0.1 ms per kilobyte, so it only sees text with a character that well-formed Spanish does not use.
    """
    if SUSPECT.search(text):
        text = ftfy.fix_text(text, FTFY)
        text = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Co", "Cs"))
    return nfc(text).strip()


# --- fit to learn from? -----------------------------------------------------------------------------------------

PLACEHOLDERS = {"n/a", "none", "null", "nan", "undefined", "noinput", "<noinput>", "no input", "no output", "vacío"}
PLACEHOLDERS |= {"sin respuesta", "sin salida", "tbd", "lorem ipsum", "[respuesta]", "[texto]", "[output]"}
PLACEHOLDERS |= {"-", "--", "...", "…", "?", "."}
TEMPLATE_TOKENS = re.compile(r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text)\|>|\[/?INST\]|<</?SYS>>")
REFUSAL = re.compile(
    r"\b(?:como|soy|siendo|al ser|por ser)\s+(?:solo\s+|sólo\s+|simplemente\s+)?(?:(?:un|una)\s+)?"
    r"(?:gran\s+)?(?:modelo(?:\s+\w+)?\s+de\s+(?:lenguaje|ia\b|inteligencia)|inteligencia\s+artificial|"
    r"ia\b|asistente\s+(?:de\s+(?:ia\b|inteligencia)|virtual|digital)|chatbot|programa\s+de\s+(?:ia\b|computadora))"
    r"|\b(?:as|i am|i'm)\s+an?\s+(?:ai|artificial|large)\s+(?:language\s+)?(?:model|assistant|intelligence)"
    r"|\bmi\s+(?:fecha\s+de\s+corte|última\s+actualización|entrenamiento\s+(?:termina|terminó|llega))"
    r"|\blo\s+siento,?\s+(?:pero\s+)?no\s+(?:puedo|me\s+es\s+posible)"
    r"|\bno\s+(?:puedo|tengo\s+(?:la\s+)?(?:capacidad|habilidad)\s+(?:de|para))\s+"
    r"(?:acceder\s+a\s+internet|navegar|ver\s+imágenes|experimentar\s+emociones)",
    re.IGNORECASE,
)
MODEL_NAME = re.compile(r"\b(?:openai|chatgpt|gpt-?[345]|anthropic|google\s+bard|vicuna|llama-?[123])\b", re.IGNORECASE)
IMAGE_PROMPT = re.compile(
    r"\b(?:en|de|a)\s+(?:la|esta|siguiente|la\s+siguiente)\s+(?:imagen|foto|fotografía|captura)\b"
    r"|\b(?:esta|siguiente)\s+(?:imagen|foto|fotografía|pintura|captura|gráfica)\b"
    r"|\b(?:genera|generar|dibuja|crea|diseña)\s+(?:una?|la)\s+(?:imagen|foto|dibujo|logotipo)\b"
    r"|!\[[^\]]*\]\(|<img\b|\[imagen\]|\.(?:png|jpe?g|gif|webp)\b",
    re.IGNORECASE,
)
LINK_PROMPT = re.compile(
    r"\b(?:este|siguiente|ese)\s+(?:enlace|vínculo|link|vídeo|video|audio|archivo|pdf|sitio\s+web|página\s+web)\b"
    r"|\b(?:visit[ae]|abr[ae]|vea?|ve\s+a|lee|lea|resum[ae]|resumir|anali[zc][ae]|mir[ae])\b[^.\n]{0,60}https?://",
    re.IGNORECASE,
)
OTHER_LANGUAGE = re.compile(
    r"\b(?:en|al|del|a)\s+(?:idioma\s+)?(?:inglés|ingles|francés|frances|portugués|portugues|italiano|alemán|aleman|"
    r"catalán|gallego|quechua|kichwa|quichua|latín|japonés|chino|ruso|árabe|coreano|shuar)\b|\btradu(?:ce|zca|cir|cción)",
    re.IGNORECASE,
)
WORDS = re.compile(r"\w+")


def empty_or_placeholder(row: Conversation) -> str | None:
    """A turn without words, a placeholder ("N/A", "[respuesta]"), or chat-template tokens left in the text."""
    for message in row.messages:
        bare = message.content.strip().strip("\"'*_").lower()
        if not bare and message.role != "system":
            return f"empty {message.role} turn"
        if message.role == "assistant" and bare in PLACEHOLDERS:
            return f"placeholder answer {bare[:20]!r}"
        if TEMPLATE_TOKENS.search(message.content):
            return "chat-template tokens inside the text"
    if row.prompt.strip().lower() == row.answer.strip().lower():
        return "the answer repeats the question"
    return None


def not_spanish(row: Conversation) -> str | None:
    """An answer in another language. A translation needs Spanish on one side only."""
    if row.task == "translation":
        return None if is_spanish(row.answer) or is_spanish(row.prompt) else "neither side is Spanish"
    if OTHER_LANGUAGE.search(row.prompt):
        return None  # asked for on purpose
    # The answer to a reading question may be a foreign name or title; its question shows the language.
    text = f"{row.prompt}\n{row.answer}" if row.task == "question-answering" else row.answer
    return None if is_spanish(text) else "the answer is not Spanish"


def refusal_or_identity(row: Conversation) -> str | None:
    """ "Como modelo de lenguaje...", "soy ChatGPT", "lo siento, no puedo": habits of another model."""
    for message in row.messages:
        if message.role == "assistant":
            match = REFUSAL.search(message.content)
            # The name of a model or its maker is a fault only where the question does not mention one.
            if match is None and not MODEL_NAME.search(row.prompt):
                match = MODEL_NAME.search(message.content)
            if match:
                return f"says {match.group(0).lower()[:40]!r}"
    return None


def needs_image_or_link(row: Conversation) -> str | None:
    """A question about an image, a file or a page the model cannot see."""
    match = IMAGE_PROMPT.search(row.prompt) or LINK_PROMPT.search(row.prompt)
    return f"asks about {match.group(0).lower()[:40]!r}" if match else None


def repetitive(row: Conversation) -> str | None:
    """An answer that loops: one line or word group fills it, or it compresses far beyond prose."""
    text = row.answer
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    # As the repetition filters of Gopher (arXiv:2112.11446, table A1): at most 30 % repeated lines.
    if len(lines) >= 6 and 1 - len(set(lines)) / len(lines) > 0.3:
        return "repeated lines"
    words = WORDS.findall(text.lower())
    if len(words) >= 24:
        fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
        most = max(fours.values())
        if most * 4 > 0.25 * len(words) and most > 3:
            return "one group of four words fills the answer"
    if len(text) > 600:
        ratio = len(text.encode()) / len(zlib.compress(text[:20_000].encode(), 1)) * min(1, 20_000 / len(text))
        if ratio > 8:
            return "compresses eightfold"
    return None


# --- personal data -----------------------------------------------------------------------------------------------

# Ecuador's cédula and RUC, e-mail addresses, telephones, cards; not gazette numbers, article numbers, dates or amounts.
EMAIL = re.compile(r"\b[\w.+-]+@(?!(?:example|ejemplo|correo|dominio|email)\.)[\w-]+(?:\.[\w-]+)+\b", re.IGNORECASE)
TEN_DIGITS = re.compile(r"(?<![\d.,-])(\d{10})(001)?(?![\d]|[.,-]\d)")
# Ecuador: mobile 09 9xxx xxxx, landline (0A) xxx xxxx, both with or without +593.
PHONE = re.compile(
    r"(?<![\d.])(?:\+593[\s.-]?\(?(?:9[\s.-]?\d|[2-7])\)?|\(?09\)?[\s.-]?\d|\(0[2-7]\)|\b0[2-7][\s-])"
    r"[\s.-]?\d{3}[\s.-]?\d{4}(?!\d)|(?<!\d)\+\d{2}[\s.-]?\d{2,3}(?:[\s.-]?\d{2,4}){2,3}(?!\d)"
)
CARD = re.compile(r"(?<!\d)(?:\d{4}[\s-]?){3}\d{4}(?!\d)")
OFFICIAL = re.compile(
    r"(?:registro\s+oficial|r\.\s?o\.|suplemento|resoluci[oó]n|sentencia|acuerdo|oficio|n[úu]mero|No\.)[^.\n]{0,30}$",
    re.IGNORECASE,
)


def personal_data(text: str) -> str | None:
    """The kind of the first piece of personal data in ``text``, or None; never the piece itself."""
    if EMAIL.search(text):
        return "an e-mail address"
    for match in TEN_DIGITS.finditer(text):
        if is_cedula(match.group(1)) and not OFFICIAL.search(text[max(0, match.start() - 60) : match.start()]):
            return "a RUC" if match.group(2) else "a cédula"
    if PHONE.search(text):
        return "a telephone number"
    cards = [re.sub(r"\D", "", match.group(0)) for match in CARD.finditer(text)]
    return "a card number" if any(_luhn(card) and len(set(card)) > 1 for card in cards) else None


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
