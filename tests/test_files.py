from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.files import (
    read_json,
    read_jsonl,
    read_text,
    sha256_file,
    staged_folder,
    write_json,
    write_jsonl,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "new") as folder:
        (folder / "a.txt").write_text("a", encoding="utf-8")
        assert not (tmp_path / "new").exists()
    assert names(tmp_path) == ["new"]
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "failed") as folder:
        (folder / "none" / "a.txt").write_text("a", encoding="utf-8")
    assert names(tmp_path) == ["new"]


def test_an_existing_folder_is_replaced_only_when_asked_and_only_by_a_whole_one(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "x") as folder:
        (folder / "old").touch()
    with pytest.raises(UsageError, match="already exists"), staged_folder(tmp_path / "x"):
        raise AssertionError("the block must not run")
    with pytest.raises(KeyboardInterrupt), staged_folder(tmp_path / "x", overwrite=True):
        raise KeyboardInterrupt
    assert names(tmp_path / "x") == ["old"]
    with staged_folder(tmp_path / "x", overwrite=True) as folder:
        (folder / "new").touch()
    assert names(tmp_path / "x") == ["new"]
    assert names(tmp_path) == ["x"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old\n")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert names(tmp_path) == ["a.txt"]
    assert read_text(tmp_path / "a.txt") == "old\n"


def test_json_and_lines_come_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"año": 1})
    assert "año" in read_text(tmp_path / "a.json")
    assert read_json(tmp_path / "a.json") == {"año": 1}
    write_jsonl(tmp_path / "a.jsonl", [{"n": 1}, {"n": "dos\u2028líneas"}])
    assert list(read_jsonl(tmp_path / "a.jsonl")) == [(1, {"n": 1}), (2, {"n": "dos\u2028líneas"})]
    assert len(sha256_file(tmp_path / "a.json")) == 64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": \n', r"a\.jsonl, line 2: not JSON"),
        (b"[1]\n", "line 1: expected a JSON object, found list"),
        ("año".encode("latin-1"), r"not UTF-8 \(byte 1 is 0xf1\)"),
    ],
)
def test_faults_name_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(LeyloraError, match=message):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        read_text(tmp_path / "none")
    with pytest.raises(LeyloraError, match="is a folder"):
        read_text(tmp_path)
    (tmp_path / "b.json").write_text("{", encoding="utf-8")
    with pytest.raises(LeyloraError, match=r"b\.json, line 1: not JSON"):
        read_json(tmp_path / "b.json")


def test_a_path_through_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("x")
    for final in (tmp_path / "plain.txt" / "a.json", tmp_path / "plain.txt" / "deep" / "a.json"):
        with pytest.raises(LeyloraError, match=r"plain\.txt is a file, so nothing can be written below it"):
            write_text(final, "y")
        with pytest.raises(LeyloraError, match="is a file"), staged_folder(final):
            pass
    assert (tmp_path / "plain.txt").read_text() == "x"
