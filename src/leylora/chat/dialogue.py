"""One question of a conversation, from the articles it needs to the checked answer: what terminal and page share.

`open_chat` takes a command's options and gives a `Chat`: a base with its adapters, the laws' index, the first settings.
`ask` takes a question and gives notices, the answer piece by piece, and at last the whole `Turn`.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant, adapters_of, choose_base, find_adapter, read_variant
from leylora.errors import UsageError
from leylora.grounding.checker import NAMES, CheckedCitation, check_answer
from leylora.grounding.citations import IndexedArticle
from leylora.grounding.ground import Grounded, ground
from leylora.grounding.index import open_laws
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import catalog
from leylora.models.bases import Load
from leylora.models.embedding import attach
from leylora.models.generate import Finish, Piece, TooLongError
from leylora.models.load import silence_libraries
from leylora.models.presets import MAX_NEW_TOKENS, Sampling, preset, preset_for
from leylora.models.templates import special_tokens
from leylora.project import LORA

NOTICE = "Esto no es asesoría legal. Compruebe cada cita en la edición vigente de la ley."
EXAMPLES = (
    "¿Qué plazo hay para devolver un libro prestado?",
    "¿Qué es una acción de protección y ante quién se presenta?",
    "Escriba una carta breve al municipio para pedir que reparen el alumbrado de mi calle.",
    "Explique con un ejemplo la diferencia entre una multa y una indemnización.",
)
Message = Mapping[str, str]
TEXT_MARKS = ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")  # plain text to the tokenizers of Llama 2 and Mistral 7B
_CHARACTERS = 6_000  # of a grounded question, where the window allows it
_PER_TOKEN = 3  # characters per token of Spanish law text, at least, by the 7B models' tokenizers


@dataclass(frozen=True)
class ChatSettings:
    variant: str
    sampling: Sampling
    system: str = ""


@dataclass
class Chat:
    """A loaded base with its adapters, the laws' index if laws were given, and the current settings."""

    model: AdaptedModel
    variants: dict[str, Variant]
    index: LawIndex | None
    settings: ChatSettings
    preset: str

    def variant(self, name: str) -> Variant:
        """A variant by name; for an unknown one, a UsageError that lists the known ones."""
        if name not in self.variants:
            raise UsageError(f"There is no variant '{name}' of {self.model.name} (there: {', '.join(self.variants)}).")
        return self.variants[name]


class Notice(NamedTuple):
    """Something the user has to know about the answer that follows, in Spanish."""

    text: str


@dataclass(frozen=True)
class Turn:
    """A question and its answer. ``finish`` is None when the model was not asked (nothing was found)."""

    question: str
    answer: str
    variant: str
    finish: Finish | None = None
    grounded: Grounded | None = None
    checked: tuple[CheckedCitation, ...] = ()

    @property
    def messages(self) -> list[Message]:
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}]

    @property
    def uncited(self) -> bool:
        """Whether the model was given articles and its answer cites none."""
        return self.grounded is not None and self.finish is not None and not self.checked


