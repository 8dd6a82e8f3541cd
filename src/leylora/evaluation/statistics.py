"""Intervals and tests for scores on the same items: paired, clustered, exact where exactness is cheap.

Several questions on one article are not independent, so whole clusters are the units (Miller 2024, "Adding error bars
to evals"). Normal intervals fail under a few hundred items (Bowyer et al. 2025), and percentiles of a bootstrap under
some hundred clusters: intervals here are Student's, on the scale that fits the metric, and benchmarks/intervals.py
simulates how often they cover.

Every metric here is a ratio of two sums over items (a mean has ones below): ``sum(numerator) / sum(denominator)``.
Clusters whose denominator is zero (an answer that cites nothing, for the share of invented citations) say nothing of
the metric and are no part of the number of clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, t

RESAMPLES = 10_000
FEWEST = 5  # clusters that say something; below, an interval would be a guess about the spread and is not given
PRIOR = 1.5  # clusters, as far apart as shares can be, that are added to the spread of those seen
Z95 = 1.959963984540054  # standard normal quantile at 0.975
NONE = (math.nan, math.nan)


@dataclass(frozen=True)
class Sums:
    """A metric's numerators and denominators summed by cluster, the clusters in order of name."""

    clusters: tuple[str, ...]  # (C,) names
    numerator: np.ndarray  # (C,)
    denominator: np.ndarray  # (C,)
    n: int  # items

    @property
    def value(self) -> float:
        """The metric; NaN when its denominator is zero."""
        total = float(self.denominator.sum())
        return float(self.numerator.sum()) / total if total else math.nan


def by_cluster(clusters: Sequence[str], numerator: Sequence[float], denominator: Sequence[float]) -> Sums:
    """Sum items into their clusters."""
    names = tuple(sorted(set(clusters)))
    at = {name: index for index, name in enumerate(names)}
    index = np.array([at[name] for name in clusters], dtype=int)
    return Sums(
        clusters=names,
        numerator=np.bincount(index, weights=np.asarray(numerator, dtype=float), minlength=len(names)),
        denominator=np.bincount(index, weights=np.asarray(denominator, dtype=float), minlength=len(names)),
        n=len(clusters),
    )


@lru_cache(maxsize=8)
def draws(count: int, seed: int) -> np.ndarray:
    """``(R, C)`` how often each of ``count`` clusters is drawn; the same for a seed, so that comparisons are paired."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)


class Spread(NamedTuple):
    """How a ratio of sums varies from cluster to cluster."""

    value: float
    residuals: np.ndarray  # (C,) how much each cluster moves the ratio; zero for one that says nothing
    variance: float  # of the ratio, jackknifed
    clusters: int  # that say something
    effective: float  # clusters of equal size that would be as uncertain (Kish 1965)


def spread(sums: Sums) -> Spread:
    """The jackknife of a ratio: leaving out a cluster of share ``w`` moves it by ``(N - R D) / sum(D) / (1 - w)``."""
    total, said = float(sums.denominator.sum()), int((sums.denominator > 0).sum())
    if said < 2:
        return Spread(sums.value, np.zeros_like(sums.numerator), math.nan, said, float(said))
    weights = sums.denominator / total
    residuals = (sums.numerator - sums.value * sums.denominator) / total / (1 - weights)
    variance = float((residuals**2).sum()) * (said - 1) / said
    return Spread(sums.value, residuals, variance, said, float(1 / (weights**2).sum()))


def share_interval(sums: Sums) -> tuple[float, float]:
    """95 % interval of a share: Wilson's, with the number of independent answers that its spread amounts to.

    As Korn and Graubard (1998) and Dean and Pagano (2015) do for surveys: ``R (1 - R) / variance`` answers, never more
    than there are where they are counts, and Student's quantile for the clusters that say something. The spread is
    that of the clusters and of `PRIOR` more, as far apart as shares can be, since ten clusters may look alike by
    luck. Where all are 0 or all are 1 there is no spread to measure, and each cluster counts as one answer.
    """
    found = spread(sums)
    share, said = found.value, found.clusters
    if not said:
        return NONE
    if share <= 0 or share >= 1:
        return wilson(share * said, said)
    if said < FEWEST:
        return NONE
    worst = share * (1 - share) / found.effective
    variance = (found.variance * (said - 1) + worst * PRIOR) / (said - 1 + PRIOR)
    answers = share * (1 - share) / variance
    if not (sums.numerator % 1).any() and not (sums.denominator % 1).any():
        answers = min(answers, float(sums.denominator.sum()))
    return wilson(share * answers, answers, _student(found))


def ratio_interval(sums: Sums) -> tuple[float, float]:
    """95 % interval of a positive ratio without upper bound (bits per byte, tokens): Student's, of its logarithm.

    Such ratios are skewed to the right; on a logarithmic scale the interval is too, and never falls below zero.
    """
    found = spread(sums)
    if found.clusters < FEWEST or found.value <= 0:
        return NONE
    half = _student(found) * math.sqrt(found.variance) / found.value
    return found.value * math.exp(-half), found.value * math.exp(half)


def mean_interval(sums: Sums) -> tuple[float, float]:
    """95 % interval of a mean that may have either sign: Student's."""
    found = spread(sums)
    if found.clusters < FEWEST:
        return NONE
    half = _student(found) * math.sqrt(found.variance)
    return found.value - half, found.value + half


