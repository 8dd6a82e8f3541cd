"""How often the 95 % intervals of a comparison hold the truth, on made-up answers.

    python benchmarks/intervals.py [--repetitions 1200]

Clusters (articles) are drawn from distributions whose true value is known, and the intervals of
`leylora.evaluation.statistics` are computed as a comparison computes them. Goal: at least 93 % from 10 to 200
clusters, and at most 98 % from 40 on.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from scipy.stats import beta

from leylora import console
from leylora.evaluation import statistics as s
from leylora.files import write_json

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
OUT = Path(__file__).with_suffix(".json")
CLUSTERS = (10, 20, 40, 100, 200)
CHANCE = np.random.default_rng(0)
RHO = 0.3  # how alike the answers of one cluster are: the correlation of a beta-binomial
Draw = Callable[[int], bool | None]  # of that many clusters: whether the interval held the truth; None without one


def rates(share: float, count: int) -> np.ndarray:
    """Each cluster's own share of right answers."""
    scale = (1 - RHO) / RHO
    return CHANCE.beta(share * scale, (1 - share) * scale, count)


def sums(numerator: Any, denominator: Any) -> s.Sums:
    names = [f"{at:04}" for at in range(len(numerator))]
    return s.by_cluster(names, list(numerator), list(np.broadcast_to(denominator, len(numerator))))


def held(ends: tuple[float, float], truth: float) -> bool | None:
    return None if math.isnan(ends[0]) else ends[0] <= truth <= ends[1]


def share(truth: float, items: int) -> Draw:
    def draw(count: int) -> bool | None:
        return held(s.share_interval(sums(CHANCE.binomial(items, rates(truth, count)), items)), truth)

    return draw


def citations(truth: float, cited: float) -> Draw:
    """Most answers cite nothing: ``cited`` is the mean number of citations of an answer."""

    def draw(count: int) -> bool | None:
        below = CHANCE.poisson(cited, count)
        return held(s.share_interval(sums(CHANCE.binomial(below, rates(truth, count)), below)), truth)

    return draw


def overlap(zero: float, first: float, second: float, items: int) -> Draw:
    """Scores from 0 to 1: ``zero`` of them are 0, the others from a beta distribution."""
    truth = (1 - zero) * first / (first + second)

    def draw(count: int) -> bool | None:
        size = (count, items)
        scores = np.where(CHANCE.random(size) < zero, 0.0, CHANCE.beta(first, second, size))
        return held(s.share_interval(sums(scores.sum(axis=1), items)), truth)

    return draw


def bits(count: int) -> bool | None:
    """Bits per byte: answers of unequal length, their rates skewed to the right."""
    size = np.round(np.exp(CHANCE.normal(3.5, 0.8, count))) + 1
    return held(s.ratio_interval(sums(size * np.exp(CHANCE.normal(-0.08, 0.4, count)), size)), 1.0)


def difference(one: float, two: float, items: int) -> Draw:
    """Shares of two variants on the same articles, hard for both where they are hard."""

    def draw(count: int) -> bool | None:
        hard = CHANCE.random(count)
        both = []
        for truth in (one, two):
            scale = (1 - RHO) / RHO
            each = beta.ppf(hard, truth * scale, (1 - truth) * scale)
            both.append(sums(CHANCE.binomial(items, each), items))
        found = s.paired_difference(both[0], both[1], shares=True)
        return held((found.low, found.high), one - two)

    return draw


def bits_difference(count: int) -> bool | None:
    size = np.round(np.exp(CHANCE.normal(3.5, 0.8, count))) + 1
    rate = np.exp(CHANCE.normal(-0.08, 0.4, count))
    gain = CHANCE.normal(0.2, 0.15, count)
    found = s.paired_difference(sums(size * (rate - gain), size), sums(size * rate, size))
    return held((found.low, found.high), -0.2)


def kept(count: int) -> bool | None:
    """0.7 of a gain of 0.4 bits a byte kept, where the gain is significant."""
    size = np.round(np.exp(CHANCE.normal(3.5, 0.8, count))) + 1
    base = np.exp(CHANCE.normal(0.2, 0.4, count))
    gain = CHANCE.normal(0.4, 0.25, count)
    rest = 0.7 * gain + CHANCE.normal(0, 0.1, count)
    _, low, high = s.kept_share(*(sums(size * value, size) for value in (base, base - gain, base - rest)))
    return held((low, high), 0.7)


DRAWS: dict[str, Draw] = {
    "share 0.1, one question an article": share(0.1, 1),
    "share 0.5, one question an article": share(0.5, 1),
    "share 0.9, one question an article": share(0.9, 1),
    "share 0.1, three questions an article": share(0.1, 3),
    "share 0.5, three questions an article": share(0.5, 3),
    "share 0.9, three questions an article": share(0.9, 3),
    "invented citations 0.1, 0.6 citations an answer": citations(0.1, 0.6),
    "invented citations 0.9, 0.6 citations an answer": citations(0.9, 0.6),
    "overlap 0.10, seven of ten are 0, one question": overlap(0.7, 1, 2, 1),
    "overlap 0.10, seven of ten are 0, three questions": overlap(0.7, 1, 2, 3),
    "overlap 0.50, one question": overlap(0.0, 2, 2, 1),
    "bits per byte": bits,
    "difference 0.1 − 0.1, one question": difference(0.1, 0.1, 1),
    "difference 0.3 − 0.1, one question": difference(0.3, 0.1, 1),
    "difference 0.5 − 0.5, three questions": difference(0.5, 0.5, 3),
    "difference 0.9 − 0.7, three questions": difference(0.9, 0.7, 3),
    "difference of bits per byte": bits_difference,
    "share of a gain kept (Fieller)": kept,
}


def coverage(draw: Draw, count: int, repetitions: int) -> float | None:
    found = [one for _ in range(repetitions) if (one := draw(count)) is not None]
    return round(float(np.mean(found)), 3) if len(found) > repetitions / 10 else None


@app.command()
def main(repetitions: Annotated[int, typer.Option(min=1, help="Comparisons drawn for each cell.")] = 2000) -> None:
    """Simulate every kind of interval at every number of clusters; print the table and write it beside this file."""
    found = {}
    table = Table("what", *(f"{count} clusters" for count in CLUSTERS))
    s.swap_test = lambda *_: 1.0  # p-values are not simulated here, and take the time
    for name, draw in DRAWS.items():
        found[name] = {str(count): coverage(draw, count, repetitions) for count in CLUSTERS}
        table.add_row(name, *("—" if one is None else f"{one:.3f}" for one in found[name].values()))
    console.out.print(table)
    write_json(OUT, {"repetitions": repetitions, "coverage": found})


if __name__ == "__main__":
    console.run(app)
