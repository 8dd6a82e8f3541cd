"""Between a `Call` and HTTP: what is sent, what a status or a broken connection means, when to try again."""

from collections.abc import Iterator
from typing import Any

import httpx

from leylora.webui.client.calls import Call, chunk
from leylora.webui.client.errors import (
    RequestRefusedError,
    ServerDownError,
    ServerFailedError,
    StreamCutError,
    TimedOutError,
    UnauthorizedError,
    WebuiError,
)
from leylora.webui.client.options import ServerSettings
from leylora.webui.client.schemas import Answer, Chunk
from leylora.webui.client.sse import EventReader

RETRIES, PAUSE = 2, 0.5  # further tries of a safe call, and seconds before the first of them (doubled after)
CONNECT = 10.0  # seconds
SILENCE = 120.0  # seconds without a byte until a stream is given up; the webui pings every 15
_GATEWAY = (502, 503, 504)


def http_options(settings: ServerSettings) -> dict[str, Any]:
    """What the httpx client is made with.

    A proxy of the environment is not asked for this machine. Every call has a connection of its own: the webui
    drops one after a status 500, and the next call on it would break, whether or not it may be repeated.
    """
    return {
        "base_url": settings.url,
        "trust_env": not settings.local,
        "limits": httpx.Limits(max_keepalive_connections=0),
    }


def http_request(call: Call[Any], settings: ServerSettings, patience: float | None = None) -> dict[str, Any]:
    """Keyword arguments for httpx's ``request`` and ``build_request``."""
    return {
        "method": call.method,
        "url": call.path,
        "json": call.body,
        "headers": settings.headers(admin=call.admin),
        "timeout": httpx.Timeout(patience or call.patience, connect=CONNECT, write=60.0, pool=CONNECT),
    }


def answer_json(call: Call[Any], response: httpx.Response, settings: ServerSettings) -> Any:
    """The JSON of a good answer.

    Raises:
        WebuiError: the status is not 2xx, or the body is not JSON.
    """
    if not response.is_success:
        raise status_error(call, response.status_code, response.text, settings)
    try:
        return response.json()
    except ValueError:
        raise ServerFailedError(
            f"{settings.url}{call.path} answered with something that is not JSON; is this the API's port (5000 by "
            "default) and not the web page's (7860)?"
        ) from None


def status_error(call: Call[Any], status: int, text: str, settings: ServerSettings) -> WebuiError:
    """What a status says, in words."""
    detail = _detail(text)
    if status in (401, 403):
        if call.admin:
            return UnauthorizedError(
                f"The server wants its admin key to {call.what}; give it as WEBUI_ADMIN_KEY or --admin-key."
            )
        return UnauthorizedError(f"The server wants its API key to {call.what}; give it as WEBUI_API_KEY or --api-key.")
    if status == 404:
        return RequestRefusedError(
            f"{settings.url} has no {call.path}; that call needs text-generation-webui (start it with --api)."
        )
    if status == 400 and "host header" in detail.lower():
        return RequestRefusedError(
            f"The server does not accept calls under the name {settings.url}; start it with --listen, or call it at "
            "127.0.0.1."
        )
    if 400 <= status < 500:
        return RequestRefusedError(f"The server refused to {call.what} (status {status}): {detail}")
    return ServerFailedError(f"The server failed to {call.what} (status {status}): {detail}")


def connection_error(call: Call[Any], error: httpx.HTTPError, settings: ServerSettings) -> WebuiError:
    """What a broken or missing connection says, in words."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ServerDownError(
            f"Nothing answers at {settings.url}; start the webui with --api, and look which port it prints (it takes "
            "another one if 5000 is busy)."
        )
    if isinstance(error, httpx.TimeoutException):
        return TimedOutError(
            f"The server did not answer in time ({call.what}); it may still be at work. Ask for fewer tokens, or give "
            "a longer --timeout."
        )
    return ServerFailedError(f"The connection broke ({call.what}): {str(error) or type(error).__name__}.")


def may_retry(call: Call[Any], error: httpx.HTTPError | None, status: int | None) -> bool:
    """Whether to try again: a connection that never was, for any call; a failure on the way, for safe ones.

    A generation is not repeated: the first may be running still, and would be waited for.
    """
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return True
    return call.safe and (error is not None or status in _GATEWAY)


class StreamReader:
    """Bytes of a streamed answer in, chunks out; collects the whole answer, and knows whether it is whole."""

    def __init__(self) -> None:
        self._events = EventReader()
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._last = Chunk()

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Chunks that ``data`` completes, without those that say nothing.

        Raises:
            StreamCutError: the stream is damaged.
            ServerFailedError: the server reports an error in it.
        """
        try:
            for event in self._events.feed(data):
                piece = chunk(event)
                if piece is None:
                    continue
                self._text.append(piece.text)
                self._reasoning.append(piece.reasoning)
                self._last = Chunk(
                    finish_reason=piece.finish_reason or self._last.finish_reason, usage=piece.usage or self._last.usage
                )
                if piece.text or piece.reasoning or piece.finish_reason or piece.usage:
                    yield piece
        except StreamCutError as error:
            raise StreamCutError(str(error), self.text) from None

    @property
    def text(self) -> str:
        return "".join(self._text)

    def whole(self) -> Answer:
        """The answer, after the last byte.

        Raises:
            StreamCutError: the stream ended without a finish reason and without ``[DONE]``: the generation failed.
        """
        if not self._events.done and self._last.finish_reason is None:
            raise StreamCutError(
                f"The stream was cut after {len(self.text)} characters: the generation failed on the server; its log "
                "says why.",
                self.text,
            )
        return Answer(
            text=self.text,
            reasoning="".join(self._reasoning),
            finish_reason=self._last.finish_reason,
            usage=self._last.usage,
        )


def broken_stream(call: Call[Any], error: httpx.HTTPError, text: str, settings: ServerSettings) -> WebuiError:
    """What an exception in the middle of a stream says."""
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return StreamCutError(
            f"The stream was cut after {len(text)} characters: the generation failed on the server, or the server "
            "ended; its log says why.",
            text,
        )
    if isinstance(error, httpx.ReadTimeout):
        return StreamCutError(f"The stream fell silent for {SILENCE:.0f} seconds after {len(text)} characters.", text)
    return connection_error(call, error, settings)


def _detail(text: str) -> str:
    """The server's own words, from ``{"detail": …}``, ``{"error": {"message": …}}`` or plain text."""
    import json

    try:
        body = json.loads(text)
    except ValueError:
        body = text
    if isinstance(body, dict):
        error = body.get("error")
        body = body.get("detail") or (error.get("message") if isinstance(error, dict) else error) or body
    if isinstance(body, list) and body and isinstance(body[0], dict):  # FastAPI's list of invalid fields
        body = "; ".join(f"{'.'.join(map(str, entry.get('loc', ())))}: {entry.get('msg')}" for entry in body)
    said = str(body).strip()[:300] or "no reason given"
    return said if said.endswith(".") else f"{said}."
