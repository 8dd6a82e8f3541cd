"""Running the server: its socket, its key, its end."""

import ipaddress
import os
import socket
from contextlib import suppress
from pathlib import Path

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_text

KEY_VARIABLE = "LEYLORA_API_KEY"
GRACE = 5  # seconds that answers have to end after Ctrl-C


def require_server() -> None:
    """Raise LeyloraError, with the command that installs them, when starlette or uvicorn is not there."""
    from importlib.util import find_spec

    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise LeyloraError(
            'The server needs starlette and uvicorn; in the checkout run: python -m pip install -e ".[chat]"'
        )


def read_key(file: Path | None) -> str | None:
    """The key that clients must send: the file's first line, or the environment's LEYLORA_API_KEY, or none.

    Raises:
        LeyloraError: the file is missing, empty, or its key is no plain ASCII.
    """
    key = read_text(file).strip().partition("\n")[0].strip() if file else os.environ.get(KEY_VARIABLE, "").strip()
    place = str(file) if file else KEY_VARIABLE
    if file and not key:
        raise LeyloraError(f"{file} is empty; put the key on its first line.")
    if not key.isascii() or not key.isprintable():
        raise LeyloraError(f"The key in {place} holds characters that no HTTP header can carry; use plain ASCII.")
    return key or None


def is_local(host: str) -> bool:
    """Whether a host name means this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises LeyloraError when the port is taken or the address is none of ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise LeyloraError(f"{host}:{port} cannot be used ({error.strerror or error}); try another --port.") from None
    listening.listen()  # who comes before the first answer is possible waits instead of being refused
    return listening


def check_exposure(host: str, key: str | None) -> None:
    """Raise UsageError for a server that others can reach and anybody may use."""
    if not is_local(host) and key is None:
        raise UsageError(
            f"{host} is open to other machines; set {KEY_VARIABLE} or --key-file first, or keep 127.0.0.1."
        )


def serve(app: object, listening: socket.socket) -> None:
    """Answer until Ctrl-C; answers under way then have `GRACE` seconds to end."""
    import uvicorn

    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    host, port = listening.getsockname()[:2]
    console.note(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1 is ready; Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when all is closed
        uvicorn.Server(config).run(sockets=[listening])
