"""Work on a stranger's file in a child process with limits of time and memory.

A malformed PDF can keep a library busy for ever or crash it, a page of HTML can make a pattern take hours, a chat
template can loop. In a child none of that reaches the command: it ends with a sentence that names the file.
"""

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from pathlib import Path
from typing import Any, TypeVar

import pebble

from leylora.errors import LeyloraError

T = TypeVar("T")
SECONDS = 120.0
MEMORY = 1 << 30  # bytes beyond what the process holds when it starts
# Forking takes milliseconds; it is unsafe with the system libraries of macOS and absent on Windows.
PROCESSES = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def in_child(what: object, function: Callable[..., T], *args: Any, seconds: float | None = None) -> T:
    """What ``function`` makes of its arguments, which like its result can be pickled; ``what`` is named in an error.

    Raises:
        LeyloraError: what the function itself raises of that kind, or a limit was reached, or the child broke.
    """
    if multiprocessing.parent_process() is not None:  # in a worker, which has limits of its own
        return function(*args)
    work = pebble.concurrent.process(_limited, timeout=seconds or SECONDS, mp_context=PROCESSES)  # type: ignore[call-overload]
    return await_child(what, work(function, *args))


def await_child(what: object, future: Future[T]) -> T:
    """The result of a child process; its limits, and its end, as errors that name what it worked on."""
    try:
        return future.result()
    except TimeoutError:
        raise LeyloraError(
            f"{what} could not be read within the time limit; it is damaged or far too large: get or make it anew."
        ) from None
    except MemoryError:
        raise LeyloraError(f"{what} needs too much memory to be read; split it, or get it anew.") from None
    except pebble.ProcessExpired:
        raise LeyloraError(f"{what} broke the library that reads it; it is damaged, get it anew.") from None


def limit_memory() -> None:
    """Keep this process from growing by more than `MEMORY`; where the system cannot, do nothing."""
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, hard))


def _limited(function: Callable[..., T], *args: Any) -> T:
    limit_memory()
    return function(*args)
