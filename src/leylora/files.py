"""The one door in: every text, JSON, JSON Lines and YAML file is read here; and how a single file is written.

A file may come from a stranger, so only regular files of a bounded size are read, and each way a parser can fail is one
sentence with file, line and remedy. A file is written beside its place and moved there when it is complete; whole
folders are published by `leylora.folders`. Standard library only, but for YAML: the webui's extension has a copy.
"""

import glob
import hashlib
import json
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from leylora.errors import LeyloraError, yaml_fault

MIB = 1 << 20
LARGEST_ROWS = 4_096 * MIB  # bytes of a JSON Lines file
LARGEST_TEXT = 256 * MIB
LARGEST_YAML = 1 * MIB  # a person writes these; a scalar of ten megabytes takes PyYAML ten seconds
LEFT_OVER = 600  # seconds after which a half-written file has no writer any more
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_REMEDY = "mend or delete the file"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, largest: int = LARGEST_TEXT) -> bytes:
    """The bytes of a regular file.

    Raises:
        LeyloraError: the file is missing, is a folder, a device or a pipe, cannot be read, or has more than ``largest``
            bytes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise LeyloraError(f"{path} does not exist; check the path.") from None
    except PermissionError:
        if path.is_dir():  # what Windows says when a folder is opened
            raise LeyloraError(f"{path} is a folder; name a file inside it.") from None
        raise LeyloraError(f"{path} cannot be read: permission denied; check its owner and mode.") from None
    except (OSError, ValueError) as error:  # a name too long, a link to itself, a NUL in the name
        why = getattr(error, "strerror", None) or str(error)
        raise LeyloraError(f"{path} cannot be read ({why.lower()}); check the path.") from None
    facts = os.fstat(handle)
    if stat.S_ISREG(facts.st_mode) and facts.st_size <= largest:
        with os.fdopen(handle, "rb") as file:
            try:
                return file.read(min(largest, max(facts.st_size, MIB)))  # a larger number would be reserved at once
            except OSError as error:
                raise LeyloraError(f"{path} cannot be read ({error.strerror}); check the disk.") from None
    os.close(handle)
    if stat.S_ISDIR(facts.st_mode):
        raise LeyloraError(f"{path} is a folder; name a file inside it.")
    if not stat.S_ISREG(facts.st_mode):
        raise LeyloraError(f"{path} is no ordinary file but a pipe, a device or the like; copy its content to one.")
    raise LeyloraError(
        f"{path} has {facts.st_size / MIB:,.0f} MiB, more than the {largest / MIB:,.0f} that such a file may have; "
        "is it the right one?"
    )


def check_ordinary(path: Path) -> None:
    """Raise LeyloraError when ``path`` is there and neither a file nor a folder: opening a pipe waits for ever, and a
    device may have no end. For the readers of large files, which other libraries open."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise LeyloraError(f"{path} is no ordinary file but a pipe, a device or the like; copy its content to one.")


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """The text of a UTF-8 file (a byte-order mark is dropped, line ends become ``\\n``). Raises as `read_bytes`, and
    when the bytes are not UTF-8."""
    try:
        text = read_bytes(path, largest).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LeyloraError(
            f"{path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); save it as UTF-8 first."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def parse_json(text: str, path: Path | str, line: int | None = None) -> Any:
    """The value of a JSON text, which is the whole of a file or one ``line`` of it.

    Raises:
        LeyloraError: it is not JSON, is nested or has numbers beyond what Python reads, or holds half a character.
    """
    place = f"{path}, line {line}" if line else str(path)
    remedy = "mend or remove the line" if line else _REMEDY
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise LeyloraError(f"{path}, line {line or error.lineno}: not JSON ({error.msg}); {remedy}.") from None
    except RecursionError:
        raise LeyloraError(f"{place}: nested too deeply to be read; {remedy}.") from None
    except ValueError as error:  # a number of thousands of digits
        raise LeyloraError(f"{place}: not readable as JSON ({str(error).partition(';')[0]}); {remedy}.") from None
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise LeyloraError(
                f"{place}: has half of a character (\\ud800 to \\udfff alone), which is no text; {remedy}."
            ) from None
    return value


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises LeyloraError as `read_text` and `parse_json`."""
    return parse_json(read_text(path), path)


def read_json_object(path: Path) -> dict[str, Any]:
    """As `read_json`, of a file that holds one object."""
    return _mapping(read_json(path), str(path), "JSON object")


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number, object)`` for each line that is not empty.

    Raises:
        LeyloraError: as `read_text`, or a line is not a JSON object; the message names the line.
    """
    for number, line in enumerate(read_text(path, LARGEST_ROWS).split("\n"), start=1):
        if line.strip():
            yield number, _mapping(parse_json(line, path, number), f"{path}, line {number}", "JSON object")


def parse_yaml(text: str, place: str, loader: Any = None) -> Any:
    """The value of a YAML text, read with PyYAML's safe loader or a ``loader`` derived from it.

    Raises:
        LeyloraError: it is not YAML, or has a date, number or tag that cannot be, or is nested too deeply.
    """
    import yaml  # the extension's copy of this file reads none, and may be without PyYAML

    if len(text) > LARGEST_YAML:
        raise LeyloraError(f"{place}: {len(text) / MIB:.0f} MiB are too much for a YAML file; is it the right one?")
    try:
        return yaml.load(text, Loader=loader or yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise LeyloraError(f"{place}: not YAML ({yaml_fault(error)}); {_REMEDY}.") from None
    except RecursionError:
        raise LeyloraError(f"{place}: nested too deeply to be read; {_REMEDY}.") from None
    # PyYAML's own constructors: month 13 (ValueError), "!!bool foo" (KeyError), "!!int ''" (IndexError)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError) as error:
        fault = str(error).partition(";")[0] or type(error).__name__
        raise LeyloraError(f"{place}: a date, number or tag that cannot be read ({fault}); put it in quotes.") from None


def read_yaml(path: Path, loader: Any = None) -> Any:
    """The value of a YAML file. Raises LeyloraError as `read_text` and `parse_yaml`."""
    return parse_yaml(read_text(path, LARGEST_YAML), str(path), loader)


def read_yaml_mapping(path: Path, loader: Any = None) -> dict[str, Any]:
    """As `read_yaml`, of a file that holds one mapping whose keys are names; an empty file is an empty one."""
    value = read_yaml(path, loader)
    mapping = _mapping({} if value is None else value, str(path), "mapping (KEY: VALUE lines)")
    if odd := next((key for key in mapping if not isinstance(key, str)), None):
        raise LeyloraError(f"{path}: the key {odd!r} is not a name; put it in quotes.")
    return mapping


def _mapping(value: Any, place: str, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = {list: "list", str: "text", type(None): "nothing"}.get(type(value), type(value).__name__)
        raise LeyloraError(f"{place}: expected a {expected}, found {found}.")
    return value


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 with ``\\n`` line ends; ``path`` is replaced in one step or left as it was. A link there
    is replaced too, never written through."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as `write_text` does."""
    make_folder(path.parent)
    for old in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        with suppress(OSError):
            if old.is_file() and time.time() - old.stat().st_mtime > LEFT_OVER:
                old.unlink()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o666 & ~umask())  # mkstemp makes private files; artifacts are meant to be shared
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


def umask() -> int:
    """The process's umask (it can only be read by setting it)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
