"""Reading files of records: JSON, JSON Lines, CSV, TSV, Parquet. A bad row is reported, never fatal."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leylora.errors import LeyloraError
from leylora.files import read_json

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Record:
    """One raw object and where it stands, e.g. ``alpaca.jsonl, line 7``."""

    place: str
    value: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """A row that cannot be used: where it stands and what is wrong with it."""

    place: str
    reason: str


def read_records(path: Path) -> Iterator[Record | Fault]:
    """Yield every row of a file, or of all readable files of a folder in name order.

    Raises:
        LeyloraError: the path is missing, holds no readable file, or a whole file cannot be parsed.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if not files:
            raise LeyloraError(f"{path} holds no {', '.join(SUFFIXES)} file; name the folder or file with the rows.")
        for file in files:
            yield from read_records(file)
        return
    if not path.exists():
        raise LeyloraError(f"{path} does not exist; check the path.")
    match path.suffix:
        case ".jsonl" | ".ndjson":
            yield from _json_lines(path)
        case ".json":
            yield from _json_document(path)
        case ".csv" | ".tsv":
            yield from _table(path, "\t" if path.suffix == ".tsv" else None)
        case ".parquet":
            yield from _parquet(path)
        case _:
            raise LeyloraError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}.")


def _json_lines(path: Path) -> Iterator[Record | Fault]:
    with path.open("rb") as file:  # bytes: a line in another encoding must not end the reading of the others
        for number, line in enumerate(file, start=1):
            place = f"{path.name}, line {number}"
            if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise LeyloraError(f"{path} is UTF-16; save it as UTF-8 first.")
            if not line.strip():
                continue
            try:
                value = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                yield Fault(place, f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})")
            except json.JSONDecodeError as error:
                yield Fault(place, f"not JSON ({error.msg})")
            except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested lists
                yield Fault(place, "not JSON that can be read (a number too long, or too deep)")
            else:
                yield _record(place, value)


def _json_document(path: Path) -> Iterator[Record | Fault]:
    """A list of rows, SQuAD's ``{"data": [...]}``, or JSON Lines under the wrong name."""
    try:
        value = read_json(path)
    except LeyloraError:
        first = path.read_bytes().split(b"\n", 1)[0].strip()
        if not (first.startswith(b"{") and first.endswith(b"}")):
            raise
        yield from _json_lines(path)
        return
    except (ValueError, RecursionError):
        raise LeyloraError(f"{path} cannot be read: a number too long, or nested too deeply; mend it.") from None
    if isinstance(value, dict):
        rows = value.get("data", value.get("rows"))
        value = rows if isinstance(rows, list) else [value]
    if not isinstance(value, list):
        raise LeyloraError(f"{path}: expected a list of objects, found {type(value).__name__}.")
    for number, row in enumerate(value, start=1):
        yield _record(f"{path.name}, row {number}", row)


def _table(path: Path, delimiter: str | None) -> Iterator[Record | Fault]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses cells over 128 KiB
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if delimiter is None:
                head = file.read(4096)
                file.seek(0)
                delimiter = max(",;", key=head.split("\n", 1)[0].count)  # Spanish spreadsheets write semicolons
            reader = csv.DictReader(file, delimiter=delimiter)
            for row in reader:
                place = f"{path.name}, line {reader.line_num}"
                if None in row or None in row.values():
                    yield Fault(place, f"has {'more' if None in row else 'fewer'} cells than the header")
                else:
                    yield _record(place, {key.strip(): cell for key, cell in row.items()})
    except UnicodeDecodeError as error:
        raise LeyloraError(f"{path} is not UTF-8 (byte {error.start}); save it as 'CSV UTF-8' first.") from None
    except csv.Error as error:
        raise LeyloraError(f"{path}: not a readable table ({error}); check its quotes.") from None


def _parquet(path: Path) -> Iterator[Record | Fault]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield _record(f"{path.name}, row {number}", row)
    except (pyarrow.ArrowException, OSError) as error:
        raise LeyloraError(f"{path} is no readable Parquet file ({str(error).splitlines()[0]}).") from None


def _record(place: str, value: Any) -> Record | Fault:
    if not isinstance(value, dict):
        return Fault(place, f"expected an object, found {type(value).__name__}")
    return Record(place, value)


def records_of(rows: Iterable[dict[str, Any]], name: str) -> Iterator[Record]:
    """Rows already in memory (a Hub dataset), numbered from 1."""
    for number, row in enumerate(rows, start=1):
        yield Record(f"{name}, row {number}", row)
