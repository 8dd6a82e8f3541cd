"""Whatever the rows are, reading and gating end in rows or faults, never in another exception."""

import json
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leylora.data.formats import FORMATS, Draft, convert
from leylora.data.gate import clean
from leylora.data.records import Fault, Record, read_records

TEXT = st.text(st.characters(), max_size=40)  # lone surrogates included
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
WORDS = """id messages conversations role content from value instruction input output response context inputs targets
prompt completion chosen question answer answers text paragraphs qas translation es en summary message_id parent_id rank
lang system task category deleted replies"""
NAMES = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXT, inner, max_size=4), max_leaves=12
)
ROWS = st.lists(st.dictionaries(NAMES | TEXT, VALUES, max_size=5), max_size=4)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.none() | st.sampled_from(FORMATS))
def test_any_object(rows: list[dict[str, Any]], format: str | None) -> None:
    found = list(convert([Record(f"row {at}", row) for at, row in enumerate(rows)], format))
    assert all(isinstance(one, Draft | Fault) for one in found)
    kept, report = clean(found, source="s", license="mit")
    assert report.rows_in == len(found)
    json.dumps(report.model_dump()).encode()
    for row in kept:
        row.model_dump_json().encode()
        json.dumps(row.model_dump(), ensure_ascii=False).encode()
    json.dumps(report.model_dump(), ensure_ascii=False).encode()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_lines(tmp_path_factory: Any, content: bytes) -> None:
    assume(not content.startswith((b"\xff\xfe", b"\xfe\xff")))  # UTF-16 has an error of its own
    path: Path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(content)
    assert all(isinstance(one, Record | Fault) for one in read_records(path))


def test_numbers_of_thousands_of_digits(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": ' + "9" * 5_000 + "}\n", encoding="utf-8")
    (fault,) = read_records(path)
    assert isinstance(fault, Fault)
    assert "number too long" in fault.reason
