"""Documents held against the laws: reading them, what is printed, the page, and what ends with one sentence."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fpdf import FPDF

from leylora.chat.document import (
    CheckedDocument,
    Document,
    as_json,
    check_document,
    page,
    read_document,
    unwrapped,
    write_page,
)
from leylora.errors import UsageError
from leylora.grounding.checker import Verdict
from leylora.grounding.index import open_laws
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import catalog
from leylora.project import ROOT
from tests.grounding.small_laws import dogs, fairs, saved

TEXT = (
    "# Escrito\n\nQuien no recoge los desechos paga de cinco a diez\ndólares (art. 4 LPER).\n"
    "El perro se registra en el plazo de noventa días, según el art. 3 de la Ley de Perros.\n"
    "Lo dice la Sentencia No. 5-22-EI/26. Mi cliente pagó 80 dólares.\n"
)
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.fixture(scope="module")
def laws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("laws"), dogs(), fairs())


@pytest.fixture(scope="module")
def index(laws: Path) -> LawIndex:
    return open_laws(laws, catalog())


def docx(path: Path, *paragraphs: str, notes: tuple[str, ...] = (), prologue: str = "") -> Path:
    def xml(root: str, told: tuple[str, ...]) -> str:
        rows = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in told)
        return f'<?xml version="1.0"?>{prologue}<w:{root} xmlns:w="{W}">{rows}</w:{root}>'

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", xml("document", paragraphs))
        if notes:
            archive.writestr("word/footnotes.xml", xml("footnotes", notes))
    return path


def pdf(path: Path, *lines: str) -> Path:
    document = FPDF()
    document.add_page()
    document.set_font("Helvetica", size=12)
    for line in lines:
        document.cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    document.output(str(path))
    return path


def verdicts(checked: CheckedDocument) -> list[Verdict]:
    return [claim.verdict for claim in checked.checked.claims]


def test_a_text_claim_by_claim(index: LawIndex) -> None:
    checked = check_document(Document("escrito.md", TEXT), index)
    assert verdicts(checked) == [Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.UNCHECKABLE]
    assert checked.summary == "3 citas y 3 afirmaciones vistas, 1 no comprobables"
    told = as_json(checked)
    assert json.loads(json.dumps(told)) == told
    assert set(told) == {"file", "claims", "seen", "uncheckable", "editions"}
    assert [claim["line"] for claim in told["claims"]] == [3, 5, 6]
    assert told["seen"] == {"citations": 3, "claims": 3}
    assert told["claims"][0]["against"]["law_id"] == "perros"
    assert told["claims"][0]["citations"] == [
        {"text": "art. 4 LPER", "law_id": "perros", "article": "4", "part": None, "verdict": "supported"}
    ]
    assert told["claims"][2]["against"] is None
    assert told["claims"][2]["citations"][0]["article"] is None


def test_the_same_text_in_every_format(index: LawIndex, tmp_path: Path) -> None:
    one, two = (
        "Quien no recoge los desechos paga de cinco a diez dólares (art. 4 LPER).",
        "Se registra en el art. 99 LPER.",
    )
    (tmp_path / "a.txt").write_text(f"{one}\n{two}\n", "utf-8")
    (tmp_path / "b.md").write_bytes(f"{one}\r\n{two}\r\n".encode("cp1252"))
    files = [tmp_path / "a.txt", tmp_path / "b.md", docx(tmp_path / "c.docx", one, notes=(two,))]
    files.append(pdf(tmp_path / "d.pdf", *one.split(" (")[:1], f"({one.split(' (')[1]}", two))
    for file in files:
        assert verdicts(check_document(read_document(file), index)) == [Verdict.SUPPORTED, Verdict.NONEXISTENT], file


def test_lines_inside_a_paragraph_are_joined_in_place() -> None:
    text = "Una frase que\nsigue aquí.\nOtra frase:\n1. un punto\n- otro\n\nY más"
    joined = unwrapped(text)
    assert len(joined) == len(text)
    assert joined == "Una frase que sigue aquí.\nOtra frase:\n1. un punto\n- otro\n\nY más"


def bad_files(folder: Path) -> dict[str, str]:
    (folder / "old.doc").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600)
    (folder / "locked.docx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600)
    (folder / "half.docx").write_bytes(docx(folder / "whole.docx", "Hola").read_bytes()[:80])
    (folder / "noise.txt").write_bytes(b"\0\1\2" * 50)
    (folder / "long.txt").write_text("palabra " * 600_000, "utf-8")
    with zipfile.ZipFile(folder / "other.docx", "w") as archive:
        archive.writestr("a.txt", "a")
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.7\nnothing")
    pdf(folder / "scan.pdf")
    docx(folder / "entities.docx", "Hola", prologue="<!DOCTYPE a [<!ENTITY b 'c'>]>")
    return {
        "missing.txt": "does not exist",
        ".": "is a folder",
        "old.doc": "old Word file",
        "locked.docx": "is encrypted",
        "half.docx": "is damaged",
        "other.docx": "not a .docx",
        "entities.docx": "XML that Word does not write",
        "noise.txt": "is not text",
        "long.txt": "check it in parts",
        "damaged.pdf": "not a readable PDF",
        "scan.pdf": "ocrmypdf",
    }


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    for name, reason in bad_files(tmp_path).items():
        with pytest.raises(UsageError, match=reason) as caught:
            read_document(tmp_path / name)
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)


def test_the_page_holds_everything_and_replaces_nothing(index: LawIndex, tmp_path: Path) -> None:
    told = TEXT + "<script>alert(1)</script> El art. 4 LPER fija de cinco a diez dólares.\n"
    checked = check_document(Document("<b>.md", told), index)
    shown = page([checked])
    assert "<script" not in shown
    assert "&lt;b&gt;.md" in shown
    assert "http" not in shown.replace("http-equiv", "")
    assert "multa de cinco a diez dólares" in shown  # the law's text beside the claim
    assert "no comprobable" in shown
    out = tmp_path / "page.html"
    write_page([checked], out)
    with pytest.raises(UsageError, match="is there already"):
        write_page([checked], out)
    write_page([checked], out, overwrite=True)
    with pytest.raises(UsageError, match="is a folder"):
        write_page([checked], tmp_path, overwrite=True)


def run(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/check_text.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, input=given, timeout=120)


def test_the_command(laws: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(TEXT, "utf-8")
    found = run(str(tmp_path / "a.md"), "--laws", str(laws))
    assert found.returncode == 1
    assert "3 citas y 3 afirmaciones vistas, 1 no comprobables" in found.stdout
    assert "✗ El perro se registra" in found.stdout
    assert max(map(len, found.stdout.splitlines())) <= 80
    fine = run("-", "--laws", str(laws), "--json", given="Hay de cinco a diez dólares de multa (art. 4 LPER).")
    assert fine.returncode == 0
    assert json.loads(fine.stdout)["claims"][0]["verdict"] == "supported"
    for words, said in (
        (("nada.txt", "--laws", str(laws)), "does not exist"),
        ((str(tmp_path / "a.md"), "--laws", str(tmp_path)), "holds no parsed law"),
    ):
        wrong = run(*words)
        assert wrong.returncode == 2
        assert said in wrong.stderr
        assert "Traceback" not in wrong.stderr