def _student(found: Spread, level: float = 0.975) -> float:
    return float(t.ppf(level, max(found.effective - 1, 1.0)))


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); never below 0 or above 1, and not empty at 0 of n."""
    share = successes / n
    scale = 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / scale
    half = z / scale * math.sqrt(max(share * (1 - share), 0.0) / n + z**2 / (4 * n**2))
    return (0.0 if successes <= 0 else centre - half), (1.0 if successes >= n else centre + half)


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided p-value of McNemar's test: ``better`` and ``worse`` are the discordant pairs."""
    return 1.0 if better + worse == 0 else float(binomtest(better, better + worse, 0.5).pvalue)


class Paired(NamedTuple):
    """The difference of one metric between two variants on the same items, first minus second."""

    value: float
    low: float  # NaN, as is high, with fewer than `FEWEST` clusters
    high: float
    p: float
    standard_error: float
    freedom: float  # degrees, of Student's distribution


def paired_difference(first: Sums, second: Sums, seed: int = 0, *, shares: bool = False) -> Paired:
    """Difference with its 95 % interval, Student's over clusters, and the p-value of `swap_test`.

    Where both are ``shares``, `PRIOR` clusters are added to the spread in which the two differ as shares of their size
    do when they have nothing to do with each other; else twenty pairs that are alike would prove that all are.
    """
    if first.clusters != second.clusters:
        raise ValueError("a paired comparison needs the same items on both sides")
    ours, theirs = spread(first), spread(second)
    observed = first.value - second.value
    said = min(ours.clusters, theirs.clusters)
    if said < 2 or math.isnan(observed):
        return Paired(math.nan, math.nan, math.nan, 1.0, math.nan, math.nan)
    effective = min(ours.effective, theirs.effective)
    variance = float(((ours.residuals - theirs.residuals) ** 2).sum()) * (said - 1) / said
    if shares:
        near = [(one.value * said + 1) / (said + 2) for one in (ours, theirs)]  # never quite 0 or 1
        variance = (variance * (said - 1) + PRIOR * sum(p * (1 - p) for p in near) / effective) / (said - 1 + PRIOR)
    freedom = max(effective - 1, 1.0)
    error = math.sqrt(variance)
    half = float(t.ppf(0.975, freedom)) * error if said >= FEWEST else math.nan
    return Paired(observed, observed - half, observed + half, swap_test(first, second, seed), error, freedom)


