"""What each adapter is worth: compare.py --models BASE ... --adapters auto --suite law,spanish --out DIR"""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    models: Annotated[str, typer.Option(help="Base models: folders or Hub names; with --endpoint, served names.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command goes on where it stopped.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="More base models.")] = None,
    adapters: Annotated[str, typer.Option(help="auto, none, or names: law=LORA/mine,merged=LORA/both.")] = "auto",
    suite: Annotated[str | None, typer.Option(help="law, instructions, spanish (default: all three), prompts.")] = None,
    load: Annotated[Literal["4bit", "8bit", "16bit"], typer.Option(help="Precision of the base.")] = "4bit",
    limit: Annotated[int | None, typer.Option(min=1, help="Most questions a suite, spread over its tasks.")] = None,
    laws: Annotated[list[Path] | None, typer.Option(help="Folder of parsed laws, for grounded questions.")] = None,
    benchmark: Annotated[str, typer.Option(help="File of law questions, or none.")] = "data/benchmark/ecuador.jsonl",
    law_rows: Annotated[list[Path] | None, typer.Option(help="Law dataset whose test rows are asked.")] = None,
    instructions: Annotated[list[Path] | None, typer.Option(help="Instruction dataset, likewise.")] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help="Free prompt, or a file of them (.jsonl, or one a line).")
    ] = None,
    preset: Annotated[list[str] | None, typer.Option(help="Of free prompts; '' for none.")] = None,
    temperature: Annotated[list[float] | None, typer.Option(help="Of free prompts, laid over each preset.")] = None,
    endpoint: Annotated[
        list[str] | None, typer.Option(help="Ask at this address: the webui, vLLM, llama.cpp ...")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Maximum new tokens of an answer.")] = 192,
    batch_size: Annotated[int, typer.Option(min=1, help="Most questions asked at once.")] = 64,
    template: Annotated[str | None, typer.Option(help="Instruction template; default: the training's.")] = None,
    seed: Annotated[int, typer.Option(help="Random seed of questions, bootstrap and sampled answers.")] = 0,
    lang: Annotated[Literal["es", "en"], typer.Option(help="Language of the report.")] = "es",
) -> None:
    """Ask base and adapters the same questions; write answers, scores with intervals, provenance and a report."""
    from leylora.evaluation.items import BENCHMARK, Sources, read_prompts
    from leylora.evaluation.report import print_report, write_report
    from leylora.evaluation.run import GRADED, CompareSettings, compare

    named = [word for text in [models, *(more or [])] for word in text.split(",") if word]
    suites = [word.strip() for word in suite.split(",") if word.strip()] if suite is not None else list(GRADED)
    if suite is None and prompts:
        suites = ["prompts"]
    own = Path("data/benchmark/ecuador.jsonl") == Path(benchmark)
    results = compare(
        named,
        out,
        adapters=adapters,
        suites=suites,
        sources=Sources(
            benchmark=None if benchmark == "none" else BENCHMARK if own else Path(benchmark),
            laws=tuple(laws or ()),
            law_rows=tuple(law_rows or ()),
            instruction_rows=tuple(instructions or ()),
            prompts=tuple(turns for text in prompts or () for turns in read_prompts(text)),
            presets=tuple(preset or ("",)),
            temperatures=tuple(temperature or (None,)),
        ),
        settings=CompareSettings(load, max_new_tokens, limit, template, batch_size, seed),
        endpoints=endpoint or [],
        command=shlex.join(["python", *sys.argv]),
    )
    print_report(results, lang)
    console.say(f"Report: {write_report(out, lang)[0]}")


if __name__ == "__main__":
    console.run(app)
