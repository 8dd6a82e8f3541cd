"""Rows made from laws: bounded, balanced, split-safe, and the same in every process."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from leylora.data.compose import TaskSettings
from leylora.data.generate import generate
from leylora.data.law_text import is_deictic
from leylora.data.verify import CitableLaws, verify_row
from leylora.errors import UsageError
from leylora.grounding.prompt import read_grounded_prompt
from leylora.laws.law import Law

LOOSE = TaskSettings(max_template_share=1.0, max_closed_share=1.0, max_abstain_share=1.0)


def test_every_row_is_verified_bounded_and_complete(laws: list[Law], shelf: CitableLaws) -> None:
    rows, report = generate(laws, LOOSE, 5)
    assert report.rows == len(rows) > 300
    assert not [reason for reason in report.dropped if reason.startswith("verifier")], report.samples
    assert all(verify_row(row, shelf) == [] for row in rows)
    assert len({row.id for row in rows}) == len(rows)
    per_article = Counter((row.law_id, row.edition, row.article) for row in rows)
    assert max(per_article.values()) <= 8
    for row in rows:
        assert row.source_sha256
        assert row.license == "public-domain"
        assert row.answer.rstrip().endswith(f"ed. {row.edition})"), row.answer


def test_distractors_and_articles_come_from_the_members_only(muestra: Law) -> None:
    members = {("huertos", row.number) for row in muestra.articles[::2]}
    rows, _ = generate([muestra], LOOSE, 5, members=members)
    cited = {muestra.cite(number): number for _, number in members}
    for row in rows:
        assert ("huertos", row.article) in members
        for given in read_grounded_prompt(row.prompt)[1]:
            assert given.citation in cited


def test_number_of_articles_in_a_prompt_and_length_of_a_row(muestra: Law) -> None:
    settings = LOOSE.model_copy(update={"distractors": (1, 1), "max_characters": 1_000})
    rows, _ = generate([muestra], settings, 5)
    sizes = {len(read_grounded_prompt(row.prompt)[1]) for row in rows}
    assert sizes == {0, 2}
    assert max(row.characters for row in rows) <= 1_000
    tight, report = generate([muestra], settings.model_copy(update={"max_characters": 400}), 5)
    assert max(row.characters for row in tight) <= 400
    assert report.dropped["longer than max_characters"] > 0


def test_shares_of_kinds_and_wordings_and_the_row_limit(laws: list[Law]) -> None:
    rows, report = generate(laws, TaskSettings(), 5)
    abstaining = report.by_kind["abstain"] / report.rows
    assert abstaining <= 0.225
    assert report.by_kind["closed"] / report.rows <= 0.155
    wordings = Counter(row.id.rsplit(":", 1)[1] for row in rows)
    assert max(wordings.values()) <= max(1, 0.05 * len(rows))
    few, report = generate(laws, TaskSettings(max_rows=60), 5)
    assert 45 <= len(few) <= 60
    assert 0.1 < report.by_kind["abstain"] / report.rows <= 0.25


def test_no_closed_book_answer_points_outside_itself(laws: list[Law]) -> None:
    rows, _ = generate(laws, LOOSE, 5)
    for row in rows:
        if row.task == "verbatim" and not read_grounded_prompt(row.prompt)[1]:
            assert not is_deictic(row.answer)


def test_doubtful_articles_are_never_asked_about_nor_shown(laws: list[Law]) -> None:
    rows, _ = generate(laws, LOOSE, 5)
    assert all(row.article != "31" for row in rows if row.law_id == "huertos")
    assert all("dos versiones impresas" not in row.prompt for row in rows)


def test_two_editions_answer_from_the_one_that_was_asked_for(laws: list[Law]) -> None:
    rows, _ = generate(laws, LOOSE, 5)
    found = [row for row in rows if row.task == "temporal-editions"]
    assert {row.article for row in found} >= {"3"}
    for row in found:
        said = {given.citation[-10:] for given in read_grounded_prompt(row.prompt)[1] if "Art. 3," in given.citation}
        assert row.edition in row.prompt
        if row.article == "3":
            assert said == {"2024-05-06", "2020-01-02"}
            assert ("treinta" if row.edition == "2024-05-06" else "sesenta") in row.answer


PROGRAM = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from conftest import huertos, ferias
from leylora.data.compose import TaskSettings
from leylora.data.generate import generate
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
        (TaskSettings(families=["verbatim", "poema"]), "Unknown task family poema; choose from topic"),
        (TaskSettings(grounded_per_article=7, closed_per_article=2), "At most 8 rows an article"),
        (TaskSettings(distractors=(4, 2)), "the fewest come first"),
    ],
)
def test_settings_that_mean_nothing(settings: TaskSettings, message: str, muestra: Law) -> None:
    with pytest.raises(UsageError, match=message):
        generate([muestra], settings, 1)


def test_the_same_law_twice(muestra: Law) -> None:
    with pytest.raises(UsageError, match=r"huertos, ed\. 2024-05-06, was given twice"):
        generate([muestra, muestra], TaskSettings(), 1)


def test_a_law_of_one_article_gives_closed_rows_only(muestra: Law) -> None:
    rows, _ = generate([muestra], LOOSE, 1, members={("huertos", "5")})
    assert rows
    assert all(not read_grounded_prompt(row.prompt)[1] for row in rows)