def swap_test(first: Sums, second: Sums, seed: int = 0) -> float:
    """Two-sided p-value of a paired randomisation test (Noreen 1989): were the variants alike, either could be first.

    In each cluster the two variants' sums are swapped or not: in every way there is where those are few enough
    (exact, so that two questions never prove anything), else in `RESAMPLES` ways drawn by ``seed``, with one added
    to both counts so that the p-value is never zero.
    """
    size = len(first.clusters)
    if exact := 2**size <= RESAMPLES:
        swaps = (np.arange(2**size)[:, None] >> np.arange(size)) & 1  # (2^C, C)
    else:
        swaps = np.random.default_rng(seed).integers(0, 2, size=(RESAMPLES, size))
    sums = [first.numerator, second.numerator, first.denominator, second.denominator]
    above, below = (
        np.array([one.sum() + swaps @ (other - one), other.sum() - swaps @ (other - one)])
        for one, other in (sums[:2], sums[2:])
    )
    usable = (below > 0).all(axis=0)
    values = above[0][usable] / below[0][usable] - above[1][usable] / below[1][usable]
    far = (np.abs(values) >= abs(first.value - second.value) - 1e-12).sum()
    return float(far / len(values)) if exact else float((far + 1) / (len(values) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979), in the order given."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    corrected = [0.0] * len(p_values)
    running = 0.0
    for rank, at in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = running
    return corrected


def detectable(standard_error: float, freedom: float, clusters: int) -> float:
    """The smallest true difference found with 80 % power by a two-sided 5 % test, by Student's quantiles.

    NaN where `swap_test` cannot give p < 0.05 at all.
    """
    if 2 / 2**clusters > 0.05:
        return math.nan
    return float(t.ppf(0.975, freedom) + t.ppf(0.8, freedom)) * standard_error


def retention(base: Sums, single: Sums, kept: Sums, seed: int = 0) -> tuple[float, float, float] | None:
    """(kept - base) / (single - base) with a 95 % interval, by `kept_share`.

    Works for losses as for shares, since the sign cancels. None, undefined, when the gain of ``single`` is not
    statistically significant: its p-value is above 0.05, or its interval holds zero, and then no bounded interval of
    the share exists.
    """
    if paired_difference(single, base, seed).p > 0.05:
        return None
    found = kept_share(base, single, kept)
    return None if math.isnan(found[1]) else found


def kept_share(base: Sums, single: Sums, kept: Sums) -> tuple[float, float, float]:
    """(kept - base) / (single - base) with Fieller's 95 % interval (1954), which a small gain makes wide.

    NaN for the ends where the gain may be zero, since no interval is bounded then; all NaN without a gain.
    """
    gain, rest = single.value - base.value, kept.value - base.value
    if not gain or math.isnan(gain):
        return math.nan, math.nan, math.nan
    three = [spread(one) for one in (base, single, kept)]
    said = min(one.clusters for one in three)
    if said < FEWEST:
        return rest / gain, math.nan, math.nan
    below, above = three[1].residuals - three[0].residuals, three[2].residuals - three[0].residuals
    vary, both, most = (
        (one * two).sum() * (said - 1) / said for one, two in ((below, below), (below, above), (above, above))
    )
    square = float(t.ppf(0.975, max(min(one.effective for one in three) - 1, 1.0))) ** 2
    # All shares s for which rest - s * gain is not significantly different from zero.
    a, b, c = gain**2 - square * vary, rest * gain - square * both, rest**2 - square * most
    if a <= 0:
        return rest / gain, math.nan, math.nan
    half = math.sqrt(max(b * b - a * c, 0.0)) / a
    return rest / gain, float(b / a - half), float(b / a + half)


def risk_coverage_area(confidence: np.ndarray, wrong: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """``(R,)`` areas under the risk-coverage curve (Geifman et al. 2019): mean error among the most confident.

    0 is perfect, the error rate itself is what a useless confidence gives. ``confidence`` is ``(N,)``, ``wrong``
    ``(N,)`` errors from 0 to 1, ``weights`` ``(R, N)`` how often each item counts; by default once.
    """
    order = np.argsort(-confidence, kind="stable")
    counts = np.ones((1, len(order))) if weights is None else weights[:, order].astype(float)
    covered = counts.cumsum(axis=1)
    risk = np.divide((counts * wrong[order]).cumsum(axis=1), covered, out=np.zeros_like(covered), where=covered > 0)
    return np.asarray((risk * counts).sum(axis=1) / covered[:, -1])
