"""Scores, differences and retention from marks that are given; planted leaks and memorised letters."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leylora.adapters.discover import Variant
from leylora.data.benchmark import load_benchmark
from leylora.evaluation.items import BENCHMARK, benchmark_items
from leylora.evaluation.results import Answer, Item, Mark, Model
from leylora.evaluation.scoring import (
    Marked,
    differences,
    memorised,
    own_question,
    retentions,
    seen_in_training,
    suite_scores,
    tally,
)


def marked(variant: str, marks: list[dict[str, Any]]) -> Marked:
    """Marks of one variant on questions that each stand alone."""
    about: dict[str, Any] = {"model": "m", "variant": variant, "suite": "law", "task": "t", "setting": ""}
    found = [Mark(item=str(at), cluster=str(at), **about, **values) for at, values in enumerate(marks)]
    return Marked("m", variant, "law", found)


def model(*names: str) -> Model:
    return Model.model_validate({"label": "m", "source": "m", "variants": [{"name": n, "role": n} for n in names]})


def test_a_share_stays_a_share_and_too_few_questions_have_no_interval() -> None:
    given = [{"score": score, "bits": bits, "reference_bytes": 10} for score, bits in ((0.0, 9.9), (0.9, 5.0))]
    scores = {score.metric: score for score in suite_scores(marked("v", given), [])}
    assert (scores["score"].low, scores["bits_per_byte"].low, scores["score"].interval) == (None, None, "none")
    scores = {score.metric: score for score in suite_scores(marked("v", given * 4), [])}
    assert 0 <= (scores["score"].low or -1) < (scores["score"].high or 2) <= 1
    assert 0 < (scores["bits_per_byte"].low or -1) < (scores["bits_per_byte"].high or 0)


def test_one_family_a_question_asked() -> None:
    """Better than the base is one question over all suites; the merge against a single adapter is another."""
    chance = np.random.default_rng(3)
    given = []
    for suite in ("law", "spanish"):
        for name in ("base", "law", "merged"):
            one = marked(name, [{"score": float(value)} for value in chance.random(12)])
            given.append(one._replace(suite=suite))
    found = differences(given, [model("base", "law", "merged")])
    assert {(one.family, one.family_size) for one in found} == {("base score", 4), ("merge score", 2)}


def test_a_gain_that_holms_correction_takes_back_is_no_base_of_a_share() -> None:
    chance = np.random.default_rng(2)
    base = chance.normal(2.0, 0.5, 60)
    levels = {"base": base, "law": base - 0.06 + chance.normal(0, 0.2, 60), "merged": base - 0.05}
    given = [
        marked(name, [{"bits": float(bits), "reference_bytes": 1} for bits in values])
        for name, values in levels.items()
    ]
    compared = model("base", "law", "merged")
    found = differences(given, [compared])
    (gain,) = [one for one in found if (one.variant, one.against) == ("law", "base")]
    assert gain.p < 0.05
    (kept,) = retentions(given, [compared], found)
    assert kept.value is not None
    doubted = [one.model_copy(update={"p_holm": 0.06}) for one in found]
    (none,) = retentions(given, [compared], doubted)
    assert (none.value, none.undefined) == (None, "no-significant-gain")


def test_a_difference_that_cannot_be_is_not_called_detectable() -> None:
    """Two variants of which one is right at random: the interval stays a share's, and so few articles show nothing."""
    for articles, known in ((4, False), (12, True)):
        given = [
            marked(name, [{"score": float(at % 3 == 0) if name == "law" else 0.0} for at in range(articles)])
            for name in ("base", "law")
        ]
        (found,) = [one for one in differences(given, [model("base", "law")]) if one.metric == "score"]
        assert (found.low is None) == (articles < 5)
        assert -1 <= (found.low or 0) <= found.value <= (found.high or 1) <= 1
        assert (found.detectable is not None) == known
        assert (found.detectable or 0) <= 1


# Leaks


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
    assert seen_in_training([item], [everywhere]) == [item.id]  # whole, it is no template


def test_a_leak_is_found_however_often_wherever_and_changed(items: list[Item], tmp_path: Path) -> None:
    leaked = next(item for item in items if len(own_question(item.messages).split()) > 14)
    question = own_question(leaked.messages)
    cut = question.split()
    shuffled = " ".join([*cut[1::2], *cut[::2]])
    planted = {
        "four times": [row(question)] * 4,
        "first turn": [{"messages": [*row(question)["messages"], *row("¿Y mañana?")["messages"]]}],
        "assistant": [
            {"messages": [{"role": "user", "content": "Invente."}, {"role": "assistant", "content": question}]}
        ],
        "reordered": [row(shuffled)],
        "shortened": [row(" ".join(word for at, word in enumerate(cut) if at % 8 != 7))],
    }
    for name, rows in planted.items():
        file = write(tmp_path / f"{name}.jsonl", rows)
        assert leaked.id in seen_in_training(items, [file]), name


def test_an_adapter_without_training_rows_is_said_to_be_unchecked(items: list[Item]) -> None:
    twins = [Variant(name="base", role="base"), Variant(name="law", role="law", adapter="a")]
    found = tally([Model(label="m", source="m", variants=twins)], {"law": items[:1]}, {})[1].findings
    assert [(one.kind, one.variant) for one in found] == [("not-checked", "law")]


def test_the_same_answers_under_other_weights_are_said(items: list[Item]) -> None:
    asked = [item for item in items if item.ask == "choose"][:6]
    names = ("base", "law", "merged")
    given = {
        ("m", name, "law"): [choose(item, 1 if name == "base" else at % 3) for at, item in enumerate(asked)]
        for name in names
    }
    found = tally([model(*names)], {"law": asked}, given)[1].findings
    assert [(one.variant, one.names) for one in found if one.kind == "same-answers"] == [("merged", ["law"])]


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
    marks, scores = tally(
        [model("base")], {"law": asked}, {("m", "base", "law"): [choose(item, None) for item in asked]}
    )
    assert "memorised" in {finding.kind for finding in scores.findings}
    accuracy = next(one for one in scores.scores if (one.metric, one.part) == ("accuracy", "all"))
    assert accuracy.value == accuracy.chance == 0.25
    always_b = tally([model("base")], {"law": asked}, {("m", "base", "law"): [choose(item, 1) for item in asked]})[1]
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
    compared = Model(label="m", source="m", variants=[Variant(name="base", role="base"), leak])
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
    scores = tally([compared], {"law": asked}, given)[1]
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
    found = tally([Model(label="m", source="m", variants=twins)], {}, {})[1].findings
    (finding,) = [one for one in found if one.kind == "duplicate-variant"]
    assert (finding.kind, finding.variant, finding.names) == ("duplicate-variant", "merged", ["law"])
