"""What is read and written goes through one door each: every way a file can be wrong is one sentence."""

import os
import time
from pathlib import Path

import pytest

from leylora.errors import LeyloraError
from leylora.files import (
    LEFT_OVER,
    parse_yaml,
    read_bytes,
    read_json,
    read_json_object,
    read_jsonl,
    read_text,
    read_yaml,
    read_yaml_mapping,
    sha256_file,
    write_json,
    write_jsonl,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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
    assert (tmp_path / "plain.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5_000, "not readable as JSON"),
        ('{"a": "\\ud800"}', "half of a character"),
        ('{"\\udfff": 1}', "half of a character"),
        ("[1]", "expected a JSON object, found list"),
        ('"x"', "expected a JSON object, found text"),
        ("null", "expected a JSON object, found nothing"),
        ("5", "expected a JSON object, found int"),
        ("NaN,", "not JSON"),
    ],
)
def test_every_way_json_can_be_wrong_is_one_sentence_with_file_and_line(
    tmp_path: Path, content: str, fault: str
) -> None:
    whole, rows = tmp_path / "a.json", tmp_path / "a.jsonl"
    whole.write_text(content)
    with pytest.raises(LeyloraError, match=rf"a\.json.*{fault}"):
        read_json_object(whole)
    rows.write_text('{"a": "\\ud83d\\ude00"}\n' + content)
    with pytest.raises(LeyloraError, match=rf"a\.jsonl, line 2: .*{fault}"):
        list(read_jsonl(rows))


@pytest.mark.parametrize(
    "content",
    [
        *("x: 2026-13-45", "x: 2026-02-31", "x: 2026-01-01T99:99:99Z", "x: !!int foo", "x: !!int ''", "x: !!float foo"),
        *(
            "x: !!bool foo",
            "x: !!timestamp foo",
            "x: " + "1" * 5_000,
            "x: " + "[" * 5_000,
            "x: !!python/name:os.system",
        ),
        *("x: [", "a: 1\n b: 2", "x: &a [*b]", "\x00", "x: {{}: }", "? [1]\n: 2", "3: x", "- 1", "just words"),
    ],
)
def test_every_way_yaml_can_be_wrong_is_one_sentence_with_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(content)
    with pytest.raises(LeyloraError, match=r"a\.yaml") as error:
        read_yaml_mapping(file)
    assert "\n" not in str(error.value)


def test_yaml_is_read_as_it_is_and_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 2026-01-02\nb: [x, 1e3]\n")
    assert read_yaml(tmp_path / "a.yaml")["b"] == ["x", "1e3"]
    (tmp_path / "b.yaml").write_text("# nothing yet\n")
    assert read_yaml_mapping(tmp_path / "b.yaml") == {}
    with pytest.raises(LeyloraError, match="are too much for a YAML file"):
        parse_yaml("x: " + "y" * 2_000_000, "mixture")


def test_only_ordinary_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "zero"):
        with pytest.raises(LeyloraError, match="is no ordinary file"):
            read_bytes(tmp_path / name)
    for name in ("loop", "n" * 300, "a\0b"):
        with pytest.raises(LeyloraError, match="cannot be read"):
            read_text(tmp_path / name)


def test_a_file_larger_than_its_kind_may_be_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 2_000)
    with pytest.raises(LeyloraError, match="is it the right one"):
        read_bytes(tmp_path / "large", 1_999)
    assert len(read_bytes(tmp_path / "large", 2_000)) == 2_000


def test_line_ends_and_the_mark_of_utf_8_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfuno\r\ndos\rtres\n")
    assert read_text(tmp_path / "a") == "uno\ndos\ntres\n"


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "link", "ours")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "link").is_symlink()


def test_what_a_dead_writer_left_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    for name in (".a[1].txt.dead.partial", ".a[1].txt.busy.partial", ".b.txt.dead.partial"):
        (tmp_path / name).touch()
        if "dead" in name:
            os.utime(tmp_path / name, (time.time() - LEFT_OVER - 5,) * 2)
    write_text(tmp_path / "a[1].txt", "x")
    assert names(tmp_path) == [".a[1].txt.busy.partial", ".b.txt.dead.partial", "a[1].txt"]
