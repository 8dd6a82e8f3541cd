"""A look inside: how a base and its adapters see a text; or let any model generate or translate."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
Load = Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="How to hold the model in memory.")]
Tokens = Annotated[int, typer.Option(min=1, help="Most tokens to write.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 takes the likeliest token each time.")]
Seed = Annotated[int | None, typer.Option(min=0, help="For the same text again.")]


@app.command()
def inspect(
    text: Annotated[str, typer.Argument(help="The text, or - to read it from standard input.")],
    model: Annotated[str | None, typer.Option(help="Base model; by default one that is here.")] = None,
    adapter: Annotated[list[str] | None, typer.Option(help="Adapters beside the base; repeat it for more.")] = None,
    load: Load = "4bit",
    top: Annotated[int, typer.Option(min=1, max=100, help="How many next tokens.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write a page to this new file.")] = None,
    lora: Annotated[Path, typer.Option(help="Folder of the adapters.")] = Path("LORA"),
) -> None:
    """Tokens and ids, each token's probability under base, instructions, law and combined, and what comes next."""
    from leylora.chat.inspect import run

    run(_text(text), model, adapter or [], load, top, html, lora)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="The text to go on with, or - for standard input.")],
    model: Annotated[str, typer.Option(help="A local folder or Hub model, causal or encoder-decoder.")],
    load: Load = "16bit",
    max_tokens: Tokens = 128,
    temperature: Temperature = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1)] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Beams to search with.")] = 1,
    seed: Seed = None,
) -> None:
    """Let any model write."""
    from leylora.chat import any_model

    how = {"max_new_tokens": max_tokens, "num_beams": beams, "top_p": top_p}
    loaded = any_model.load_any(model, load)
    console.say(any_model.generate(*loaded, _text(prompt), temperature=temperature, seed=seed, **how))


@app.command()
def translate(
    text: Annotated[str, typer.Argument(help="The text to translate, or - for standard input.")],
    model: Annotated[str, typer.Option(help="T5, Marian (opus-mt-…), NLLB, M2M100, or a causal model.")],
    source: Annotated[str, typer.Option("--from", help="Language code.")] = "en",
    target: Annotated[str, typer.Option("--to", help="Language code.")] = "es",
    load: Load = "16bit",
    max_tokens: Tokens = 256,
    beams: Annotated[int, typer.Option(min=1, help="Beams to search with.")] = 4,
) -> None:
    """Let any model translate, asked in the way its kind was trained to be asked."""
    from leylora.chat import any_model

    how = {"max_new_tokens": max_tokens, "num_beams": beams}
    console.say(any_model.translate(*any_model.load_any(model, load), _text(text), source, target, **how))


def _text(text: str) -> str:
    """The text itself, or standard input for ``-``."""
    return sys.stdin.read() if text == "-" else text


def main() -> None:
    """Run a command; a text in its place is to be inspected."""
    if sys.argv[1:] and sys.argv[1] not in ("inspect", "generate", "translate", "--help"):
        sys.argv.insert(1, "inspect")
    app()


if __name__ == "__main__":
    console.run(main)
