"""The shipped benchmark is well formed, and the check finds every planted wrong key."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from leylora.data.benchmark import BenchmarkItem, check_item, load_benchmark, position_counts
from leylora.data.duplicates import runs, union
from leylora.errors import LeyloraError
from leylora.laws.law import Article, Law
from leylora.project import ROOT

SHIPPED = ROOT / "data" / "benchmark" / "ecuador.jsonl"


def test_the_shipped_items_load_and_are_balanced() -> None:
    items = load_benchmark(SHIPPED)
    assert len(items) >= 300
    kinds = Counter(item.kind for item in items)
    assert set(kinds) == {
        "multiple-choice",
        "number-to-topic",
        "topic-to-number",
        "sanction",
        "deadline",
        "definition",
        "grounded",
        "unanswerable",
        "repealed",
    }
    positions = position_counts(items)
    assert set(positions) == {0, 1, 2, 3}
    assert max(positions.values()) - min(positions.values()) <= 1
    assert all(len(item.options) == 4 for item in items if item.options)
    assert all(item.edition and item.law_id for item in items)
    lengths = [
        len(item.options[item.correct]) / max(map(len, item.options)) for item in items if item.correct is not None
    ]
    assert sum(share == 1 for share in lengths) / len(lengths) < 0.5  # the longest option does not give the answer away


def test_no_item_repeats_the_words_of_a_sample_text() -> None:
    samples = (ROOT / "data" / "samples" / "ley-de-muestra.yaml").read_text("utf-8")
    assert union(item.question for item in load_benchmark(SHIPPED)).isdisjoint(runs(samples))


def item(**fields: Any) -> BenchmarkItem:
    base = {
        "id": "x",
        "kind": "deadline",
        "law_id": "aguas",
        "article": "3",
        "edition": "2022-03-04",
        "question": "¿Cuánto tiempo hay para la limpieza?",
        "answer": "8 días",
    }
    return BenchmarkItem.model_validate(base | fields)


def choice(options: list[str], correct: int, **fields: Any) -> BenchmarkItem:
    base = {
        "kind": "multiple-choice",
        "options": options,
        "correct": correct,
        "answer": options[correct],
        "evidence": ["molinos"],
    }
    return item(**base | fields)


RIGHT = [
    item(),
    item(kind="sanction", answer="8 dólares", question="¿Qué multa hay por descuidar los molinos?"),
    item(kind="topic-to-number", answer="3", evidence=["molinos"]),
    item(kind="number-to-topic", answer="la limpieza de molinos", evidence=["limpieza de molinos"]),
    item(kind="grounded", supplied=["1", "3"], evidence=["molinos"]),
    choice(["8 días", "9 días", "1 mes", "2 años"], 0),
    item(
        kind="unanswerable",
        article="",
        abstain=True,
        question="¿Qué dice el artículo 500 de la Ley de Aguas de Barrio?",
        answer="no existe",
    ),
    item(kind="unanswerable", article="", abstain=True, answer="no consta", supplied=["1", "2"], evidence=["molinos"]),
    item(
        kind="unanswerable", article="", abstain=True, answer="otro país", question="¿Qué dice el artículo 3 en Chile?"
    ),
    item(kind="repealed", article="41", abstain=True, answer="derogado"),
]

WRONG = [
    ("does not exist", item(article="900")),
    ("is derogado", item(article="41")),
    ("lacks '9 días'", item(answer="9 días")),
    ("lacks '8 meses'", item(answer="8 meses")),
    ("has no figure", item(answer="pronto")),
    ("is not the article 3", item(kind="topic-to-number", answer="4", evidence=["molinos"])),
    ("lacks 'faros'", item(kind="number-to-topic", answer="los faros", evidence=["faros"])),
    ("gives no evidence", item(kind="definition", answer="algo")),
    ("lacks the right option '9 días'", choice(["8 meses", "9 días", "1 mes", "2 años"], 1)),
    ("the wrong option '8 dólares' is in the article too", choice(["8 días", "8 dólares", "1 mes", "2 años"], 0)),
    ("has the evidence too", item(kind="grounded", supplied=["3", "15"], evidence=["molinos"])),
    ("does not exist or is not in force", item(kind="grounded", supplied=["3", "41"], evidence=["molinos"])),
    (
        "article 5 exists",
        item(
            kind="unanswerable",
            article="",
            abstain=True,
            answer="no existe",
            question="¿Qué dice el artículo 5 de la Ley de Aguas de Barrio?",
        ),
    ),
    ("asks about no article", item(kind="unanswerable", article="", abstain=True, answer="no existe")),
    (
        "the supplied articles hold 'molinos'",
        item(kind="unanswerable", article="", abstain=True, answer="no consta", supplied=["3"], evidence=["molinos"]),
    ),
    ("is vigente, not derogado", item(kind="repealed", abstain=True, answer="derogado")),
]


@pytest.fixture(scope="module")
def aguas(plain_laws: list[Law]) -> list[Law]:
    """The invented law with a repealed article 41."""
    law = plain_laws[0]
    gone = Article(law_id="aguas", kind="articulo", number="41", rubric=None, body="", status="derogado")
    rows = tuple(gone if row.number == "41" else row for row in law.articles)
    facts = {name: getattr(law, name) for name in law.__dataclass_fields__}
    return [Law(**facts | {"articles": rows})]


@pytest.mark.parametrize("one", RIGHT, ids=[f"{at}-{one.kind}" for at, one in enumerate(RIGHT)])
def test_a_right_key_is_right(one: BenchmarkItem, aguas: list[Law]) -> None:
    finding = check_item(one, aguas)
    assert (finding.verdict, finding.reason) == ("right", "")


@pytest.mark.parametrize(("reason", "one"), WRONG, ids=[reason for reason, _ in WRONG])
def test_a_planted_wrong_key_is_found(reason: str, one: BenchmarkItem, aguas: list[Law]) -> None:
    finding = check_item(one, aguas)
    assert finding.verdict == "wrong"
    assert reason in finding.reason


def test_what_cannot_be_checked_is_said(aguas: list[Law]) -> None:
    assert check_item(item(law_id="coip"), aguas).reason == "coip, ed. 2022-03-04: not among the laws given"
    assert "edition 2022-03-04 was given" in check_item(item(edition="2019-01-01"), aguas).reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "multiple-choice"}, "needs its options"),
        (
            {"kind": "multiple-choice", "options": ["a b", "A b."], "correct": 0, "answer": "a b"},
            "two options are the same",
        ),
        ({"kind": "multiple-choice", "options": ["a", "b"], "correct": 0, "answer": "b"}, "must be the right option"),
        ({"options": ["a", "b"]}, "only multiple-choice items have options"),
        ({"kind": "grounded", "supplied": ["1"]}, "supplies the article that answers"),
        ({"kind": "repealed"}, "abstain"),
        ({"article": ""}, "names no article"),
        ({"respuesta": "x"}, "Extra inputs"),
    ],
)
def test_an_item_that_contradicts_itself(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        item(**fields)


def test_a_file_with_a_bad_or_repeated_item_names_the_line(tmp_path: Path) -> None:
    good = item().model_dump()
    path = tmp_path / "b.jsonl"
    for second, message in [
        ({**good, "kind": "poema"}, "line 2, kind"),
        ({**good, "id": "y"}, "line 2: the same id"),
        ({**good, "question": "¿Otra cosa?"}, "line 2: the same id"),
    ]:
        path.write_text(json.dumps(good) + "\n" + json.dumps(second), encoding="utf-8")
        with pytest.raises(LeyloraError, match=message):
            load_benchmark(path)


def test_the_command_fails_on_a_wrong_key(aguas: list[Law], tmp_path: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("check_benchmark", ROOT / "scripts" / "check_benchmark.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    aguas[0].save(tmp_path / "aguas")
    path = tmp_path / "b.jsonl"
    arguments = ["--laws", str(tmp_path), "--benchmark", str(path)]
    path.write_text(item().model_dump_json(), encoding="utf-8")
    assert CliRunner().invoke(module.app, arguments).exit_code == 0
    path.write_text(item(answer="9 días").model_dump_json(), encoding="utf-8")
    done = CliRunner().invoke(module.app, arguments)
    assert done.exit_code == 1
    assert "wrong: x" in done.output
