"""The one door out: folders of results that appear whole or not at all.

    with staged_folder(Path("LORA/law"), overwrite=True) as folder:
        ...                                   # write into folder; it becomes LORA/law when the block ends well

Every folder of results (an adapter, a corpus, a dataset) is written beside its final place under a hidden name. At the
end it is published in one step: where replacing was not asked, never over a folder that appeared meanwhile (the work is
then kept under another name); where it was, by exchanging the two, and what the old folder held that is not ours is
carried over. A run that is killed leaves the old folder, the new one, or both; the next run for the same name puts back
or sweeps away what is left over.
"""

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from filelock import FileLock, Timeout

from leylora.errors import LeyloraError, UsageError
from leylora.files import make_folder, umask

# What this project writes into folders of results; a replaced folder may hold it from an earlier run.
OURS = (
    *("adapter_config.json", "adapter_model.*", "model.safetensors*", "model-*-of-*.safetensors", "config.json"),
    *("generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("merges.txt", "spiece.model", "chat_template.jinja", "run.json", "merge_report.json", "README.md"),
    *("law.json", "articles.jsonl", "audit.json", "index.sqlite", "train.*", "validation.*", "test.*", "report.*"),
    *("scores.json", "plots", "log.jsonl", "trainer_state.json", "training_args.bin"),
)
EXCHANGE, NO_REPLACE = 2, 1  # of renameat2(2)
LONGEST_WAIT = 600  # seconds for another publication of the same name


@contextmanager
def staged_folder(final: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``final`` that becomes ``final`` when the block ends without an exception.

    With ``overwrite`` an existing folder is replaced, and only after the new one is complete; files in it that this
    project does not write (`OURS`) are carried over.

    Raises:
        UsageError: ``final`` exists and ``overwrite`` is false, or it is a link or a file (nothing has been written
            then).
        LeyloraError: ``final`` appeared while the block ran; the message names the folder in which the work was kept.
    """
    if final.is_symlink():
        raise UsageError(f"{final} is a link to {final.readlink()}; name that folder itself, or another one.")
    if final.exists() and not final.is_dir():
        raise UsageError(f"{final} is a file; choose another name for the folder.")
    make_folder(final.parent)
    with _alone(final):
        _sweep(final)
        if final.exists() and not overwrite:
            raise UsageError(f"{final} already exists; choose another name or ask for it to be replaced.")
        staging = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name[:200]}.", suffix=".partial"))
        alive = _lock(staging)
        alive.acquire()
    try:
        staging.chmod(0o777 & ~umask())
        yield staging
        with _alone(final):
            if overwrite:
                _replace(staging, final)
            else:
                _publish(staging, final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        alive.release()
        Path(alive.lock_file).unlink(missing_ok=True)


def _publish(staging: Path, final: Path) -> None:
    """Move the work to its name if that is free, else to the next free one, and say so."""
    try:
        _rename(staging, final, NO_REPLACE)
    except FileExistsError:
        for count in range(2, 1000):
            other = final.with_name(f"{final.name}-{count}")
            with suppress(FileExistsError):
                _rename(staging, other, NO_REPLACE)
                raise LeyloraError(
                    f"{final} appeared while this ran, and is as it was; the finished work is kept in {other}."
                ) from None
        raise


def _replace(staging: Path, final: Path) -> None:
    """Exchange the work with the folder that has its name, and take over what in that is not ours."""
    if not final.exists():
        with suppress(FileExistsError):
            _rename(staging, final, NO_REPLACE)
            return
    foreign = [
        entry for entry in sorted(final.iterdir()) if not _ours(entry.name) and not (staging / entry.name).exists()
    ]
    for entry in foreign:
        copy = staging / entry.name
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, copy, symlinks=True)
        else:
            shutil.copy2(entry, copy, follow_symlinks=False)
    try:
        _rename(staging, final, EXCHANGE)  # staging is the old folder now, which the caller removes
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        _replace_in_two_steps(staging, final)


def _replace_in_two_steps(staging: Path, final: Path) -> None:
    """Where two folders cannot be exchanged; `_sweep` puts the old one back after a death between the two steps."""
    previous = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name[:200]}.", suffix=".previous"))
    previous.rmdir()
    os.replace(final, previous)
    try:
        os.replace(staging, final)
    except BaseException:
        os.replace(previous, final)
        raise
    shutil.rmtree(previous, ignore_errors=True)


def _ours(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in OURS)


def _sweep(final: Path) -> None:
    """Put back what a dead run had moved aside, and remove what dead runs for this name left half-written."""
    for previous in final.parent.glob(f".{escape(final.name[:200])}.*.previous"):
        if final.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:
            os.replace(previous, final)
    for partial in final.parent.glob(f".{escape(final.name[:200])}.*.partial"):
        if partial.is_dir() and not partial.is_symlink():
            with suppress(Timeout), _lock(partial, timeout=0):
                shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _alone(final: Path) -> Iterator[None]:
    try:
        with _lock(final):
            yield
    except Timeout:
        raise LeyloraError(f"Another process has held {final} for ten minutes; wait for it, or end it.") from None


def _lock(folder: Path, timeout: float = LONGEST_WAIT) -> FileLock:
    """A lock of this machine for a folder's name: held shortly by whoever sweeps or publishes, and by the writer of a
    half-written folder as long as it lives. It lies among temporary files, so that nothing is left beside results."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    locks = Path(tempfile.gettempdir()) / f"leylora-locks-{user}"
    locks.mkdir(mode=0o700, exist_ok=True)
    return FileLock(locks / f"{hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:32]}.lock", timeout=timeout)


def _rename(source: Path, target: Path, flag: int) -> None:
    """renameat2(2): NO_REPLACE raises FileExistsError when ``target`` exists, EXCHANGE swaps the two.

    Elsewhere than on Linux, NO_REPLACE looks first and then moves, under the lock; EXCHANGE raises OSError (ENOSYS).
    """
    renameat2 = _renameat2()
    if renameat2 is not None:
        here = -100  # AT_FDCWD
        if renameat2(here, os.fsencode(source), here, os.fsencode(target), flag) == 0:
            return
        number = ctypes.get_errno()
        if flag == EXCHANGE or number not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(number, os.strerror(number), str(target))
    elif flag == EXCHANGE:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(target))
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.replace(source, target)


def _renameat2():  # type: ignore[no-untyped-def]
    """The C library's function, or None where it has none."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
