"""Planted leaks: a benchmark in the training rows, and memorised letters."""

import json
from pathlib import Path
from typing import Any

import pytest

from leylora.data.benchmark import load_benchmark
from leylora.evaluation.contamination import duplicate_variants, memorised, own_question, seen_in_training
from leylora.evaluation.items import BENCHMARK, benchmark_items
from leylora.evaluation.results import Answer, Item, Model, Variant
from leylora.evaluation.scoring import tally


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return benchmark_items(load_benchmark(BENCHMARK), [])[0]


def row(question: str, **keys: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "Sí."}], **keys}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), "utf-8")
    return path


def test_a_leaked_question_is_found_and_another_is_not(items: list[Item], tmp_path: Path) -> None:
    leaked = items[5]
    question = own_question(leaked.messages)
    rows = [row(f"Por favor: {question.upper()} Gracias."), row("¿Qué hora es hoy?")]
    files = [write(tmp_path / "train.jsonl", rows)]
    assert seen_in_training(items, files) == [leaked.id]
    assert seen_in_training(items, []) == []


def test_a_template_and_a_row_on_another_article_are_no_leak(items: list[Item], tmp_path: Path) -> None:
    item = next(item for item in items if item.article == "82")
    question = own_question(item.messages)
    other = write(tmp_path / "other.jsonl", [row(question, article="9")])
    assert seen_in_training([item], [other]) == []
    own = write(tmp_path / "own.jsonl", [row(question, article="82")])
    assert seen_in_training([item], [own]) == [item.id]
    everywhere = write(tmp_path / "all.jsonl", [row(question, article=number) for number in ("82", "9", "10")])
    assert seen_in_training([item], [everywhere]) == []


def choose(item: Item, place_of_answer: int | None) -> Answer:
    """What a model says that always picks one place (the published one, when None), whichever option is there."""
    place = item.correct if place_of_answer is None else place_of_answer
    assert place is not None
    logprobs = [[0.0 if order[place] == option else -8.0 for option in range(len(order))] for order in item.orders]
    return Answer(
        key="k",
        model="m",
        variant="base",
        suite="law",
        item=item.id,
        prompt_sha256="",
        settings_sha256="",
        option_logprobs=logprobs,
    )


def test_memorised_letters_are_seen_and_worth_chance(items: list[Item], tmp_path: Path) -> None:
    asked = [item for item in items if item.ask == "choose"]
    model = Model(label="m", source="m", variants=[Variant(name="base", role="base")])
    marks, scores = tally([model], {"law": asked}, {("m", "base", "law"): [choose(item, None) for item in asked]})
    assert "memorised" in {finding.kind for finding in scores.findings}
    accuracy = next(one for one in scores.scores if (one.metric, one.part) == ("accuracy", "all"))
    assert accuracy.value == accuracy.chance == 0.25
    always_b = tally([model], {"law": asked}, {("m", "base", "law"): [choose(item, 1) for item in asked]})[1]
    assert {finding.kind for finding in always_b.findings} == {"position-bias"}
    (bias,) = always_b.findings
    assert (bias.place, bias.share) == (1, 1.0)
    assert memorised("m", "base", "law", []) == []
    assert next(iter(marks.values()))[0].published_order


def test_scores_without_the_leaked_questions_are_reported_too(items: list[Item], tmp_path: Path) -> None:
    asked = [item for item in items if item.ask == "choose"][:30]
    questions = [row(own_question(item.messages)) for item in asked[:20]]
    dataset = write(tmp_path / "data" / "train.jsonl", questions).parent
    leak = Variant(name="law", role="law", adapter="x", sha256="a", run={"dataset": str(dataset)})
    model = Model(label="m", source="m", variants=[Variant(name="base", role="base"), leak])
    knows = [item.model_copy() for item in asked]

    def answers(variant: str, known: int) -> list[Answer]:
        """Right on the first ``known`` questions in every order, and wrong on the others."""
        found = []
        for at, item in enumerate(knows):
            assert item.correct is not None
            wanted = item.correct if at < known else (item.correct + 1) % len(item.options)
            row = [0.0 if option == wanted else -8.0 for option in range(len(item.options))]
            found.append(choose(item, 0).model_copy(update={"variant": variant, "option_logprobs": [row] * 4}))
        return found

    given = {("m", "base", "law"): answers("base", 5), ("m", "law", "law"): answers("law", 20)}
    scores = tally([model], {"law": asked}, given)[1]
    (finding,) = [one for one in scores.findings if one.kind == "seen-in-training"]
    assert (finding.variant, len(finding.items)) == ("law", 20)
    value = {(one.variant, one.part): one.value for one in scores.scores if one.metric == "accuracy"}
    assert value["law", "all"] == pytest.approx(20 / 30)
    assert value["law", "clean"] == value["base", "clean"] == 0  # nothing of its lead is left


def test_a_copy_is_named() -> None:
    twins = [
        Variant(name="base", role="base"),
        Variant(name="law", role="law", adapter="a"),
        Variant(name="merged", role="merged", adapter="b", same_as="law"),
    ]
    (finding,) = duplicate_variants(Model(label="m", source="m", variants=twins))
    assert (finding.kind, finding.variant, finding.names) == ("duplicate-variant", "merged", ["law"])