def open_chat(
    model: str | None = None,
    adapter: str | None = None,
    *,
    load: Load = "4bit",
    laws: Path | None = None,
    preset_name: str | None = None,
    system: str = "",
    max_new_tokens: int | None = None,
    seed: int | None = None,
    lora: Path = LORA,
) -> Chat:
    """Check all options, then load.

    Raises:
        LeyloraError: a model, adapter, preset or folder does not exist or cannot be used.
    """
    if preset_name:
        preset(preset_name)
    index = None if laws is None else open_laws(laws, catalog())
    if index is not None:
        attach(index)
    base, variants, first = choose(model, adapter, lora)
    silence_libraries()
    console.note(f"Loading {base} ({load}) with {len(variants) - 1} adapters …")
    loaded = AdaptedModel(base, load)
    loaded.prepare(variants[first])
    longest = max_new_tokens or min(MAX_NEW_TOKENS, loaded.window // 4)
    name = preset_name or preset_for(first)
    sampling, ignored = preset(name, Sampling(max_new_tokens=longest, seed=seed))
    if ignored:
        console.note(f"The preset {name} sets what has no effect here: {', '.join(ignored)}.")
    return Chat(loaded, variants, index, ChatSettings(first, sampling, system), name)


def choose(model: str | None, adapter: str | None, lora: Path) -> tuple[str, dict[str, Variant], str]:
    """The base, its variants by name, and the one to begin with: the adapter asked for, or the base's first merge."""
    base = choose_base(model, adapter, lora)
    found, notes = adapters_of(base, lora)
    for note in notes:
        console.note(f"Left out: {note.detail}")
    variants = {one.name: one for one in found}
    if adapter is None:
        by_role = ([one.name for one in found if one.role == role] for role in ("merged", "law", "instructions"))
        return base, variants, next((min(names, key=len) for names in by_role if names), BASE.name)
    if adapter not in variants:  # asked for by name: also on a base other than the one it names
        variant = read_variant(find_adapter(adapter, lora))
        adapter = variant.name
        variants[adapter] = variant
    return base, variants, adapter


def ask(
    chat: Chat,
    turns: Sequence[Turn],
    question: str,
    settings: ChatSettings,
    stop: threading.Event | None = None,
    *,
    grounded: bool = True,
) -> Iterator[Notice | Piece | Turn]:
    """Answer a question after ``turns``: notices first, the answer piece by piece, and at last the whole turn.

    With an index, unless ``grounded`` is false, the question is sent with the articles that are found for it. Earlier
    turns are sent without theirs: the answer has to rest on the ones in this prompt.

    Raises:
        TooLongError: the question alone does not fit the window.
        LeyloraError: an adapter does not fit, the GPU is full, or the model computes NaN.
    """
    index = chat.index if grounded else None
    found, prompt, dropped = _prepare(chat, index, turns, question, settings)
    if found is not None and found.reply:
        yield Piece(found.reply)
        yield Turn(question, found.reply, settings.variant, grounded=found)
        return
    if dropped:
        many = "el turno más antiguo" if dropped == 1 else f"los {dropped} turnos más antiguos"
        yield Notice(f"La conversación ya no cabe entera: el modelo no ve {many}.")
    text, finish = "", None
    for piece in chat.model.stream(chat.variant(settings.variant), prompt, settings.sampling, halt=stop):
        text, finish = text + piece.text, piece.finish
        yield piece
    answer = text.strip()
    checked = (
        ()
        if index is None
        else tuple(check_answer(answer, index, given=found.articles if found else (), question=question))
    )
    yield Turn(question, answer, settings.variant, finish, found, checked)


def _prepare(
    chat: Chat, index: LawIndex | None, turns: Sequence[Turn], question: str, settings: ChatSettings
) -> tuple[Grounded | None, list[int], int]:
    """The question with as many articles as fit, the prompt's token ids, and how many old turns were left out."""
    model, variant = chat.model, chat.variant(settings.variant)
    longest = settings.sampling.max_new_tokens
    budget = min(_CHARACTERS, _PER_TOKEN * max(0, model.window - longest))
    special = special_tokens(model.tokenizer).values()
    while True:
        found = None
        if index is not None:
            previous = turns[-1].question if turns else ""
            found = ground(question, index, budget=budget, previous=previous, system=settings.system)
            if found.reply:
                return found, [], 0
            last = list[Message](found.messages)
        else:
            system = [{"role": "system", "content": settings.system}] if settings.system else []
            last = [*system, {"role": "user", "content": question}]
        said = [message for turn in turns for message in turn.messages]
        messages = unmarked([*last[:-1], *said, last[-1]], special)
        try:
            kept, dropped = fit(messages, lambda m: len(model.prompt(m, variant)), model.window, longest)
            return found, model.prompt(kept, variant), dropped
        except TooLongError:
            if found is None or budget < len(question) + 200:
                raise
            budget = budget * 2 // 3  # fewer or shorter articles


def whole(text: str) -> str:
    """``text`` with ``�`` for bytes that are not UTF-8 and lone surrogates, which no tokenizer takes."""
    return re.sub("[\ud800-\udfff]", "�", text)


def unmarked(messages: Sequence[Message], special: Iterable[str]) -> list[dict[str, str]]:
    """The messages with a space inside every mark of a template or tokenizer (``special``): user text must not be able
    to end or begin a turn, or pass for an answer of the model. Other texts stay as they are.
    """
    marks = [mark for mark in {*special, *TEXT_MARKS} if len(mark) > 1]
    first = "|".join(f"{re.escape(mark[0])}(?={re.escape(mark[1:])})" for mark in marks)  # also where marks overlap
    return [
        {"role": message["role"], "content": whole(re.sub(first, lambda match: match[0] + " ", message["content"]))}
        for message in messages
    ]


def fit(
    messages: Sequence[Message], count: Callable[[Sequence[Message]], int], window: int, max_new_tokens: int
) -> tuple[list[Message], int]:
    """The messages without the oldest turns, so that prompt and answer fit the window, and how many were left out.

    A turn is a user message with what answers it. System messages stay, and the last turn is never cut: half a question
    would be answered as if it were whole. ``count`` gives the tokens of a prompt made of messages.

    Raises:
        TooLongError: the last turn and the system messages alone are too long.
    """
    allowed = window - max_new_tokens
    system = [message for message in messages if message["role"] == "system"]
    turns: list[list[Message]] = []
    for message in messages:
        if message["role"] == "user" or (message["role"] != "system" and not turns):
            turns.append([message])
        elif message["role"] != "system":
            turns[-1].append(message)
    for dropped in range(max(1, len(turns))):
        kept = [*system, *(message for turn in turns[dropped:] for message in turn)]
        tokens = count(kept)
        if tokens <= allowed:
            return kept, dropped
    raise TooLongError(tokens, max(0, allowed))


def too_long(error: TooLongError) -> str:
    return (
        f"El mensaje es demasiado largo: ocupa {error.tokens} tokens y caben {error.allowed} junto a la respuesta. "
        "Acórtelo, o pida una respuesta más corta."
    )


def ended(finish: Finish | None) -> str:
    """Length, speed and end of an answer in one line."""
    if finish is None:
        return "Sin consultar al modelo."
    how = {"stop": "", "length": " · cortada por la longitud pedida", "stopped": " · detenida"}[finish.reason]
    speed = f"{finish.tokens_per_second:.1f}".replace(".", ",")
    return f"{finish.completion_tokens} tokens · {speed} tokens/s{how}"


def verdict(cited: CheckedCitation) -> str:
    """A citation's mark and verdict: ``✓ verificada``."""
    return f"{cited.mark} {NAMES[cited.verdict]}"


def sources_of(turn: Turn) -> list[IndexedArticle]:
    """The articles the model was given, then the others that its answer cites."""
    given = [hit.article for hit in turn.grounded.sources] if turn.grounded else []
    cited = [one.article for one in turn.checked if one.article is not None]
    return list({article.citation: article for article in [*given, *cited]}.values())


def as_jsonl(turns: Sequence[Turn], system: str = "") -> str:
    """A conversation as one line of JSON: ``messages`` as datasets have them, and how each answer came about."""
    messages = [message for turn in turns for message in turn.messages]
    if system.strip():
        messages.insert(0, {"role": "system", "content": system.strip()})
    answers = [
        {
            "variant": turn.variant,
            "end": turn.finish.reason if turn.finish else None,
            "tokens": turn.finish.completion_tokens if turn.finish else 0,
            "sources": [hit.article.citation for hit in turn.grounded.sources] if turn.grounded else [],
            "citations": [{"text": cited.text, "verdict": cited.verdict} for cited in turn.checked],
        }
        for turn in turns
    ]
    return json.dumps({"messages": messages, "answers": answers}, ensure_ascii=False) + "\n"
