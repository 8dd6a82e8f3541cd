"""Rows made from laws: bounded, balanced, split-safe, and the same in every process."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from leylora.data.compose import TaskSettings, human_date
from leylora.data.generate import generate, written_rows
from leylora.data.verify import CitableLaws, verify_row
from leylora.data.written import WrittenQuestion, question_split
from leylora.errors import UsageError
from leylora.grounding.prompt import read_grounded_prompt
from leylora.laws.law import Law

LOOSE = TaskSettings(max_template_share=1.0, max_closed_share=1.0, max_abstain_share=1.0)


def test_every_row_is_verified_bounded_and_complete(laws: list[Law], shelf: CitableLaws) -> None:
    rows, report = generate(laws, LOOSE, 5)
    assert report.rows == len(rows) > 300
    # "el artículo 6 de la Ley de Huertos" means the newest of two editions, also in a row on the older one.
    refused = {reason for reason in report.dropped if reason.startswith("verifier")}
    assert refused <= {"verifier: cites an article that was not supplied"}, report.samples
    assert all(verify_row(row, shelf) == [] for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    per_article = Counter((row.law_id, row.edition, row.article) for row in rows)
    assert max(per_article.values()) <= 8 + 1 + 2  # a rewriting and two dialogues come on top
    for row in rows:
        assert row.source_sha256
        assert row.license == "public-domain"
        assert f"ed. {row.edition})" in row.answer or row.task == "rewrite", row.answer
        assert not re.search(r"\{\w*\}", row.answer), row.answer


def test_distractors_and_articles_come_from_the_members_only(muestra: Law) -> None:
    members = {("huertos", row.number) for row in muestra.articles[::2]}
    rows, _ = generate([muestra], LOOSE, 5, members=members)
    cited = {muestra.cite(number): number for _, number in members}
    for row in rows:
        assert ("huertos", row.article) in members
        for given in read_grounded_prompt(row.messages[-2].content)[1]:
            assert given.citation in cited


def test_number_of_articles_in_a_prompt_and_length_of_a_row(muestra: Law) -> None:
    settings = LOOSE.model_copy(update={"distractors": (1, 1), "max_characters": 1_000})
    rows, _ = generate([muestra], settings, 5)
    sizes = {len(read_grounded_prompt(row.messages[-2].content)[1]) for row in rows}
    assert sizes <= {0, 2, 3}  # three where the answer rests on two articles
    assert max(row.characters for row in rows) <= 1_000
    tight, report = generate([muestra], settings.model_copy(update={"max_characters": 400}), 5)
    assert max(row.characters for row in tight) <= 400
    assert report.dropped["longer than max_characters"] > 0


def test_shares_of_kinds_and_wordings_and_the_row_limit(laws: list[Law]) -> None:
    rows, report = generate(laws, TaskSettings(), 5)
    abstaining = report.by_kind["abstain"] / report.rows
    assert abstaining <= 0.165
    assert report.by_kind["closed"] / report.rows <= 0.04
    wordings = Counter(
        (row.id.rsplit(":", 1)[1], "dialogue" in row.id and row.messages[-2].content[-30:]) for row in rows
    )
    assert max(wordings.values()) <= max(1, 0.03 * len(rows) + 1)
    few, report = generate(laws, TaskSettings(max_rows=60), 5)
    assert 30 <= len(few) <= 60
    assert 0 < report.by_kind["abstain"] / report.rows <= 0.2


def test_doubtful_articles_are_never_asked_about_nor_shown(laws: list[Law]) -> None:
    rows, _ = generate(laws, LOOSE, 5)
    assert all(row.article != "31" for row in rows if row.law_id == "huertos")
    assert all("dos versiones impresas" not in row.prompt for row in rows)


def test_two_editions_answer_from_the_one_that_was_asked_for(laws: list[Law]) -> None:
    rows, _ = generate(laws, LOOSE, 5)
    found = [row for row in rows if row.task == "temporal-editions"]
    assert {row.article for row in found} >= {"3"}
    for row in found:
        said = {
            given.citation[-10:]
            for given in read_grounded_prompt(row.messages[-2].content)[1]
            if "Art. 3," in given.citation
        }
        assert human_date(row.edition) in row.prompt
        if row.article == "3":
            assert said == {"2024-05-06", "2020-01-02"}
            assert ("treinta" if row.edition == "2024-05-06" else "sesenta") in row.answer


PROGRAM = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from conftest import huertos, ferias
from leylora.data.compose import TaskSettings
from leylora.data.generate import generate, written_rows
rows, _ = generate([huertos(), ferias()], TaskSettings(), 11)
print(hashlib.sha256("".join(row.model_dump_json() for row in rows).encode()).hexdigest())
"""


