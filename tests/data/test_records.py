"""Files of rows: every kind is read, and a bad row is reported with its line while the others go on."""

import json
from pathlib import Path

import pytest

from leylora.data.records import Fault, Record, read_records
from leylora.errors import LeyloraError


def test_json_lines_report_bad_lines_and_go_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [b'{"a": 1}', b"{broken", b"", '{"a": "año"}'.encode("latin-1"), b"[1]", b"null", b'{"a": 2}']
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n" + b"[" * 100_000 + b"\n")
    out = list(read_records(path))
    assert [one.value for one in out if isinstance(one, Record)] == [{"a": 1}, {"a": 2}]
    faults = {one.place: one.reason for one in out if isinstance(one, Fault)}
    assert "not JSON" in faults["rows.jsonl, line 2"]
    assert "not UTF-8 (byte 0xf1" in faults["rows.jsonl, line 4"]
    assert faults["rows.jsonl, line 5"] == "expected an object, found list"
    assert faults["rows.jsonl, line 6"] == "expected an object, found NoneType"
    assert "too deep" in faults["rows.jsonl, line 8"]


def test_json_documents_lists_squad_and_lines_under_a_wrong_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    for text, wanted in [
        ('[{"a": 1}, 2, {"a": 3}]', 2),
        ('{"version": "1.1", "data": [{"paragraphs": []}]}', 1),
        ('{"a": 1}', 1),
        ('{"a": 1}\n{"a": 2}\n', 2),
    ]:
        path.write_text(text, encoding="utf-8")
        assert sum(isinstance(one, Record) for one in read_records(path)) == wanted
    path.write_text('"nothing"', encoding="utf-8")
    with pytest.raises(LeyloraError, match="expected a list of objects, found str"):
        list(read_records(path))


def test_tables_with_commas_semicolons_and_tabs(tmp_path: Path) -> None:
    for name, text in [
        ("a.csv", 'instruction,output\n"Diga ""hola"", por favor","Hola"\n'),
        ("b.csv", '\ufeffinstruction;output\nDiga "hola", por favor;Hola\n'),
        ("c.tsv", "instruction\toutput\nDiga hola\tHola\n"),
    ]:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        (row,) = read_records(path)
        assert isinstance(row, Record)
        assert row.value["output"] == "Hola"


def test_a_table_row_of_the_wrong_width_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n1\n1,2,3\n", encoding="utf-8")
    out = list(read_records(path))
    assert [type(one) for one in out] == [Record, Fault, Fault]
    assert isinstance(out[1], Fault)
    assert out[1].place == "rows.csv, line 3"


def test_a_table_in_another_encoding_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("a,b\naño,1\n".encode("latin-1"))
    with pytest.raises(LeyloraError, match="save it as 'CSV UTF-8' first"):
        list(read_records(path))


def test_parquet_and_a_folder_of_files_in_name_order(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1, 2]}), tmp_path / "b.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 0}), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("left alone", encoding="utf-8")
    found = [one.value["a"] for one in read_records(tmp_path) if isinstance(one, Record)]
    assert found == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.parquet", b"PAR1 nothing", "no readable Parquet file"),
        ("x.jsonl", "hola".encode("utf-16"), "UTF-16; save it as UTF-8"),
        ("x.docx", b"", "unknown kind of file"),
        ("x.json", b"{", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LeyloraError, match=message):
        list(read_records(path))


def test_a_missing_path_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        list(read_records(tmp_path / "no.jsonl"))
    with pytest.raises(LeyloraError, match="holds no"):
        list(read_records(tmp_path))
