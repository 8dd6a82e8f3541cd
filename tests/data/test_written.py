"""Questions written by hand: rows, holes, split and sheets, each fault planted; and what the shipped files hold."""

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from leylora.data.written import (
    QUESTIONS,
    WrittenQuestion,
    agreement,
    fill,
    load_questions,
    question_faults,
    question_split,
    read_verdicts,
    retrieval_rows,
    same_questions,
    shares,
    write_sheet,
)
from leylora.errors import LeyloraError
from leylora.files import read_jsonl, write_jsonl
from leylora.laws.law import Law
from leylora.project import ROOT
from scripts import questions as command

from .conftest import article, law

BODIES = {
    "1": "La persona que pase los puentes con carga pagará dos dólares.\nEl cobro se hará en la entrada.",
    "2": "Son causas de suspensión:\n1. La crecida del río.\n2. El daño de las barandas, mientras dure.",
    "3": "Texto antiguo.",
}


@pytest.fixture(name="bridges")
def _bridges() -> list[Law]:
    rows = [
        article(number, None, body, "derogado" if number == "3" else "vigente", "puentes")
        for number, body in BODIES.items()
    ]
    return [law("puentes", "Ley de Puentes", "LP", "2020-01-01", rows)]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "a",
        "question": "¿Me cobran si paso el puente con una carga?",
        "articles": [["puentes:1"]],
        "answer": "Sí, son dos dólares ({cita puentes:1}). Dice así: {texto puentes:1 dos dolares}.",
        "theme": "transit",
        "style": "plain",
        "split": question_split("puentes:1"),
    } | changes


def question(**changes: Any) -> WrittenQuestion:
    return WrittenQuestion.model_validate(row(**changes))


def test_holes_are_filled_from_the_parsed_law(bridges: list[Law]) -> None:
    assert fill(question().answer, bridges) == (
        "Sí, son dos dólares (Art. 1, Ley de Puentes, ed. 2020-01-01). "
        "Dice así: «La persona que pase los puentes con carga pagará dos dólares.»."
    )
    assert fill("{texto puentes:2 barandas}", bridges) == "«El daño de las barandas, mientras dure.»"
    assert question_faults(question(), bridges) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"answer": "Sí ({cita puentes:9}, {cita puentes:1})."}, "puentes:9: not an article in force"),
        ({"answer": "Sí ({cita puentes:3}, {cita puentes:1})."}, "puentes:3: not an article in force"),
        ({"answer": "Sí ({cita puentes:1}): {texto puentes:1 aduana}."}, "'aduana' stands in 0 sentences"),
        ({"answer": "Sí ({cita puentes:1}): {texto puentes:2 causas}."}, "a lead-in"),
        ({"answer": "Sí ({cita puentes:1}): {texto puentes:1}."}, "names no words"),
        (
            {"answer": "La persona que pase los puentes con carga pagará dos dólares ({cita puentes:1})."},
            "eight words in a row of the law",
        ),
        ({"answer": "Sí. Sí. Sí. Sí. Sí. Sí. Sí ({cita puentes:1})."}, "one to six sentences"),
    ],
)
def test_a_row_that_the_laws_cannot_bear_is_named(changes: dict[str, Any], fault: str, bridges: list[Law]) -> None:
    (found,) = question_faults(question(**changes), bridges)
    assert fault in found


def test_an_unknown_law_is_named(bridges: list[Law]) -> None:
    (found,) = question_faults(question(), [])
    assert found == "puentes:1: the law 'puentes' is not among those parsed."
    with pytest.raises(LeyloraError, match="the law 'coip' is not"):
        fill("{cita coip:144}", bridges)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"theme": "sport"}, "theme 'sport'"),
        ({"articles": []}, "exactly when `missing` is law"),
        ({"missing": "law"}, "exactly when `missing` is law"),
        ({"articles": [["puentes:1"], []]}, "exactly when `missing` is law"),
        ({"split": "train" if question_split("puentes:1") != "train" else "test"}, "names an article of the"),
        ({"articles": [["puentes:1"], ["puentes:2"]]}, "cites none of set 2, puentes:2"),
        ({"answer": "Sí ({cita puentes:1}) {quote puentes:1}."}, "a brace that is no hole"),
        ({"articles": [["puentes"]], "answer": "Sí {cita puentes:1}."}, "write law and number as coip:144"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(changes: dict[str, Any], fault: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [row(), row(id="b") | changes])
    with pytest.raises(LeyloraError, match=r"rows\.jsonl, line 2") as error:
        load_questions(tmp_path / "rows.jsonl")
    assert fault in str(error.value)


def test_an_id_given_twice_is_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [row(), row()])
    with pytest.raises(LeyloraError, match="line 2: the id 'a' is taken"):
        load_questions(tmp_path / "rows.jsonl")


def test_the_split_keeps_ten_neighbours_together_and_has_its_shares() -> None:
    assert {question_split(f"coip:{number}") for number in ("140", "141.1", "149", "144-innumerado-2")} == {
        question_split("coip:145")
    }
    drawn = [question_split(f"ley:{number}") for number in range(0, 20_000, 10)]
    assert abs(drawn.count("test") / len(drawn) - 0.25) < 0.03
    assert abs(drawn.count("development") / len(drawn) - 0.125) < 0.03


