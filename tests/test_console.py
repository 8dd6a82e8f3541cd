import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from leylora import __main__, console
from leylora.errors import LeyloraError, UsageError, flattened


def outcome(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        console.run(command)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (LeyloraError("law.pdf, page 3: no text; use OCR."), 1, "error: law.pdf, page 3: no text; use OCR."),
        (UsageError("There is no recipe x."), 2, "error: There is no recipe x."),
        (KeyboardInterrupt(), 130, "error: Interrupted; nothing half-written was left."),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.bin"), 1, "error: The disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "error: The disk is full"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            1,
            "error: This command needs torch; install it",
        ),
        (ModuleNotFoundError("No module", name="gradio.blocks"), 1, "error: This command needs gradio.blocks; install"),
        (FileExistsError(errno.EEXIST, "File exists", "a.txt"), 1, "error: a.txt: file exists; check the path."),
        (PermissionError(errno.EACCES, "Permission denied", "LORA"), 1, "error: LORA: permission denied"),
        (LeyloraError("[red] is printed as it is"), 1, "error: [red] is printed as it is"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, capsys)[0] == code
    assert outcome(error, capsys)[1].startswith(sentence)


def test_a_fault_of_our_own_is_one_sentence_and_a_traceback_with_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = outcome(ZeroDivisionError("division by zero"), capsys)
    assert code == 1
    assert "A fault of leylora's own (ZeroDivisionError: division by zero;" in told
    assert "--debug" in told

    def command() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["chat.py", "--debug", "hola"])
    with pytest.raises(ZeroDivisionError):
        console.run(command)
    assert sys.argv == ["chat.py", "hola"], "the command does not see it"


@pytest.mark.parametrize(
    "error", [errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ENOTEMPTY, errno.EXDEV]
)
def test_every_fault_of_the_system_is_one_sentence(error: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = outcome(OSError(error, os.strerror(error), "LORA/law"), capsys)
    assert (code, told) == (1, f"error: LORA/law: {os.strerror(error).lower()}; check the path.")


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = outcome(LeyloraError("ley\x1b]0;evil\x07\x9b2J ñandú.pdf does not exist."), capsys)
    assert told == r"error: ley\x1b]0;evil\x07\x9b2J ñandú.pdf does not exist."


SLOW = """
import signal, sys, time, typer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background hands down that it is ignored
from pathlib import Path
from leylora import console
from leylora.folders import staged_folder
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
@app.command()
def main(out: Path) -> None:
    with staged_folder(out) as folder:
        (folder / "half").touch()
        print("ready", flush=True)
        time.sleep(30)
console.run({kind})
"""


@pytest.mark.parametrize("kind", ["app", "lambda: main(Path(sys.argv[1]))"])
@pytest.mark.parametrize(
    ("sent", "sentence"), [(signal.SIGINT, "Interrupted;"), (signal.SIGTERM, "Ended by the system")]
)
def test_ctrl_c_and_sigterm_end_every_command_with_a_sentence_and_nothing_half_written(
    kind: str, sent: signal.Signals, sentence: str, tmp_path: Path
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW.replace("{kind}", kind), str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(sent)
    _, told = child.communicate(timeout=20)
    assert child.returncode == 130
    assert sentence in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_is_shown_by_typer_and_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(lambda: None)
    monkeypatch.setattr(sys, "argv", ["x.py", "--nothing"])
    with pytest.raises(SystemExit) as stopped:
        console.run(app)
    assert stopped.value.code == 2
    assert "No such option" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        console.run(lambda: (tmp_path / "none.txt").read_bytes())
    assert "none.txt: no such file or directory" in capsys.readouterr().err


def test_a_misspelt_command_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["leylora", "parse_laws"])
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    assert stopped.value.code == 2
    assert "error: leylora has no command 'parse_laws'; did you mean 'parse_law'?" in capsys.readouterr().err


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_do_not_spin_while_they_wait_unless_told_to(given: str | None) -> None:
    env = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    code = "import os, sys; from leylora import console; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=env | ({"OMP_WAIT_POLICY": given} if given else {}),
    )
    assert done.stdout.split() == [given or "PASSIVE", "False"]


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["tiny-mistral-law", "tiny-mistral-instructions"], ["law", "instructions"]),
        (["law", "lawyer"], ["law", "lawyer"]),
        (["a-b", "a-b-c"], ["b", "b-c"]),
        (["tiny-law"], ["tiny-law"]),
        ([], []),
    ],
)
def test_names_are_told_apart_without_their_common_start(names: list[str], short: list[str]) -> None:
    assert console.without_common_start(names) == short


def test_a_quoted_message_ends_where_a_sentence_or_a_word_does() -> None:
    assert flattened(ValueError("One\n two. Three four"), 12) == "One two."
    assert flattened(ValueError("One two three"), 11) == "One two …"
    assert flattened(ValueError("One")) == "One"
