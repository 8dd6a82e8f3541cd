"""The server as its clients see it: over HTTP, with httpx and with our own client of the webui's API."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from leylora.chat.engine import Engine
from leylora.chat.sampling import Sampling
from leylora.chat.server import Limits, make_app
from leylora.chat.serving import bind, check_exposure, read_key
from leylora.errors import LeyloraError, UsageError
from leylora.webui.client import Client, ServerSettings

KEY = "una-clave-larga"
QUESTION = [{"role": "user", "content": "¿Qué dice el artículo?"}]
LIMITS = Limits(parallel=2, waiting=1, body=5_000)
GREEDY = {"temperature": 0, "max_tokens": 8}


class Running:
    """The application in a real uvicorn, in a thread of this process."""

    def __init__(self, engine: Engine) -> None:
        import uvicorn

        self.engine = engine
        self.socket = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(
            uvicorn.Config(make_app(engine, key=KEY, limits=LIMITS), log_level="warning", access_log=False)
        )
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        self.http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)

    def chat(self, **fields: object) -> httpx.Response:
        return self.http.post("/v1/chat/completions", json={"messages": QUESTION, **GREEDY, **fields})


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Running]:
    running = Running(engine)
    yield running
    running.server.should_exit = True
    running.thread.join(30)
    assert not running.thread.is_alive()
    running.http.close()


def alone(engine: Engine, variant: str, tokens: int = 8) -> str:
    pieces = engine.chat(variant, QUESTION, Sampling(do_sample=False, max_new_tokens=tokens))
    return "".join(piece.text for piece in pieces)


def test_the_base_and_each_adapter_are_models(server: Running) -> None:
    data = server.http.get("/v1/models").json()["data"]
    assert [card["id"] for card in data] == [
        "tiny-mistral", "tiny-mistral-instructions", "tiny-mistral-law", "tiny-mistral-on-top",
    ]  # fmt: skip
    assert data[1]["parent"] == "tiny-mistral"
    assert server.http.get("/v1/models/tiny-mistral-law").json()["id"] == "tiny-mistral-law"
    assert server.http.get("/v1/models/nobody").status_code == 404


@pytest.mark.parametrize(("model", "variant"), [("tiny-mistral", "base"), ("tiny-mistral-law", "tiny-mistral-law")])
def test_a_chat_is_answered_by_the_model_asked_for(server: Running, model: str, variant: str) -> None:
    body = server.chat(model=model).json()
    assert body["object"] == "chat.completion"
    assert body["model"] == model
    assert body["choices"][0]["message"]["content"] == alone(server.engine, variant)
    assert body["choices"][0]["finish_reason"] in ("stop", "length")
    usage = body["usage"]
    assert usage["prompt_tokens"] == len(server.engine.prompt(variant, QUESTION))
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_streamed_chat_is_the_whole_one(server: Running) -> None:
    response = server.chat(model="tiny-mistral-law", stream=True, stream_options={"include_usage": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    received = events(response)
    choices = [event["choices"] for event in received]
    assert choices[0][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(choice[0]["delta"].get("content", "") for choice in choices if choice)
    assert text == alone(server.engine, "tiny-mistral-law")
    assert choices[-2][0]["finish_reason"] in ("stop", "length")
    assert choices[-1] == []
    assert received[-1]["usage"]["completion_tokens"] > 0
    assert len({event["id"] for event in received}) == 1


def test_a_plain_completion(server: Running) -> None:
    body = server.http.post("/v1/completions", json={"prompt": "Artículo", **GREEDY, "logprobs": 2}).json()
    choice = body["choices"][0]
    assert body["object"] == "text_completion"
    assert choice["text"]
    assert len(choice["logprobs"]["tokens"]) == len(choice["logprobs"]["token_logprobs"])
    assert all(len(top) == 2 for top in choice["logprobs"]["top_logprobs"])
    streamed = events(server.http.post("/v1/completions", json={"prompt": ["Artículo"], **GREEDY, "stream": True}))
    assert "".join(event["choices"][0]["text"] for event in streamed) == choice["text"]


def test_token_scores_of_a_chat(server: Running) -> None:
    choice = server.chat(logprobs=True, top_logprobs=3).json()["choices"][0]
    first = choice["logprobs"]["content"][0]
    assert first["logprob"] == first["top_logprobs"][0]["logprob"]
    assert bytes(first["bytes"]).decode() == first["token"]


def test_stop_and_seed(server: Running) -> None:
    whole = alone(server.engine, "base")
    body = server.chat(stop=whole[4:6]).json()
    assert body["choices"][0]["message"]["content"] == whole[:4]
    assert body["choices"][0]["finish_reason"] == "stop"
    warm = {"temperature": 1.5, "seed": 11}
    one, two = (server.chat(**warm).json()["choices"][0]["message"]["content"] for _ in range(2))
    assert one == two


def test_our_own_client_talks_to_it(server: Running) -> None:
    from pydantic import SecretStr

    with Client(ServerSettings(url=server.url, api_key=SecretStr(KEY))) as client:
        assert "tiny-mistral-law" in client.models()
        answer = client.chat(QUESTION, model="tiny-mistral-law", preset="deterministic", max_tokens=8)
        assert answer.text == alone(server.engine, "tiny-mistral-law")
        pieces = client.stream_chat(QUESTION, model="tiny-mistral-law", temperature=0, max_tokens=8)
        assert "".join(piece.text for piece in pieces) == answer.text
        assert client.generate("Artículo", max_tokens=4, seed=1).text


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "gpt-9"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages.0.role"),
        ({"temperature": -1}, 400, "temperature"),
        ({"n": 2}, 400, "n"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"frequency_penalty": 0.5}, 400, "frequency_penalty"),
        ({"top_k": "muchos"}, 400, "top_k"),
        ({"repetition_penalty": 0}, 400, None),
        ({"no_repeat_ngram_size": 2.5}, 400, None),
        ({"epsilon_cutoff": 10_000}, 400, None),
        ({"eta_cutoff": 1e9}, 400, None),
        ({"messages": [{"role": "user", "content": "a " * 2_400}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "a" * 6_000}]}, 413, None),
    ],
)
def test_what_cannot_be_is_refused_in_openais_form(
    server: Running, fields: dict[str, object], status: int, param: str | None
) -> None:
    for stream in (False, True):
        response = server.chat(**fields, stream=stream)
        assert response.status_code == status
        error = response.json()["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param


def test_neutral_settings_of_other_apis_are_taken(server: Running) -> None:
    assert server.chat(temperature=1e-300).json()["choices"] == server.chat(temperature=0).json()["choices"]
    assert server.chat(frequency_penalty=0, tools=[], mirostat_mode=0, user="x", seed=-1).status_code == 200


def test_no_json_no_path_no_method(server: Running) -> None:
    post = server.http.post
    assert post("/v1/completions", content=b"{").status_code == 415
    assert post("/v1/completions", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert server.http.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert server.http.get("/v1/completions").status_code == 405


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer otra"}, {"Authorization": "Bearer ñ".encode()}])
def test_the_key_is_needed(server: Running, header: dict[str, str | bytes]) -> None:
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/completions")):
        response = httpx.request(method, server.url + path, headers=header)  # type: ignore[arg-type]
        assert response.status_code == 401
        assert KEY not in response.text


def test_another_name_for_this_machine_is_refused(server: Running) -> None:
    response = server.http.get("/v1/models", headers={"Host": "evil.example"})
    assert response.status_code == 403


def test_one_request_too_many_is_told_to_come_again(server: Running) -> None:
    responses: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: responses.append(server.chat())) for _ in range(4)]
    with server.engine._turn:  # nothing is computed: two answers are under way, one waits
        for thread in threads:
            thread.start()
        while not responses:
            time.sleep(0.01)
    for thread in threads:
        thread.join(30)
    first, *others = responses  # an answer before this test may still be giving its place back
    assert first.status_code == 429
    assert first.headers["retry-after"]
    assert first.json()["error"]["code"] == "rate_limit_exceeded"
    assert [response.status_code for response in others].count(200) >= 2


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_makes_room(server: Running, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    computed = threading.Semaphore(0)
    forward = server.engine._forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        computed.release()
        time.sleep(0.005)  # time to leave in
        return forward(*args, **kwargs)

    monkeypatch.setattr(server.engine, "_forward", counted)
    body = {"messages": QUESTION, "temperature": 0, "max_tokens": 800, "stream": stream}
    text = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    for _ in range(3):  # one more than there are places
        with socket.create_connection(server.socket.getsockname()) as connection:
            connection.sendall(head.encode() + text)
            assert computed.acquire(timeout=20)
    assert server.chat(max_tokens=2).status_code == 200
    while computed.acquire(blocking=False):
        pass
    time.sleep(0.1)
    assert not computed.acquire(blocking=False)


def test_an_error_of_the_engine_is_told_without_a_traceback(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(server.engine, "_forward", broken)
    for stream in (False, True):
        response = server.chat(stream=stream)
        assert response.status_code == 500
        assert "secret" not in response.text
    assert "secret detail" in caplog.text


def test_a_soak_in_small_finds_nothing(server: Running) -> None:
    import importlib.util
    import sys

    from leylora.project import ROOT

    spec = importlib.util.spec_from_file_location("serving_soak", ROOT / "benchmarks" / "serving.py")
    assert spec is not None
    assert spec.loader is not None
    soak = importlib.util.module_from_spec(spec)
    sys.modules["serving_soak"] = soak
    spec.loader.exec_module(soak)
    found = soak.soak(server.url, requests=30, threads=3, seed=1, key=KEY)
    assert found.wrong == 0
    assert found.hung == 0
    assert found.answered > 0
    assert found.left > 0


def test_keys_and_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("abc\n", "utf-8")
    assert read_key(file) == "abc"
    file.write_text("\n", "utf-8")
    with pytest.raises(LeyloraError, match="is empty"):
        read_key(file)
    monkeypatch.setenv("LEYLORA_API_KEY", "señal")
    with pytest.raises(LeyloraError, match="plain ASCII"):
        read_key(None)
    monkeypatch.delenv("LEYLORA_API_KEY")
    assert read_key(None) is None
    check_exposure("127.0.0.1", None)
    check_exposure("0.0.0.0", "key")
    with pytest.raises(UsageError, match="open to other machines"):
        check_exposure("0.0.0.0", None)
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(LeyloraError, match="--port"):
            bind("127.0.0.1", taken.getsockname()[1])


def test_who_comes_before_the_server_is_up_waits() -> None:
    listening = bind("127.0.0.1", 0)
    with socket.create_connection(listening.getsockname(), timeout=5):
        pass
    listening.close()
