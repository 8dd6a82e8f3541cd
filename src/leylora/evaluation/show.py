"""The closing tables of a comparison in the terminal; everything else is in the files and in the report."""

from rich import box
from rich.table import Table

from leylora import console
from leylora.evaluation.results import Results, Score

SHOWN = ("score", "bits_per_byte", "accuracy", "citation_f1", "invented_citations", "abstained_when_due")
NAMES = {"score": "score", "bits_per_byte": "bits/byte", "accuracy": "choice", "citation_f1": "cites",
         "invented_citations": "invents", "abstained_when_due": "declines"}  # fmt: skip
WITH_INTERVAL = ("score", "bits_per_byte")


def print_results(results: Results) -> None:
    """A table a suite, the retention of combined adapters, and what the reader must know."""
    for suite in results.provenance.suites:
        console.out.print(_table(results, suite.name))
    kept = [one for one in results.scores.retention if one.value is not None]
    for one in kept:
        console.say(f"{one.model}: {one.variant} keeps {one.value:.0%} ({one.low:.0%} to {one.high:.0%}) of what "
                    f"{one.single} gained, {one.suite}, {one.metric}")  # fmt: skip
    if (left := len(results.scores.retention) - len(kept)) > 0:
        console.say(f"{left} retentions have no number: the single adapter's gain cannot be told from noise.")
    gaps = [one.detectable for one in results.scores.differences if one.metric == "score" and one.detectable]
    if gaps:
        least, most = f"{min(gaps):.1%}", f"{max(gaps):.1%}"
        span = least if least == most else f"{least} to {most}, by suite and pair"
        console.say(f"Smallest difference in score that so few questions can show: {span} (80 % power, 5 % level).")
    for finding in results.scores.findings:
        place = " ".join(part for part in (finding.model, finding.variant, finding.suite) if part)
        console.say(f"{finding.kind}: {place} {finding.error}")
    console.say(f"{len(results.marks)} answers in {results.provenance.seconds:.0f} s -> {results.folder}")


def _table(results: Results, suite: str) -> Table:
    scores = {(one.model, one.variant, one.metric): one for one in results.scores.scores
              if one.suite == suite and one.part == "all"}  # fmt: skip
    columns = [name for name in SHOWN if any(metric == name for _, _, metric in scores)]
    first = next(iter(scores.values()))
    table = Table(title=f"{suite}: {first.n} questions; shares in %, 95 % intervals", box=box.SIMPLE_HEAD,
                  pad_edge=False, collapse_padding=True)  # fmt: skip
    several = len(results.provenance.models) > 1
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(NAMES[name], justify="right", no_wrap=True)
    for model in results.provenance.models:
        if several:
            table.add_row(f"[bold]{model.label}")
        for variant in model.variants:
            cells = [_cell(scores.get((model.label, variant.name, name))) for name in columns]
            table.add_row(f"  {variant.name}" if several else variant.name, *cells)
    return table


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    scale, digits = (100, 0) if score.unit == "share" else (1, 2)
    value = f"{score.value * scale:.{digits}f}"
    if score.low is None or score.high is None or score.metric not in WITH_INTERVAL:
        return value
    return f"{value} [{score.low * scale:.{digits}f}-{score.high * scale:.{digits}f}]"
