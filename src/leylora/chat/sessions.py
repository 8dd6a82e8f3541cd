"""The answers under way in each browser tab, so that each tab's Stop ends its own and a closed tab ends all of its."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Sessions:
    """Stop events by session, safe to use from several threads."""

    def __init__(self) -> None:
        self._running: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._guard = threading.Lock()

    @contextmanager
    def answering(self, session: str) -> Iterator[threading.Event]:
        """The event that stops one answer of a session."""
        stop = threading.Event()
        with self._guard:
            self._running[session].add(stop)
        try:
            yield stop
        finally:
            with self._guard:
                self._running[session].discard(stop)
                if not self._running[session]:
                    del self._running[session]

    def stop(self, session: str) -> None:
        """End every answer of a session after the token that is being computed."""
        with self._guard:
            for event in self._running.get(session, ()):
                event.set()
