"""OpenAI's chat API with the laws in front of any engine: each of its models twice, as it is and as NAME+leyes.

    gateway = Gateway(index, Upstream("http://127.0.0.1:8080/v1"))
    uvicorn.run(gateway.app())

To NAME+leyes a question goes with the articles found for it, in the form that the law adapter was trained on; its
answer comes back (streamed or whole) between two lines: which articles it was given, and what is right or wrong with
each citation. The same stands in the fields `sources` and `claims`. When the laws have nothing on the question, the
engine is not asked. Both lines are taken out again when a program sends the conversation back.

Nothing is kept. A program that hangs up frees its place, here and in the engine.
"""

import asyncio
import hmac
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import httpx2

from leylora import console
from leylora.chat.document import CheckedDocument, Document, as_json
from leylora.chat.guard import LOCAL_NAMES, LocalOnly, bind, impatient
from leylora.errors import LeyloraError, UsageError
from leylora.grounding.checker import check_answer, check_text, explain
from leylora.grounding.ground import Grounded, ground
from leylora.grounding.index import open_laws
from leylora.grounding.search import LawIndex
from leylora.laws.catalog import age_notes, catalog
from leylora.models.embedding import attach
from leylora.redact import scrubbed

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ModuleNotFoundError:
    raise LeyloraError("The gateway needs starlette and uvicorn: python -m pip install 'leylora[serve]'") from None

WITH_LAWS = "+leyes"
GIVEN, CITED = "> Leyes: ", "> Citas: "  # how the two lines begin, for people and for `without_lines`
LARGEST = 1 << 20  # bytes of a request
PLACES, WAITING = 16, 64  # requests in the engine at once, and in the queue before one is refused
SECONDS = 600.0  # an engine's longest silence
CHARACTERS = 6_000  # of the turn that has the articles
POLL = 0.2  # seconds between two looks at whether the program is still there
T = TypeVar("T")


