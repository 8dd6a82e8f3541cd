"""Put the laws in front of any engine that speaks OpenAI's API, for every chat program that does."""

import os
from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    upstream: Annotated[str, typer.Option(metavar="URL", help="The engine, such as http://127.0.0.1:8080/v1.")],
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws. Default: data/build/laws, else the demo's.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to serve on; any other than this machine's needs a key.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8808,
    name: Annotated[
        list[str] | None, typer.Option(help="A further host name under which programs ask; may be repeated.")
    ] = None,
    places: Annotated[int, typer.Option(min=1, help="Questions that the engine answers at once.")] = 16,
) -> None:
    """Each model of the engine is there twice: as it is, and as NAME+leyes, which answers from the articles.

    Keys come from the environment: LEYLORA_API_KEY is asked of programs, UPSTREAM_API_KEY is sent to the engine.
    """
    # numpy's threads wait awake for the next product: 130 ms of CPU a question on two cores instead of 40.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from leylora.chat.gateway import serve

    key = os.environ.get("LEYLORA_API_KEY")
    serve(upstream, laws, host=host, port=port, names=name or (), places=places, key=key)


if __name__ == "__main__":
    console.run(app)
