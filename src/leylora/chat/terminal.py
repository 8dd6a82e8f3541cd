"""Chat in a terminal: reads lines from standard input, also from a pipe, and writes answers as they come.

Takes an open `Chat`. Ctrl-C stops an answer, a second one aborts it; neither ends the program.
"""

import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import FrameType

from leylora import console
from leylora.chat.dialogue import NOTICE, Chat, Notice, Turn, as_jsonl, ask, ended, sources_of, too_long, verdict, whole
from leylora.errors import LeyloraError
from leylora.files import write_text
from leylora.grounding.checker import explain
from leylora.laws.catalog import age_notes
from leylora.models.generate import Piece, TooLongError
from leylora.models.presets import preset, preset_for, presets
from leylora.project import shown

try:
    import readline
except ImportError:  # Windows: its console edits lines and keeps a history itself
    readline = None  # type: ignore[assignment]

PROMPT = "» "
BLOCK = '"""'
HELP = f"""\
/adapter [NOMBRE|N] cambia de variante; sin nombre, dice cuáles hay
/preset [NOMBRE|N]  cambia los ajustes (preset); sin nombre, dice cuáles hay
/system [TEXTO]     pone la instrucción de sistema; sin texto, la quita
/sources [N]        los artículos de la última respuesta; con N, su texto
/save [ARCHIVO]     guarda la conversación en JSONL
/reset              empieza de nuevo
/quit               sale (también Ctrl-D)
Una línea que termina en \\ sigue en la próxima; entre dos líneas {BLOCK} caben
varias. Ctrl-C detiene la respuesta."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES = {"✓": "green", "⚠": "yellow", "✗": "red"}


@dataclass
class Terminal:
    """One conversation, until the input ends or /quit."""

    chat: Chat
    turns: list[Turn] = field(default_factory=list)

    def run(self) -> None:
        chat = self.chat
        mode = "con los artículos de las leyes cargadas" if chat.index else "sin leyes: puede inventar artículos"
        console.say(f"{chat.model.name} · {chat.settings.variant} · {chat.preset} · {mode}")
        console.say(NOTICE)
        for note in age_notes(chat.index.laws) if chat.index else ():
            console.out.print(note, style="yellow", markup=False)
        console.say("/help explica las órdenes.")
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")  # a byte that is not UTF-8 does not end the chat
        with _kept_history():
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
                block = not block
            elif line.endswith("\\") and not block:
                lines.append(line[:-1])
                continue
            else:
                lines.append(line)
            if not block:
                return "\n".join(lines).strip()

    def _answer(self, question: str) -> None:
        stop = threading.Event()
        try:
            with _held_ctrl_c(stop):
                for event in ask(self.chat, self.turns, question, self.chat.settings, stop):
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
            said = f"  {verdict(cited)}: {plain(cited.text)}. {plain(explain(cited))}"
            console.out.print(said, style=_STYLES[cited.mark], markup=False)
        if turn.uncited:
            console.out.print("  ⚠ La respuesta no cita ningún artículo.", style="yellow")
        given = len(turn.grounded.sources) if turn.grounded else 0
        sources = f" · artículos: {given} (/sources)" if given else ""
        console.out.print(f"  {ended(turn.finish)}{sources}", style="dim", markup=False)

    def _obey(self, line: str) -> bool:
        """Carry out a command; False ends the conversation."""
        command, _, rest = line.partition(" ")
        rest, settings = rest.strip(), self.chat.settings
        try:
            match command:
                case "/quit" | "/exit":
                    return False
                case "/help":
                    console.say(HELP)
                case "/adapter" if not rest:
                    _list(self.chat.variants, settings.variant)
                case "/adapter":
                    self._change_adapter(_chosen(rest, list(self.chat.variants)))
                case "/preset" if not rest:
                    _list(presets(), self.chat.preset)
                case "/preset":
                    self._change_preset(_chosen(rest, presets()))
                case "/system":
                    self.chat.settings = replace(settings, system=rest)
                    console.say("Instrucción de sistema puesta." if rest else "Sin instrucción de sistema.")
                case "/sources":
                    self._sources(rest)
                case "/save":
                    self._save(rest)
                case "/reset":
                    self.turns.clear()
                    console.say("Conversación nueva.")
                case _:
                    console.say(f"No conozco la orden {plain(command)}. /help dice cuáles hay.")
        except LeyloraError as error:
            console.say(str(error))
        return True

    def _change_adapter(self, name: str) -> None:
        self.chat.model.prepare(self.chat.variant(name))
        console.say(f"Ahora responde {name}.")
        own = preset_for(name)
        if own != self.chat.preset == preset_for(self.chat.settings.variant):  # never chosen: it follows the adapter
            self._change_preset(own)
        self.chat.settings = replace(self.chat.settings, variant=name)

    def _change_preset(self, name: str) -> None:
        sampling, ignored = preset(name, self.chat.settings.sampling)
        self.chat.settings, self.chat.preset = replace(self.chat.settings, sampling=sampling), name
        console.say(f"Ajustes {name}." + (f" Sin efecto aquí: {', '.join(ignored)}." if ignored else ""))

    def _sources(self, number: str) -> None:
        articles = sources_of(self.turns[-1]) if self.turns else []
        if not self.chat.index and not articles:
            console.say("Sin leyes cargadas (--laws).")
        elif not articles:
            console.say("La última respuesta no tiene artículos.")
        elif not number:
            for at, article in enumerate(articles, start=1):
                console.say(f"{at}. {article.citation}  {article.rubric}")
        elif number.isdecimal() and 1 <= int(number) <= len(articles):
            article = articles[int(number) - 1]
            state = "" if article.status == "vigente" else f" [{article.status}]"
            console.say(plain(f"{article.citation}{state}\n{article.path}\n{article.rubric}\n\n{article.body}"))
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
            write_text(path, as_jsonl(self.turns, self.chat.settings.system))
            console.say(f"Guardada en {shown(path)}.")
        except OSError as error:
            console.say(f"No se puede escribir {path}: {error.strerror}.")


def plain(text: str) -> str:
    """``text`` without control characters: a model's words must not steer a terminal."""
    return _CONTROL.sub("", text)


def _list(names: Iterable[str], current: str) -> None:
    for at, name in enumerate(names, start=1):
        console.say(f"{'→' if name == current else ' '} {at}. {name}")


def _chosen(word: str, names: list[str]) -> str:
    """The name that a number of `_list` stands for; any other word as it is."""
    by_number = {str(at): name for at, name in enumerate(names, start=1)}
    return word if word in names else by_number.get(word, word)


@contextmanager
def _held_ctrl_c(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C sets ``stop``; a second one, if that did not help, raises KeyboardInterrupt as usual."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _kept_history() -> Iterator[None]:
    """Line editing with a history (arrow keys) that only its owner can read: ``$XDG_STATE_HOME/leylora/chat_history``,
    by default under ``~/.local/state``."""
    if readline is None:
        yield
        return
    path = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "leylora" / "chat_history"
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(1000)
        with suppress(OSError):  # a home that cannot be written to does not keep anyone from chatting
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            readline.write_history_file(path)
