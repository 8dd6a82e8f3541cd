"""Comparisons: every combination a row, failures as rows, one page without scripts."""

import json
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.webui.client import Client
from leylora.webui.compare import Plan, Row, compare, read_prompts
from leylora.webui.compare_page import page

from .stand_in import TEXT, State


def test_every_combination_once_and_each_model_loaded_once(client: Client, state: State, tmp_path: Path) -> None:
    plan = Plan(
        prompts=("Escribe una historia.", "¿Qué es una ley?"),
        models=("tiny-mistral", "tiny-falcon"),
        loras=("", "good"),
        presets=("mistral-7b-law", "deterministic"),
        temperatures=(0.2, 0.9),
    )
    seen: list[Row] = []
    rows = compare(client, plan, tmp_path / "out", seen.append)
    assert rows == seen
    assert len(rows) == plan.size == 32
    assert len({(r.prompt, r.model, r.lora, r.preset, r.temperature) for r in rows}) == 32
    assert all(row.text == TEXT and not row.error for row in rows)
    assert len(state.bodies("/v1/internal/model/load")) == 2
    assert len(state.bodies("/v1/internal/lora/load")) == 4  # each is taken off and put back for its proof
    asked = state.bodies("/v1/chat/completions")
    assert {body["temperature"] for body in asked} == {0.2, 0.9}
    assert {body["seed"] for body in asked} == {1}
    written = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text("utf-8").splitlines()]
    assert [Row.model_validate(row) for row in written] == rows


def test_what_fails_costs_its_own_rows(client: Client, state: State, tmp_path: Path) -> None:
    plan = Plan(prompts=("a", "b"), models=("missing", "broken", "tiny-mistral"), loras=("idle", "bad", "good"))
    rows = compare(client, plan, tmp_path / "out")
    assert len(rows) == plan.size == 18
    assert all("no model 'missing'" in row.error for row in rows[:6])
    assert all("No model is loaded now" in row.error for row in rows[6:12])
    assert ["changes nothing" in row.error for row in rows[12:14]] == [True, True]
    assert ["does not load" in row.error for row in rows[14:16]] == [True, True]
    assert [row.text for row in rows[16:]] == [TEXT, TEXT]
    html = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "18 combinaciones, 16 con error" in html


def test_what_is_loaded_is_compared_as_it_is(client: Client, state: State, tmp_path: Path) -> None:
    client.load_lora("good")
    (row,) = compare(client, Plan(prompts=("a",), raw=True), tmp_path / "out")
    assert (row.model, row.lora, row.preset) == ("tiny-mistral", "good", "")
    assert state.bodies("/v1/completions")[0]["prompt"] == "a"


def test_an_answer_that_fails_is_a_row(client: Client, state: State, tmp_path: Path) -> None:
    state.fault = "empty"
    (row,) = compare(client, Plan(prompts=("a",)), tmp_path / "out")
    assert "no text" in row.error


def test_nothing_is_overwritten(client: Client, tmp_path: Path) -> None:
    compare(client, Plan(prompts=("a",)), tmp_path / "out")
    with pytest.raises(UsageError, match="holds a comparison already"):
        compare(client, Plan(prompts=("a",)), tmp_path / "out")
    with pytest.raises(UsageError, match="nothing to ask"):
        compare(client, Plan(prompts=()), tmp_path / "other")


def test_the_page_shows_text_as_text() -> None:
    row = Row(prompt="<b>p</b>", model="m", lora="", preset="", temperature=None, max_tokens=5, seed=1)
    html = page([row.model_copy(update={"text": "<script>x</script>", "finish_reason": "length"})])
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;p" in html
    assert "http" not in html, "something is loaded from elsewhere"


def test_files_of_prompts(tmp_path: Path) -> None:
    lines = tmp_path / "prompts.txt"
    lines.write_text("uno\n\n  dos \n")
    assert read_prompts(lines) == ("uno", "dos")
    rows = tmp_path / "prompts.jsonl"
    rows.write_text('{"prompt": "uno"}\n{"instruction": "dos"}\n')
    assert read_prompts(rows) == ("uno", "dos")
    rows.write_text('{"prompt": "uno"}\n{"text": "dos"}\n')
    with pytest.raises(LeyloraError, match=r"prompts\.jsonl, line 2: no text under 'prompt'"):
        read_prompts(rows)
