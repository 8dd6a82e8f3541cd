"""A comparison through any server with OpenAI's API: letters instead of likelihoods, and no adapter mistaken."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from leylora.errors import LeyloraError
from leylora.evaluation.report import write_report
from leylora.evaluation.run import CompareSettings, compare

ASKED = CompareSettings(max_new_tokens=20, limit=8)


class Server(BaseHTTPRequestHandler):
    """Answers with the model's own name, or with "B" when it is shown options."""

    bodies: list[dict[str, Any]]
    tail = ""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        known = self.path == "/v1/models"
        self._json({"data": [{"id": "base-model"}, {"id": "law-model"}]} if known else {}, 200 if known else 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        shown = "B" if "Responda solo con la letra" in body["messages"][-1]["content"] else f"Soy {body['model']}."
        shown += self.tail
        choice = {"message": {"content": shown}, "finish_reason": "stop"}
        self._json({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}})

    def _json(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def url() -> Iterator[str]:
    Server.bodies = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_name_that_the_server_does_not_serve_is_not_asked_for(url: str, tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match=r"serves no 'nonsense' \(there: base-model, law-model\)"):
        compare(["nonsense"], tmp_path, adapters="none", suites=["spanish"], settings=ASKED, endpoints=[url])
    assert not Server.bodies


def test_an_endpoint_is_compared_by_what_it_writes(url: str, tmp_path: Path) -> None:
    found = compare(
        ["base-model"],
        tmp_path / "out",
        adapters="law=law-model",
        suites=["law", "spanish"],
        settings=ASKED,
        endpoints=[url],
    )
    assert [variant.name for variant in found.provenance.models[0].variants] == ["base", "law"]
    texts = {(variant, answer.text) for (_, variant, _, _), answer in found.answers.items() if answer.letters is None}
    assert texts == {("base", "Soy base-model."), ("law", "Soy law-model.")}
    accuracy = [score for score in found.scores.scores if (score.metric, score.part) == ("accuracy", "all")]
    assert [score.value for score in accuracy] == [0.25, 0.25]  # always B, in four orders
    assert not any(score.metric == "bits_per_byte" for score in found.scores.scores)
    assert any(finding.kind == "endpoint" for finding in found.scores.findings)
    assert {body["temperature"] for body in Server.bodies} == {0.0}
    asked = len(Server.bodies)
    again = compare(
        ["base-model"],
        tmp_path / "out",
        adapters="law=law-model",
        suites=["law", "spanish"],
        settings=ASKED,
        endpoints=[url],
    )
    assert len(Server.bodies) == asked  # nothing asked twice
    assert again.scores.scores == found.scores.scores


def test_what_an_endpoint_cannot_do_is_said(url: str, tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="cannot list adapters; name its models"):
        compare(["base-model"], tmp_path / "out", settings=ASKED, endpoints=[url])
    with pytest.raises(LeyloraError, match="Nothing answers at"):
        compare(["m"], tmp_path / "out", adapters="none", settings=ASKED, endpoints=["127.0.0.1:9"])
    with pytest.raises(LeyloraError, match="3 models and 2 endpoints"):
        compare(["a", "b", "c"], tmp_path / "out", endpoints=[url, url])
    assert not (tmp_path / "out").exists()


def test_half_an_emoji_and_markup_are_written_down_and_shown_as_text(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "tail", "\ud83d <script>alert(1)</script>")
    found = compare(
        ["base-model"], tmp_path / "out", adapters="none", suites=["spanish"], settings=ASKED, endpoints=[url]
    )
    assert {answer.text for answer in found.answers.values()} == {"Soy base-model.? <script>alert(1)</script>"}
    page = write_report(tmp_path / "out")[0].read_text("utf-8")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "Solo se preguntó a la base" in page
    assert "responde mejor" not in page.partition('id="findings"')[0].partition('id="summary"')[2]
