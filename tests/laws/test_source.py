"""From files of any kind to clean lines."""

import os
import time
from pathlib import Path

import pytest

from leylora import children
from leylora.errors import LeyloraError
from leylora.laws import pdf
from leylora.laws.law import Law
from leylora.laws.parse import parse_file, parse_files
from leylora.laws.pdf import read_pdf
from leylora.laws.source import normalise_pages, read_source


def lines(*pages: str, blank_lines: bool = False) -> tuple[str, ...]:
    return normalise_pages(list(pages), blank_lines=blank_lines).lines


def test_characters_are_cleaned() -> None:
    assert lines("Art.\xa01.\xad\xa0El\u200b nin\u0303o\u2003lee\x07.") == ("Art. 1.- El niño lee.",)
    assert lines("\x93Comillas\x94 de Windows") == ("“Comillas” de Windows",)
    assert lines("consti\xadtución") == ("constitución",)  # a soft hyphen inside a word
    assert lines("10\xadII\xad2014 y 20-IV\x022015") == ("10-II-2014 y 20-IV-2015",)  # a visible dash


def test_broken_words_are_mended_and_compounds_keep_their_hyphen() -> None:
    assert lines("La biblio-\nteca abre. La biblioteca cierra.") == ("La biblioteca abre. La biblioteca cierra.",)
    assert lines("Su condición socio\x02económica. La vida económica.", "Otra hoja.")[0].startswith(
        "Su condición socio-económica."
    )
    assert lines("Se presta la biblio-", "teca a todos.") == ("Se presta la biblioteca", "a todos.")


def test_known_furniture_goes_even_when_glued_to_a_word() -> None:
    page = "publicada en SuplementoDescargado \ngratuitamente desde \nwww.lexis.com.\nec\n107 de 2019."
    assert lines(page) == ("publicada en Suplemento", "107 de 2019.")
    assert lines("Texto.\nLEY DE X - Página 3\nLEXIS FINDER - www.lexis.com.ec") == ("Texto.",)
    assert lines("https://www.fielweb.com. Pág. 3 de 195\nTexto.") == ("Texto.",)


def test_unknown_furniture_is_what_repeats_at_the_edges() -> None:
    pages = [f"EDITORIAL DEL BARRIO\nArt. {n}.- Algo {'x' * n}.\nLibro III\nFolio {n} de 9" for n in range(1, 10)]
    found = normalise_pages(pages, blank_lines=False)
    assert found.lines[:2] == ("Art. 1.- Algo x.", "Libro III")
    assert found.furniture == {"repeated line: EDITORIAL DEL BARRIO": 9, "repeated line: Folio # de #": 9}


def test_html(tmp_path: Path) -> None:
    file = tmp_path / "ley.html"
    file.write_text(
        "<!DOCTYPE html><head><title>x</title><style>p{}</style></head><body><h1>Ley de Plazas</h1>"
        "<p><b>Art. 1.-</b> <i>Objeto</i>.- Las plazas son&nbsp;de\n todos.</p><ul><li>1. Sentarse.</li><li>2. Leer."
        "</li></ul><script>alert('Art. 9.- no')</script><p>Art. 2.- Fin.<br>Otro inciso.</p>"
    )
    law = parse_file(file)
    assert (law.name, law.layout, [article.number for article in law]) == ("Ley de Plazas", "html", ["1", "2"])
    assert law["1"].text == "Objeto.- Las plazas son de todos.\n1. Sentarse.\n2. Leer."
    assert law["2"].body == "Fin.\nOtro inciso."


def test_markdown(tmp_path: Path) -> None:
    file = tmp_path / "ley.md"
    file.write_text(
        "# Ley de Plazas\n\n## TÍTULO I\n### DE LAS BANCAS\n\n**Art. 1.-** **Objeto.-** Las plazas son de\ntodos.\n\n"
        "Segundo inciso con *énfasis*\n\ny línea partida.\n\n**Art. 2\\.-** Fin.\n\n**Nota:**\n_Ver la ordenanza._\n"
    )
    law = parse_file(file)
    assert law["1"].body == "Las plazas son de todos.\nSegundo inciso con énfasis y línea partida."
    assert law["1"].rubric == "Objeto"
    assert str(law["1"].path[0]) == "Título I, DE LAS BANCAS"
    assert law["2"].notes == ("Ver la ordenanza.",)


def test_text_in_other_encodings(tmp_path: Path) -> None:
    file = tmp_path / "ley.txt"
    file.write_bytes("Ley de Ñandúes\nArt. 1.- El ñandú corre.\n".encode("cp1252"))
    law = parse_file(file)
    assert law["1"].body == "El ñandú corre."
    assert law.audit["warnings"] == ["not UTF-8: read as cp1252; check the accents"]
    file.write_bytes("\ufeffArt. 1.- El ñandú corre.".encode("utf-16"))
    assert parse_file(file)["1"].body == "El ñandú corre."


