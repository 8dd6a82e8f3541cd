"""Chat in a terminal. Ctrl-C stops the answer, not the program."""

import io
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import FrameType

from leylora import console
from leylora.chat.answer import Piece
from leylora.chat.conversation import TooLongError, whole
from leylora.chat.dialogue import (
    NOTICE,
    Notice,
    Settings,
    Turn,
    as_jsonl,
    ask,
    ended,
    too_long,
    verdict,
)
from leylora.chat.engine import Engine
from leylora.chat.history import kept_history
from leylora.chat.sampling import preset, preset_for, presets
from leylora.errors import LeyloraError
from leylora.files import write_text
from leylora.grounding.index import IndexedArticle, LawIndex
from leylora.project import shown

PROMPT = "» "
BLOCK = '"""'
HELP = f"""\
/adapter [NOMBRE]   cambia de variante; sin nombre, dice cuáles hay
/preset [NOMBRE]    cambia los ajustes de generación; sin nombre, dice cuáles hay
/system [TEXTO]     pone la instrucción de sistema; sin texto, la quita
/sources [N]        los artículos de la última respuesta; con N, el texto del artículo N
/save [ARCHIVO]     guarda la conversación en JSONL
/reset              empieza de nuevo
/quit               sale (también Ctrl-D)
Una línea que termina en \\ sigue en la próxima; entre dos líneas {BLOCK} caben varias. Ctrl-C detiene la respuesta."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass
class Terminal:
    """One conversation: reads from standard input, writes to standard output until the input ends or /quit."""

    engine: Engine
    index: LawIndex | None
    settings: Settings
    preset: str
    turns: list[Turn] = field(default_factory=list)

    def run(self) -> None:
        """Talk."""
        mode = "con los artículos de las leyes cargadas" if self.index else "sin leyes: puede inventar artículos"
        console.say(f"{self.engine.name} · {self.settings.variant} · {self.preset} · {mode}")
        console.say(f"{NOTICE} /help explica las órdenes.")
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # a byte that is no UTF-8 does not end the chat
        with kept_history():
            while (message := self._read()) is not None:
                if message.startswith("/"):
                    with _held_ctrl_c(threading.Event()):  # an adapter that is being loaded is loaded whole
                        if not self._obey(message):
                            break
                elif message:
                    self._answer(message)

    def _read(self) -> str | None:
        """The next message; None at the end of the input."""
        lines: list[str] = []
        block = False
        while True:
            try:
                line = whole(input("… " if lines or block else PROMPT))
            except EOFError:
                console.say("")
                return "\n".join(lines).strip() or None
            except KeyboardInterrupt:
                console.say("\n(Para salir: Ctrl-D o /quit.)")
                return ""
            if line.strip() == BLOCK:
                if block:
                    return "\n".join(lines).strip()
                block = True
            elif line.endswith("\\") and not block:
                lines.append(line[:-1])
            else:
                lines.append(line)
                if not block:
                    return "\n".join(lines).strip()

    def _answer(self, question: str) -> None:
        stop = threading.Event()
        try:
            with _held_ctrl_c(stop):
                for event in ask(self.engine, self.index, self.turns, question, self.settings, stop):
                    if isinstance(event, Notice):
                        console.out.print(f"[{event.text}]", style="yellow", markup=False)
                    elif isinstance(event, Piece):
                        sys.stdout.write(plain(event.text))
                        sys.stdout.flush()
                    else:
                        self._conclude(event)
        except KeyboardInterrupt:
            console.say("\n(Interrumpida.)")
        except TooLongError as error:
            console.out.print(too_long(error), style="yellow", markup=False)
        except LeyloraError as error:
            console.out.print(f"\n{error}", style="red", markup=False)

    def _conclude(self, turn: Turn) -> None:
        self.turns.append(turn)
        console.say("" if turn.answer else "(respuesta vacía)")
        for cited in turn.checked:
            style = {"✓": "green", "⚠": "yellow", "✗": "red"}[cited.mark]
            console.out.print(f"  {verdict(cited)}: {plain(cited.text)}. {cited.reason}", style=style, markup=False)
        if turn.grounded is not None and turn.finish is not None and not turn.checked:
            console.out.print("  ⚠ La respuesta no cita ningún artículo.", style="yellow")
        given = len(turn.grounded.sources) if turn.grounded else 0
        sources = f" · artículos: {given} (/sources)" if given else ""
        console.out.print(f"  {ended(turn.finish)}{sources}", style="dim", markup=False)

    def _obey(self, line: str) -> bool:
        """Carry out a command; False ends the conversation."""
        command, _, rest = line.partition(" ")
        try:
            match command:
                case "/quit" | "/exit":
                    return False
                case "/help":
                    console.say(HELP)
                case "/adapter":
                    self._change_adapter(rest.strip())
                case "/preset":
                    self._change_preset(rest.strip())
                case "/system":
                    self.settings = replace(self.settings, system=rest.strip())
                    console.say("Instrucción de sistema puesta." if rest.strip() else "Sin instrucción de sistema.")
                case "/sources":
                    self._sources(rest.strip())
                case "/save":
                    self._save(rest.strip())
                case "/reset":
                    self.turns.clear()
                    console.say("Conversación nueva.")
                case _:
                    console.say(f"No conozco la orden {plain(command)}. /help dice cuáles hay.")
        except LeyloraError as error:
            console.say(str(error))
        return True

    def _change_adapter(self, name: str) -> None:
        if not name:
            console.say(_listed(self.engine.variants, self.settings.variant))
            return
        self.engine.prepare(name)
        console.say(f"Ahora responde {name}.")
        own = preset_for(name)
        if own != self.preset == preset_for(self.settings.variant):  # never chosen: it follows the adapter
            self._change_preset(own)
        self.settings = replace(self.settings, variant=name)

    def _change_preset(self, name: str) -> None:
        if not name:
            console.say(_listed(presets(), self.preset))
            return
        sampling, ignored = preset(name, self.settings.sampling)
        self.settings, self.preset = replace(self.settings, sampling=sampling), name
        console.say(f"Ajustes {name}." + (f" Sin efecto aquí: {', '.join(ignored)}." if ignored else ""))

    def _sources(self, number: str) -> None:
        articles = sources_of(self.turns[-1]) if self.turns else []
        if not articles:
            console.say("La última respuesta no tiene artículos." if self.index else "Sin leyes cargadas (--laws).")
        elif not number:
            for at, article in enumerate(articles, start=1):
                console.say(f"{at}. {article.citation}  {article.rubric}")
        elif number.isdecimal() and 1 <= int(number) <= len(articles):
            article = articles[int(number) - 1]
            state = "" if article.status == "vigente" else f" [{article.status}]"
            console.say(f"{article.citation}{state}\n{article.path}\n{article.rubric}\n\n{article.body}")
        else:
            last = f" … /sources {len(articles)}" if len(articles) > 1 else ""
            console.say(f"No hay artículo {plain(number)}: /sources 1{last}.")

    def _save(self, name: str) -> None:
        if not self.turns:
            console.say("Aún no hay nada que guardar.")
            return
        path = Path(name or f"conversacion-{datetime.now():%Y%m%d-%H%M%S}.jsonl").expanduser()
        if path.exists():
            console.say(f"{shown(path)} ya existe; elija otro nombre.")
            return
        try:
            write_text(path, as_jsonl(self.turns, self.settings.system))
        except OSError as error:
            console.say(f"No se puede escribir {path}: {error.strerror}.")
            return
        console.say(f"Guardada en {shown(path)}.")


def sources_of(turn: Turn) -> list[IndexedArticle]:
    """The articles an answer was given, then those it cites besides."""
    given = [hit.article for hit in turn.grounded.sources] if turn.grounded else []
    cited = [one.article for one in turn.checked if one.article is not None]
    return list({article.citation: article for article in [*given, *cited]}.values())


def _listed(names: Iterable[str], current: str) -> str:
    return "\n".join(f"{'→' if name == current else ' '} {name}" for name in names)


def plain(text: str) -> str:
    """``text`` without control characters: a model's words must not steer a terminal."""
    return _CONTROL.sub("", text)


@contextmanager
def _held_ctrl_c(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C sets ``stop``; a second one, should what is done not come back, interrupts as ever."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
