"""What the gateway costs beside the search and the check: CPU of a request, memory after many.

    python benchmarks/gateway.py --laws data/build/laws

An engine that answers at once stands behind `scripts/serve.py`. The same questions go to the plain model and to
NAME+leyes, one after the other; the gateway's own CPU is what its process used, less the search and the check of the
same questions in this process.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leylora import console
from leylora.chat.gateway import WITH_LAWS
from leylora.chat.guard import bind
from leylora.files import write_json
from leylora.grounding.checker import check_answer, check_text
from leylora.grounding.ground import ground
from leylora.grounding.index import open_laws
from leylora.laws.catalog import catalog
from leylora.models.embedding import attach
from leylora.project import ROOT

OUT = Path(__file__).with_suffix(".json")
QUESTIONS = (
    "¿Qué pena tiene el hurto?",
    "¿Cuánto se paga por despido intempestivo?",
    "¿Quién puede presentar una acción de protección?",
    "¿En qué casos se pierden puntos de la licencia?",
)
ANSWER = "Según el artículo, la pena es de seis meses a dos años (Art. 196, Código Orgánico Integral Penal)."
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


async def _chat(request: Request) -> Response:
    body = await request.json()
    message = {"role": "assistant", "content": ANSWER}
    return JSONResponse({"id": "1", "model": body["model"], "choices": [{"index": 0, "message": message}]})


def _used(pid: int) -> tuple[float, float]:
    """CPU seconds and MiB of memory of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@app.command()
def main(
    laws: Annotated[Path, typer.Option(help="Folder of parsed laws.")] = Path("data/build/laws"),
    requests: Annotated[int, typer.Option(min=8, help="Requests of each kind.")] = 200,
    out: Annotated[Path, typer.Option(help="Where to write the figures.")] = OUT,
) -> None:
    """Print and write milliseconds of CPU for a request, and the memory before and after."""
    with bind(0) as listening:
        routes = [Route("/v1/chat/completions", _chat, methods=["POST"])]
        engine = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical"))
        threading.Thread(target=engine.run, args=([listening],), daemon=True).start()
        upstream = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        command = [sys.executable, str(ROOT / "scripts/serve.py"), "--upstream", upstream, "--laws", str(laws)]
        gateway = subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True)
        assert gateway.stderr is not None
        url = next(line for line in gateway.stderr if "answers for" in line).split()[0]
        try:
            figures = {
                name: _measured(gateway.pid, url, model, requests)
                for name, model in (("plain", "m"), ("with the laws", f"m{WITH_LAWS}"))
            }
        finally:
            gateway.terminate()
            engine.should_exit = True
    own = _search_and_check(laws, requests)
    figures["with the laws"]["search_and_check_ms"] = own
    figures["with the laws"]["beside_them_ms"] = round(figures["with the laws"]["cpu_ms"] - own, 2)
    write_json(out, figures)
    console.say(json.dumps(figures, indent=1))
    console.note(f"Wrote {out}.")


def _measured(pid: int, url: str, model: str, requests: int) -> dict[str, Any]:
    with httpx2.Client(timeout=60) as http:

        def send(count: int) -> None:
            for at in range(count):
                messages = [{"role": "user", "content": QUESTIONS[at % len(QUESTIONS)]}]
                http.post(f"{url}/chat/completions", json={"model": model, "messages": messages}).raise_for_status()

        send(8)
        before, memory = _used(pid)
        send(requests)
        after, later = _used(pid)
    cost = round(1000 * (after - before) / requests, 2)
    return {"requests": requests, "cpu_ms": cost, "mib_before": round(memory), "mib_after": round(later)}


def _search_and_check(laws: Path, requests: int) -> float:
    """Milliseconds of CPU for what a request to NAME+leyes asks of search and checker."""
    index = open_laws(laws, catalog())
    attach(index)

    def once(question: str) -> None:
        found = ground(question, index)
        if not found.reply:
            check_answer(ANSWER, index, given=found.articles, question=question)
            check_text(ANSWER, index, given=found.articles, question=question)

    for question in QUESTIONS:
        once(question)
    started = time.process_time()
    for at in range(requests):
        once(QUESTIONS[at % len(QUESTIONS)])
    return round(1000 * (time.process_time() - started) / requests, 2)


if __name__ == "__main__":
    console.run(app)
