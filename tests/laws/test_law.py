"""The law object: naming articles, saving, loading, metadata, comparing."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.files import write_jsonl
from leylora.laws.catalog import catalog, find_in_catalog
from leylora.laws.diff import compare, shortened, word_diff
from leylora.laws.law import Article, Law
from leylora.laws.metadata import parse_date, read_metadata, slug
from leylora.laws.parse import parse_file


@pytest.fixture(scope="module")
def law(law_pdf: Path) -> Law:
    return parse_file(law_pdf)


def test_articles_are_named(law: Law) -> None:
    assert law["3"] is law.article(3)
    assert "3.1" in law
    assert "400" not in law
    assert [article.number for article in law][:4] == ["1", "2", "3", "3.1"]
    assert law.cite("3.1") == "Art. 3.1, Ley de Salas de Lectura, ed. 2024-08-15"
    with pytest.raises(LeyloraError, match=r"has no article 400 \(its last is 21\)"):
        law["400"]


def test_saved_and_loaded_it_is_the_same(law: Law, tmp_path: Path) -> None:
    folder = law.save(tmp_path / "ley")
    assert sorted(file.name for file in folder.iterdir()) == ["articles.jsonl", "audit.json", "law.json"]
    assert Law.load(folder) == law
    rows = [json.loads(line) for line in (folder / "articles.jsonl").read_text().splitlines()]
    assert (rows[0]["rubric"], rows[0]["body"][:9]) == ("Regla 1", "Las salas"), "the body does not repeat the rubric"
    assert rows[0]["path"][0] == {"kind": "titulo", "number": "I", "name": "De las salas"}
    law.save(folder)  # an earlier parse is replaced


def test_text_is_what_is_printed_after_the_number() -> None:
    def article(rubric: str | None, body: str) -> Article:
        return Article(law_id="x", kind="articulo", number="1", rubric=rubric, body=body, status="vigente")

    assert article("Robo", "Robo es tomar lo ajeno.").text == "Robo.- Robo es tomar lo ajeno."
    assert article("Nada", "").text == "Nada.- "
    assert article(None, "Se lee.").text == "Se lee."


def test_a_folder_of_an_earlier_version_is_not_read_wrongly(law: Law, tmp_path: Path) -> None:
    folder = law.save(tmp_path / "ley")
    rows = ({key: value for key, value in row.items() if key != "struck"} for row in law.rows())
    write_jsonl(folder / "articles.jsonl", list(rows))
    with pytest.raises(LeyloraError, match="parsed by an earlier version of leylora; parse the law again"):
        Law.load(folder)


def test_saving_never_replaces_something_else(law: Law, tmp_path: Path) -> None:
    (tmp_path / "mia").mkdir()
    (tmp_path / "mia" / "tesis.txt").write_text("años de trabajo")
    with pytest.raises(UsageError, match="already exists"):
        law.save(tmp_path / "mia")
    assert (tmp_path / "mia" / "tesis.txt").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("law.json", "{}", "law.json.*KeyError"),
        ("law.json", "no", "law.json, line 1: not JSON"),
        ("articles.jsonl", '{"law_id": 3, "struck": []}', "articles.jsonl, line 1, key law_id"),
        ("audit.json", None, "audit.json does not exist"),
    ],
)
def test_a_damaged_corpus_is_named(law: Law, tmp_path: Path, name: str, text: str | None, message: str) -> None:
    folder = law.save(tmp_path / "ley")
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text)
    with pytest.raises(LeyloraError, match=message):
        Law.load(folder)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2014-02-10", date(2014, 2, 10)),
        ("22-oct.-2009", date(2009, 10, 22)),
        ("20-oct-2008", date(2008, 10, 20)),
        ("Suplemento 242, 1-II-2023", date(2023, 2, 1)),
        ("No. 167 , 16 de Diciembre 2005", date(2005, 12, 16)),
        ("24 de Diciembre del 2019 .", date(2019, 12, 24)),
        ("31 de febrero de 2019", None),
        ("sin fecha", None),
    ],
)
def test_dates_as_publishers_write_them(text: str, day: date | None) -> None:
    assert parse_date(text) == day


def test_a_law_in_the_catalogue_takes_its_name_from_there() -> None:
    found, _ = read_metadata(["CODIGO ORGANICO INTEGRAL PENAL, COIP", "Estado: Reformado"], None, [])
    assert (found.id, found.name, found.siglas) == ("coip", "Código Orgánico Integral Penal", "COIP")
    assert found.published == date(2014, 2, 10)
    assert found.last_reform is None


def test_without_a_header_the_reform_marks_date_the_edition() -> None:
    marks = [
        "(Sustituido por el Art. 1, R.O. 5-S, 3-II-2020)",
        "publicada en Registro Oficial 9 de 4 de Marzo del 2022 .",
    ]
    found, reform_source = read_metadata(["Ley de Plazas"], None, marks)
    assert (found.last_reform, reform_source) == (date(2022, 3, 4), "reform marks")


def test_a_law_without_a_title_still_has_a_name() -> None:
    found, _ = read_metadata([], None, [])
    assert (found.id, found.name) == ("ley", "Ley sin nombre")
    assert read_metadata([], "mi-ley", [])[0].id == "mi-ley"
    assert slug("Ley Orgánica de Aguas, Ríos y Ñandúes") == "ley-organica-de-aguas-rios-y-nandues"


def test_the_catalogue_is_sound() -> None:
    entries = catalog()
    assert len({entry.id for entry in entries}) == len(entries) >= 11
    assert all(entry.url.startswith("https://") for entry in entries if entry.url)
    assert all(entry.registro_oficial and entry.published for entry in entries)
    names = [name.lower() for entry in entries for name in (entry.name, *entry.aliases)]
    assert len(set(names)) == len(names)
    found = find_in_catalog("CONSTITUCION DE LA REPUBLICA DEL ECUADOR 2008")
    assert found is not None
    assert found.id == "constitucion"
    assert find_in_catalog("Ley de Plazas") is None


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("laws: [{id: x}]")
    with pytest.raises(LeyloraError, match="key name: Field required"):
        catalog(file)
    file.write_text("nada: 1")
    with pytest.raises(LeyloraError, match="is not a catalogue of laws"):
        catalog(file)


def test_two_editions_are_compared(law: Law) -> None:
    def changed(number: str, **update: object) -> Law:
        articles = [one.model_copy(update=update) if one.number == number else one for one in law]
        return replace(law, articles=tuple(articles))

    same = compare(law, law)
    assert (same.added, same.repealed, same.reformed, same.unchanged) == ([], [], [], len(law) - 1)  # 4 is repealed
    reformed = compare(law, changed("3", body=law["3"].body.replace("Libros", "Revistas")))
    assert [old.number for old, _ in reformed.reformed] == ["3"]
    assert [old.number for old in compare(law, changed("3", status="derogado")).repealed] == ["3"]
    assert [new.number for new in compare(law, changed("4", status="vigente", body="Vuelve.")).added] == ["4"]
    assert [new.number for new in compare(law, changed("3", status="dudoso")).doubtful] == ["3"]
    shorter = replace(law, articles=law.articles[:-1])
    assert [old.number for old in compare(law, shorter).repealed] == ["21"]


def test_words_are_compared_not_lines() -> None:
    runs = list(word_diff("Se presta un\nlibro por mes.", "Se presta un libro y un mapa por mes."))
    assert [(run.kind, run.text) for run in runs] == [
        ("same", "Se presta un libro"),
        ("added", "y un mapa"),
        ("same", "por mes."),
    ]
    long = list(shortened(word_diff("a " * 50 + "b", "a " * 50 + "c"), context=3))
    assert [run.text for run in long] == ["[…] a a a", "b", "c"]
