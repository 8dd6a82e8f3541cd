"""A look inside: how a base and its adapters see a text; or let any model generate or translate."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console
from leylora.errors import UsageError
from leylora.project import LORA

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
Load = Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="Precision of the weights.")]
Tokens = Annotated[int, typer.Option(min=1, help="Maximum new tokens.")]
Temperature = Annotated[float, typer.Option(min=0, help="0 always takes the most likely token.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Random seed.")]


@app.command()
def inspect(
    text: Annotated[str, typer.Argument(help="The text, or - to read it from standard input.")],
    model: Annotated[str | None, typer.Option(help="Base model; by default one that is here.")] = None,
    adapter: Annotated[list[str] | None, typer.Option(help="Adapter to compare; repeat it for more.")] = None,
    load: Load = "4bit",
    top: Annotated[int, typer.Option(min=1, max=100, help="How many of the most likely next tokens to show.")] = 10,
    html: Annotated[Path | None, typer.Option(help="Write the coloured page to this new file.")] = None,
    lora: Annotated[Path, typer.Option(help="Folder of the adapters.")] = LORA,
) -> None:
    """Tokens and ids, each token's probability under base, instructions, law and combined, and what comes next."""
    from leylora.chat.inspect import run

    run(_text(text), model, adapter or [], load, top, html, lora)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="The text to go on with, or - for standard input.")],
    model: Annotated[str, typer.Option(help="A local folder or Hub model, causal or encoder-decoder.")],
    load: Load = "16bit",
    max_new_tokens: Tokens = 128,
    temperature: Temperature = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Nucleus sampling; 1 switches it off.")] = 1.0,
    beams: Annotated[int, typer.Option(min=1, help="Width of the beam search.")] = 1,
    seed: Seed = None,
) -> None:
    """Continue a text with any model."""
    from leylora.chat import any_model

    text = _text(prompt)
    how = {"max_new_tokens": max_new_tokens, "num_beams": beams, "top_p": top_p}
    loaded = any_model.load_any(model, load)
    console.say(any_model.generate(*loaded, text, temperature=temperature, seed=seed, **how))


@app.command()
def translate(
    text: Annotated[str, typer.Argument(help="The text to translate, or - for standard input.")],
    model: Annotated[str, typer.Option(help="T5, Marian (opus-mt-…), NLLB, M2M100, or a causal model.")],
    source: Annotated[str, typer.Option("--from", help="Language code.")] = "en",
    target: Annotated[str, typer.Option("--to", help="Language code.")] = "es",
    load: Load = "16bit",
    max_new_tokens: Tokens = 256,
    beams: Annotated[int, typer.Option(min=1, help="Width of the beam search.")] = 4,
) -> None:
    """Translate with any model, asked as its kind was trained."""
    from leylora.chat import any_model

    text = _text(text)
    how = {"max_new_tokens": max_new_tokens, "num_beams": beams}
    console.say(any_model.translate(*any_model.load_any(model, load), text, source, target, **how))


def _text(text: str) -> str:
    """The text itself, or standard input for ``-``; bytes that are not UTF-8 become ``?``."""
    text = (sys.stdin.read() if text == "-" else text).encode("utf-8", "replace").decode("utf-8")
    if not text.strip():
        raise UsageError("The text is empty.")
    return text


def main() -> None:
    """Run a command; a text in its place is to be inspected."""
    if sys.argv[1:] and sys.argv[1] not in ("inspect", "generate", "translate", "--help"):
        sys.argv.insert(1, "inspect")
    app()


if __name__ == "__main__":
    console.run(main)
