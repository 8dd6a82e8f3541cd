"""Prompts as objects, and the old client's interface on today's API."""

import pytest
from pydantic import ValidationError

from leylora.errors import UsageError
from leylora.webui.ooba import (
    ChatPrompt,
    FalconInstructPrompt,
    InstructPrompt,
    LlamaInstructPrompt,
    MistralInstructPrompt,
    OobaApiClient,
    OobaModelNotLoaded,
    Parameters,
    Prompt,
)

from .stand_in import ADMIN_KEY, API_KEY, TEXT, StandIn, State


def test_each_family_s_prompt_is_its_template() -> None:
    assert LlamaInstructPrompt(system_prompt="Sé breve.", prompt="Hola").full_prompt() == (
        "<s>[INST] <<SYS>>\nSé breve.\n<</SYS>>\n\nHola [/INST]"
    )
    assert MistralInstructPrompt(prompt="Hola").full_prompt() == "<s>[INST] Hola [/INST]"
    assert FalconInstructPrompt(system_prompt="Sé breve.", prompt="Hola").full_prompt() == (
        "Sé breve.\n\nUser: Hola\n\nAssistant:\n"
    )
    assert FalconInstructPrompt(prompt="Hola").stops() == ["\n\nAssistant:"]
    assert LlamaInstructPrompt(prompt="Hola").stops() == ["[/INST]"]
    assert Prompt(prompt="Hola").full_prompt() == "Hola"
    assert InstructPrompt(prompt="{Hola}", instruct_template="P: {prompt} R:").full_prompt() == "P: {Hola} R:"


def test_a_chat_prompt_ends_with_the_last_question() -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert ChatPrompt(messages=turns, prompt="c").full_prompt() == "<s>[INST] a [/INST] b</s><s>[INST] c [/INST]"
    with pytest.raises(ValidationError):
        ChatPrompt(messages=[], prompt="c")


@pytest.fixture
def old(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> OobaApiClient:
    monkeypatch.setenv("WEBUI_ADMIN_KEY", ADMIN_KEY)
    return OobaApiClient(server.url, api_key=API_KEY)


def test_the_old_calls_work_again(old: OobaApiClient, state: State, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = LlamaInstructPrompt(system_prompt="Sé breve.", prompt="Hola", negative_prompt="mal")
    parameters = Parameters(temperature=1.5, top_k=0, top_p=1, max_new_tokens=9, stopping_strings=["\n"])
    assert old.instruct(prompt, parameters, print_prompt=True) == TEXT
    assert "<<SYS>>" in capsys.readouterr().out
    (body,) = state.bodies("/v1/completions")
    assert body["max_tokens"] == 9
    assert body["stop"] == ["\n", "[/INST]"]
    assert body["negative_prompt"] == "mal"
    assert (body["temperature"], body["top_k"], body["repetition_penalty"]) == (1.5, 0, 1.1)
    assert old.model_info().model_name == "tiny-mistral"
    assert old.load_model("tiny-falcon", args_dict={"load_in_8bit": True}).shared_args == {"loader": "Transformers"}
    state.model = None
    assert isinstance(old.model_info(), OobaModelNotLoaded)


def test_what_has_no_effect_any_more_is_said(old: OobaApiClient) -> None:
    with pytest.raises(UsageError, match="min_length has no effect"):
        old.instruct(Prompt(prompt="a"), Parameters(min_length=3))


def test_host_and_port() -> None:
    assert OobaApiClient().url == "http://localhost:5000"
    assert OobaApiClient(host="http://10.0.0.2", port=5001, one_at_a_time=False).url == "http://10.0.0.2:5001"
