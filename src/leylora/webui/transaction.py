"""Replacing several files and folders together: all of them, or none."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_STAGED, _ASIDE = ".leylora-new", ".leylora-old"


class Transaction:
    """First everything is written beside its place (`stage`), which may fail half-way and leaves no trace then;
    `commit` only renames, and takes its renames back if one fails.

    Use as a context manager: leaving it without `commit` discards what was staged.
    """

    def __init__(self) -> None:
        self._staged: list[tuple[Path, Path]] = []

    def stage(self, final: Path, write: Callable[[Path], None]) -> None:
        """Let ``write`` make the new file or folder at the path it is given; it becomes ``final`` on commit."""
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = final.with_name(f".{final.name}{_STAGED}")
        _delete(staged)  # left by a run that was killed
        self._staged.append((staged, final))
        write(staged)

    def stage_text(self, final: Path, text: str) -> None:
        """Stage a UTF-8 text whose line ends are kept as they are."""
        self.stage(final, lambda staged: write_bytes(staged, text))

    def commit(self) -> None:
        """Move everything into place."""
        moved: list[tuple[Path, Path]] = []
        try:
            for staged, final in self._staged:
                if final.exists():
                    aside = final.with_name(f".{final.name}{_ASIDE}")
                    _delete(aside)
                    os.replace(final, aside)
                    moved.append((aside, final))
                os.replace(staged, final)
                moved.append((staged, final))
        except BaseException:
            for source, target in reversed(moved):
                os.replace(target, source) if source.name.endswith(_STAGED) else os.replace(source, target)
            raise
        for aside, _ in moved:
            if aside.name.endswith(_ASIDE):
                _delete(aside)
        self._staged.clear()

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(self, *_: object) -> None:
        for staged, _final in self._staged:
            with suppress(OSError):
                _delete(staged)


def write_bytes(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, its line ends untouched."""
    path.write_text(text, encoding="utf-8", newline="")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
