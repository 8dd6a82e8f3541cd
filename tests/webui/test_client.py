"""The client against the stand-in: what it makes of good answers, of traps, and of every failure planted."""

import socket
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from leylora.errors import UsageError
from leylora.models.templates import instruction_template
from leylora.webui.client import Client, ServerSettings
from leylora.webui.protocol import (
    EmptyAnswerError,
    LoraError,
    NoModelError,
    RequestRefusedError,
    ServerDownError,
    ServerFailedError,
    StreamCutError,
    TimedOutError,
    UnauthorizedError,
)

from .stand_in import ADMIN_KEY, API_KEY, PIECES, TEXT, StandIn, State


def test_the_three_ways_to_ask(client: Client, state: State) -> None:
    for answer in (
        client.generate("La ley"),
        client.instruct("Saluda."),
        client.chat([{"role": "user", "content": "Hola"}]),
    ):
        assert answer.text == TEXT
        assert answer.finish_reason == "stop"
        assert answer.usage
        assert answer.usage.completion_tokens == 4
    assert state.bodies("/v1/chat/completions")[0] == {"messages": [{"role": "user", "content": "Saluda."}]}


@pytest.mark.parametrize("fault", ["", "crlf"])
def test_the_three_ways_to_stream(client: Client, state: State, fault: str) -> None:
    state.fault = fault
    messages = [{"role": "user", "content": "Hola"}]
    for stream in (client.stream_generate("La"), client.stream_instruct("Saluda."), client.stream_chat(messages)):
        chunks = list(stream)
        assert "".join(chunk.text for chunk in chunks) == TEXT
        assert [chunk.text for chunk in chunks if chunk.text] == list(PIECES)
        assert chunks[-1].finish_reason == "stop"


def test_models_tokens_and_probabilities(client: Client) -> None:
    assert client.models() == ["tiny-mistral", "tiny-falcon", "broken"]
    assert client.load_model("tiny-falcon", {"load_in_4bit": True}).model_name == "tiny-falcon"
    assert client.decode(client.encode("ñandú")) == "ñandú"
    assert client.logits("La")["▁de"] == 0.5
    client.stop()
    client.unload_model()
    assert not client.info().loaded


# What the webui answers well and means otherwise


def test_an_empty_text_is_an_error(client: Client, settings: ServerSettings, state: State) -> None:
    state.fault = "empty"
    for ask in (lambda: client.generate("La"), lambda: list(client.stream_generate("La"))):
        with pytest.raises(EmptyAnswerError, match="status 200 and no text"):
            ask()
    assert Client(settings, allow_empty=True).generate("La").text == ""


def test_no_model_is_said_so(client: Client, state: State) -> None:
    state.model = None
    for ask in (
        lambda: client.generate("La"),
        lambda: client.instruct("La"),
        lambda: list(client.stream_generate("La")),
        lambda: client.logits("La"),
        lambda: client.load_lora("good"),
        lambda: client.unload_lora(),
    ):
        with pytest.raises(NoModelError, match=r"No model is loaded"):
            ask()


def test_a_preset_of_ours_is_sent_as_its_settings(client: Client, state: State) -> None:
    client.generate("La", preset="mistral-7b-law", temperature=0.5)
    (body,) = state.bodies("/v1/completions")
    assert "preset" not in body
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.5, 0.9, 40)
    assert body["min_p"] == 0, "the server's own defaults shine through"
    assert "sampler_priority" not in body


def test_a_preset_of_the_server_s_allows_no_other_setting(client: Client, state: State) -> None:
    client.generate("La", server_preset="Creative", max_tokens=5)
    assert state.bodies("/v1/completions") == [{"prompt": "La", "preset": "Creative", "max_tokens": 5}]
    with pytest.raises(UsageError, match="would overwrite temperature"):
        client.generate("La", server_preset="Creative", temperature=0.5)
    with pytest.raises(UsageError, match="would overwrite preset"):
        client.generate("La", server_preset="Creative", preset="mistral-7b-law")


