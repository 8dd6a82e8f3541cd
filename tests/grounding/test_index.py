"""The index file: what is in it, when it is built again, who may read it."""

import json
import os
import sqlite3
import threading
from datetime import date
from pathlib import Path

import pytest

from leylora.errors import LeyloraError
from leylora.grounding.citations import Named
from leylora.grounding.index import INDEX_FILE, build_index, default_laws, open_laws
from leylora.grounding.search import GAP, LONGEST, LawIndex, excerpt, pieces
from leylora.laws.catalog import catalog

from .small_laws import DOGS, LONG, dogs, fairs, index_of, law, saved


def test_it_holds_the_laws_with_their_editions(index: LawIndex) -> None:
    assert [(one.id, one.edition, len(one.numbers)) for one in index.laws] == [
        ("perros", "2024-08-15", 10),
        ("ferias", "2024-01-01", 4),
    ]
    article = index.article("perros", "6")
    assert article is not None
    assert article.citation == dogs().cite("6")
    assert article.body == DOGS["6"][1]
    assert [*article.part] == ["1", "2", "2.a", "2.b"]
    assert article.part["2.a"] == "En casa."
    assert article.path == "Título I, Disposiciones comunes"
    assert index.article("perros", "99") is None
    assert index.article("gatos", "1") is None


def test_it_is_built_again_when_a_law_changes_and_only_then(tmp_path: Path) -> None:
    folder = saved(tmp_path, dogs())
    first = open_laws(folder, catalog())
    made = (folder / INDEX_FILE).stat().st_mtime_ns
    open_laws(folder, catalog())
    assert (folder / INDEX_FILE).stat().st_mtime_ns == made
    law("perros", "Ley de Perros", "LPER", DOGS | {"11": ("Correa", "La correa es roja.")}, date(2025, 1, 1)).save(
        folder / "perros"
    )
    second = open_laws(folder, catalog())
    assert "11" in second.laws[0]
    assert "11" not in first.laws[0], "a reader keeps what it opened"
    assert [hit.article.number for hit in first.search("registro del perro", 1)] == ["3"]
    saved(folder, fairs())
    assert len(open_laws(folder, catalog()).laws) == 2


def test_it_is_built_again_when_words_are_read_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "laws", dogs())
    before = open_laws(folder, catalog()).fingerprint
    (tmp_path / "search.py").write_text("# another stemmer")
    monkeypatch.setattr("leylora.grounding.search.__file__", str(tmp_path / "search.py"))
    assert open_laws(folder, catalog()).fingerprint != before


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0 and no more"])
def test_a_damaged_index_is_built_again(tmp_path: Path, content: bytes) -> None:
    folder = saved(tmp_path, dogs())
    (folder / INDEX_FILE).write_bytes(content)
    with pytest.raises(LeyloraError, match="is not an index of laws"):
        LawIndex(folder / INDEX_FILE)
    assert open_laws(folder, catalog()).search("multa")


def test_an_index_of_another_version_is_built_again(tmp_path: Path) -> None:
    folder = saved(tmp_path, dogs())
    open_laws(folder, catalog())
    with sqlite3.connect(folder / INDEX_FILE) as db:
        db.execute("UPDATE meta SET version = 0")
    with pytest.raises(LeyloraError, match="another version"):
        LawIndex(folder / INDEX_FILE)
    assert open_laws(folder, catalog()).search("multa")


def test_a_build_that_fails_leaves_the_old_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path, dogs())
    open_laws(folder, catalog())
    before = (folder / INDEX_FILE).read_bytes()
    monkeypatch.setattr("leylora.grounding.index._write_articles", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_index(folder, (), folder / INDEX_FILE)
    assert (folder / INDEX_FILE).read_bytes() == before
    assert sorted(entry.name for entry in folder.iterdir()) == [INDEX_FILE, "perros"]


@pytest.mark.skipif(os.geteuid() == 0, reason="an administrator may write anywhere")
def test_laws_that_cannot_be_written_to_are_indexed_all_the_same(tmp_path: Path) -> None:
    folder = saved(tmp_path, dogs())
    folder.chmod(0o555)
    try:
        assert open_laws(folder, catalog()).search("multa")
    finally:
        folder.chmod(0o755)


def test_a_permission_error_is_got_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "laws", dogs())
    build = build_index

    def refused(laws: Path, names: tuple[Named, ...], path: Path) -> Path:
        if path.parent == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return build(laws, names, path)

    monkeypatch.setattr("leylora.grounding.index.build_index", refused)
    assert open_laws(folder, catalog()).search("multa")
    assert not (folder / INDEX_FILE).exists()


def test_readers_cannot_write(index: LawIndex) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        index._rows("DELETE FROM articles")


def test_many_threads_search_one_index(index: LawIndex) -> None:
    wrong: list[str] = []

    def work() -> None:
        for query, number in (("plazo de registro", "3"), ("multa de cinco dólares", "4")) * 10:
            hits = index.search(query, 1)
            if [hit.article.number for hit in hits] != [number]:
                wrong.append(query)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_laws_the_command_that_makes_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeyloraError, match="parse_law"):
        open_laws(None, catalog())
    with pytest.raises(LeyloraError, match="parse_law"):
        open_laws(tmp_path, catalog())
    saved(Path("data/build/demo/laws"), dogs())
    assert default_laws() == Path("data/build/demo/laws")
    saved(Path("data/build/laws"), fairs())
    assert default_laws() == Path("data/build/laws")


def test_the_newer_of_two_editions_is_the_one_meant(tmp_path: Path) -> None:
    old = law("perros-2020", "Ley de Perros", "LPER", {"4": ("Multa", "La multa es de un dólar.")}, date(2020, 1, 1))
    index = index_of(tmp_path, old, dogs())
    assert index.search("LPER 4")[0].article.law.edition == "2024-08-15"
    assert index.search("art. 4, Ley de Perros, ed. 2020-01-01")[0].article.law.edition == "2020-01-01"


def test_pieces_cover_a_body_and_end_at_its_lines() -> None:
    found = pieces(LONG)
    assert "".join(LONG[first:last] for first, last in found) == LONG
    assert len(found) > 1
    assert all(last - first <= LONGEST for first, last in found)
    assert all(LONG[first:last].endswith("\n") for first, last in found[:-1])
    assert pieces("") == [(0, 0)]
    assert pieces("Una frase. " * 300)[0][1] <= LONGEST


@pytest.mark.parametrize("room", [200, 500, 1_500, 100_000])
def test_an_excerpt_holds_what_matters_and_keeps_to_its_room(room: int) -> None:
    focus = LONG.splitlines()[25]
    cut = excerpt(LONG, focus, room)
    assert len(cut) <= room
    assert focus in cut
    assert (GAP in cut) == (room < len(LONG))
    assert all(line.removesuffix(f" {GAP}") in LONG for line in cut.splitlines() if line != GAP)


@pytest.mark.parametrize("key", ["edition", "published"])
def test_a_law_of_another_version_is_told_in_a_sentence(tmp_path: Path, key: str) -> None:
    folder = saved(tmp_path, dogs())
    facts = json.loads((folder / "perros" / "law.json").read_text("utf-8"))
    del facts[key]
    (folder / "perros" / "law.json").write_text(json.dumps(facts), "utf-8")
    with pytest.raises(LeyloraError, match=r"perros was written by another version .*; parse the law again\.$"):
        open_laws(folder, ())
