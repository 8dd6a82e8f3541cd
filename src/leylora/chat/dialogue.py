"""One question of a conversation, from the articles it needs to the checked answer: what terminal and page share.

`open_chat` takes a command's options and gives a `Chat`: a base with its adapters, the laws' index, the first settings.
`ask` takes a question and gives notices, the answer piece by piece, and at last the whole `Turn`.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from leylora import console
from leylora.chat.answer import Finish, Piece
from leylora.chat.conversation import Fitted, Message, TooLongError, fit
from leylora.chat.engine import Engine
from leylora.chat.sampling import MAX_NEW_TOKENS, Sampling, preset, preset_for
from leylora.chat.variants import BASE, LORA, Variant, adapter_variant, choose_base, find_adapter, find_variants
from leylora.grounding.checker import CheckedCitation, Verdict, check_answer
from leylora.grounding.citations import IndexedArticle
from leylora.grounding.ground import Grounded, ground
from leylora.grounding.index import open_laws
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import catalog
from leylora.models.bases import Load
from leylora.models.load import silence_libraries

NOTICE = "Esto no es asesoría legal. Compruebe cada cita en la edición vigente de la ley."
VERDICTS: dict[Verdict, str] = {
    "verified": "verificada",
    "unsupported": "el artículo no lo respalda",
    "not in the sources": "fuera de las fuentes",
    "does not exist": "no existe",
    "unclear": "por aclarar",
}
EXAMPLES = (
    "¿Qué plazo hay para devolver un libro prestado?",
    "¿Qué es una acción de protección y ante quién se presenta?",
    "Escriba una carta breve al municipio para pedir que reparen el alumbrado de mi calle.",
    "Explique con un ejemplo la diferencia entre una multa y una indemnización.",
)
_CHARACTERS = 6_000  # of a grounded question, where the window allows it
_PER_TOKEN = 3  # characters a token of Spanish law text has at least, by the 7B models' tokenizers


@dataclass(frozen=True)
class Settings:
    """What is asked, by what, and how."""

    variant: str
    sampling: Sampling
    system: str = ""


@dataclass
class Chat:
    """A loaded base with its adapters, the laws' index if laws were named, and what is asked for at present."""

    model: Engine
    index: LawIndex | None
    settings: Settings
    preset: str


@dataclass(frozen=True)
class Notice:
    """Something the user has to know about the answer that follows, in Spanish."""

    text: str


@dataclass(frozen=True)
class Turn:
    """A question and its answer. ``finish`` is None when the answer is not the model's (nothing was found)."""

    question: str
    answer: str
    variant: str
    finish: Finish | None = None
    grounded: Grounded | None = None
    checked: tuple[CheckedCitation, ...] = ()