def test_unknown_and_impossible_settings_are_errors_here(client: Client, state: State) -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"temprature": 1}, "temprature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"preset": "mistral-7b-lau"}, "did you mean mistral-7b-law"),
        ({"preset": "Creative"}, "no preset 'Creative' in GENERATION-PRESETS.*server_preset"),
        ({"preset": "Deterministic"}, "did you mean deterministic"),
        ({"preset": "deterministic", "temperature": 0.9}, "temperature 0.9 would do nothing"),
        ({"extra": {"n": 2}}, "once for each answer"),
        ({"n": 2}, "ask once for each"),
        ({"top_k": 2.5}, "not a whole number"),
        ({"do_sample": 1}, "not true or false"),
    ]
    for wrong, reason in mistakes:
        with pytest.raises(UsageError, match=reason):
            client.generate("La", **wrong)
    with pytest.raises(UsageError, match="one text"):
        client.generate(["a", "b"])  # type: ignore[arg-type]
    assert not state.requests


def test_a_system_message_in_mode_chat_becomes_the_context(client: Client, state: State) -> None:
    messages = [{"role": "system", "content": "Eres jueza."}, {"role": "user", "content": "Hola"}]
    client.chat(messages, mode="chat", name1="Ana", name2="Jueza")
    (body,) = state.bodies("/v1/chat/completions")
    assert body["context"] == "Eres jueza."
    assert body["messages"] == messages[1:]
    assert (body["name1"], body["name2"]) == ("Ana", "Jueza")
    for wrong in ({"mode": "talk"}, {"mode": "chat", "context": " "}):
        with pytest.raises(UsageError):
            client.chat(messages, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at least one message"):
        client.chat([])


def test_our_template_goes_as_text_and_another_by_name(client: Client, state: State) -> None:
    client.instruct("Hola", template="leylora-falcon")
    client.instruct("Hola", template="ChatML", continue_last=True)
    ours, theirs = state.bodies("/v1/chat/completions")
    assert ours["instruction_template_str"] == instruction_template("leylora-falcon")
    assert theirs["instruction_template"] == "ChatML"
    assert theirs["continue_"] is True
    prompt = client.chat_prompt([{"role": "user", "content": "Hola"}], template="leylora-falcon")
    assert prompt == "User: Hola\n\nAssistant:\n"


@pytest.mark.parametrize(
    ("name", "told"), [("leylora-mistrall", "did you mean leylora-mistral"), ("Vicuna", "there: leylora-falcon")]
)
def test_a_template_that_nobody_has_is_refused(client: Client, state: State, name: str, told: str) -> None:
    for ask in (client.instruct, lambda text, **given: list(client.stream_instruct(text, **given))):
        with pytest.raises(UsageError, match=f"no instruction template '{name}'.*{told}.*Alpaca"):
            ask("Hola", template=name)
    assert not state.bodies("/v1/chat/completions")
    client.instruct("Hola", template="Alpaca")


def test_a_greedy_preset_takes_no_temperature_but_one_that_means_the_same(client: Client, state: State) -> None:
    client.generate("La", preset="deterministic", temperature=0)
    client.generate("La", preset="deterministic", temperature=0.9, do_sample=True)
    assert [body["do_sample"] for body in state.bodies("/v1/completions")] == [False, True]


def test_models_that_cannot_be(client: Client) -> None:
    with pytest.raises(RequestRefusedError, match=r"no model 'missing'.*nothing was changed"):
        client.load_model("missing")
    assert client.info().loaded
    with pytest.raises(ServerFailedError, match="No model is loaded now"):
        client.load_model("broken")


def test_a_model_that_is_named_and_does_not_answer(client: Client, state: State) -> None:
    state.fault = "hollow"
    with pytest.raises(ServerFailedError, match="said OK, but 'tiny-falcon' does not answer; is Transformers"):
        client.load_model("tiny-falcon")


def test_why_a_generation_failed_is_found_out_where_it_can_be(client: Client, state: State) -> None:
    for stream in (False, True):
        kind: Any = StreamCutError if stream else ServerFailedError

        def chat(stream: bool = stream, **options: Any) -> Any:
            messages = [{"role": "user", "content": "Hola"}]
            return list(client.stream_chat(messages, **options)) if stream else client.chat(messages, **options)

        with pytest.raises(kind, match="answered with max_tokens 1: 2000 do not fit into the context"):
            chat(max_tokens=2000)
        with pytest.raises(kind, match="cannot read a character 'Nadie'"):
            chat(mode="chat", character="Nadie", max_tokens=20)
        state.fault = "broken"
        with pytest.raises(kind, match="Usual causes"):
            chat(max_tokens=2000)
        state.fault = ""


def test_without_a_model_no_token_is_counted(client: Client, state: State) -> None:
    state.model = None
    with pytest.raises(NoModelError, match="No model is loaded"):
        client.encode("La ley")


# Connections


def test_streams_that_break(client: Client, state: State) -> None:
    state.fault = "cut"
    heard: list[str] = []
    with pytest.raises(StreamCutError, match="was cut after") as cut:
        heard.extend(chunk.text for chunk in client.stream_generate("La"))
    assert cut.value.text == "¡Hola, señora"
    for fault, error, reason in (
        ("not utf-8", StreamCutError, "not UTF-8"),
        ("error event", ServerFailedError, "out of memory"),
    ):
        state.fault = fault
        with pytest.raises(error, match=reason):
            list(client.stream_generate("La"))


def test_leaving_a_stream_early_closes_it(client: Client) -> None:
    stream = client.stream_generate("La")
    assert next(stream).text == "¡Hola"
    stream.close()  # type: ignore[attr-defined]
    assert client.generate("La").text == TEXT


def test_a_key_for_openai_goes_nowhere_else(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, f"secret {name}")
    with pytest.raises(UnauthorizedError, match="give it as WEBUI_API_KEY"):
        Client(ServerSettings(url=server.url)).generate("La")
    Client(ServerSettings(url=server.url, api_key=SecretStr(API_KEY))).generate("La")
    assert len(server.state.headers) == 2
    assert "secret" not in str(server.state.headers)
    assert ["authorization" in map(str.lower, headers) for headers in server.state.headers] == [False, True]


def test_the_two_keys(server: StandIn) -> None:
    user = Client(ServerSettings(url=server.url, api_key=SecretStr(API_KEY)))
    assert user.generate("La").text == TEXT
    with pytest.raises(UnauthorizedError, match="admin key to list the LoRAs; give it as WEBUI_ADMIN_KEY"):
        user.loras()
    admin = Client(ServerSettings.from_environment(server.url, ADMIN_KEY))
    assert admin.models()
    with pytest.raises(UnauthorizedError, match="API key to generate"):
        admin.generate("La")
    with pytest.raises(UnauthorizedError):
        list(admin.stream_generate("La"))


def test_keys_are_never_shown(settings: ServerSettings, client: Client, state: State) -> None:
    state.fault = "host"
    with pytest.raises(RequestRefusedError) as error:
        client.generate("La")
    for text in (repr(settings), str(settings), repr(client.__dict__), str(error.value), repr(error.value)):
        assert API_KEY not in text
        assert ADMIN_KEY not in text


def test_keys_and_address_come_from_the_environment(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBUI_URL", server.url.removeprefix("http://") + "/v1/")
    monkeypatch.setenv("WEBUI_API_KEY", API_KEY)
    monkeypatch.setenv("WEBUI_ADMIN_KEY", ADMIN_KEY)
    assert Client().generate("La").text == TEXT
    assert Client().loras()
    assert Client(server.url).generate("La", stop="\n").text == TEXT
    assert server.state.requests[-1][1]["stop"] == ["\n"]


def test_a_proxy_is_not_asked_for_this_machine(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Client(settings).generate("La").text == TEXT


def test_a_server_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ServerDownError, match=r"Nothing answers at http://127.0.0.1.*--api"):
        Client(ServerSettings.from_environment(url)).info()


def test_a_slow_server(settings: ServerSettings, state: State) -> None:
    state.fault = "slow"
    with pytest.raises(TimedOutError, match="did not answer in time"):
        Client(settings, timeout=0.2).generate("La")
    assert len(state.bodies("/v1/completions")) == 1, "a generation was asked for twice"


def test_one_call_may_have_its_own_time(client: Client, state: State) -> None:
    state.fault = "slow"
    with pytest.raises(TimedOutError):
        client.generate("La", timeout=0.2)
    with pytest.raises(TimedOutError):
        list(client.stream_instruct("La", timeout=0.2))
    assert client.instruct("La").text == TEXT


def test_only_safe_calls_are_repeated(client: Client, state: State) -> None:
    state.fault = "gateway"
    assert client.info().loaded
    assert state.calls == 3
    state.calls = 0
    with pytest.raises(ServerFailedError, match="status 503"):
        client.generate("La")
    assert len(state.bodies("/v1/completions")) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("html", "not JSON; is this the API's port"), ("host", "start it with --listen")],
)
def test_the_wrong_port_and_the_wrong_name(client: Client, state: State, fault: str, reason: str) -> None:
    state.fault = fault
    with pytest.raises(ServerFailedError if fault == "html" else RequestRefusedError, match=reason):
        client.info()


