"""A small server that answers as text-generation-webui v4.9 was seen to: its streams, pings, cuts, two keys, its
"OK" to a LoRA without effect, its empty text with status 200, and the state a failed swap of LoRAs leaves behind."""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY, ADMIN_KEY = "key-of-all", "key-of-the-admin"
PIECES = ("¡Hola", ", señora", ". ¿Qué ", "tal?")
TEXT = "".join(PIECES)
CONTEXT, ASSISTANT = 1000, "Assistant"  # tokens that an answer may have; the character that is there
ADMIN = ("/v1/internal/model/list", "/v1/internal/model/load", "/v1/internal/model/unload", "/v1/internal/lora/")


@dataclass
class State:
    """What the server has on disk and loaded, and which fault it is to show.

    ``loras`` maps a name to what it does: "acts", "nothing", "fails" or "not a number".
    """

    models: tuple[str, ...] = ("tiny-mistral", "tiny-falcon", "broken")
    loras: dict[str, str] = field(
        default_factory=lambda: {"good": "acts", "other": "acts", "idle": "nothing", "bad": "fails"}
    )
    model: str | None = "tiny-mistral"
    loader: str | None = "Transformers"
    named: tuple[str, ...] = ()  # what model/info says
    acting: str | None = None  # what is true
    stuck: bool = False  # after a failed swap: unload 500, load 400, until a new load of the model
    templates: tuple[str, ...] = ("Alpaca", "ChatML")
    acting_when_asked: set[str | None] = field(default_factory=set)  # which LoRAs acted in the answers given
    hidden: bool = False  # after two LoRAs of one rank: "acting" acts unreported, and no further one does
    unfit: bool = False  # whether the last generation fails
    fault: str = ""
    noise: float = 0.0
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    calls: int = 0

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for seen, body in self.requests if seen == path]


