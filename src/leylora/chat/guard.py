"""What stands in front of every page and server of ours: only this machine's own names, only pages of the same origin.

A web site that a person visits can send requests to 127.0.0.1, and can make its own name resolve to it (DNS rebinding);
the browser then treats our page as that site's. The name is in the Host header, which a page cannot forge.
"""

import asyncio
import os
import re
import socket
from collections.abc import Collection
from typing import Any

from leylora.errors import LeyloraError

SECONDS_FOR_HEADERS = 15.0
LONGEST_HEADERS = 1 << 16  # bytes that are looked at for their end
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(rb"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.\-]+)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(rb"https?://(?P<host>.+)")


class LocalOnly:
    """ASGI middleware: status 403 unless Host is one of ``names`` (with any port), an Origin that is sent has the same
    host, and the path is none of ``closed``.

    Args:
        names: host names that may be used, IPv6 addresses in brackets.
        closed: beginnings of paths that are not served, such as "/gradio_api/upload".
    """

    def __init__(self, app: Any, names: Collection[str] = LOCAL_NAMES, closed: Collection[str] = ()) -> None:
        self.app, self.closed = app, tuple(closed)
        self.names = frozenset(name.lower().encode() for name in names)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not self._allowed(scope):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Only for pages of this machine.\n"})
            return
        await self.app(scope, receive, send)

    def _allowed(self, scope: dict[str, Any]) -> bool:
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        origins = [value for name, value in scope["headers"] if name.lower() == b"origin"]
        if len(hosts) != 1 or len(origins) > 1:
            return False
        host = _HOST.fullmatch(hosts[0])
        if not host or host["name"].lower() not in self.names:
            return False
        if origins:
            origin = _ORIGIN.fullmatch(origins[0])
            if not origin or origin["host"].lower() != hosts[0].lower():
                return False
        path = "/" + str(scope.get("path", "")).strip("/")
        return not any(path == one or path.startswith(f"{one}/") for one in self.closed)


def bind(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A socket on this machine's port. Raises LeyloraError when another program has it, or the address is not ours."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise LeyloraError(f"{host}:{port} cannot be used ({error.strerror or error}); try another --port.") from None
    listening.listen()
    return listening


def impatient(protocol: type[Any], seconds: float = SECONDS_FOR_HEADERS) -> type[Any]:
    """uvicorn's ``protocol`` (an `asyncio.Protocol` for HTTP/1), which closes a connection that has not sent whole
    headers within ``seconds``: uvicorn itself waits for ever, and each waiting connection holds a place."""

    class Impatient(protocol):
        def connection_made(self, transport: Any) -> None:
            self._head: bytes | None = b""
            self._timer = asyncio.get_running_loop().call_later(seconds, self._give_up, transport)
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            if self._head is not None:
                self._head = (self._head + data)[-LONGEST_HEADERS:]
                if b"\r\n\r\n" in self._head:
                    self._head = None
                    self._timer.cancel()
            super().data_received(data)

        def _give_up(self, transport: Any) -> None:
            if self._head is not None and transport.get_protocol() is self:
                transport.abort()

    return Impatient
