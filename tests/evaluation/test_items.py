import json
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from leylora.data.benchmark import check_item, load_benchmark
from leylora.data.duplicates import marks, union
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.grading import KnownArticles, citations, passes
from leylora.evaluation.items import (
    BENCHMARK,
    Sources,
    benchmark_items,
    choices_from_law,
    format_items,
    questions,
    spanish_items,
    spread,
)
from leylora.evaluation.scoring import own_question
from leylora.laws.catalog import catalog
from leylora.laws.law import Law
from leylora.laws.parse import parse_file
from leylora.project import SAMPLES

from ..laws.pdf_printer import PrintedLaw, print_law
from .made_up_results import make_law


@pytest.fixture(scope="module")
def sample_law(tmp_path_factory: pytest.TempPathFactory) -> Law:
    pdf = tmp_path_factory.mktemp("law") / "ley.pdf"
    print_law(PrintedLaw.load(SAMPLES / "ley-de-muestra.yaml"), "lexis", pdf)
    return parse_file(pdf, law_id="ley-de-muestra")


def test_the_projects_own_items_are_whole() -> None:
    formats, spanish = list(format_items()), list(spanish_items())
    assert 40 <= len(formats) <= 60
    for item in formats:
        assert item.checks
        assert all(passes(check, "prueba") in (True, False) for check in item.checks)  # each rule exists
    assert 40 <= len(spanish) <= 60
    assert Counter(item.task for item in spanish).keys() == {"qa", "summary", "translation"}
    assert len({item.cluster for item in spanish if item.task == "qa"}) == 9  # two questions on each text
    for item in spanish:
        if item.task == "qa":
            assert item.accepted[0].lower() in item.messages[0]["content"].lower() or len(item.accepted) > 1


def test_no_own_item_is_in_the_samples_that_the_demo_trains_on() -> None:
    texts = [path.read_text("utf-8") for path in (SAMPLES / "instructions").iterdir()]
    texts.append((SAMPLES / "ley-de-muestra.yaml").read_text("utf-8"))
    trained = union(texts)
    shared = [
        item.id
        for item in (*format_items(), *spanish_items())
        if not trained.isdisjoint(marks(own_question(item.messages).rpartition("Texto: ")[2]))
    ]
    assert shared == []


def test_the_benchmark_without_laws_is_asked_closed_book_and_says_so() -> None:
    items, findings = benchmark_items(load_benchmark(BENCHMARK), [])
    assert {item.setting for item in items} == {"closed-book"}
    assert findings[-1].kind == "no-laws"
    assert {one.kind for one in findings[:-1]} == {"no-law-text"}
    assert sum(one.count or 0 for one in findings[:-1]) == 34  # 26 grounded and 8 to be declined
    for item in items:
        assert "Artículos:" not in item.messages[-1]["content"]
        assert item.messages[0]["content"].endswith("No es asesoría legal.")
        if item.ask == "choose":
            assert item.options[item.correct or 0] == item.reference


def test_a_law_whose_id_came_from_its_files_name_is_the_benchmarks_own_by_name_and_edition() -> None:
    entry = next(entry for entry in catalog() if entry.id == "logjcc")
    law = make_law("logjcc-2020", entry.name, entry.siglas, range(1, 203), date(2020, 2, 3))
    asked = [one for one in load_benchmark(BENCHMARK) if one.law_id == "logjcc"]
    items, notes = benchmark_items(asked, [law])
    assert notes == []
    assert {item.law_id for item in items} == {"logjcc-2020"}
    grounded = next(item for item in items if item.setting == "grounded" and item.article)
    said = f"Art. {grounded.article}, {entry.name}, ed. 2020-02-03; artículo 900 de la LOGJCC"
    for others in ([], benchmark_items(asked, [])[0]):  # with items that know the law by the catalogue alone
        (right, invented) = citations(said, grounded, KnownArticles([*items, *others], [law]))
        assert (right.verdict, right.law_id) == ("right", "logjcc-2020")
        assert invented.verdict == "invented"
    other, notes = benchmark_items(asked, [replace(law, last_reform=date(2019, 1, 1))])
    assert {item.law_id for item in other} == {"logjcc"}
    assert notes


def test_choices_made_from_a_law_hold_in_it_and_are_asked_with_it_too(sample_law: Law) -> None:
    numbers = [article.number for article in sample_law][:40]
    made = choices_from_law(sample_law, numbers)
    assert len(made) > 12
    assert {check_item(item, [sample_law]).verdict for item in made} == {"right"}
    places = Counter(item.correct for item in made)
    assert max(places.values()) - min(places.values()) <= 1
    assert made == choices_from_law(sample_law, numbers[::-1])
    items, notes = benchmark_items(made, [sample_law])
    assert notes == []
    assert Counter(item.setting for item in items) == {"closed-book": len(made), "grounded": len(made)}
    grounded = next(item for item in items if item.setting == "grounded")
    assert any(citation.startswith(f"Art. {grounded.article},") for citation in grounded.supplied)
    assert 2 <= len(grounded.supplied) <= 3


def test_a_limit_takes_of_every_task_and_always_the_same() -> None:
    items, _ = benchmark_items(load_benchmark(BENCHMARK), [])
    chosen = spread(items, 40, seed=0)
    assert len(chosen) == 40
    assert {item.task for item in chosen} == {item.task for item in items}
    counts = Counter(item.task for item in chosen)
    assert counts["multiple-choice"] == max(counts.values())
    assert chosen == spread(items, 40, seed=0) != spread(items, 40, seed=1)
    assert spread(items, 10_000, seed=0) == items


def test_rows_of_a_dataset_are_asked_as_trained_and_never_answered_in_the_prompt(tmp_path: Path) -> None:
    cite = "(Art. 3, Ley de Molinos, ed. 2022-03-04)"
    law = {
        "id": "m:3",
        "task": "deadline",
        "source": "law:molinos",
        "license": "public-domain",
        "law_id": "molinos",
        "article": "3",
        "edition": "2022-03-04",
        "source_sha256": "",
        "messages": [
            {"role": "system", "content": "Responda con la ley."},
            {"role": "user", "content": f"Artículos:\n\n{cite} Plazo\nSon tres días.\n\nPregunta: ¿Plazo?"},
            {"role": "assistant", "content": f"«Son tres días.» {cite}"},
        ],
    }
    (tmp_path / "test.jsonl").write_text(json.dumps(law) + "\n", "utf-8")
    found = questions(["law"], Sources(benchmark=None, law_rows=(tmp_path,)))
    (item,) = found.items["law"]
    assert (item.task, item.setting, item.cluster) == ("held-out", "grounded", "molinos@2022-03-04:3")
    assert item.accepted == ["«Son tres días.»"]
    assert [turn["role"] for turn in item.messages] == ["system", "user"]
    assert item.supplied == [cite.strip("()")]


def test_wrong_sources_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no suite 'laws'; there are law, instructions, spanish, prompts"):
        questions(["laws"], Sources())
    with pytest.raises(UsageError, match="Name at least one suite"):
        questions([], Sources())
    with pytest.raises(LeyloraError, match=r"test\.jsonl does not exist"):
        questions(["instructions"], Sources(instruction_rows=(tmp_path,)))
    with pytest.raises(LeyloraError, match="has no items"):
        questions(["law"], Sources(benchmark=None))
    (tmp_path / "test.jsonl").write_text('{"id": "x"}\n', "utf-8")
    with pytest.raises(LeyloraError, match=r"test\.jsonl, line 1: .*build the dataset again"):
        questions(["law"], Sources(law_rows=(tmp_path,)))
