"""The commands of ``scripts/webui.py``: each takes arguments, asks the client, and shows the result."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from leylora import console
from leylora.errors import LeyloraError, UsageError
from leylora.files import parse_yaml
from leylora.webui.protocol import Answer

if TYPE_CHECKING:  # the client brings the openai SDK, which --help does not need
    from leylora.webui.client import Client

Prompt = Annotated[str, typer.Argument(help="The text, or - to read it from standard input.")]
Preset = Annotated[str | None, typer.Option(help="A preset of GENERATION-PRESETS.")]
ServerPreset = Annotated[str | None, typer.Option(help="A preset of the server; nobody notices a wrong name.")]
MaxTokens = Annotated[int, typer.Option(help="Maximum new tokens.")]
Temperature = Annotated[float | None, typer.Option(help="0 always takes the likeliest token.")]
Seed = Annotated[int | None, typer.Option(help="Random seed.")]
Stop = Annotated[list[str] | None, typer.Option(help="A string at which the answer ends; may be repeated.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; see the docs.")]
System = Annotated[str | None, typer.Option(help="A system message.")]
Template = Annotated[str | None, typer.Option(help="An instruction template; the model's own by default.")]
Raw = Annotated[bool, typer.Option("--raw", help="Continue the text instead of answering it.")]
Load = Annotated[
    Literal["4bit", "8bit", "16bit"] | None,
    typer.Option(help="Base precision; 4bit (about 6 GB for a 7B model) and 8bit (9 GB) need an NVIDIA card."),
]
LoadArgs = Annotated[list[str] | None, typer.Option("--arg", metavar="KEY=VALUE", help="Any other field of Model.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME", help="One LoRA.")]

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
lora = typer.Typer(no_args_is_help=True, help="Apply a LoRA and prove that it acts, or take it off.")
app.add_typer(lora, name="lora")


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Default: $WEBUI_URL, or 127.0.0.1:5000.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Default: $WEBUI_API_KEY, which shows less.")] = None,
    admin_key: Annotated[str | None, typer.Option(help="For models and LoRAs. Default: $WEBUI_ADMIN_KEY.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait for an answer or a load.")] = None,
) -> None:
    """Talk to text-generation-webui (started with --api), or to another server with OpenAI's API."""
    context.obj = {"url": url, "api_key": api_key, "admin_key": admin_key, "timeout": timeout}


@app.command()
def generate(
    context: typer.Context,
    prompt: Prompt,
    raw: Raw = False,
    system: System = None,
    template: Template = None,
    preset: Preset = None,
    server_preset: ServerPreset = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = None,
    seed: Seed = None,
    stop: Stop = None,
    settings: Set = None,
    stream: Annotated[bool, typer.Option(help="Show the answer as it comes.")] = True,
) -> None:
    """Answer one instruction in the model's instruction template or, with --raw, continue a text without one."""
    if raw and (system or template):
        raise UsageError("--raw sends the text without a template: leave out --system and --template.")
    client = _client(context)
    options = _sampling(preset, server_preset, max_tokens, temperature, seed, stop, settings)
    options |= {} if raw else {"system": system, "template": template}
    text = _text(prompt)
    if stream:
        _show((client.stream_generate if raw else client.stream_instruct)(text, **options))
    else:
        print((client.generate if raw else client.instruct)(text, **options).text)


@app.command()
def chat(
    context: typer.Context,
    system: System = None,
    template: Template = None,
    mode: Annotated[str, typer.Option(help="instruct, chat or chat-instruct.")] = "instruct",
    character: Annotated[str | None, typer.Option(help="A character of the server's, in mode chat.")] = None,
    name1: Annotated[str | None, typer.Option(help="Your name, in mode chat.")] = None,
    name2: Annotated[str | None, typer.Option(help="The character's name, in mode chat.")] = None,
    preset: Preset = None,
    server_preset: ServerPreset = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    seed: Seed = None,
    stop: Stop = None,
    settings: Set = None,
) -> None:
    """Chat line by line; an empty line or Ctrl-D ends it."""
    client = _client(context)
    options: dict[str, Any] = {"template": template, "character": character, "name1": name1, "name2": name2}
    options |= _sampling(preset, server_preset, max_tokens, temperature, seed, stop, settings) | {"mode": mode}
    messages = [{"role": "system", "content": system}] if system else []
    while line := _line():
        messages.append({"role": "user", "content": line})
        messages.append({"role": "assistant", "content": _show(client.stream_chat(messages, **options))})


@app.command()
def models(context: typer.Context) -> None:
    """List the models on the server."""
    for name in _client(context).models():
        print(name)


@app.command()
def info(context: typer.Context) -> None:
    """Say what is loaded."""
    loaded = _client(context).info()
    if not loaded.loaded:
        print("no model is loaded")
        return
    print(f"{loaded.model_name} ({loaded.loader}), LoRA: {', '.join(loaded.lora_names) or 'none'}")


