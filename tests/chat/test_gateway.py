"""The gateway, asked over real sockets by the openai client, with an engine that we write here behind it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

pytest.importorskip("starlette")

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from leylora.chat.gateway import CITED, GIVEN, LARGEST, Gateway, Upstream, conversation, serve, without_lines
from leylora.chat.guard import bind
from leylora.errors import LeyloraError, UsageError
from leylora.grounding.index import open_laws
from leylora.laws.catalog import catalog
from leylora.project import ROOT
from tests.grounding.small_laws import dogs, fairs, saved

QUESTION = "¿Qué multa paga quien no recoge los desechos del perro?"
RIGHT = "Paga una multa de cinco a diez dólares (Art. 4, Ley de Perros, ed. 2024-08-15)."
WRONG = "Paga una multa de noventa dólares (Art. 4, Ley de Perros, ed. 2024-08-15)."


class Engine:
    """An OpenAI server: answers with ``says`` or, to "repite: X", with X; notes what it was sent."""

    def __init__(self) -> None:
        self.says, self.fails, self.breaks, self.wait = RIGHT, 0, False, 0.0
        self.sent: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.open = 0

    def app(self) -> Starlette:
        routes = [
            Route("/v1/models", lambda _: JSONResponse({"data": [{"id": "m"}, {"id": "n"}]})),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.sent.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        if self.fails:
            return JSONResponse({"error": {"message": "no; api_key=sk-verysecret123456"}}, self.fails)
        asked = body["messages"][-1]["content"]
        said = asked.rpartition("repite: ")[2] if "repite: " in asked else self.says
        if not body.get("stream"):
            await asyncio.sleep(self.wait)
            message = {"role": "assistant", "content": said}
            return JSONResponse({"id": "1", "model": body["model"], "choices": [{"index": 0, "message": message}]})
        return StreamingResponse(self.pieces(said), media_type="text/event-stream")

    async def pieces(self, said: str) -> AsyncIterator[str]:
        self.open += 1
        try:
            for word in said.split(" "):
                await asyncio.sleep(self.wait / 10)
                yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': word + ' '}}]})}\n\n"
            if not self.breaks:
                end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
                yield f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n"
        finally:
            self.open -= 1


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    with bind(0) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def laws(tmp_path: Path) -> Path:
    return saved(tmp_path / "laws", dogs(), fairs())


@pytest.fixture
def address(engine: Engine, laws: Path) -> Iterator[str]:
    with served(engine.app()) as behind:
        gateway = Gateway(open_laws(laws, catalog()), Upstream(f"{behind}/v1", key="sk-behind"))
        with served(gateway.app()) as url:
            yield url


@pytest.fixture
def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="-", max_retries=0)


def ask(client: openai.OpenAI, question: str, model: str = "m+leyes", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}], **more)


def test_each_model_is_there_twice(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list()] == ["m", "m+leyes", "n", "n+leyes"]


def test_a_plain_model_is_the_engines_own(client: openai.OpenAI, engine: Engine) -> None:
    assert ask(client, "hola", "m", temperature=0.5).choices[0].message.content == RIGHT
    assert engine.sent == [{"messages": [{"role": "user", "content": "hola"}], "model": "m", "temperature": 0.5}]
    assert engine.keys == ["Bearer sk-behind"]
    streamed = "".join(one.choices[0].delta.content or "" for one in ask(client, "hola", "m", stream=True))
    assert streamed.strip() == RIGHT


def test_with_the_laws_the_articles_go_along_and_the_answer_comes_back_marked(
    client: openai.OpenAI, engine: Engine
) -> None:
    answer = ask(client, QUESTION, max_tokens=9)
    first, *_, last = answer.choices[0].message.content.split("\n")
    assert first.startswith(f"{GIVEN}Art. 4, Ley de Perros")
    assert last == f"{CITED}✓ Art. 4, Ley de Perros, ed. 2024-08-15"
    assert answer.model == "m+leyes"
    assert answer.sources[0]["article"] == "4"
    assert [one["verdict"] for one in answer.claims] == ["supported"]
    (sent,) = engine.sent
    assert sent["model"] == "m"
    assert sent["max_tokens"] == 9
    assert [one["role"] for one in sent["messages"]] == ["system", "user"]
    assert "desechos" in sent["messages"][1]["content"]
    assert sent["messages"][1]["content"].endswith(QUESTION)


def test_streamed_the_same_text_and_fields(client: openai.OpenAI, engine: Engine) -> None:
    engine.says = WRONG
    whole = ask(client, QUESTION).choices[0].message.content
    events = list(ask(client, QUESTION, stream=True))
    streamed = "".join(one.choices[0].delta.content or "" for one in events)
    assert streamed.replace(" \n", "\n") == whole
    assert "✗ Art. 4" in streamed.split("\n")[-1]
    assert events[0].sources[0]["article"] == "4"
    assert events[-1].claims[0]["verdict"] == "contradicted"
    assert events[-1].choices[0].finish_reason == "length"


def test_what_the_laws_do_not_treat_is_not_asked(client: openai.OpenAI, engine: Engine) -> None:
    answer = ask(client, "¿Cuál es la capital de Australia?")
    assert answer.choices[0].message.content.startswith("No encuentro ningún artículo")
    assert answer.sources == []
    streamed = list(ask(client, "¿Cuál es la capital de Australia?", stream=True))
    assert streamed[0].choices[0].delta.content == answer.choices[0].message.content
    assert engine.sent == []


def test_a_conversation_is_sent_back_without_our_lines(client: openai.OpenAI, engine: Engine) -> None:
    first = ask(client, QUESTION).choices[0].message.content
    messages: list[Any] = [
        {"role": "system", "content": "Responda breve."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": first},
        {"role": "user", "content": [{"type": "text", "text": "¿Y si el perro anda suelto?"}]},
    ]
    client.chat.completions.create(model="m+leyes", messages=messages)
    sent = engine.sent[-1]["messages"]
    assert [one["role"] for one in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"].endswith("Responda breve.")
    assert sent[2]["content"] == RIGHT
    assert without_lines("> una cita ajena\nbien") == "> una cita ajena\nbien"
    assert conversation({"messages": messages}).previous == QUESTION


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "no JSON"),
        (b"[]", 400, "'messages'"),
        (b'{"messages": [1], "model": "m"}', 400, "'messages'"),
        (b'{"messages": [{"role": "user", "content": "x"}], "model": "+leyes"}', 400, "'model'"),
        (b'{"messages": [], "model": "m+leyes"}', 400, "the user's question"),
        (b'{"messages": [{"role": "user", "content": "x"}], "model": "m+leyes", "n": 2}', 400, "one answer"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}], "model": "m+leyes"}', 400, "text only"),
        (b" " * (LARGEST + 1), 413, "at most"),
        (b"[" * 100_000, 400, "no JSON"),
    ],
)
def test_a_bad_request_is_one_sentence(address: str, body: bytes, status: int, told: str) -> None:
    answer = httpx2.post(f"{address}/v1/chat/completions", content=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


def test_other_paths_and_other_hosts(address: str) -> None:
    assert "is not offered" in httpx2.get(f"{address}/v1/embeddings").json()["error"]["message"]
    assert httpx2.get(f"{address}/health").json() == {"status": "ok"}
    assert httpx2.get(f"{address}/v1/models", headers={"host": "evil.example"}).status_code == 403


def test_what_the_engine_refuses_is_told_without_its_secrets(client: openai.OpenAI, engine: Engine) -> None:
    engine.fails = 429
    with pytest.raises(openai.RateLimitError, match="no; api_key=…"):
        ask(client, QUESTION)
    with pytest.raises(openai.APIError, match="no; api_key=…"):
        list(ask(client, QUESTION, stream=True))
    engine.fails, engine.breaks = 0, True
    with pytest.raises(openai.APIError, match="broke off"):
        list(ask(client, QUESTION, stream=True))


def test_an_engine_that_is_away_is_named(laws: Path) -> None:
    gateway = Gateway(open_laws(laws, catalog()), Upstream("http://127.0.0.1:9/v1"))
    with served(gateway.app()) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0)
        with pytest.raises(openai.InternalServerError, match=r"http://127.0.0.1:9/v1 does not answer"):
            client.models.list()


def test_a_key_is_asked_for(engine: Engine, laws: Path) -> None:
    with served(engine.app()) as behind:
        gateway = Gateway(open_laws(laws, catalog()), Upstream(f"{behind}/v1"), key="clave-ñ")
        with served(gateway.app()) as url:
            for key in ("-", "clave"):
                with pytest.raises(openai.AuthenticationError, match="key"):
                    openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0).models.list()
            right = {b"authorization": "Bearer clave-ñ".encode()}
            assert httpx2.get(f"{url}/v1/models", headers=right).status_code == 200


def test_wrong_options_are_sentences(laws: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="LEYLORA_API_KEY"):
        serve("http://127.0.0.1:9/v1", laws, host="0.0.0.0")
    for url in ("127.0.0.1:8080", "ftp://x/v1", "http://me:secret@x/v1"):
        with pytest.raises(UsageError, match="--upstream is an address") as refused:
            Upstream(url)
        assert "secret" not in str(refused.value)
    with pytest.raises(LeyloraError):
        serve("http://127.0.0.1:9/v1", tmp_path / "none")


def test_many_at_once_a_quarter_leaving(address: str, engine: Engine) -> None:
    """200 questions of 16 programs, each fourth hanging up midway: no answer is mixed up and no place is lost."""
    engine.wait = 0.05
    wrong: list[str] = []

    async def program(http: httpx2.AsyncClient, numbers: range) -> None:
        for number in numbers:
            said = " ".join([str(1000 + number)] * 8)
            messages = [{"role": "user", "content": f"{QUESTION} repite: {said}"}]
            body = {"model": "m+leyes", "stream": True, "messages": messages}
            text = ""
            async with http.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                    if number % 4 == 0 and said[:9] in text:
                        break
            if number % 4 and said not in text:
                wrong.append(f"{number}: {text}")

    async def all_of_them() -> None:
        async with httpx2.AsyncClient(timeout=30) as http:
            await asyncio.gather(*(program(http, range(one, 200, 16)) for one in range(16)))

    asyncio.run(all_of_them())
    assert wrong == []
    until = time.monotonic() + 10
    while engine.open and time.monotonic() < until:
        time.sleep(0.05)
    assert engine.open == 0


def test_who_hangs_up_on_a_whole_answer_frees_the_place(engine: Engine, laws: Path) -> None:
    engine.wait = 3
    with served(engine.app()) as behind:
        gateway = Gateway(open_laws(laws, catalog()), Upstream(f"{behind}/v1"), places=1)
        with served(gateway.app()) as url:
            impatient = openai.OpenAI(base_url=f"{url}/v1", api_key="-", max_retries=0, timeout=0.5)
            with pytest.raises(openai.APITimeoutError):
                ask(impatient, QUESTION)
            engine.wait = 0
            assert ask(openai.OpenAI(base_url=f"{url}/v1", api_key="-", timeout=10), QUESTION).claims


@pytest.mark.slow
def test_the_command(engine: Engine, laws: Path) -> None:
    with served(engine.app()) as behind:
        command = [sys.executable, str(ROOT / "scripts/serve.py"), "--upstream", f"{behind}/v1", "--laws", str(laws)]
        env = {**os.environ, "LEYLORA_API_KEY": "k", "COLUMNS": "200"}
        started = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env=env)
        assert started.stderr is not None
        line = next(one for one in started.stderr if "answers for" in one)
        url = line.split()[0]
        client = openai.OpenAI(base_url=url, api_key="k", max_retries=3)
        assert ask(client, QUESTION).sources
        engine.wait = 2
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(max_retries=0, timeout=0.5), QUESTION)
        half = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        half += b"Authorization: Bearer k\r\nContent-Length: 9\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as broken_off:
            broken_off.sendall(half)
        time.sleep(1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(timeout=20) in (0, 130, -15)
        assert "Traceback" not in started.stderr.read()
