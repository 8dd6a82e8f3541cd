"""Serve a base and its adapters with OpenAI's API, for small use on one's own machine."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    model: Annotated[str | None, typer.Option(help="Base model; by default one that is here.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Adapter whose base to serve, with all of its adapters.")] = None,
    load: Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="How to hold the base in memory.")] = "4bit",
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's needs a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    key_file: Annotated[Path | None, typer.Option(help="Holds the key of clients; or set LEYLORA_API_KEY.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Answers at once.")] = 4,
    waiting: Annotated[int, typer.Option(min=0, help="Requests that may wait; more get status 429.")] = 16,
    lora: Annotated[Path, typer.Option(help="Folder of the adapters.")] = Path("LORA"),
) -> None:
    """/v1/models, /v1/chat/completions and /v1/completions; each adapter is a model of its own."""
    from leylora.chat.serving import bind, check_exposure, is_local, read_key, require_server, serve

    require_server()
    key = read_key(key_file)
    check_exposure(host, key)
    with bind(host, port) as listening:
        from leylora.chat.server import Limits, make_app
        from leylora.chat.start import Wanted, start

        engine = start(Wanted(model, adapter, load, lora=lora)).engine
        serve(make_app(engine, key=key, limits=Limits(parallel, waiting), local=is_local(host)), listening)


if __name__ == "__main__":
    console.run(app)
