"""Parsing a law, against the bare text extraction of the same file by pypdfium2, in one run.

    python benchmarks/laws.py LAW.pdf ...      # your own files
    python benchmarks/laws.py                  # the sample law

Both are timed in turn, in a process of their own that has its imports done, and the fastest of the rounds counts:
other work on the machine only ever adds time. Peak memory is that of a fresh process that parses the file once,
its extraction child included.
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import pypdfium2
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.files import write_json
from leylora.laws.parse import parse_file
from leylora.project import SAMPLES

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@dataclass(frozen=True)
class Timing:
    """One file: seconds of bare extraction and of the whole parse, and the parse's peak memory."""

    file: str
    pages: int
    articles: int
    extract_s: float
    parse_s: float
    peak_mib: float

    @property
    def ratio(self) -> float:
        """How many times the bare extraction a whole parse takes."""
        return self.parse_s / self.extract_s


@app.command()
def main(
    files: Annotated[list[Path] | None, typer.Argument(help="PDF files of laws.", show_default=False)] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the fastest counts.")] = 5,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Print milliseconds a page, the ratio of parsing to extraction, and peak memory."""
    timings = [measure(file, rounds) for file in files or [SAMPLES / "ley-de-muestra.pdf"]]
    table = Table(title="Whole parse against bare extraction", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("file")
    for heading in ("pages", "articles", "extract ms/page", "parse ms/page", "ratio", "peak MiB"):
        table.add_column(heading, justify="right")
    for timing in timings:
        per_page = [1000 * seconds / timing.pages for seconds in (timing.extract_s, timing.parse_s)]
        cells = [f"{timing.pages}", f"{timing.articles}", f"{per_page[0]:.2f}", f"{per_page[1]:.2f}"]
        table.add_row(timing.file, *cells, f"{timing.ratio:.2f}", f"{timing.peak_mib:.0f}")
    console.out.print(table)
    if out:
        write_json(out, [{**asdict(timing), "ratio": timing.ratio} for timing in timings])


def measure(file: Path, rounds: int) -> Timing:
    """Time ``file`` in a fresh process, and take its peak memory in another."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        pages, articles, extract_s, parse_s = pool.apply(_time, (file, rounds))
        peak = pool.apply(_peak_mib, (file,))
    return Timing(file.name, pages, articles, extract_s, parse_s, peak)


def _time(file: Path, rounds: int) -> tuple[int, int, float, float]:
    extract_s, parse_s = [], []
    for _ in range(rounds):
        extract_s.append(_seconds(lambda: bare_extraction(file)))
        parse_s.append(_seconds(lambda: parse_file(file)))
    law = parse_file(file)
    return law.pages, len(law), min(extract_s), min(parse_s)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_extraction(file: Path) -> list[str]:
    """The text of each page and nothing else: what any parser has to pay for."""
    document = pypdfium2.PdfDocument(file)
    texts = []
    for index in range(len(document)):
        page = document[index]
        textpage = page.get_textpage()
        texts.append(textpage.get_text_range())
        textpage.close()
        page.close()
    document.close()
    return texts


def _peak_mib(file: Path) -> float:
    parse_file(file)
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + child) / 1024


if __name__ == "__main__":
    console.run(app)
