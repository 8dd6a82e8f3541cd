"""The terminal chat: in a real pseudo-terminal, with Ctrl-C; and its commands, line by line."""

import io
import json
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from pathlib import Path

import pytest

from leylora.adapters.discover import choose_base
from leylora.chat.dialogue import Chat, Turn, choose, open_chat, sources_of, verdict
from leylora.chat.terminal import Terminal, plain
from leylora.errors import LeyloraError, UsageError
from leylora.grounding.checker import CheckedCitation, CitationFault, Kind
from leylora.grounding.citations import Citation, IndexedArticle, IndexedLaw
from leylora.grounding.ground import Grounded
from leylora.grounding.search import Hit
from leylora.models.presets import presets

LAW = IndexedLaw("huertos", "Ley de Huertos", "LH", (), "2020-02-03", (), ("1",))
ARTICLE = IndexedArticle(
    LAW, "1", "Objeto", "Esta Ley regula los huertos.", "vigente", "", "Art. 1, Ley de Huertos", ()
)


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, chat: Chat, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Types lines into a chat and returns what it printed."""

    def typed(*lines: str, turns: list[Turn] | None = None) -> str:
        waiting = iter(lines)

        def read(prompt: str) -> str:
            try:
                return next(waiting)
            except StopIteration:
                raise EOFError from None

        monkeypatch.setattr("builtins.input", read)
        Terminal(replace(chat), turns if turns is not None else []).run()
        return capsys.readouterr().out

    return typed


def test_commands(say: Callable[..., str], tmp_path: Path) -> None:
    assert "/adapter" in say("/help")
    assert "→ 1. base" in say("/adapter")
    assert "Ahora responde base." in say("/adapter 1")
    assert f"Ajustes {presets()[0]}." in say("/preset 1")
    assert "There is no preset '99'" in say("/preset 99")
    assert "Ahora responde tiny-mistral-law." in say("/adapter tiny-mistral-law")
    assert "There is no variant 'x'" in say("/adapter x")
    assert "Ajustes mistral-7b-law." in say("/preset mistral-7b-law")
    assert re.search(r"→ \d+\. deterministic", say("/preset"))
    assert "There is no preset" in say("/preset x")
    assert "No conozco la orden /x" in say("/x")
    assert "Sin leyes cargadas" in say("/sources")
    assert "nada que guardar" in say("/save")
    assert "después" not in say("/quit", "después")


def test_a_conversation_is_kept_saved_and_forgotten(say: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    turns: list[Turn] = []
    out = say(
        "/system Sé breve.", "Hola", '"""', "dos", "líneas", '"""', "una \\", "sola", f"/save {file}", turns=turns
    )
    assert [turn.question for turn in turns] == ["Hola", "dos\nlíneas", "una \nsola"]
    assert out.count("tokens/s") == 3
    row = json.loads(file.read_text("utf-8"))
    assert row["messages"][0] == {"role": "system", "content": "Sé breve."}
    assert len(row["messages"]) == 7
    assert len(row["answers"]) == 3
    assert "ya existe" in say("Hola", f"/save {file}")
    say("/reset", turns=turns)
    assert turns == []


def test_the_oldest_turns_leave_and_it_is_said(say: Callable[..., str]) -> None:
    long = "artículo " * 150
    turns = [Turn(long, long, "base") for _ in range(4)]
    assert "el modelo no ve" in say("Hola", turns=turns)
    assert "demasiado largo" in say("artículo " * 1200)


def test_citations_and_sources_are_shown(
    say: Callable[..., str], chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    hit = Hit(ARTICLE, ARTICLE.body, 1.0, 1.0)
    missing, not_shown = CitationFault(Kind.NO_ARTICLE, "99", "Ley de Huertos"), CitationFault(Kind.NOT_GIVEN)
    checked = (
        CheckedCitation("Art. 1, Ley de Huertos", (0, 5), Citation("huertos", "1", None, None, (0, 5)), LAW, ARTICLE),
        CheckedCitation("Art. 99", (6, 9), Citation("huertos", "99", None, None, (6, 9)), LAW, None, (missing,)),
        CheckedCitation("Art. 2", (6, 9), Citation("huertos", "2", None, None, (6, 9)), LAW, ARTICLE, (not_shown,)),
    )
    grounded = Grounded("¿Qué?", "", "", (hit,))
    turn = Turn("¿Qué?", "Eso.", "base", None, grounded, checked)
    assert [verdict(one) for one in checked] == ["✓ consta", "✗ no existe", "⚠ no lo respalda"]
    assert sources_of(turn) == [ARTICLE]
    terminal = Terminal(chat)
    terminal._conclude(turn)
    assert "✗ no existe: Art. 99. Ley de Huertos, ed. s. f., no tiene artículo 99." in capsys.readouterr().out
    assert "1. Art. 1, Ley de Huertos  Objeto" in say("/sources", turns=[turn])
    assert "Esta Ley regula los huertos." in say("/sources 1", turns=[turn])
    assert "No hay artículo 7: /sources 1." in say("/sources 7", turns=[turn])


def test_a_models_words_cannot_steer_the_terminal() -> None:
    assert plain("a\x1b[2J\x07b\tc\nd\x9b") == "a[2Jb\tc\nd"


def test_bytes_that_are_not_text_do_not_end_the_chat(say: Callable[..., str]) -> None:
    assert "tokens/s" in say("Hola \udcff\udcfe")


def test_what_comes_through_a_pipe_is_answered(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Hola \xff\n/adapter\n".encode("latin-1"))))
    Terminal(chat).run()
    out = capsys.readouterr().out
    assert "tokens/s" in out
    assert "→ 1. base" in out


def test_ctrl_c_while_an_adapter_is_loaded_does_not_end_the_chat(
    say: Callable[..., str], chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat.model, "prepare", lambda variant: signal.raise_signal(signal.SIGINT))
    assert "Ahora responde tiny-mistral-law." in say("/adapter tiny-mistral-law")


def test_a_second_ctrl_c_leaves_the_answer_and_not_the_chat(
    say: Callable[..., str], chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object, **__: object) -> Iterator[None]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield

    monkeypatch.setattr(chat.model, "stream", stuck)
    out = say("Hola", "/preset")
    assert "(Interrumpida.)" in out
    assert re.search(r"→ \d+\. deterministic", out)


def test_a_second_ctrl_c_does_not_wait_for_the_token_that_is_being_computed(
    say: Callable[..., str], chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed, computing = threading.Event(), threading.Event()
    forward = chat.model.model.forward

    @wraps(forward)
    def slow(*args: object, **more: object) -> object:
        computing.set()
        assert computed.wait(60)
        return forward(*args, **more)

    def press_twice() -> None:
        assert computing.wait(60)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    monkeypatch.setattr(chat.model.model, "forward", slow)
    presses = threading.Thread(target=press_twice)
    presses.start()
    assert "(Interrumpida.)" in say("Hola", "/quit")
    assert not computed.is_set()
    computed.set()
    presses.join()
    assert "tokens/s" in say("Hola")  # the answer that was left gives the model back


def test_what_there_is_to_talk_to(
    tiny_base: Callable[[str], Path], lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = str(tiny_base("tiny-mistral"))
    assert choose(base, None, lora)[2] == "tiny-mistral-law"
    assert choose(base, "base", lora)[2] == "base"
    assert choose(None, "tiny-mistral-on-top", lora)[::2] == (base, "tiny-mistral-on-top")
    with pytest.raises(UsageError, match="tiny-mistral-law"):
        choose(base, "nobody", lora)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeyloraError, match="make demo"):
        choose_base(None, None, tmp_path)
    with pytest.raises(UsageError, match="no preset"):
        open_chat(base, preset_name="nothing", lora=lora)
    assert open_chat(base, load="16bit", lora=lora, max_new_tokens=5).settings.sampling.max_new_tokens == 5


class Screen:
    """A chat in a pseudo-terminal of its own."""

    def __init__(self, arguments: list[str], home: Path) -> None:
        import pty

        from leylora.project import ROOT

        self.process, self.handle = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # shells start background jobs with Ctrl-C ignored
            os.environ |= {"XDG_STATE_HOME": str(home), "TERM": "xterm", "OMP_NUM_THREADS": "1"}
            os.execv(sys.executable, [sys.executable, str(ROOT / "scripts" / "chat.py"), *arguments])
        self.seen = b""

    def until(self, pattern: str, seconds: float = 60) -> str:
        """Read until a pattern shows; returns and forgets all up to it."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern.encode(), self.seen)):
            left = end - time.monotonic()
            assert left > 0, f"{pattern!r} did not show: {self.seen[-500:].decode(errors='replace')}"
            if select.select([self.handle], [], [], left)[0]:
                try:
                    self.seen += os.read(self.handle, 65536)
                except OSError:  # EIO: the program has ended
                    raise AssertionError(f"it ended before {pattern!r}: {self.seen.decode(errors='replace')}") from None
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before.decode()

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def insist(self, key: str, pattern: str) -> None:
        """Press a key until it shows: Python sees a Ctrl-C only once it waits for a line, which the prompt precedes."""
        for _ in range(30):
            self.type(key)
            try:
                self.until(pattern, seconds=2)
                return
            except AssertionError:
                continue
        raise AssertionError(f"{pattern!r} did not show")