def test_pages_and_spans_point_into_the_text(law_pdf: Path) -> None:
    source = read_source(law_pdf)
    law = parse_file(law_pdf)
    for article in law:
        start, end = article.span
        assert source.text[start:end].startswith("Art. ")
        assert " ".join(article.body.split()[-3:]) in " ".join(source.text[start:end].split())
    assert law["1"].pages == (1,)
    assert law["21"].pages[-1] == law.pages


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("vacia.pdf", b"", "is empty"),
        ("rota.pdf", b"%PDF-1.7\nnada de nada", "is not a readable PDF"),
        ("hoja.docx", b"PK\x03\x04resto", "is not a PDF, HTML, Markdown or text file"),
        ("foto.txt", b"\x89PNG\x00\x01", "is not a PDF, HTML, Markdown or text file"),
        ("carta.txt", b"Estimada vecina: no hay novedades.", "no line begins like an article"),
        (
            "orden.txt",
            b".- Objeto.- Uno.\nArt. 1\n.- Fin.- Dos.\nArt. 2\n.- Mas.- Tres\nArt. 3\n",
            "order is wrong|after",
        ),
    ],
)
def test_bad_files_are_refused_in_one_sentence(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    with pytest.raises(LeyloraError, match=message) as caught:
        parse_file(file)
    assert str(file) in str(caught.value)


def test_missing_files_folders_and_huge_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        parse_file(tmp_path / "no.pdf")
    with pytest.raises(LeyloraError, match="is a folder"):
        parse_file(tmp_path)
    monkeypatch.setattr("leylora.laws.source.MAX_BYTES", 10)
    (tmp_path / "a.txt").write_text("Art. 1.- Demasiado largo.")
    with pytest.raises(LeyloraError, match="is it the right one"):
        parse_file(tmp_path / "a.txt")


def test_a_pdf_that_never_ends_is_given_up(law_pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        time.sleep(60)  # as pdfium does, inside one call

    monkeypatch.setattr(pdf, "_read_page", hang)
    monkeypatch.setattr(children, "SECONDS", 0.2)
    start = time.monotonic()
    with pytest.raises(LeyloraError, match="could not be read within the time limit"):
        read_pdf(law_pdf)
    assert time.monotonic() - start < 30


def test_a_pdf_that_kills_the_library_is_an_error(law_pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_read_pages", lambda *_: os._exit(3))
    with pytest.raises(LeyloraError, match="broke the library that reads it"):
        read_pdf(law_pdf)


def test_a_pdf_that_eats_all_memory_is_an_error(law_pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_read_pages", lambda *_: bytearray(2 * children.MEMORY))
    with pytest.raises(LeyloraError, match="needs too much memory"):
        read_pdf(law_pdf)


def test_a_file_that_never_ends_does_not_hold_up_the_others(
    law_pdf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.pdf").write_bytes(law_pdf.read_bytes())
    read = pdf._read_pages
    monkeypatch.setattr(pdf, "_read_pages", lambda path: time.sleep(60) if path.stem == "bad" else read(path))
    monkeypatch.setattr("leylora.laws.parse.SECONDS", 3.0)
    found = dict(parse_files([tmp_path / "bad.pdf", law_pdf], workers=2))
    assert isinstance(found[law_pdf], Law)
    assert "time limit" in str(found[tmp_path / "bad.pdf"])


def is_read_or_named(file: Path) -> bool:
    """Whether the file's one article is read, or else an error names the file."""
    try:
        return len(parse_file(file)) == 1
    except LeyloraError as error:
        return str(file) in str(error)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".md", "<!-- " * 40_000),
        (".md", "[" * 100_000),
        (".md", "![" * 60_000),
        (".html", "<a " * 100_000),
        (".html", "<!--" * 50_000),
        (".html", "</" * 100_000),
        (".html", '<a x="' * 50_000),
    ],
)
def test_a_text_that_makes_patterns_slow_ends_within_its_limit(
    tmp_path: Path, suffix: str, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leylora.laws.source.SECONDS_PER_TEXT", 0.3)
    file = tmp_path / f"ley{suffix}"
    file.write_text(f"{content}\nArt. 1.- Todo cuento tiene un final que alguien lee.")
    start = time.monotonic()
    assert is_read_or_named(file)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("content", ["<![foo<!", "<![xxx>", "&#" + "9" * 5_000 + ";", "<!DOCTYPE [<!ELEMENT"])
@pytest.mark.parametrize("suffix", [".md", ".html"])
def test_malformed_markup_is_read_or_one_sentence(tmp_path: Path, suffix: str, content: str) -> None:
    file = tmp_path / f"ley{suffix}"
    file.write_text(f"<p>Art. 1.- Todo cuento tiene un final que alguien lee.</p>\n{content}")
    assert is_read_or_named(file)
