"""Talk to a base model and its adapters: in the terminal, or on a page in the browser with --web."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    model: Annotated[str | None, typer.Option(help="Base model; by default the adapter's.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Adapter under LORA to begin with, or: base.")] = None,
    load: Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="How to hold the base in memory.")] = "4bit",
    laws: Annotated[Path | None, typer.Option(help="Parsed laws to answer from, such as data/build/laws.")] = None,
    web: Annotated[bool, typer.Option("--web", help="Open a page in the browser instead.")] = False,
    preset: Annotated[str | None, typer.Option(help="Preset of GENERATION-PRESETS; by default the adapter's.")] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens of an answer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="For the same answer again.")] = None,
    lora: Annotated[Path, typer.Option(help="Folder of the adapters.")] = Path("LORA"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 7860,
) -> None:
    """Chat with a model, on the articles of parsed laws if --laws is given, with every citation checked."""
    from leylora.chat.start import Wanted, start

    wanted = Wanted(model, adapter, load, laws, preset, system, max_tokens, seed, lora)
    if web:
        from leylora.chat.page import check_page, serve_page

        check_page(port)
        serve_page(start(wanted), port)
    else:
        from leylora.chat.terminal import Terminal

        started = start(wanted)
        Terminal(started.engine, started.index, started.settings, started.preset).run()


if __name__ == "__main__":
    console.run(app)