@pytest.fixture
def screen(tiny_base: Callable[[str], Path], lora: Path, tmp_path: Path) -> Iterator[Screen]:
    if sys.platform == "win32":
        pytest.skip("pseudo-terminals are of POSIX")
    model = str(tiny_base("tiny-mistral"))
    screen = Screen(["--model", model, "--lora", str(lora), "--max-new-tokens", "900", "--load", "16bit"], tmp_path)
    yield screen
    try:
        os.kill(screen.process, signal.SIGKILL)
        os.waitpid(screen.process, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def test_ctrl_c_stops_the_answer_and_not_the_program(screen: Screen, tmp_path: Path) -> None:
    screen.until("/help explica.*\n.*»")
    screen.type("Cuenta algo muy largo.\n")
    screen.until(r"largo\.\r\n.{20}")  # it streams
    screen.type("\x03")
    assert "detenida" in screen.until("tokens/s.*\n")
    screen.until("»")
    screen.insist("\x03", "Ctrl-D o /quit")
    screen.type("/adapter\n")
    screen.until(r"→ \d+\. tiny-mistral-law")
    screen.type("/quit\n")
    _, status = os.waitpid(screen.process, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    history = tmp_path / "leylora" / "chat_history"
    assert "Cuenta algo muy largo." in history.read_text("utf-8")
    assert history.stat().st_mode & 0o077 == 0
