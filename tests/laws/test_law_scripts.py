"""The commands as a person runs them."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pytest

from leylora.laws.catalog import age_notes
from leylora.laws.diff import page
from leylora.laws.law import Law
from leylora.laws.parse import parse_file

from .pdf_printer import PrintedLaw, print_law

ROOT = Path(__file__).parents[2]


def run(script: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    env = {"COLUMNS": "100", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env=env)


def test_parse_writes_a_corpus_and_a_table(law_pdf: Path, tmp_path: Path) -> None:
    other = tmp_path / "otra.txt"
    other.write_text("Ley de Plazas\nArt. 1.- Uno.\nArt. 2.- Dos.\n")
    done = run("parse_law.py", law_pdf, other, "--out", "corpus", "--min-coverage", 0.5, "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == ["ley-de-plazas", "ley-de-salas-de-lectura"]
    assert "ley-de-salas-de-lectura" in done.stdout
    assert "missing articles: 15, 16, 17, 18" in done.stdout
    assert Law.load(tmp_path / "corpus" / "ley-de-plazas")["2"].body == "Dos."


def test_low_coverage_is_written_and_fails(law_pdf: Path, tmp_path: Path) -> None:
    done = run("parse_law.py", law_pdf, "--out", "corpus", "--law-id", "lsl", cwd=tmp_path)
    assert done.returncode == 1
    assert "lsl: coverage 80.95% is below 98%" in done.stderr.replace("\n", " ")
    audit = json.loads((tmp_path / "corpus" / "lsl" / "audit.json").read_text())
    assert audit["missing"] == [15, 16, 17, 18]


def test_one_bad_file_does_not_stop_the_others(law_pdf: Path, tmp_path: Path, printed_law: PrintedLaw) -> None:
    print_law(printed_law.model_copy(update={"traps": ("encrypted",)}), "lexis", tmp_path / "cifrada.pdf")
    done = run("parse_law.py", "cifrada.pdf", law_pdf, "--out", "c", "--min-coverage", 0, cwd=tmp_path)
    assert done.returncode == 1
    assert "cifrada.pdf is encrypted" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["ley-de-salas-de-lectura"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "Name at least one file"),
        (("no.pdf",), 1, "no.pdf does not exist"),
        (("a.txt", "b.txt", "--law-id", "x"), 2, "--law-id names one law, but there are 2 files"),
        (("a.txt", "--law-id", "../x"), 2, "--law-id '../x' cannot name a folder"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(arguments: tuple[str, ...], code: int, message: str, tmp_path: Path) -> None:
    done = run("parse_law.py", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_another_edition_is_not_overwritten(law_pdf: Path, tmp_path: Path, printed_law: PrintedLaw) -> None:
    arguments = ("--out", "c", "--min-coverage", 0)
    assert run("parse_law.py", law_pdf, *arguments, cwd=tmp_path).returncode == 0
    assert run("parse_law.py", law_pdf, *arguments, cwd=tmp_path).returncode == 0  # the same one is
    print_law(printed_law.model_copy(update={"last_reform": None}), "lexis", tmp_path / "vieja.pdf")
    done = run("parse_law.py", "vieja.pdf", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert "holds edition 2024-08-15, this is" in done.stderr.replace("\n", " ")
    assert Law.load(tmp_path / "c" / "ley-de-salas-de-lectura").edition == "2024-08-15"


def test_the_list_shows_what_is_on_disk(tmp_path: Path) -> None:
    text = tmp_path / "coip.txt"
    text.write_text("CÓDIGO ORGÁNICO INTEGRAL PENAL\nUltima modificación: 03-feb.-2020\nArt. 1.- Uno.\n")
    assert run("parse_law.py", text, "--out", "c", cwd=tmp_path).returncode == 0
    done = run("parse_law.py", "--list", "--out", "c", cwd=tmp_path)
    assert done.returncode == 0
    assert "https://www.asambleanacional.gob.ec" in done.stdout
    assert "2020-02-03" in done.stdout
    assert "Texts of laws are free" in done.stderr.replace("\n", " ")


def test_diff_shows_words(law_pdf: Path, tmp_path: Path) -> None:
    old = parse_file(law_pdf).save(tmp_path / "old")
    shutil.copytree(old, tmp_path / "new")
    rows = (old / "articles.jsonl").read_text().replace("a) Libros", "a) Revistas")
    (tmp_path / "new" / "articles.jsonl").write_text(rows)
    done = run("diff_law.py", "old", "new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "reformed (1): 3" in done.stdout
    assert "[-Libros;-] {+Revistas;+}" in done.stdout
    assert "Art. 3." not in run("diff_law.py", "old", "new", "--summary", cwd=tmp_path).stdout
    assert run("diff_law.py", "old", "nada", cwd=tmp_path).returncode == 1
    assert run("diff_law.py", "old", "new", "--html", "cambio.html", cwd=tmp_path).returncode == 0
    page = (tmp_path / "cambio.html").read_text()
    assert "<del>Libros;</del> <ins>Revistas;</ins>" in page
    assert "href='#reformados-3'" in page
    assert "id='reformados-3'" in page
    again = run("diff_law.py", "old", "new", "--html", "cambio.html", cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_the_benchmark_runs(law_pdf: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "laws.py"), str(law_pdf), "--rounds", "1", "--out", "b.json"]
    subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    (row,) = json.loads((tmp_path / "b.json").read_text())
    assert row["articles"] == 21
    assert row["peak_mib"] < 500


class Edition(NamedTuple):
    id: str
    siglas: str
    edition: str
    name: str = "Ley"


@pytest.mark.parametrize(
    ("edition", "said"),
    [
        ("2011-07-13", "Hay reformas posteriores a la edición que está aquí: CRE 2011-07-13 (2024-04-21)"),
        ("2024-05-09", "Ediciones de hace más de un año: CRE 2024-05-09"),
        ("", "Sin fecha de edición: CRE"),
        ("2026-01-05", None),
    ],
)
def test_an_old_edition_is_told(edition: str, said: str | None) -> None:
    notes = age_notes([Edition("constitucion", "CRE", edition)] * 2, today=date(2026, 12, 1))
    assert [note.partition(";")[0] for note in notes] == ([said] if said else [])


def test_the_page_of_changes_shows_each_part(law_pdf: Path) -> None:
    law = parse_file(law_pdf)
    one, two, *rest = law.articles
    later = replace(law, articles=(one.model_copy(update={"body": "a < b & c"}), *rest))
    shown = page(law, later)
    assert "reformados: 1, nuevos: 0, derogados: 1, dudosos" in shown
    assert "a &lt; b &amp; c" in shown
    assert f"id='derogados-{two.number}'" in shown
    assert f"id='nuevos-{two.number}'" in page(later, law)
