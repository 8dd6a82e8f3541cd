"""Searching: Spanish words, articles by number, names of laws; the command; the shipped questions."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leylora.errors import UsageError
from leylora.grounding.index import EVERYDAY
from leylora.grounding.search import LawIndex, query_words, read_query, snippet, stem, terms
from leylora.laws.catalog import catalog
from leylora.laws.law import Law, load_laws
from leylora.project import ROOT
from leylora.text import fold

from .small_laws import dogs, fairs, index_of, law

PARSED = ROOT / "data" / "build" / "laws"
QUESTIONS = ROOT / "data" / "benchmark" / "retrieval.jsonl"


def test_accents_go_and_the_letter_ñ_stays() -> None:
    assert fold("Acción PINGÜINO Años") == "accion pinguino años"
    assert fold("an\u0303o") == "año", "a tilde written apart is the same letter"
    assert terms("el año") != terms("el ano")
    assert stem("año") == "año"


@pytest.mark.parametrize(
    "words", ["apelar apelación apelaciones", "registro registrará registrado", "multas multa", "niña niños"]
)
def test_forms_of_a_word_share_a_stem(words: str) -> None:
    assert len({stem(fold(word)) for word in words.split()}) == 1


def test_words_that_only_ask_are_left_out() -> None:
    assert query_words("¿Qué dice la ley sobre la multa?") == ["multa"]
    assert query_words("¿Qué es la ley?") == ["ley"]


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("plazo para registrar", "3"),
        ("PLAZO DE REGÍSTRO", "3"),
        ("¿En qué término se apela la multa?", "5"),
        ("vacunar", "6"),
        ("¿Qué es un perro?", "2"),
        ("descanso del año", "9"),
        ("revisar el ano", "10"),
        ("¿Qué cárcel le espera a quien asesina a un perro?", "7"),
    ],
)
def test_words_find_their_article(index: LawIndex, query: str, number: str) -> None:
    best = index.search(query, 1)[0]
    assert (best.article.law.id, best.article.number, best.direct) == ("perros", number, False)


def test_a_word_without_its_ñ_is_understood_unless_it_is_one_of_its_own(index: LawIndex) -> None:
    assert index.search("manana", 1)[0].article.number == "2"
    assert index.search("ano", 1)[0].article.number == "10"


@pytest.mark.parametrize(
    "query",
    [
        "LPER 4",
        "lper, 4",
        "4 LPER",
        "art. 4 LPER",
        "artículo 4 de la Ley de Perros",
        "ley de perros 4",
        "L.P.E.R. art 4",
    ],
)
def test_an_article_is_found_by_its_number(index: LawIndex, query: str) -> None:
    hits = index.search(query)
    assert hits[0].direct
    assert hits[0].article.citation == dogs().cite("4")


def test_a_numeral_is_shown_first(index: LawIndex) -> None:
    hit = index.search("art 6 num 2 lit a ley de perros")[0]
    assert hit.direct
    assert hit.passage.startswith("2. Cuidar el agua")


def test_a_number_without_a_law_finds_every_article_that_has_it(index: LawIndex) -> None:
    hits = index.search("artículo 4")
    assert {hit.article.law.id for hit in hits if hit.direct} == {"perros", "ferias"}
    assert index.search("artículo 4 sobre los puestos")[0].article.law.id == "ferias"
    assert {hit.article.law.id for hit in index.search("En la LFER, ¿qué dice el art. 4?") if hit.direct} == {"ferias"}


def test_a_law_that_is_named_comes_first(index: LawIndex) -> None:
    assert index.search("objeto de la ley de ferias", 1)[0].article.law.id == "ferias"
    assert index.search("objeto de la ley de perros", 1)[0].article.law.id == "perros"


def test_the_article_of_that_title_comes_before_those_that_speak_of_it(tmp_path: Path) -> None:
    articles = {
        "1": ("Venta de bienes robados", "Quien compre o venda bienes robados, o los guarde tras el robo."),
        "2": ("Robo", "La persona que sustraiga con violencia una cosa ajena cumplirá una pena de cinco años."),
    }
    index = index_of(tmp_path, law("penas", "Ley de Penas", "LP", articles, date(2024, 1, 1)))
    assert [hit.article.number for hit in index.search("robo")] == ["2", "1"]
    assert index.search("¿Qué pena tiene el robo?")[0].article.number == "2"


def test_a_repealed_article_is_marked_and_falls_behind(index: LawIndex) -> None:
    hit = index.search("collar", 1)[0]
    assert hit.article.status == "derogado"
    assert hit.as_json()["status"] == "derogado"
    assert hit.score < index.search("vacunar", 1)[0].score


def test_a_law_of_the_catalogue_that_is_not_here_is_known(index: LawIndex) -> None:
    assert index.search("COGEP 151") == []
    assert [law.siglas for law in index.absent("COGEP 151")] == ["COGEP"]


@pytest.mark.parametrize(
    "query", ["", "   ", "¿?", "zzzz", '"', "NEAR(", "zz* OR qq", "rubric:x", "\x00", "'; DROP TABLE", "😀"]
)
def test_odd_queries_do_no_harm(index: LawIndex, query: str) -> None:
    assert index.search(query) == []


def test_long_queries_are_answered(index: LawIndex) -> None:
    assert index.search("plazo de registro " + " ".join(f"w{number}" for number in range(5_000)), 1)


def test_a_query_is_taken_apart() -> None:
    asked = read_query("¿Qué multa prevé el artículo 4 de la Ley de Perros?", [dogs(), fairs()])
    assert [(cited.law_id, cited.article) for cited in asked.citations] == [("perros", "4")]
    assert (asked.law_ids, asked.words, asked.definition) == (frozenset({"perros"}), ("multa",), False)


def test_a_snippet_shows_the_words_sought() -> None:
    sought = frozenset(terms("plazos"))
    text, words = snippet("Nada aquí. " * 60 + "El plazo vence pronto. " + "Nada allá. " * 60, sought)
    assert "plazo vence" in text
    assert text.startswith("… ")
    assert text.endswith(" …")
    assert [text[slice(*span)] for span in words] == ["plazo"]


def test_a_name_with_a_comma_is_a_name_and_siglas_may_have_full_stops() -> None:
    laws = [law("aguas", "Ley de Aguas, Riego y Acequias", "LARA", {"5": ("Riego", "Se riega.")}, date(2020, 1, 1))]
    asked = read_query("plazo en la Ley de Aguas, Riego y Acequias para pagar", laws)
    assert (asked.law_ids, asked.words) == (frozenset({"aguas"}), ("plazo", "pagar"))
    (cited,) = read_query("L.A.R.A. 5", laws).citations
    assert (cited.law_id, cited.article) == ("aguas", "5")


def test_the_command(folder: Path) -> None:
    from leylora.project import ROOT

    app = _script(ROOT / "scripts" / "search_laws.py")
    shown = CliRunner().invoke(app, ["plazo de registro", "--laws", str(folder), "--limit", "1"])
    assert "2024-08-15" in shown.stdout
    assert "Plazo de registro" in shown.stdout
    lines = CliRunner().invoke(app, ["LPER 4", "--laws", str(folder), "--json"]).stdout.splitlines()
    assert json.loads(lines[0])["citation"] == dogs().cite("4")
    nothing = CliRunner().invoke(app, ["COGEP 151", "--laws", str(folder)])
    assert nothing.exit_code == 0
    assert "Nothing found" in nothing.output
    empty = CliRunner().invoke(app, [" ", "--laws", str(folder)]).exception
    assert isinstance(empty, UsageError)
    assert "Say what to search for" in str(empty)


def test_the_shipped_paraphrases_are_true_of_their_articles() -> None:
    """Runs where the four laws are parsed; the articles must hold what the questions rest on."""
    rows = [json.loads(line) for line in QUESTIONS.read_text("utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == len({row["question"] for row in rows}) == len(rows)
    laws: dict[tuple[str, str], Law] = {}
    if any(PARSED.glob("*/law.json")):
        laws = {(law.id, law.edition): law for law in load_laws(PARSED)}
    checked = 0
    for row in rows:
        law = laws.get((row.get("law_id", ""), row.get("edition", "")))
        if row["kind"] == "paraphrase" and law is not None:
            article = law[row["article"]]
            text = " ".join(fold(f"{article.rubric or ''} {article.body}").split())
            assert all(fold(words) in text for words in row["evidence"]), row["id"]
            checked += 1
    if not checked:
        pytest.skip("the laws of the questions are not parsed here")


def _script(path: Path):  # type: ignore[no-untyped-def]  # a typer app
    import importlib.util

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_the_shipped_everyday_words_are_sound() -> None:
    lines = [line.split("\t") for line in EVERYDAY.read_text("utf-8").splitlines()]
    assert all(len(line) == 2 for line in lines)
    laws = {entry.id for entry in catalog()}
    articles = [key for key, _ in lines if ":" in key]
    assert len(articles) == len(set(articles))
    assert {key.partition(":")[0] for key, _ in lines} <= {*laws, "-"}
    assert all(phrase.strip() for _, said in lines for phrase in said.split(", "))
