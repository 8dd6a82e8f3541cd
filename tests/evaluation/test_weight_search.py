"""The search finds the top of a known surface, goes on where it stopped, and scores what a merge would score."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from leylora import console
from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant
from leylora.adapters.merge import Parent, merge
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.loss import compare_losses, held_out_rows
from leylora.evaluation.weight_search import (
    COARSE,
    MOST_POINTS,
    PICTURES,
    SPLIT,
    SURFACE_FILE,
    Criterion,
    Scores,
    Surface,
    Weights,
    save_surface,
    search_weights,
    searched,
    surface_table,
    walk,
)
from leylora.files import read_json, write_jsonl
from leylora.models.load import load_base

BOWL: dict[str, Weights] = {"law": (0.55, 0.85), "instructions": (0.65, 0.7)}  # the best weights of each skill


def bowl_loss(weights: Weights) -> dict[str, float]:
    """Losses with a known lowest point; 1 for the base, well below it for either adapter alone."""
    return {
        skill: 0.2 + 0.4 * ((weights[0] - best[0]) ** 2 + (weights[1] - best[1]) ** 2) for skill, best in BOWL.items()
    }


def empty(criterion: Criterion) -> Surface:
    named: dict[str, Any] = {"adapters": ("i", "l"), "adapters_sha256": ("", ""), "base_model": "b"}
    return Surface(criterion=criterion, rows={"law": 1}, rows_sha256={}, **named)


@pytest.mark.parametrize("criterion", ["minimum", "mean"])
def test_the_grid_closes_in_on_the_best_weights(criterion: Criterion) -> None:
    scored: list[Weights] = []

    def loss_at(weights: Weights) -> dict[str, float]:
        scored.append(weights)
        return bowl_loss(weights)

    surface = empty(criterion)
    walk(surface, loss_at)
    assert surface.base_loss == bowl_loss((0.0, 0.0))
    assert surface.points[: len(COARSE) ** 2][0].weights == (COARSE[0], COARSE[0])
    finest = surface.best
    for weights in ((a / 50, b / 50) for a in range(60) for b in range(60)):
        shares = [
            (surface.base_loss[skill] - loss) / (surface.base_loss[skill] - min(surface.single_loss[skill]))
            for skill, loss in bowl_loss(weights).items()
        ]
        score = min(shares) if criterion == "minimum" else sum(shares) / 2
        assert score < finest.score + 0.01  # no weights anywhere are better by more than the grid is coarse
    assert len({point.weights for point in surface.points}) == len(surface.points)  # none is scored twice
    assert len(scored) == len(surface.points) + 3 <= MOST_POINTS


def test_minimum_gives_up_no_skill_where_mean_would() -> None:
    def loss(weights: Weights) -> dict[str, float]:  # law gains three times what instructions lose
        shift = weights[1] - weights[0]
        return {"law": 1 - 0.5 * weights[1] - 0.3 * shift, "instructions": 1 - 0.5 * weights[0] + 0.1 * shift}

    found = {}
    for criterion in ("minimum", "mean"):
        surface = empty(criterion)
        walk(surface, loss)
        found[criterion] = surface.best.kept
    assert min(found["minimum"].values()) > min(found["mean"].values())
    assert sum(found["mean"].values()) > sum(found["minimum"].values())


def test_an_adapter_that_gained_nothing_stops_the_search() -> None:
    with pytest.raises(LeyloraError, match="Neither adapter is better than the base on the rows of law"):
        walk(empty("minimum"), lambda weights: {"law": 1.0 + sum(weights)})


def test_scores_are_kept_until_something_changes(tmp_path: Path) -> None:
    store, calls = tmp_path / "scores.json", []

    def measure(weights: Weights) -> dict[str, float]:
        calls.append(weights)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return bowl_loss(weights)

    scores = Scores(store, "one")
    points: list[Weights] = [(0.25, 1.0), (0.5, 1.0), (1 / 3, 1.0)]
    for point in points[:2]:
        scores.get(point, measure)
    with pytest.raises(KeyboardInterrupt):
        scores.get(points[2], measure)
    again = Scores(store, "one")
    assert [again.get(point, bowl_loss) for point in points] == [bowl_loss(point) for point in points]
    assert list(Scores(store, "one").losses) == ["0.25, 1", "0.5, 1", "0.333333, 1"]
    assert Scores(store, "two").losses == {}


ANSWERS = {"law": "El plazo es de tres días hábiles.", "instructions": "Buenas tardes, vecina."}


@pytest.fixture(scope="module")
def pair(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters ``a`` and ``b`` (other modules, ranks, scalings), each drilled on one skill, and rows of both."""
    folder, base = tmp_path_factory.mktemp("pair"), str(tiny_base("tiny-mistral"))
    for skill, answer in ANSWERS.items():
        turns = [[{"role": "user", "content": "¿Plazo?"}, {"role": "assistant", "content": answer * n}] for n in (1, 2)]
        write_jsonl(folder / skill / f"{SPLIT}.jsonl", [{"messages": messages} for messages in turns])
        write_jsonl(folder / skill / "test.jsonl", [{"messages": "must not be read"}])
    sets = held_out_rows(base, {skill: folder / skill for skill in ANSWERS}, [SPLIT])
    for skill, name, targets, rank in (
        ("instructions", "a", ["q_proj", "up_proj"], 4),
        ("law", "b", ["q_proj", "o_proj"], 6),
    ):
        torch.manual_seed(0)
        config = LoraConfig(r=rank, lora_alpha=3, target_modules=targets, task_type="CAUSAL_LM")
        model = get_peft_model(load_base(base), config)
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
        row = sets[skill].dataset[0]
        for _ in range(8):
            optimizer.zero_grad()
            model(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.backward()
            optimizer.step()
        model.save_pretrained(folder / name)
    return folder


def test_a_point_is_the_merge_at_its_weights(
    pair: Path, tiny_base: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leylora.evaluation.weight_search.COARSE", (0.5, 1.25))
    development = {skill: pair / skill for skill in ANSWERS}
    bar = console.progress()
    monkeypatch.setattr(console, "progress", lambda: bar)
    surface = search_weights(pair / "a", pair / "b", development, tmp_path / "scores.json")
    assert len(surface.points) > 4 + 8
    assert bar.tasks[0].completed == bar.tasks[0].total == len(surface.points) + 3

    base = str(tiny_base("tiny-mistral"))
    picked = [surface.points[1], surface.best]
    for at, point in enumerate(picked):
        merge([Parent(pair / "a", point.weights[0]), Parent(pair / "b", point.weights[1])], tmp_path / f"m{at}")
    variants = [BASE, *(Variant(name=str(at), adapter=str(tmp_path / f"m{at}")) for at in range(len(picked)))]
    merged = compare_losses(AdaptedModel(base), variants, held_out_rows(base, development, [SPLIT]))
    for at, point in enumerate(picked):
        for skill, loss in point.loss.items():
            assert merged[str(at)][skill].mean == pytest.approx(loss, rel=1e-5)
            assert merged["base"][skill].mean == pytest.approx(surface.base_loss[skill], rel=1e-5)
    assert abs(picked[0].loss["law"] - picked[1].loss["law"]) > 1e-3  # the weights matter

    def no_model(*_: object, **__: object) -> None:
        raise AssertionError("a finished search needs no model")

    monkeypatch.setattr("leylora.evaluation.weight_search.AdaptedModel", no_model)
    assert search_weights(pair / "a", pair / "b", development, tmp_path / "scores.json") == surface

    save_surface(surface, tmp_path)
    assert read_json(tmp_path / SURFACE_FILE)["best"]["weights"] == list(surface.best.weights)
    assert all((tmp_path / name).stat().st_size > 5_000 for name in PICTURES)
    assert surface_table(surface).row_count == len({point.weights[0] for point in surface.points})


def test_what_cannot_be_searched_is_said(pair: Path, tmp_path: Path) -> None:
    both, out = [Parent(pair / "a"), Parent(pair / "b")], tmp_path / "out"
    with pytest.raises(UsageError, match="name two, without weights"):
        searched([*both, Parent(pair / "c")], [], out, "concat", criterion="minimum")
    with pytest.raises(UsageError, match="name two, without weights"):
        searched([both[0], Parent(pair / "b", 0.7)], [], out, "concat", criterion="minimum")
    with pytest.raises(UsageError, match="weighted sums, which ties is not"):
        searched(both, [], out, "ties", criterion="minimum")
    with pytest.raises(UsageError, match="no criterion"):
        searched(both, [], out, "svd", criterion="best")
    with pytest.raises(UsageError, match="not SKILL=DATASET"):
        searched(both, ["data/build/law"], out, "concat", criterion="minimum")
    with pytest.raises(UsageError, match="--development law="):
        searched(both, [], out, "concat", criterion="minimum")
    with pytest.raises(LeyloraError, match="has no split 'validation'"):
        searched(both, [f"law={tmp_path}"], out, "concat", criterion="minimum")
    assert not out.exists()