def open_chat(
    model: str | None = None,
    adapter: str | None = None,
    *,
    load: Load = "4bit",
    laws: Path | None = None,
    preset_name: str | None = None,
    system: str = "",
    max_tokens: int | None = None,
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
    base, variants, first = choose(model, adapter, lora)
    silence_libraries()
    console.note(f"Loading {base} ({load}) with {len(variants) - 1} adapters …")
    engine = Engine.load(base, variants, load)
    engine.prepare(first)
    longest = max_tokens or min(MAX_NEW_TOKENS, engine.window // 4)
    name = preset_name or preset_for(first)
    sampling, ignored = preset(name, Sampling(max_new_tokens=longest, seed=seed))
    if ignored:
        console.note(f"The preset {name} sets what has no effect here: {', '.join(ignored)}.")
    return Chat(engine, index, Settings(first, sampling, system), name)


def choose(model: str | None, adapter: str | None, lora: Path) -> tuple[str, dict[str, Variant], str]:
    """The base, its variants by name, and the one to begin with: the adapter asked for, or the base's first combined.

    Raises:
        LeyloraError: there is no model, no such adapter, or it cannot be used.
    """
    base = choose_base(model, adapter, lora)
    found = find_variants(base, lora)
    for reason in found.skipped:
        console.note(f"left out: {reason}")
    if adapter is None:
        for end in ("combined", "law", "instructions"):
            if named := [name for name in found.variants if name.endswith(end)]:
                return base, found.variants, min(named, key=len)
        return base, found.variants, BASE
    if adapter != BASE and adapter not in found.variants:
        variant = adapter_variant(find_adapter(adapter, lora))
        found.variants[variant.name] = variant  # asked for by name: also on a base it does not name itself
        return base, found.variants, variant.name
    return base, found.variants, adapter


def ask(
    engine: Engine,
    index: LawIndex | None,
    turns: Sequence[Turn],
    question: str,
    settings: Settings,
    stop: threading.Event | None = None,
) -> Iterator[Notice | Piece | Turn]:
    """Answer a question after ``turns``: notices first, the answer piece by piece, and at last the whole turn.

    With an index the question is put together with the articles that are found for it. Earlier turns are sent
    without theirs: the answer has to rest on the ones that are in this prompt.

    Raises:
        TooLongError: the question alone does not fit the window.
        LeyloraError: as `Engine.stream`.
    """
    grounded, fitted = _prepare(engine, index, turns, question, settings)
    if grounded is not None and grounded.reply:
        yield Piece(grounded.reply)
        yield Turn(question, grounded.reply, settings.variant, grounded=grounded)
        return
    if fitted.dropped:
        yield Notice(forgotten(fitted.dropped))
    text, finish = "", None
    for piece in engine.chat(settings.variant, fitted.messages, settings.sampling, stop):
        text, finish = text + piece.text, piece.finish
        yield piece
    answer = text.strip()
    checked = () if index is None else tuple(check_answer(answer, index, given=grounded.articles if grounded else ()))
    yield Turn(question, answer, settings.variant, finish, grounded, checked)


def _prepare(
    engine: Engine, index: LawIndex | None, turns: Sequence[Turn], question: str, settings: Settings
) -> tuple[Grounded | None, Fitted]:
    """The question with its articles, as many as fit, and the messages that are sent."""
    longest = settings.sampling.max_new_tokens
    budget = min(_CHARACTERS, _PER_TOKEN * max(0, engine.window - longest))
    while True:
        grounded = None
        if index is not None:
            previous = turns[-1].question if turns else ""
            grounded = ground(question, index, budget=budget, previous=previous, system=settings.system)
        try:
            if grounded is not None and not grounded.reply:
                last = list[Message](grounded.messages)
            else:
                system = [{"role": "system", "content": settings.system}] if settings.system else []
                last = [*system, {"role": "user", "content": question}]
            said = [message for turn in turns for message in _messages(turn)]
            messages = [*last[:-1], *said, last[-1]]
            return grounded, fit(messages, lambda m: len(engine.prompt(settings.variant, m)), engine.window, longest)
        except TooLongError:
            if grounded is None or budget < len(question) + 200:
                raise
            budget = budget * 2 // 3  # fewer or shorter articles


def _messages(turn: Turn) -> list[Message]:
    return [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]


def forgotten(turns: int) -> str:
    """What the user is told when the oldest turns no longer fit."""
    if turns == 1:
        return "La conversación ya no cabe entera: el modelo no ve el turno más antiguo."
    return f"La conversación ya no cabe entera: el modelo no ve los {turns} turnos más antiguos."


def too_long(error: TooLongError) -> str:
    """What the user is told when the question does not fit."""
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
    return f"{cited.mark} {VERDICTS[cited.verdict]}"


def sources_of(turn: Turn) -> list[IndexedArticle]:
    """The articles an answer was given, then those it cites besides."""
    given = [hit.article for hit in turn.grounded.sources] if turn.grounded else []
    cited = [one.article for one in turn.checked if one.article is not None]
    return list({article.citation: article for article in [*given, *cited]}.values())


def as_jsonl(turns: Sequence[Turn], system: str = "") -> str:
    """A conversation as one line of JSON: ``messages`` as datasets have them, and how each answer came about."""
    messages = [message for turn in turns for message in _messages(turn)]
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
