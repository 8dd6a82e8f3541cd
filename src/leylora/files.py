"""Reading and writing files so that nothing is ever half-written.

Every artifact of the project (an adapter folder, a corpus, a report) is written beside its final place and
moved there when it is complete, so that a killed process leaves either the old artifact or the new one.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leylora.errors import LeyloraError, UsageError


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with ``\\n`` line ends; ``path`` is replaced in one step or left as it was."""
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(0o666 & ~_umask())  # mkstemp makes private files; artifacts are meant to be shared
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises LeyloraError when one of them is a file."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in (folder, *folder.parents) if path.exists() and not path.is_dir())
        raise LeyloraError(f"{file} is a file, so nothing can be written below it; choose another path.") from None


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, accents kept; see `write_text`."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one compact JSON object a line; see `write_text`."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def save_figure(figure: Any, *paths: Path, dpi: int = 130) -> None:
    """Write a matplotlib figure in the format of each path's suffix; the same figure gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "leylora"}):
        for path in paths:
            figure.savefig(path, dpi=dpi, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})


def read_text(path: Path) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped).

    Raises:
        LeyloraError: the file is missing, is a folder, cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise LeyloraError(f"{path} does not exist; check the path.") from None
    except IsADirectoryError:
        raise LeyloraError(f"{path} is a folder; name a file inside it.") from None
    except PermissionError:
        raise LeyloraError(f"{path} cannot be read: permission denied; check its owner and mode.") from None
    except UnicodeDecodeError as error:
        raise LeyloraError(
            f"{path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); save it as UTF-8 first."
        ) from None


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        LeyloraError: as `read_text`, or the file is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise LeyloraError(f"{path}, line {error.lineno}: not JSON ({error.msg}); mend or delete the file.") from None


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number, object)`` for each line that is not empty.

    Raises:
        LeyloraError: as `read_text`, or a line is not a JSON object; the message names the line.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise LeyloraError(f"{path}, line {number}: not JSON ({error.msg}); mend or remove the line.") from None
        if not isinstance(row, dict):
            raise LeyloraError(f"{path}, line {number}: expected a JSON object, found {type(row).__name__}.")
        yield number, row


@contextmanager
def staged_folder(final: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``final`` that becomes ``final`` when the block ends without an exception.

    With ``overwrite`` an existing folder is replaced, and only after the new one is complete.

    Raises:
        UsageError: ``final`` exists and ``overwrite`` is false (nothing has been written then).
    """
    if final.exists() and not overwrite:
        raise UsageError(f"{final} already exists; choose another name or ask for it to be replaced.")
    make_folder(final.parent)
    staging = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".partial"))
    staging.chmod(0o777 & ~_umask())
    try:
        yield staging
        previous = None
        if final.exists():
            previous = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".previous"))
            os.replace(final, previous)
        os.replace(staging, final)
        if previous is not None:
            shutil.rmtree(previous)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _umask() -> int:
    """The process's umask (it can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