class Refused(Exception):
    """A request that is answered with an error: a status, OpenAI's type of error, and a sentence."""

    def __init__(self, status: int, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind

    def body(self) -> dict[str, Any]:
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": self.status}}


class Asked(NamedTuple):
    """A conversation for NAME+leyes: the last question, the one before it, the earlier turns, the program's system."""

    question: str
    previous: str
    earlier: list[dict[str, str]]
    system: str


class Upstream:
    """Any server that speaks OpenAI's API: vLLM, llama.cpp's, text-generation-webui, Ollama (their ``/v1``).

    ``key`` is sent as a bearer token; by default $UPSTREAM_API_KEY. Raises UsageError where ``url`` is not
    a web address.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(f"--upstream is an address such as http://127.0.0.1:8080/v1, not '{scrubbed(url)}'.")
        self.url = url.rstrip("/")
        key = key or os.environ.get("UPSTREAM_API_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(SECONDS, connect=10.0)
        limits = httpx2.Limits(max_connections=None)
        self._http = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=False)

    async def models(self) -> list[str]:
        listed = (await self._object("GET", "/models")).get("data") or ()
        return [str(one["id"]) for one in listed if isinstance(one, dict) and "id" in one]

    async def chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._object("POST", "/chat/completions", body)

    @asynccontextmanager
    async def _sent(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> AsyncIterator[Any]:
        try:
            async with self._http.stream(method, self.url + path, json=body) as answer:
                if answer.status_code >= 400:
                    raise Refused(answer.status_code, "upstream_error", _told(await answer.aread()))
                yield answer
        except (httpx2.HTTPError, ValueError) as error:
            what = type(error).__name__ if not str(error) else scrubbed(str(error))
            raise Refused(502, "upstream_error", f"The engine at {self.url} does not answer ({what}).") from None

    async def _object(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with self._sent(method, path, body) as answer:
            return _dict(await answer.aread())

    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The events of a streamed answer. Raises Refused for an error in mid-stream as well."""
        async with self._sent("POST", "/chat/completions", body) as answer:
            async for line in answer.aiter_lines():
                if not line.startswith("data:") or line[5:].strip() in ("", "[DONE]"):
                    continue
                event = _dict(line[5:])
                if "error" in event:
                    raise Refused(502, "upstream_error", _told(line[5:].encode()))
                yield event

    async def close(self) -> None:
        await self._http.aclose()


@dataclass
class Gateway:
    """The gateway over the laws of an index and an engine.

    Attributes:
        key: what a program has to send as its API key; None where anybody on this machine may ask.
        names: the host names under which it is asked.
        places: how many requests the engine answers at once.
    """

    index: LawIndex
    engine: Upstream
    key: str | None = None
    names: Sequence[str] = LOCAL_NAMES
    places: int = PLACES
    _waiting: int = field(default=0, init=False)
    _free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.places)

    def app(self) -> Starlette:
        @asynccontextmanager
        async def life(_: Starlette) -> AsyncIterator[None]:
            yield
            await self.engine.close()

        routes = [
            Route("/v1/models", self.list_models, methods=["GET"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/health", lambda _: JSONResponse({"status": "ok"}), methods=["GET"]),
        ]
        guard = [Middleware(LocalOnly, names=tuple(self.names))]
        return Starlette(
            routes=routes,
            middleware=guard,
            lifespan=life,
            exception_handlers={Refused: _refusal, ClientDisconnect: _gone, 404: _not_here, 405: _not_here},
        )

    async def list_models(self, request: Request) -> Response:
        self._admit(request)
        found = [name for one in await self.engine.models() for name in (one, one + WITH_LAWS)]
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in found]})

    async def chat(self, request: Request) -> Response:
        self._admit(request)
        body = await _body(request)
        if self._waiting >= self.places + WAITING:
            raise Refused(503, "overloaded", "Too many questions are waiting; ask again in a minute.")
        name, found = body["model"], None
        if name.endswith(WITH_LAWS):
            asked = conversation(body)
            found = await asyncio.to_thread(
                ground,
                asked.question,
                self.index,
                budget=CHARACTERS,
                previous=asked.previous,
                system=asked.system,
            )
            system, question = found.messages
            messages = [system, *asked.earlier, question]
            body = {**body, "model": name.removesuffix(WITH_LAWS), "messages": messages}
        if body.get("stream"):
            events = self._events(body, name, found)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        return await _while_there(request, self._whole(body, name, found))

    async def _whole(self, body: Mapping[str, Any], name: str, found: Grounded | None) -> Response:
        if found is not None and found.reply:
            return JSONResponse({**_answer(name, found.reply), "sources": [], "claims": []})
        async with self._place():
            whole = await self.engine.chat(body)
        if found is None:
            return JSONResponse(whole)
        choices = whole.get("choices") or [{}]
        message = choices[0].get("message") if isinstance(choices[0], dict) else None
        if not isinstance(message, dict):
            raise Refused(502, "upstream_error", f"The engine at {self.engine.url} answered without a message.")
        text = str(message.get("content") or "")
        last, claims = await asyncio.to_thread(self._checked, text, found)
        message["content"] = f"{_given(found)}{text.strip()}{last}"
        return JSONResponse({**whole, "model": name, "sources": _sources(found), "claims": claims})

    async def _events(self, body: Mapping[str, Any], name: str, found: Grounded | None) -> AsyncIterator[str]:
        frame = _frame(name, "chat.completion.chunk")
        try:
            if found is not None and found.reply:
                yield _line(_chunk(frame, found.reply, sources=[]))
                yield _line(_chunk(frame, end="stop", claims=[]))
            else:
                async with self._place():
                    events = self.engine.stream(body)
                    if found is not None:
                        events = self._with_laws(events, frame, found)
                    async for one in events:
                        yield _line(one)
        except Refused as refused:
            yield _line(refused.body())
        yield "data: [DONE]\n\n"

    async def _with_laws(
        self, events: AsyncIterator[dict[str, Any]], frame: Mapping[str, Any], found: Grounded
    ) -> AsyncIterator[dict[str, Any]]:
        """The engine's events between the line of articles and the line of marks."""
        yield _chunk(frame, _given(found), sources=_sources(found))
        text, end, counted = "", None, dict[str, Any]()
        async for one in events:
            choices = one.get("choices") or []
            if not choices:
                counted = {"usage": one["usage"]} if one.get("usage") else counted
                continue
            piece = (choices[0].get("delta") or {}).get("content")
            end = choices[0].get("finish_reason") or end
            if piece:
                text += piece
                yield _chunk(frame, piece)
        if end is None:
            raise Refused(502, "upstream_error", f"The engine at {self.engine.url} broke off its answer.")
        last, claims = await asyncio.to_thread(self._checked, text, found)
        if last:
            yield _chunk(frame, last)
        yield _chunk(frame, end=end, claims=claims, **counted)

    def _checked(self, text: str, found: Grounded) -> tuple[str, list[dict[str, Any]]]:
        """The line of marks, and every claim of an answer as `scripts/check_text.py --json` tells it."""
        given, question = found.articles, found.question
        cited = check_answer(text, self.index, given=given, question=question)
        checked = check_text(text, self.index, given=given, question=question)
        claims: list[dict[str, Any]] = as_json(CheckedDocument(Document("answer", text), checked))["claims"]
        if not text.strip():
            return "", claims
        marks = dict.fromkeys(f"{one.mark} {one.text}" + _why(one.mark, explain(one)) for one in cited)
        return f"\n\n{CITED}{'; '.join(marks) or '⚠ La respuesta no cita ningún artículo.'}", claims

    def _admit(self, request: Request) -> None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if self.key and not hmac.compare_digest(sent.encode("latin-1"), self.key.encode()):
            raise Refused(401, "invalid_request_error", "A key is needed: send the gateway's as the API key.")

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            async with self._free:
                yield
        finally:
            self._waiting -= 1


