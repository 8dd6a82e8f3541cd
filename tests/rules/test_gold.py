"""The gold of rules: sound in itself, counted rightly, and what is published is what it gives.

With LEYLORA_LAWS naming a folder of the parsed laws, the reader is held against it; the laws are not in the repository.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from leylora.files import read_json_object, read_jsonl
from leylora.laws.law import Article, load_laws
from leylora.project import ROOT


@pytest.fixture(scope="module")
def bench(program: Callable[[Path], ModuleType]) -> ModuleType:
    return program(ROOT / "benchmarks" / "rules.py")


@pytest.fixture(scope="module")
def gold(bench: ModuleType) -> list[dict]:
    return [one for _, one in read_jsonl(bench.GOLD)]


def test_the_gold_has_300_articles_of_six_laws_and_no_text(bench: ModuleType, gold: list[dict]) -> None:
    assert len({(one["law_id"], one["article"]) for one in gold}) == 300
    assert len({one["law_id"] for one in gold}) == 6
    assert sum(one["part"] == "random" for one in gold) == 149
    for one in gold:
        for rule in one["rules"]:
            assert set(rule) == {"kind", "at", *bench.FIELDS[rule["kind"]]}
            for name, value in rule.items():
                if name in ("who", "conduct", "consequence", "verb", "what", "period", "term", "clause", "lead"):
                    assert 0 <= value[0] < value[1] <= one["length"]
    assert bench.GOLD.read_text("utf-8").count(" de la ") == 0


BODY = "El guardián podrá abrir el portón de noche. La persona encargada deberá cerrar la llave del agua."


def test_a_field_that_differs_and_a_rule_that_is_not_there_are_counted(bench: ModuleType) -> None:
    article = Article(law_id="huertos", kind="articulo", number="1", rubric=None, body=BODY, status="vigente")
    right = bench.as_fields(bench.read_rules(article))
    assert [one["kind"] for one in right] == ["order", "order"]
    gold = {"law_id": "huertos", "article": "1", "part": "random", "missed": {"order": 2}, "rules": right}
    counts, faults = bench.compare(gold, article)
    assert (counts["order", "", "found"], counts["order", "", "there"], faults) == (2, 4, [])
    moved = {**right[0], "what": [right[0]["what"][0], right[0]["what"][1] - 3]}
    counts, faults = bench.compare({**gold, "rules": [moved]}, article)
    assert counts["order", "what", "read"] == 2
    assert counts["order", "what", "right"] == 0
    assert counts["order", "who", "right"] == 1  # of the rule that is there
    assert counts["order", "", "found"] == 1
    assert len(faults) == 6


def test_what_is_published_is_nearly_without_fault() -> None:
    found = read_json_object(ROOT / "benchmarks" / "rules.json")
    read = sum(one["read"] for one in found["fields"])
    right = sum(one["right"] for one in found["fields"])
    assert found["articles"] == 300
    assert right / read >= 0.99


@pytest.mark.skipif(not os.environ.get("LEYLORA_LAWS"), reason="LEYLORA_LAWS names no folder of parsed laws")
def test_the_reader_against_the_gold(bench: ModuleType, gold: list[dict]) -> None:
    laws = {law.id: law for law in load_laws(Path(os.environ["LEYLORA_LAWS"]))}
    faults = [fault for one in gold for fault in bench.compare(one, laws[one["law_id"]][one["article"]])[1]]
    assert len(faults) <= 3, faults
