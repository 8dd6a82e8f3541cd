"""Offer the laws to chat programs that speak MCP: search, articles, checking a text, what changed."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    laws: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Parsed laws. Default: data/build/laws, else the demo's.")
    ] = None,
) -> None:
    """Serve over standard input and output until the program that started it hangs up; `leylora mcp` is the same."""
    from leylora.chat.mcp import server

    server(laws).run()


if __name__ == "__main__":
    console.run(app)
