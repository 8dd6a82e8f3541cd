import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
        (KeyboardInterrupt(), 1, "error: Interrupted; nothing half-written was left."),
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


def test_our_own_faults_keep_their_traceback() -> None:
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        console.run(command)


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
