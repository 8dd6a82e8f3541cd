"""Write an adapter as GGUF with a Modelfile, for Ollama and llama.cpp: export_gguf.py LORA/NAME --out DIR --prove"""

from pathlib import Path
from typing import Annotated

import typer

from leylora import console
from leylora.adapters.gguf import FileType

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    adapter: Annotated[Path, typer.Argument(help="LORA/NAME.")],
    out: Annotated[Path, typer.Option(help="New folder for the GGUF, the Modelfile, the template and the card.")],
    base: Annotated[str | None, typer.Option(help="Base model; by default the one the adapter names.")] = None,
    with_base: Annotated[bool, typer.Option("--with-base", help="Also the base as GGUF.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="One whole model instead, base and adapter folded.")] = False,
    kind: Annotated[FileType, typer.Option("--type", help="Of a whole model's weights.")] = "f16",
    prove: Annotated[bool, typer.Option("--prove", help="Hold llama.cpp against transformers.")] = False,
) -> None:
    """Export an adapter so that Ollama and llama.cpp answer as it was trained."""
    from leylora.adapters.gguf_export import export

    done = export(adapter, out, base, merge=merge, with_base=with_base, kind=kind, proof=prove)
    console.note(f"Wrote {out}: {', '.join(done.files)}.")
    for sentence in done.proof.sentences() if done.proof else ():
        console.note(f"  {sentence}")


if __name__ == "__main__":
    console.run(app)
