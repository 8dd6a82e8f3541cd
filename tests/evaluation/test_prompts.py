"""Free prompts: each combination is asked once; what fails is a finding or a row with its reason; the run goes on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.items import Sources, questions, read_prompts
from leylora.evaluation.results import Results
from leylora.evaluation.run import CompareSettings, compare

from ..webui.stand_in import ADMIN_KEY, API_KEY, TEXT, StandIn, State

ASKED = CompareSettings(max_new_tokens=20)
TWO = Sources(
    prompts=tuple(turns for text in ("Escribe una historia.", "¿Qué es una ley?") for turns in read_prompts(text))
)
CHAT, LOAD, LORA = "/v1/chat/completions", "/v1/internal/model/load", "/v1/internal/lora/load"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    monkeypatch.setenv("WEBUI_API_KEY", API_KEY)
    monkeypatch.setenv("WEBUI_ADMIN_KEY", ADMIN_KEY)
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def state(server: StandIn) -> State:
    return server.state


def ask(server: StandIn, out: Path, models: list[str], sources: Sources, adapters: str = "none") -> Results:
    return compare(
        models, out, adapters=adapters, suites=["prompts"], sources=sources, settings=ASKED, endpoints=[server.url]
    )


def test_every_combination_once_and_each_model_loaded_once(server: StandIn, state: State, tmp_path: Path) -> None:
    sources = Sources(prompts=TWO.prompts, presets=("mistral-7b-law", "mistral-7b-combined"), temperatures=(0.2, 0.9))
    found = ask(server, tmp_path / "out", ["tiny-mistral", "tiny-falcon"], sources, "other=good")
    assert len(found.answers) == 2 * 2 * 2 * 2 * 2
    assert {answer.text for answer in found.answers.values()} == {TEXT}
    assert len(state.bodies(LOAD)) == 1  # the first is loaded already
    assert len(state.bodies(LORA)) == 2 * 2 + 1  # once a model, once more for the proof; and once for the base
    bodies = state.bodies(CHAT)
    assert {body["temperature"] for body in bodies} == {0.2, 0.9}
    assert {body["seed"] for body in bodies} == {0}
    assert {item.cluster for item in found.items.values()} == {"p01", "p02"}
    assert not any(score.metric == "score" for score in found.scores.scores)  # nothing here can be right
    asked = state.calls
    again = ask(server, tmp_path / "out", ["tiny-mistral", "tiny-falcon"], sources, "other=good")
    assert len(state.bodies(CHAT)) == len(bodies), f"asked twice: {state.calls - asked} calls"
    assert again.answers == found.answers


def test_what_fails_leaves_its_reason_and_the_others(server: StandIn, state: State, tmp_path: Path) -> None:
    models = ["missing", "broken", "tiny-mistral"]
    found = ask(server, tmp_path / "out", models, TWO, "other=idle,other=bad,other=good")
    assert [model.label for model in found.provenance.models] == ["tiny-mistral"]
    assert [variant.name for variant in found.provenance.models[0].variants] == ["base", "good"]
    assert [answer.text for answer in found.answers.values()] == [TEXT] * 4
    reasons = {(one.model, one.variant): one.error for one in found.scores.findings if one.kind == "not-answered"}
    assert "no model 'missing'" in reasons["missing", ""]
    assert ("broken", "") in reasons
    assert "changes nothing" in reasons["tiny-mistral", "idle"]
    assert "does not load" in reasons["tiny-mistral", "bad"]
    with pytest.raises(LeyloraError, match="no model 'missing'"):
        ask(server, tmp_path / "none", ["missing"], TWO)


def test_an_answer_that_fails_is_a_row_and_is_asked_again(server: StandIn, state: State, tmp_path: Path) -> None:
    state.model, state.models = "tiny-mistral", ("tiny-mistral",)
    state.fault = "broken"
    sources = Sources(prompts=TWO.prompts, temperatures=(0.7,))
    found = ask(server, tmp_path / "out", ["tiny-mistral"], sources)
    assert all("status 500" in answer.error for answer in found.answers.values())
    assert all(mark.tokens is None for mark in found.marks.values())
    lines = (tmp_path / "out" / "answers" / "tiny-mistral" / "base.jsonl").read_text("utf-8").splitlines()
    ask(server, tmp_path / "out", ["tiny-mistral"], sources)
    path = tmp_path / "out" / "answers" / "tiny-mistral" / "base.jsonl"
    assert len(path.read_text("utf-8").splitlines()) == 2 * len(lines)


def test_a_preset_that_is_not_there_or_ignores_the_temperature_is_refused_before_anything_is_loaded(
    server: StandIn, state: State, tmp_path: Path
) -> None:
    mistakes: list[tuple[str, float | None, str]] = [
        ("no-such-preset", None, "There is no preset 'no-such-preset'"),
        ("deterministic", 0.9, "temperature 0.9 would do nothing"),
    ]
    for name, warmth, reason in mistakes:
        with pytest.raises(UsageError, match=reason):
            ask(
                server, tmp_path, ["tiny-falcon"], Sources(prompts=TWO.prompts, presets=(name,), temperatures=(warmth,))
            )
    assert not state.bodies(LOAD)
    assert not state.bodies(CHAT)


def test_a_lora_that_the_server_does_not_report_is_not_called_the_base(
    server: StandIn, state: State, tmp_path: Path
) -> None:
    state.acting, state.hidden = "other", True  # two LoRAs of one rank, asked for by another program
    ask(server, tmp_path / "out", ["tiny-mistral"], TWO)
    assert state.acting_when_asked == {None}


def test_adapters_that_the_server_does_not_have_are_refused_before_the_base_is_asked(
    server: StandIn, state: State, tmp_path: Path
) -> None:
    with pytest.raises(LeyloraError, match=r"has no LoRA 'LORA/good' \(there: good, other, idle, bad\); give its name"):
        ask(server, tmp_path / "out", ["tiny-mistral"], TWO, "law=LORA/good")
    assert not state.bodies(CHAT)


def test_files_of_prompts(tmp_path: Path) -> None:
    lines = tmp_path / "prompts.txt"
    lines.write_text("uno\n\n  dos \n")
    assert [turns[-1]["content"] for turns in read_prompts(str(lines))] == ["uno", "dos"]
    rows = tmp_path / "prompts.jsonl"
    rows.write_text('{"prompt": "uno", "system": "Sea breve."}\n{"instruction": "dos"}\n')
    first, second = read_prompts(str(rows))
    assert [turn["role"] for turn in first] == ["system", "user"]
    assert second == [{"role": "user", "content": "dos"}] == read_prompts("dos")[0]
    rows.write_text('{"prompt": "uno"}\n{"text": "dos"}\n')
    with pytest.raises(LeyloraError, match=r"prompts\.jsonl, line 2: no text under 'prompt'"):
        read_prompts(str(rows))
    with pytest.raises(LeyloraError, match=r"missing\.txt does not exist"):
        read_prompts(str(tmp_path / "missing.txt"))
    with pytest.raises(LeyloraError, match=r"cuentos\.md does not exist"):
        read_prompts(str(tmp_path / "cuentos.md"))
    with pytest.raises(LeyloraError, match="has no items: give a file of prompts"):
        questions(["prompts"], Sources())


def test_a_sampled_answer_has_its_own_key(tmp_path: Path) -> None:
    items = questions(["prompts"], Sources(prompts=TWO.prompts, temperatures=(None, 0.7)), seed=3).items["prompts"]
    assert [(item.id, item.temperature, item.seed) for item in items] == [
        ("p01", None, None),
        ("p01 0.7", 0.7, 3),
        ("p02", None, None),
        ("p02 0.7", 0.7, 3),
    ]
    assert json.loads(items[1].model_dump_json())["cluster"] == "p01"