def test_questions_that_say_the_same_are_found() -> None:
    other = "Quiero saber qué pasa cuando el río crece y cierran el paso por varios días."
    rows = [question(), question(id="b"), question(id="c", question=other, answer="Se suspende ({cita puentes:1}).")]
    assert same_questions(rows) == {"b": "a"}


def test_shares_count_sets_laws_and_turns() -> None:
    both = question(
        id="b",
        articles=[["puentes:1"], ["puentes:2"]],
        answer="Sí ({cita puentes:1}) y no ({cita puentes:2}).",
        previous=[{"question": "¿Y el puente?", "answer": "Está abierto."}],
    )
    counted = shares([question(), both])
    assert (counted.rows, counted.articles, counted.two_articles, counted.two_laws, counted.dialogues) == (
        2,
        2,
        1,
        0,
        1,
    )


def test_questions_become_rows_that_measure_the_search() -> None:
    turn = {"question": "¿Y el puente?", "answer": "Está abierto."}
    led = question(id="b", question="¿Y si llueve?", previous=[turn])
    unknown = question(id="c", question="¿Cuánto cuesta el pasaje?", articles=[], missing="law", answer="No consta.")
    plain, follow, off = retrieval_rows([question(), led, unknown])
    assert (plain["kind"], plain["law_id"], plain["article"]) == ("everyday", "puentes", "1")
    assert plain["accepted"] == [["puentes:1"]]
    assert (follow["kind"], follow["previous"]) == ("follow-up", "¿Y el puente?")
    assert off["kind"] == "off-topic"
    assert "accepted" not in off
    assert {row["half"] for row in (plain, follow, off)} == {question().split}


def test_a_sheet_goes_out_and_its_verdicts_come_back(bridges: list[Law], tmp_path: Path) -> None:
    risky = question(id="b", question="=HYPERLINK(1) ¿es una fórmula?")
    lost = question(id="c", articles=[["puentes:3"]], answer="No ({cita puentes:3}).")
    assert write_sheet([question(), risky, lost], bridges, tmp_path / "sheet.csv") == ["c"]
    with (tmp_path / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [one["id"] for one in rows] == ["a", "b"]
    assert rows[0]["artículos"].startswith("Art. 1, Ley de Puentes")
    assert BODIES["1"] in rows[0]["artículos"]
    assert rows[1]["pregunta"].startswith("'="), "a spreadsheet must not run it"
    filled = "id;veredicto;comentario\na;Correcta;\nb;;\n"
    (tmp_path / "filled.csv").write_text(filled, encoding="utf-8")
    assert read_verdicts(tmp_path / "filled.csv") == {"a": "correcta"}


def test_a_sheet_with_another_word_or_without_its_column_is_refused(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("id,veredicto\na,quizá\n", encoding="utf-8")
    with pytest.raises(LeyloraError, match=r"a: the verdict 'quizá' is none of correcta"):
        read_verdicts(sheet)
    sheet.write_text("id,otro\na,correcta\n", encoding="utf-8")
    with pytest.raises(LeyloraError, match="no column veredicto"):
        read_verdicts(sheet)


def test_agreement_is_cohens_kappa() -> None:
    """Cohen's 1960 formula by hand: 20 of 40 both right, 10 both wrong, 10 split: (0.75 - 0.5) / 0.5."""
    one = {f"{number}": "correcta" if number < 25 else "incorrecta" for number in range(40)}
    two = {f"{number}": "correcta" if number < 20 or number >= 35 else "incorrecta" for number in range(40)}
    found = agreement(one, two)
    chance = (25 * 25 + 15 * 15) / 1600
    assert (found.both, found.same) == (40, 30)
    assert found.kappa == pytest.approx((0.75 - chance) / (1 - chance))
    assert len(found.disputed) == 10
    assert agreement({"a": "correcta"}, {"a": "correcta"}).kappa is None


def test_the_commands_check_hand_out_and_count(bridges: list[Law], tmp_path: Path) -> None:
    laws, rows = tmp_path / "laws", tmp_path / "rows.jsonl"
    bridges[0].save(laws / "puentes")
    write_jsonl(rows, [row(), row(id="b", answer="Sí ({cita puentes:1}): {texto puentes:1 aduana}.")])
    run = CliRunner()
    checked = run.invoke(command.app, ["check", str(rows), "--laws", str(laws)])
    assert checked.exit_code == 1
    assert "b: 'aduana' stands in 0 sentences" in checked.output
    for name in ("one", "two"):
        (tmp_path / name).write_text("id,veredicto\na,correcta\n", encoding="utf-8")
    counted = run.invoke(command.app, ["agreement", str(tmp_path / "one"), str(tmp_path / "two")])
    assert counted.exit_code == 0
    assert "1 alike" in counted.output
    refused = run.invoke(command.app, ["sheet", "--laws", str(laws), "--out", str(rows)])
    assert "exists and may hold verdicts" in str(refused.exception)


def test_the_shipped_questions_are_sound() -> None:
    questions = load_questions()
    assert len(questions) == 2236, "data/questions/README.md says how many"
    assert same_questions(questions) == {}
    measured = [row for _, row in read_jsonl(ROOT / "data" / "benchmark" / "retrieval.jsonl") if "half" in row]
    assert measured == retrieval_rows(load_questions(QUESTIONS / "test.jsonl"))
