"""A lock that lets threads in by order of arrival."""

import threading
from collections import deque
from types import TracebackType


class Turnstile:
    """``with turnstile:`` one at a time, first come, first served.

    A `threading.Lock` lets in whoever happens to ask when it is free, and that is mostly the thread which has just
    left: an answer that takes the lock for each of its tokens would keep all others waiting to its end.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        mine.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # handed on while taken, so that nobody slips in between
            else:
                self._taken = False
