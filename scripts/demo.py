"""Run the whole job on small models, without GPU and download (what `make demo` calls)."""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    family: Annotated[
        str, typer.Option(help="tiny-mistral, tiny-llama-2, tiny-falcon, all; or smollm2-135m")
    ] = "tiny-mistral",
    law: Annotated[Path | None, typer.Option(help="a real law (PDF, HTML, text) in place of the sample law")] = None,
    base: Annotated[Path | None, typer.Option(help="folder of a pretrained base, in place of the Hub")] = None,
    quick: Annotated[bool, typer.Option(help="a few steps a run: shows that it works, not what it is worth")] = False,
    base_only: Annotated[
        bool, typer.Option("--base-only", help="only make the small base (also tiny-t5) and the sample datasets")
    ] = False,
) -> None:
    """Law and instructions in, a merged adapter, an export for the webui and a report out."""
    from leylora.demo import Demo, write_closing_report
    from leylora.errors import LeyloraError
    from leylora.models.tiny import FAMILIES, tiny_t5_of_samples

    if base_only and family == "tiny-t5":
        console.say(f"base model    made -> {tiny_t5_of_samples()}")
        return
    if law is not None and not law.is_file():
        raise LeyloraError(f"{law} {'is a folder' if law.is_dir() else 'does not exist'}; name the file of a law.")

    demos = [Demo(name, law, quick, base_folder=base) for name in (FAMILIES if family == "all" else (family,))]
    if base_only:
        for demo in demos:
            demo.prepare()
        return
    for demo in demos:
        demo.run()
    console.say(f"report        {write_closing_report(demos)}")


if __name__ == "__main__":
    console.run(app)