class _Handler(BaseHTTPRequestHandler):
    state: State
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._answer(json.loads(self.rfile.read(length) or "{}"))

    def _answer(self, body: dict[str, Any]) -> None:
        state = self.state
        state.calls += 1
        state.requests.append((self.path, body))
        state.headers.append(dict(self.headers))
        if state.fault == "host":
            return self._json({"detail": "Invalid host header"}, 400)
        wanted = ADMIN_KEY if self.path.startswith(ADMIN) else API_KEY
        if self.headers.get("Authorization") != f"Bearer {wanted}":
            return self._json({"detail": "Unauthorized"}, 401)
        if state.fault == "gateway" and state.calls < 3:
            return self._json({"detail": "starting"}, 503)
        if state.fault == "html":
            return self._raw(b"<html>the web page</html>", "text/html")
        if state.fault == "slow":
            time.sleep(1.0)
        handler = getattr(self, self.path.removeprefix("/v1/").replace("/", "_").replace("-", "_"), None)
        if handler is None:
            return self._json({"detail": "Not Found"}, 404)
        handler(body)
        return None

    def completions(self, body: dict[str, Any]) -> None:
        self._generate(body, chat=False)

    def chat_completions(self, body: dict[str, Any]) -> None:
        self._generate(body, chat=True)

    def _generate(self, body: dict[str, Any], *, chat: bool) -> None:
        self.state.acting_when_asked.add(self.state.acting)
        unfit = body.get("max_tokens", 1) > CONTEXT or body.get("character", ASSISTANT) != ASSISTANT
        unfit = unfit or self.state.fault == "broken" or self.state.model is None
        if unfit and not body.get("stream"):
            return self._json("Internal Server Error", 500)
        self.state.unfit = unfit
        pieces = () if self.state.fault == "empty" else PIECES
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        if body.get("stream"):
            return self._stream(pieces, chat)
        text = "".join(pieces)
        part: dict[str, Any] = {"text": text} if not chat else {"message": {"role": "assistant", "content": text}}
        choice = {"index": 0, "finish_reason": "stop", **part}
        self._json({"id": "x", "model": self.state.model, "choices": [choice], "usage": usage})
        return None

    def _stream(self, pieces: tuple[str, ...], chat: bool) -> None:
        def event(part: dict[str, Any], finish: str | None = None) -> bytes:
            data = json.dumps({"choices": [{"index": 0, "finish_reason": finish, **part}]}, ensure_ascii=False)
            return f"data: {data}\n\n".encode()

        def delta(text: str) -> dict[str, Any]:
            return {"delta": {"content": text}} if chat else {"text": text}

        first = {"delta": {"role": "assistant", "refusal": None, "content": ""}} if chat else {"text": ""}
        parts = [event(first), b": ping - 2026-05-20 10:00:00\n\n", *(event(delta(piece)) for piece in pieces)]
        last = event({"delta": {}} if chat else {"text": ""}, "stop")
        if self.state.fault == "error event":
            parts.append(b'data: {"error": {"message": "out of memory"}}\n\n')
        if self.state.fault == "not utf-8":
            parts.append(b'data: {"choices": [{"text": "\xff\xfe"}]}\n\n')
        stream = b"".join([*parts, last, b"data: [DONE]\n\n"])
        if self.state.fault == "crlf":
            stream = stream.replace(b"\n", b"\r\n")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        cut = len(b"".join(parts[:4])) if self.state.fault == "cut" else None
        cut = 0 if self.state.unfit else cut
        for start in range(0, len(stream[:cut]), 7):  # seven bytes at a time cut characters and lines in two
            block = stream[:cut][start : start + 7]
            self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        if cut is None:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def models(self, _: dict[str, Any]) -> None:
        self._json({"object": "list", "data": [{"id": self.state.model}] if self.state.model else []})

    def internal_model_info(self, _: dict[str, Any]) -> None:
        state = self.state
        self._json({"model_name": state.model or "None", "lora_names": state.named, "loader": state.loader})

    def internal_model_list(self, _: dict[str, Any]) -> None:
        self._json({"model_names": self.state.models})

    def internal_model_load(self, body: dict[str, Any]) -> None:
        state = self.state
        state.named, state.acting, state.stuck, state.hidden = (), None, False, False
        state.model = None if body["model_name"] == "broken" else body["model_name"]
        if state.model is None:
            return self._json({"detail": "Failed to load the model."}, 500)
        return self._json("OK")

    def internal_model_unload(self, _: dict[str, Any]) -> None:
        self.state.model = None
        self._json("OK")

    def internal_lora_list(self, _: dict[str, Any]) -> None:
        self._json({"lora_names": list(self.state.loras)})

    def internal_lora_load(self, body: dict[str, Any]) -> None:
        state = self.state
        name, *more = body["lora_names"]
        if more:  # two of one rank
            state.named, state.acting, state.hidden = (), name, True
            return self._json({"detail": "Failed to apply the LoRA(s)."}, 400)
        if state.stuck or state.loras.get(name) == "fails":
            state.stuck = state.stuck or bool(state.named) or state.fault == "stuck"
            state.acting = state.acting if state.hidden else None
            return self._json({"detail": "Failed to apply the LoRA(s)."}, 400)
        state.named = (name,)
        state.acting = name if state.loras[name] != "nothing" and not state.hidden else None
        return self._json("OK")

    def internal_lora_unload(self, _: dict[str, Any]) -> None:
        if self.state.stuck:
            return self._json("Internal Server Error", 500)
        if self.state.named:
            self.state.named, self.state.acting = (), None
        return self._json("OK")

    def internal_encode(self, body: dict[str, Any]) -> None:
        if self.state.model is None or self.state.fault == "hollow":
            return self._json("Internal Server Error", 500)
        tokens = [1, *body["text"].encode()]
        return self._json({"tokens": tokens, "length": len(tokens)})

    def internal_decode(self, body: dict[str, Any]) -> None:
        self._json({"text": bytes(body["tokens"][1:]).decode()})

    def internal_chat_prompt(self, body: dict[str, Any]) -> None:
        from leylora.models.templates import render

        if body.get("character", ASSISTANT) != ASSISTANT:
            return self._json("Internal Server Error", 500)
        named = body.get("instruction_template", "")
        named = named if named in self.state.templates else "Alpaca" if named else ""
        template = body.get("instruction_template_str", f"{named} {{{{ messages[0].content }}}}")
        return self._json({"prompt": render(template, body["messages"], add_generation_prompt=True)})

    def internal_stop_generation(self, _: dict[str, Any]) -> None:
        self._json("OK")

    def internal_logits(self, body: dict[str, Any]) -> None:
        state = self.state
        if state.model is None:
            return self._json(["No model is loaded! Select one in the Model tab.", ""])
        if state.loras.get(state.acting or "") == "not a number":
            return self._json("Internal Server Error", 500)
        shift = 0.1 + 0.01 * len(state.acting) if state.acting else 0.0
        shift += state.noise * (state.calls % 2)
        return self._json({"▁de": 0.5 - shift, "▁la": 0.3 + shift, "▁que": 0.2})

    def _json(self, value: Any, status: int = 200) -> None:
        self._raw(json.dumps(value).encode(), "application/json", status)

    def _raw(self, data: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hung up is not an error."""


class StandIn:
    """The server on a free port of this machine; ``state`` may be changed while it runs."""

    def __init__(self) -> None:
        self.state = State()
        handler = type("Handler", (_Handler,), {"state": self.state})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "StandIn":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
