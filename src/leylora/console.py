"""What the commands print: one console for results, one for everything else, and the edge where errors end.

Results go to standard output, so that they can be piped; progress, notes and errors go to standard error.
"""

import errno
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from leylora.errors import LeyloraError

# What `pip install leylora` leaves out, and the extra that brings it.
EXTRAS = dict.fromkeys(
    ("accelerate", "bitsandbytes", "datasets", "huggingface_hub", "peft", "torch", "transformers", "trl"), "train"
) | {"gradio": "chat"}
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


def run(command: Callable[[], Any]) -> None:
    """Run a command's entry point; turn the errors a user can mend into one sentence and an exit code.

    `LeyloraError` exits with its own code; Ctrl-C, a full disk and a path that cannot be read or written
    exit with 1. Anything else is a bug of ours and keeps its traceback.
    """
    try:
        command()
    except LeyloraError as error:
        _stop(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _stop(f"This command needs {error.name}; install it with: pip install 'leylora[{extra}]'", 1)
    except KeyboardInterrupt:
        _stop("Interrupted; nothing half-written was left. Run the same command again to go on.", 1)
    except Exception as error:
        if NO_SPACE in str(error):  # safetensors and Arrow wrap the system's error in types of their own
            _stop("The disk is full and nothing half-written was left; free some space and run it again.", 1)
        if isinstance(
            error, FileNotFoundError | FileExistsError | PermissionError | IsADirectoryError | NotADirectoryError
        ):
            _stop(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}; check the path.", 1)
        raise


def _stop(message: str, exit_code: int) -> None:
    err.print("[bold red]error:[/] ", end="")
    note(message)
    sys.exit(exit_code)
