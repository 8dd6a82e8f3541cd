"""How fast rows are gated, near duplicates found, and law questions made.

    python benchmarks/dataset.py [--rows 50000] [--laws DIR] [--json FILE]

The rows are Alpaca-like Spanish sentences made from a small grammar, a tenth of them edited copies of earlier ones.
datasketch, when it is installed, finds near duplicates in the same word triples with the same number of
permutations and bands; its candidates are checked with the same exact similarity.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from leylora import console

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)

SUBJECTS = "el agua|la escuela|un mercado|la montaña|el tren|una abuela|el vecino|la biblioteca|un jardín|el barrio"
VERBS = "cuida|recorre|explica|transforma|acompaña|describe|guarda|comparte|mejora|celebra|observa|organiza"
OBJECTS = "los libros|la memoria|una fiesta|el camino|las semillas|la música|el trabajo|un puente|la lluvia|los oficios"
PLACES = "en la Sierra|junto al río|desde la costa|en cada provincia|por la mañana|durante el invierno|sin prisa"
TASKS = "Escriba un párrafo sobre|Explique brevemente|Dé tres ideas acerca de|Redacte una carta que mencione|Describa"


def make_rows(count: int, seed: int = 7) -> list[dict[str, str]]:
    """``count`` rows in Alpaca's shape; every tenth is an earlier one with a few words changed."""
    chance = random.Random(seed)
    parts = [words.split("|") for words in (SUBJECTS, VERBS, OBJECTS, PLACES)]
    rows: list[dict[str, str]] = []
    for at in range(count):
        if at % 10 == 9:
            old = chance.choice(rows)
            words = old["output"].split()
            words[chance.randrange(len(words))] = "siempre"
            rows.append({**old, "output": " ".join(words)})
            continue
        sentences = [" ".join(chance.choice(words) for words in parts) for _ in range(chance.randint(4, 14))]
        topic = f"{chance.choice(parts[0])} y {chance.choice(parts[2])} {chance.choice(parts[3])}, caso {at}"
        answer = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
        rows.append({"instruction": f"{chance.choice(TASKS.split('|'))} {topic}.", "input": "", "output": answer})
    return rows


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds and the result of one call."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def datasketch_copies(pairs: list[tuple[str, str]], threshold: float) -> int:
    """How many rows datasketch's LSH finds to copy an earlier, kept one."""
    from datasketch import MinHash, MinHashLSH

    from leylora.data.duplicates import BANDS, PERMUTATIONS, is_copy, word_triples

    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, PERMUTATIONS // BANDS))
    triples = [word_triples(f"{prompt}\n{answer}") for prompt, answer in pairs]
    copies = 0
    for at, mine in enumerate(triples):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in mine])
        if any(is_copy(pairs[at], pairs[one], mine, triples[one], threshold) for one in index.query(sketch)):
            copies += 1
        else:
            index.insert(at, sketch)
    return copies


@app.command()
def main(
    rows: Annotated[int, typer.Option(help="Alpaca-like rows to gate.")] = 50_000,
    laws: Annotated[Path | None, typer.Option(help="Folder of parsed laws to ask about as well.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Time the gate, the near-duplicate search against datasketch, and the making of law questions."""
    from leylora.data.compose import TaskSettings
    from leylora.data.duplicates import near_duplicates
    from leylora.data.gate import clean
    from leylora.data.generate import generate
    from leylora.data.readers import Record, convert
    from leylora.laws.law import load_laws

    made = make_rows(rows)
    figures: list[dict[str, Any]] = []

    def add(what: str, seconds: float, count: int, found: str) -> None:
        figures.append(
            {"what": what, "seconds": round(seconds, 2), "per_second": round(count / seconds), "found": found}
        )

    records = [Record(f"row {at}", row) for at, row in enumerate(made)]
    seconds, (kept, _) = timed(lambda: clean(convert(records), source="bench", license="cc0-1.0"))
    add(f"whole gate, {rows:,} rows", seconds, rows, f"{len(kept):,} kept")
    pairs = [(row["instruction"], row["output"]) for row in made]
    seconds, copies = timed(lambda: near_duplicates(pairs))
    add("near duplicates, leylora (rensa)", seconds, rows, f"{len(copies):,} copies")
    try:
        seconds, other = timed(lambda: datasketch_copies(pairs, 0.8))
        add("near duplicates, datasketch", seconds, rows, f"{other:,} copies")
    except ImportError:
        console.note("datasketch is not installed; `pip install datasketch` to compare.")
    if laws:
        parsed = load_laws(laws)
        seconds, (questions, _) = timed(lambda: generate(parsed, TaskSettings(), 42))
        add(f"law questions, {len(parsed)} laws", seconds, len(questions), f"{len(questions):,} rows")

    table = Table(title="dataset")
    for heading in ("what", "seconds", "per second", "found"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for one in figures:
        table.add_row(one["what"], f"{one['seconds']:.2f}", f"{one['per_second']:,}", one["found"])
    console.out.print(table)
    if json_file:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    console.run(app)