def test_the_same_bytes_in_every_process(laws: list[Law]) -> None:
    rows, _ = generate([laws[0], laws[2]], TaskSettings(), 11)
    here = hashlib.sha256("".join(row.model_dump_json() for row in rows).encode()).hexdigest()
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(folder=str(Path(__file__).parent))],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == here
    other, _ = generate([laws[0], laws[2]], TaskSettings(), 12)
    assert [row.model_dump() for row in other] != [row.model_dump() for row in rows]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TaskSettings(families=["verbatim", "poema"]), "Unknown task family poema; choose from penalty"),
        (TaskSettings(grounded_per_article=7, closed_per_article=1), "At most 8 rows an article"),
        (TaskSettings(distractors=(4, 2)), "the fewest come first"),
    ],
)
def test_settings_that_mean_nothing(settings: TaskSettings, message: str, muestra: Law) -> None:
    with pytest.raises(UsageError, match=message):
        generate([muestra], settings, 1)


def test_the_same_law_twice(muestra: Law) -> None:
    with pytest.raises(UsageError, match=r"huertos, ed\. 2024-05-06, was given twice"):
        generate([muestra, muestra], TaskSettings(), 1)


def test_a_law_of_one_article_gives_rows_without_articles_only(muestra: Law) -> None:
    rows = [row for seed in range(60) for row in generate([muestra], LOOSE, seed, members={("huertos", "12")})[0]]
    assert rows
    assert all(not read_grounded_prompt(row.messages[-2].content)[1] for row in rows)


def asked(**fields: Any) -> WrittenQuestion:
    values: dict[str, Any] = {"id": "q", "question": "¿Y si me roban las semillas?", "theme": "penal", "style": "plain"}
    values |= {"articles": [["huertos:5"]], "answer": "Seis meses a dos años de prisión ({cita huertos:5})."} | fields
    split = next((question_split(one) for accepted in values["articles"] for one in accepted), "train")
    return WrittenQuestion.model_validate(values | {"split": split})


@pytest.fixture(scope="module")
def two_laws(laws: list[Law]) -> list[Law]:
    return [laws[0], laws[2]]


def test_written_questions_become_rows(two_laws: list[Law]) -> None:
    rows, report = written_rows(two_laws, LOOSE, 1, questions=[asked()])
    assert len(rows) == report.rows == LOOSE.written_variants
    for row in rows:
        question, given = read_grounded_prompt(row.messages[-2].content)
        assert question == "¿Y si me roban las semillas?" or row.id.endswith((":1", ":2"))
        assert (row.articles, row.task, row.source) == (["huertos:5"], "consultation", "data/questions")
        assert "Art. 5, Ley de Huertos Vecinales, ed. 2024-05-06" in {one.citation for one in given}
        assert len(given) > 1
    assert len({row.messages[-2].content for row in rows}) > 1


def test_a_written_answer_that_the_law_denies_is_dropped(two_laws: list[Law]) -> None:
    wrong = asked(answer="Seis meses a nueve años de prisión ({cita huertos:5}).")
    rows, report = written_rows(two_laws, LOOSE, 1, questions=[wrong])
    assert not rows
    assert report.dropped["verifier: number is not in the article"] == LOOSE.written_variants


def test_earlier_turns_are_plain_and_come_first(two_laws: list[Law]) -> None:
    before = [{"question": "¿Qué pena tiene el robo?", "answer": "De seis meses a dos años ({cita huertos:5})."}]
    rows, _ = written_rows(two_laws, LOOSE, 1, questions=[asked(previous=before)])
    assert [turn.role for turn in rows[0].messages] == ["system", "user", "assistant", "user", "assistant"]
    assert rows[0].messages[1].content == "¿Qué pena tiene el robo?"
    assert rows[0].task == "dialogue"


def test_what_no_law_here_answers_is_said_only_among_its_writers_laws(two_laws: list[Law]) -> None:
    outside = asked(id="o", articles=[], answer="Eso no lo dice esta ley; pregunte en el municipio.", missing="law")
    rows, _ = written_rows([two_laws[0]], LOOSE, 1, questions=[asked(), outside])
    found = [row for row in rows if row.task == "out-of-scope"]
    assert found
    assert all(row.answer.startswith("No consta en estos artículos.") and not row.articles for row in found)
    rows, _ = written_rows(two_laws, LOOSE, 1, questions=[asked(), outside])
    assert not [row for row in rows if row.task == "out-of-scope"]


def test_a_question_waits_for_the_split_of_its_articles(two_laws: list[Law]) -> None:
    rows, report = written_rows(two_laws, LOOSE, 1, members={("huertos", "6"), ("huertos", "7")}, questions=[asked()])
    assert not rows
    assert not report.dropped


def test_prompts_mix_laws_and_some_rows_have_two_turns(laws: list[Law]) -> None:
    rows, _ = generate([laws[0], laws[2]], LOOSE, 5)
    systems = [row for row in rows if "Ferias" in row.messages[0].content and "Huertos" in row.messages[0].content]
    assert len(systems) > 0.1 * len(rows)
    dialogues = [row for row in rows if row.task == "dialogue"]
    assert len(dialogues) > 0.1 * len(rows)
    assert all("Artículos:" not in row.messages[1].content for row in dialogues)
    assert {name.partition(":")[0] for row in rows for name in row.articles} == {"huertos", "ferias"}
