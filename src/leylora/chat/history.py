"""What was typed before, kept between chats of one user (arrow keys), where the platform has GNU readline."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LENGTH = 1000


def history_file() -> Path:
    """``$XDG_STATE_HOME/leylora/chat_history``; by default under ``~/.local/state``."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "leylora" / "chat_history"


@contextmanager
def kept_history() -> Iterator[None]:
    """Line editing with a history that is read at the start and written, for its owner alone, at the end."""
    try:
        import readline
    except ImportError:  # Windows: the console has its own
        yield
        return
    path = history_file()
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(LENGTH)
        with suppress(OSError):  # no home to write to: the chat is not worth less
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            readline.write_history_file(path)