# LoRAs: applied only when seen to act; a failed one leaves a usable base model


def test_a_lora_is_proved_to_act(client: Client, state: State) -> None:
    assert client.load_lora("good").change == pytest.approx(0.14)
    client.load_lora("other")
    assert (state.named, state.acting) == (("other",), "other")
    assert [body["lora_names"] for body in state.bodies("/v1/internal/lora/load")] == [
        *[["good"], ["good"]],  # measured, taken off, measured, and put back
        *[["other"], ["other"]],
    ]
    assert client.unload_lora() == ("tiny-mistral", False, False)
    assert state.named == ()


def test_a_lora_that_changes_nothing_is_an_error(client: Client, state: State) -> None:
    with pytest.raises(LoraError, match=r"said OK, but the LoRA 'idle' changes nothing.*base model is loaded"):
        client.load_lora("idle")
    assert state.named == ()


def test_the_noise_of_a_gpu_is_not_taken_for_an_effect(client: Client, state: State) -> None:
    state.noise = 1e-4
    assert client.load_lora("good").change > 0.1
    with pytest.raises(LoraError, match="changes nothing"):
        client.load_lora("idle")


def test_a_bad_lora_after_a_good_one_leaves_the_base_model(client: Client, state: State) -> None:
    client.load_lora("good")
    with pytest.raises(LoraError, match=r"'bad' does not load.*The base model is loaded, without a LoRA"):
        client.load_lora("bad")
    assert not state.stuck
    assert client.load_lora("good").change > 0


