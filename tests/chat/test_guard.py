"""Only this machine's own names, and only pages of the same origin, reach what we serve."""

import asyncio
from typing import Any

import pytest

from leylora.chat.guard import LocalOnly, impatient


def status(headers: list[tuple[bytes, bytes]], path: str = "/", kind: str = "http", **options: Any) -> int:
    """The status that a request gets; 200 from the app behind, 1008 for a closed websocket."""
    told: list[int] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: dict[str, Any]) -> None:
        told.extend(message[key] for key in ("status", "code") if key in message)

    scope = {"type": kind, "headers": headers, "path": path}
    asyncio.run(LocalOnly(app, **options)(scope, None, send))
    return told[0]


@pytest.mark.parametrize("host", [b"127.0.0.1:7860", b"localhost", b"LOCALHOST:80", b"[::1]:7860"])
def test_this_machine_is_served(host: bytes) -> None:
    assert status([(b"host", host)]) == 200
    assert status([(b"Host", host), (b"Origin", b"http://" + host)]) == 200


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.example", b"evil.example:7860", b"127.0.0.1.evil.example", b"localhost.", b"[", b"", b" localhost"),
        *(b"evil.example/localhost", b"x, localhost", b"localhost@evil.example", "lócalhost".encode(), b"127.0.0.1:x"),
        *(b"[::2]:7860", b"0.0.0.0", b"localhost\r\nx: y"),
    ],
)
def test_every_other_host_malformed_ones_too_is_refused(host: bytes) -> None:
    assert status([(b"host", host)]) == 403
    assert status([(b"host", host)], kind="websocket") == 1008


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://127.0.0.1:1", b"file://", b""])
def test_a_page_of_another_origin_is_refused(origin: bytes) -> None:
    assert status([(b"host", b"127.0.0.1:7860"), (b"origin", origin)]) == 403


def test_no_host_two_hosts_and_two_origins_are_refused() -> None:
    host = (b"host", b"localhost")
    assert status([]) == 403
    assert status([host, host]) == 403
    assert status([host, (b"origin", b"http://localhost"), (b"origin", b"http://localhost")]) == 403


def test_closed_paths_and_other_names() -> None:
    host = [(b"host", b"localhost:7860")]
    assert status(host, "/gradio_api/upload", closed=["/gradio_api/upload"]) == 403
    assert status(host, "//gradio_api/upload/", closed=["/gradio_api/upload"]) == 403
    assert status(host, "/gradio_api/uploads", closed=["/gradio_api/upload"]) == 200
    assert status([(b"host", b"ley.local:8000")], names=["ley.local"]) == 200


def test_what_is_no_request_passes() -> None:
    assert status([], kind="lifespan") == 200


async def _talk(chunks: list[bytes], seconds: float) -> tuple[bytes, float]:
    """What an echoing server with that patience answers to these chunks, and how long the connection stayed open."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data.upper())  # type: ignore[attr-defined]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(impatient(Echo, seconds), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    start, answer = loop.time(), b""
    for chunk in chunks:
        writer.write(chunk)
        await asyncio.sleep(0.02)
    try:
        async with asyncio.timeout(0.6):
            while piece := await reader.read(100):
                answer += piece
    except (TimeoutError, ConnectionError):
        pass
    open_for = loop.time() - start
    writer.close()
    server.close()
    return answer, open_for


def test_half_sent_headers_are_given_up_and_whole_ones_are_not() -> None:
    answer, open_for = asyncio.run(_talk([b"get / http/1.1\r\n", b"host: x\r\n"], 0.2))
    assert answer == b"GET / HTTP/1.1\r\nHOST: X\r\n"
    assert open_for < 0.5
    answer, open_for = asyncio.run(_talk([b"get / http/1.1\r\nhost: x\r", b"\n\r\n", b"more"], 0.2))
    assert answer.endswith(b"MORE")
    assert open_for > 0.5, "a connection that asked stays"