def conversation(body: Mapping[str, Any]) -> Asked:
    """The parts of a request's messages. Raises Refused for what cannot be answered from the laws."""
    if body.get("n", 1) != 1 or body.get("tools"):
        raise Refused(400, "invalid_request_error", f"NAME{WITH_LAWS} gives one answer and calls no tools.")
    told = [{"role": str(one["role"]), "content": without_lines(_text(one.get("content")))} for one in body["messages"]]
    system = " ".join(one["content"] for one in told if one["role"] in ("system", "developer"))
    turns = [one for one in told if one["role"] in ("user", "assistant") and one["content"].strip()]
    if not turns or turns[-1]["role"] != "user":
        raise Refused(400, "invalid_request_error", "The last message has to be the user's question.")
    before = [one["content"] for one in turns[:-1] if one["role"] == "user"]
    return Asked(turns[-1]["content"], before[-1] if before else "", turns[:-1], system)


def without_lines(text: str) -> str:
    """An answer of ours as the model gave it, without the lines about articles and citations."""
    if GIVEN.strip() not in text and CITED.strip() not in text:
        return text
    kept = [line for line in text.split("\n") if not line.startswith((GIVEN.strip(), CITED.strip()))]
    return "\n".join(kept).strip()


def _given(found: Grounded) -> str:
    named = "; ".join(article.citation for article in found.articles)
    ages = "".join(f" ⚠ {note}" for note in age_notes(article.law for article in found.articles))
    return f"{GIVEN}{named}{ages}\n\n"


def _sources(found: Grounded) -> list[dict[str, str]]:
    return [
        {
            "citation": article.citation,
            "law_id": article.law.id,
            "edition": article.law.edition,
            "article": article.number,
            "rubric": article.rubric,
            "text": article.body,
        }
        for article in found.articles
    ]


def _why(mark: str, reason: str) -> str:
    return "" if mark == "✓" else f" ({reason.rstrip('.')})"


def _frame(name: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": name}


def _chunk(frame: Mapping[str, Any], text: str | None = None, end: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if text is None else {"role": "assistant", "content": text}
    return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": end}], **more}


def _answer(name: str, text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return {**_frame(name, "chat.completion"), "choices": [choice], "usage": usage}


def _text(content: Any) -> str:
    """The words of a message, which may come in parts; Refused for pictures and sounds."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in content):
        return "\n".join(one["text"] for one in content)
    raise Refused(400, "invalid_request_error", f"NAME{WITH_LAWS} reads text only.")


async def _body(request: Request) -> dict[str, Any]:
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > LARGEST:
            raise Refused(413, "invalid_request_error", f"A request may have {LARGEST:,} bytes at most.")
    try:
        body = json.loads(read)
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_request_error", "The request is no JSON.") from None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not all(isinstance(one, dict) and "role" in one for one in messages):
        raise Refused(400, "invalid_request_error", "'messages' has to be a list of objects with role and content.")
    if not isinstance(body.get("model"), str) or not body["model"].removesuffix(WITH_LAWS):
        raise Refused(400, "invalid_request_error", "'model' has to be a name that /v1/models lists.")
    return dict(body)


async def _while_there(request: Request, work: Awaitable[T]) -> T:
    """Do ``work`` as long as the program waits for it; when it hangs up the work is given up."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=POLL)
            if not task.done() and await request.is_disconnected():
                raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()


def _dict(text: str | bytes) -> dict[str, Any]:
    """The object that an engine's JSON holds. Raises ValueError for anything else."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("its answer is not a JSON object")
    return found


def _line(event: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _told(body: bytes) -> str:
    """What an engine says of its error, without anything that looks like a secret."""
    try:
        error = json.loads(body)["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError):
        said = body.decode("utf-8", "replace")
    return scrubbed(str(said))[:500] or "The engine gave no reason."


def _refusal(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return JSONResponse(refused.body(), refused.status)


def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; without it the server would print a traceback


def _not_here(request: Request, _: Exception) -> Response:
    sentence = f"{request.method} {request.url.path} is not offered; there are /v1/models and /v1/chat/completions."
    return _refusal(request, Refused(404, "invalid_request_error", sentence))


def serve(
    upstream: str,
    laws: Path | None,
    *,
    host: str = "127.0.0.1",
    port: int = 8808,
    names: Sequence[str] = (),
    places: int = PLACES,
    key: str | None = None,
) -> None:
    """Serve until Ctrl-C.

    Raises:
        UsageError: another address than this machine's without a key.
        LeyloraError: no parsed law, or a port that is taken.
    """
    here = host in ("127.0.0.1", "localhost", "::1")
    if not here and not key:
        raise UsageError(f"On {host} others can ask as well: set LEYLORA_API_KEY to a key that they have to send.")
    engine = Upstream(upstream)
    index = open_laws(laws, catalog())
    attach(index)
    asked_as = [*LOCAL_NAMES, *([] if here or host in ("0.0.0.0", "::") else [host]), *names]
    gateway = Gateway(index, engine, key, asked_as, places)
    with bind(port, host) as listening:
        here_at = f"http://{host}:{listening.getsockname()[1]}/v1"
        console.note(f"{here_at} answers for {upstream}, with and without the laws; Ctrl-C ends it.")
        config = uvicorn.Config(gateway.app(), http=impatient(H11Protocol), log_level="warning", access_log=False)
        uvicorn.Server(config).run([listening])