def test_the_broken_state_is_repaired_by_loading_the_model_again(client: Client, state: State) -> None:
    state.named, state.acting = ("good",), "good"
    state.stuck = True  # what another program's swap left behind
    assert client.load_lora("good", {"load_in_4bit": True}).change > 0
    assert state.bodies("/v1/internal/model/load") == [{"model_name": "tiny-mistral", "args": {"load_in_4bit": True}}]
    state.fault = "stuck"
    with pytest.raises(LoraError, match="The base model was loaded again"):
        client.load_lora("bad")
    assert not state.stuck


def test_a_lora_that_acts_unreported_proves_nothing_for_another(client: Client, state: State) -> None:
    state.acting, state.hidden = "other", True  # two LoRAs of one rank, asked for by another program
    assert not client.info().lora_names
    assert client.load_lora("good", {"load_in_4bit": True}).change == pytest.approx(0.14)
    assert (state.named, state.acting) == (("good",), "good")
    assert state.bodies("/v1/internal/model/load") == [{"model_name": "tiny-mistral", "args": {"load_in_4bit": True}}]


def two_at_once(settings: ServerSettings) -> None:
    body = {"lora_names": ["other", "good"]}
    headers = settings.headers(admin=True)
    assert httpx2.post(f"{settings.url}/v1/internal/lora/load", json=body, headers=headers).status_code == 400


def test_taking_off_a_lora_that_the_server_does_not_report(
    client: Client, settings: ServerSettings, state: State
) -> None:
    two_at_once(settings)
    assert not client.info().lora_names
    assert state.acting == "other"
    done = client.unload_lora({"load_in_4bit": True})
    assert done == ("tiny-mistral", True, True)
    assert "did not report" in str(done)
    assert (state.named, state.acting, state.hidden) == ((), None, False)
    assert state.bodies("/v1/internal/model/load") == [{"model_name": "tiny-mistral", "args": {"load_in_4bit": True}}]
    assert client.unload_lora() == ("tiny-mistral", False, False), "a clean model is not loaded again"


def test_a_bad_lora_does_not_leave_an_unreported_one(client: Client, settings: ServerSettings, state: State) -> None:
    two_at_once(settings)
    with pytest.raises(LoraError, match=r"'bad' does not load.*did not report.*was loaded again"):
        client.load_lora("bad")
    assert (state.named, state.acting, state.hidden) == ((), None, False)


def test_a_lora_that_breaks_the_probabilities_is_taken_off(client: Client, state: State) -> None:
    state.loras["nan"] = "not a number"
    with pytest.raises(LoraError, match=r"'nan' does not load.*base model is loaded"):
        client.load_lora("nan")
    assert (state.named, state.acting) == ((), None)


def test_loras_that_cannot_be(client: Client, state: State) -> None:
    with pytest.raises(LoraError, match=r"no LoRA 'missing' \(there: good, other, idle, bad\)"):
        client.load_lora("missing")
    state.loader = "llama.cpp"
    with pytest.raises(LoraError, match="only the Transformers loader"):
        client.load_lora("good")