@app.command("load")
def load_model(
    context: typer.Context,
    name: str,
    load: Load = None,
    args: LoadArgs = None,
    template: Annotated[str | None, typer.Option(help="Make one of our templates the server's default.")] = None,
) -> None:
    """Load a model; the one that was loaded is unloaded, with its LoRA."""
    loaded = _client(context).load_model(name, _load_args(load, args), template=template)
    print(f"{loaded.model_name} is loaded ({loaded.loader})")
    if load in ("4bit", "8bit"):
        console.note(f"The server does not say in what precision; without an NVIDIA card it ignores --load {load}.")


@app.command()
def unload(context: typer.Context) -> None:
    """Unload the model."""
    _client(context).unload_model()


@app.command()
def loras(context: typer.Context) -> None:
    """List the LoRAs on the server."""
    names = _client(context).loras()
    for name in names:
        print(name)
    if not names:
        console.note("There is no LoRA on the server; scripts/export_webui.py puts adapters there.")


@lora.command("load")
def lora_load(context: typer.Context, names: Names, load: Load = None, args: LoadArgs = None) -> None:
    """Apply one LoRA in place of any other, and prove that it acts.

    --load and --arg say how the model was loaded, in case it must be loaded again.
    """
    if len(names) > 1:
        raise UsageError("The webui applies one LoRA at a time; merge several with scripts/merge_adapters.py.")
    effect = _client(context).load_lora(names[0], _load_args(load, args))
    print(f"{effect.name} is applied and acts: it changes a next-token probability by {effect.change:.3g}")
    console.note("That does not show that all of its layers are there; scripts/export_webui.py --check reads them.")


@lora.command("unload")
def lora_unload(context: typer.Context, load: Load = None, args: LoadArgs = None) -> None:
    """Take every LoRA off, one too that the server does not report."""
    done = _client(context).unload_lora(_load_args(load, args))
    print(f"{done.model_name}, no LoRA")
    if done.reloaded:
        console.note(str(done))


@app.command()
def tokens(context: typer.Context, text: Prompt) -> None:
    """Show how the loaded model's tokenizer cuts a text."""
    client = _client(context)
    numbers = client.encode(_text(text))
    for number in numbers:
        print(f"{number}\t{client.decode([number])!r}")
    console.note(f"{len(numbers)} tokens")


@app.command()
def logits(context: typer.Context, prompt: Prompt, top: Annotated[int, typer.Option(min=1)] = 10) -> None:
    """Show the likeliest next tokens. The server adds a BOS only where the tokenizer does so by itself."""
    for token, probability in _client(context).logits(_text(prompt), top).items():
        print(f"{probability:.6f}\t{token!r}")


@app.command()
def stop(context: typer.Context) -> None:
    """Stop everything the server is generating, for everyone."""
    _client(context).stop()


def _client(context: typer.Context) -> "Client":
    from leylora.webui.client import Client, ServerSettings

    given = context.find_root().obj
    settings = ServerSettings.from_environment(given["url"], given["api_key"], given["admin_key"])
    return Client(settings, timeout=given["timeout"])


def _sampling(
    preset: str | None,
    server_preset: str | None,
    max_tokens: int,
    temperature: float | None,
    seed: int | None,
    stop: list[str] | None,
    settings: list[str] | None,
) -> dict[str, Any]:
    named: dict[str, Any] = {"preset": preset, "server_preset": server_preset, "max_tokens": max_tokens}
    named |= {"temperature": temperature, "seed": seed, "stop": stop}
    return {key: value for key, value in named.items() if value is not None} | _pairs(settings, "--set")


def _load_args(load: str | None, args: list[str] | None) -> dict[str, Any] | None:
    """The webui's own names for how a model is loaded; None where nothing was asked for."""
    precision = {f"load_in_{bits}": load == bits for bits in ("4bit", "8bit")} if load else {}
    return {**precision, **_pairs(args, "--arg")} or None


def _pairs(texts: list[str] | None, option: str) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a mapping, values read as YAML."""
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} {text!r}: write it as KEY=VALUE.")
        try:
            found[key.strip().replace("-", "_")] = parse_yaml(value, option)
        except LeyloraError:
            raise UsageError(f"{option} {text!r}: the value cannot be read; quote it.") from None
    return found


def _show(stream: Iterator[Answer]) -> str:
    """Print a stream as it comes; returns its text."""
    text = ""
    try:
        for piece in stream:
            print(piece.text if text else piece.text.lstrip(), end="", flush=True)
            text += piece.text
    finally:
        print()  # an error's message starts on a line of its own
    return text


def _text(prompt: str) -> str:
    return typer.get_text_stream("stdin").read() if prompt == "-" else prompt


def _line() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""
