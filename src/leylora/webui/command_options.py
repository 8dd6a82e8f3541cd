"""The options that several commands of ``scripts/webui.py`` share, and what they become for the client."""

from typing import Annotated, Any

import typer

from leylora.errors import UsageError

Preset = Annotated[str | None, typer.Option(help="A preset, ours or the server's.")]
MaxTokens = Annotated[int, typer.Option(help="Length of the answer at most, in tokens.")]
Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")]
Seed = Annotated[int | None, typer.Option(help="The same seed gives the same answer.")]
Stop = Annotated[list[str] | None, typer.Option(help="A string at which the answer ends; may be repeated.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; see the docs.")]
Stream = Annotated[bool, typer.Option(help="Show the answer as it comes.")]
System = Annotated[str | None, typer.Option(help="A system message.")]
Template = Annotated[str | None, typer.Option(help="An instruction template; the model's own by default.")]
FourBit = Annotated[bool, typer.Option("--4bit", help="load-in-4bit: a 7B model in about 6 GB.")]
EightBit = Annotated[bool, typer.Option("--8bit", help="load-in-8bit: a 7B model in about 9 GB.")]
LoadArgs = Annotated[list[str] | None, typer.Option("--arg", metavar="KEY=VALUE", help="Any other field of Model.")]
Prompt = Annotated[str, typer.Argument(help="The text, or - to read it from standard input.")]


def sampling(
    preset: str | None,
    max_tokens: int,
    temperature: float | None,
    seed: int | None,
    stop: list[str] | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    """The keywords for a client's method: what was given, and the pairs of --set.

    Raises:
        UsageError: a pair that is none.
    """
    named = {"preset": preset, "max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    given = {key: value for key, value in named.items() if value is not None}
    return given | ({"stop": tuple(stop)} if stop else {}) | _pairs(settings, "--set")


def load_args(four_bit: bool, eight_bit: bool, args: list[str] | None) -> dict[str, Any] | None:
    """The webui's own names for how a model is loaded; None where nothing was asked for.

    Raises:
        UsageError: both 4 and 8 bits, or a pair that is none.
    """
    if four_bit and eight_bit:
        raise UsageError("A model is loaded in 4 bits or in 8, not in both: give one of --4bit and --8bit.")
    flags = {"load_in_4bit": True} if four_bit else {"load_in_8bit": True} if eight_bit else {}
    return {**flags, **_pairs(args, "--arg")} or None


def _pairs(texts: list[str] | None, option: str) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a mapping, values read as YAML."""
    import yaml

    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} {text!r}: write it as KEY=VALUE.")
        try:
            found[key.strip().replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UsageError(f"{option} {text!r}: the value cannot be read; quote it.") from None
    return found
