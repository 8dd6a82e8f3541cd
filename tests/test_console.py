import errno
import os
from pathlib import Path

import pytest

from leylora import console
from leylora.errors import LeyloraError, UsageError


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
