"""Talk to a base model and its adapters: in the terminal, or on a page in the browser with --web."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console
from leylora.project import LORA

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    model: Annotated[str | None, typer.Option(help="Base model; by default the adapter's.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Adapter to begin with, or: base.")] = None,
    load: Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="Precision of the base.")] = "4bit",
    laws: Annotated[Path | None, typer.Option(help="Parsed laws to answer from, such as data/build/laws.")] = None,
    web: Annotated[bool, typer.Option("--web", help="Open a page in the browser instead.")] = False,
    preset: Annotated[str | None, typer.Option(help="Preset of GENERATION-PRESETS; by default the adapter's.")] = None,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Maximum new tokens per answer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Random seed; by default another for each answer.")] = None,
    lora: Annotated[Path, typer.Option(help="Folder of the adapters.")] = LORA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 7860,
) -> None:
    """Chat with a model, on the articles of parsed laws if --laws is given, with every citation checked."""
    if web:  # first, so that a missing gradio or a taken port is said before a model is loaded
        from leylora.chat.guard import bind
        from leylora.chat.page import serve_page

        bind(port).close()
    from leylora.chat.dialogue import open_chat

    chat = open_chat(
        model,
        adapter,
        load=load,
        laws=laws,
        preset_name=preset,
        system=system,
        max_new_tokens=max_new_tokens,
        seed=seed,
        lora=lora,
    )
    if web:
        serve_page(chat, port)
    else:
        from leylora.chat.terminal import Terminal

        Terminal(chat).run()


if __name__ == "__main__":
    console.run(app)
