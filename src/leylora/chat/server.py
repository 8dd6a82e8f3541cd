"""An OpenAI-compatible server for one's own machine: the base and each of its adapters as a model.

A few answers grow at once, token by token in turn (`leylora.chat.engine`); a few more wait; the rest are told to
come again. A client that goes away frees its place after the token that is being computed.
"""

import hmac
import json
import logging
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from leylora.chat.answer import Finish, Piece, TokenScore
from leylora.chat.conversation import TooLongError
from leylora.chat.engine import Engine
from leylora.chat.variants import BASE
from leylora.chat.wire import ChatRequest, CompletionRequest, Form, RefusedError, parse
from leylora.errors import LeyloraError, UsageError

BODY_SECONDS = 30
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is taken on: answers at once, requests waiting, bytes of a body."""

    parallel: int = 4
    waiting: int = 16
    body: int = 1_000_000


class Slots:
    """``async with slots``: a place among the parallel answers, after a wait if need be.

    Raises:
        RefusedError: (429) too many wait already.
    """

    def __init__(self, limits: Limits) -> None:
        self._free = anyio.Semaphore(limits.parallel)
        self._limit = limits.waiting
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._free.value == 0 and self._waiting >= self._limit:
            raise RefusedError(429, "Too many requests are waiting; try again in some seconds.", "rate_limit_exceeded")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *error: object) -> None:
        self._free.release()


Run = Callable[[threading.Event], Iterator[Piece]]


class Answering(Response):
    """The answer to one request, whole or as events, given up as soon as the client is gone."""

    def __init__(self, run: Run, form: Form, slots: Slots, *, stream: bool, wants_usage: bool) -> None:
        self._run, self._form, self._slots = run, form, slots
        self._stream, self._wants_usage = stream, wants_usage
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; an error before the first word has a status of its own, a later one ends the stream."""
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            try:
                async with self._slots, aclosing(self._pieces()) as pieces:
                    first = await anext(pieces)
                    if self._stream:
                        await self._send_events(first, pieces, send)
                    else:
                        await self._send_whole(first, pieces, scope, receive, send)
            except Exception as error:
                await refusal(error)(scope, receive, send)
            group.cancel_scope.cancel()

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        """The engine's pieces, each computed in a thread; leaving this loop stops the engine."""
        stop = threading.Event()
        iterator = self._run(stop)
        try:
            while (piece := await anyio.to_thread.run_sync(next, iterator, None)) is not None:
                yield piece
        finally:
            stop.set()

    async def _send_whole(
        self, first: Piece, rest: AsyncIterator[Piece], scope: Scope, receive: Receive, send: Send
    ) -> None:
        pieces = [first, *[piece async for piece in rest]]
        text = "".join(piece.text for piece in pieces)
        scores: list[TokenScore] = [score for piece in pieces for score in piece.tokens]
        await JSONResponse(self._form.whole(text, scores, _finish(pieces[-1])))(scope, receive, send)

    async def _send_events(self, first: Piece, rest: AsyncIterator[Piece], send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def event(content: dict[str, Any] | str, *, more: bool = True) -> None:
            data = content if isinstance(content, str) else json.dumps(content)
            await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": more})

        try:
            if self._form.chat:
                await event(self._form.event(first=True))
            piece: Piece | None = first
            while piece is not None:
                if piece.text:
                    await event(self._form.event(piece.text, piece.tokens))
                last, piece = piece, await anext(rest, None)
            finish = _finish(last)
            await event(self._form.event(end=finish.reason))
            if self._wants_usage:
                await event(self._form.counts(finish))
            await event("[DONE]", more=False)
        except Exception as error:
            await event(json.loads(bytes(refusal(error).body)), more=False)


def _finish(last: Piece) -> Finish:
    assert last.finish is not None  # the engine's last piece has it
    return last.finish


def refusal(error: Exception) -> JSONResponse:
    """Any exception as an error in OpenAI's form; a fault of ours is logged and not explained to the client."""
    if isinstance(error, TooLongError):
        error = RefusedError(400, str(error), "context_length_exceeded", "messages")
    elif isinstance(error, HTTPException):
        error = RefusedError(error.status_code, f"{error.detail}.", "not_found" if error.status_code == 404 else "http")
    elif isinstance(error, UsageError):
        error = RefusedError(400, str(error), "invalid_value")
    elif isinstance(error, LeyloraError):
        error = RefusedError(500, str(error), "failed")
    elif not isinstance(error, RefusedError):
        log.error("a request failed", exc_info=error)
        error = RefusedError(500, "The server failed; its log says why.", "failed")
    headers = {429: {"Retry-After": "5"}, 401: {"WWW-Authenticate": "Bearer"}}.get(error.status)
    return JSONResponse(error.body(), error.status, headers)


def make_app(engine: Engine, *, key: str | None = None, limits: Limits | None = None, local: bool = True) -> Starlette:
    """The application.

    Args:
        key: what clients must send as a bearer token, if anything.
        local: answer only requests that call this machine by a local name, so that a web page elsewhere cannot
            reach it through a name of its own (DNS rebinding).
    """
    limits = limits or Limits()
    slots = Slots(limits)
    base_id = Path(engine.name).name if Path(engine.name).is_dir() else engine.name
    ids = {base_id if name == BASE else name: name for name in engine.variants}

    def admit(request: Request) -> None:
        if local and request.url.hostname not in LOCAL_NAMES:
            raise RefusedError(403, "This server answers to localhost only.", "invalid_host")
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if key is not None and not hmac.compare_digest(given.encode(), key.encode()):
            raise RefusedError(
                401, "The key is missing or wrong; send it as 'Authorization: Bearer KEY'.", "invalid_api_key"
            )

    def variant_of(model: str | None) -> tuple[str, str]:
        """The id a request is answered under, and the variant."""
        if model is None or model in (BASE, engine.name):
            return base_id, BASE
        if model not in ids:
            raise RefusedError(
                404, f"There is no model {model!r} (there: {', '.join(ids)}).", "model_not_found", "model"
            )
        return model, ids[model]

    def card(name: str) -> dict[str, Any]:
        parent = None if ids[name] == BASE else base_id
        return {"id": name, "object": "model", "created": 0, "owned_by": "leylora", "parent": parent}

    async def models(request: Request) -> Response:
        admit(request)
        return JSONResponse({"object": "list", "data": [card(name) for name in ids]})

    async def model(request: Request) -> Response:
        admit(request)
        return JSONResponse(card(variant_of(request.path_params["name"])[0]))

    async def chat(request: Request) -> Response:
        admit(request)
        asked = parse(ChatRequest, await read_body(request, limits.body))
        assert isinstance(asked, ChatRequest)
        name, variant = variant_of(asked.model)
        sampling = asked.sampling(asked.scored())
        messages = [message.plain() for message in asked.messages]
        form = Form.new(name, chat=True, scored=asked.logprobs)
        return Answering(
            lambda stop: engine.chat(variant, messages, sampling, stop),
            form, slots, stream=asked.stream, wants_usage=asked.wants_usage,
        )  # fmt: skip

    async def completions(request: Request) -> Response:
        admit(request)
        asked = parse(CompletionRequest, await read_body(request, limits.body))
        assert isinstance(asked, CompletionRequest)
        name, variant = variant_of(asked.model)
        sampling, prompt = asked.sampling(asked.logprobs), str(asked.prompt)
        form = Form.new(name, chat=False, scored=asked.logprobs is not None)
        return Answering(
            lambda stop: engine.complete(variant, prompt, sampling, stop),
            form, slots, stream=asked.stream, wants_usage=asked.wants_usage,
        )  # fmt: skip

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def refuse(request: Request, error: Exception) -> Response:
        return refusal(error)

    return Starlette(
        routes=[
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/health", health),
        ],
        exception_handlers={RefusedError: refuse, HTTPException: refuse, Exception: refuse},
    )


async def read_body(request: Request, most: int) -> bytes:
    """The body, which must be JSON by its type: a web page can send other types across sites without being asked.

    Raises:
        RefusedError: another type, too long, too slow, or broken off.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise RefusedError(415, "Send the request as Content-Type: application/json.", "invalid_content_type")
    data = bytearray()
    try:
        with anyio.fail_after(BODY_SECONDS):
            async for part in request.stream():
                data += part
                if len(data) > most:
                    raise RefusedError(413, f"The request is longer than {most:,} bytes.", "request_too_large")
    except (TimeoutError, ClientDisconnect):
        raise RefusedError(408, "The request did not arrive in time.", "timeout") from None
    return bytes(data)
