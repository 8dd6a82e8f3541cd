"""Intervals and tests for scores on the same items: paired, clustered, exact where exactness is cheap.

Several questions on one article are not independent, so resampling draws whole clusters (Miller 2024, "Adding error
bars to evals"). Normal intervals fail under a few hundred items (Bowyer et al. 2025), hence Wilson's for shares.

Every metric here is a ratio of two sums over items (a mean has ones below): ``sum(numerator) / sum(denominator)``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, t

RESAMPLES = 10_000
FEW = 20  # clusters; below, percentiles of resamples are too narrow (with two questions they are the two answers)
Z95 = 1.959963984540054  # standard normal quantile at 0.975
Z80 = 0.8416212335729143  # at 0.80


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


def bootstrap_interval(sums: Sums, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the metric (`interval`) over clusters drawn with replacement."""
    (values,) = _resampled([sums], seed)
    return interval(values, sums.value, len(sums.clusters))


def _resampled(several: Sequence[Sums], seed: int) -> list[np.ndarray]:
    """``(R,)`` values of each metric, the same clusters drawn for all; draws without a denominator are left out."""
    counts = draws(len(several[0].clusters), seed)
    below = [counts @ sums.denominator for sums in several]
    usable = np.logical_and.reduce([under > 0 for under in below])
    return [(counts @ sums.numerator)[usable] / under[usable] for sums, under in zip(several, below, strict=True)]


def interval(values: np.ndarray, centre: float, clusters: int) -> tuple[float, float]:
    """95 % interval from resampled values: their percentiles, or with few clusters Student's.

    With ``C`` under `FEW` clusters it is ``centre`` plus and minus ``t(C - 1)`` times the resamples' standard
    deviation, corrected by ``sqrt(C / (C - 1))`` for having been drawn from the sample itself. NaN for one cluster.
    """
    if clusters >= FEW:
        return _percentiles(values)
    if clusters < 2 or not len(values):
        return math.nan, math.nan
    half = float(t.ppf(0.975, clusters - 1) * values.std() * math.sqrt(clusters / (clusters - 1)))
    return centre - half, centre + half


def wilson(successes: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); never below 0 or above 1, and not empty at 0 of n."""
    share = successes / n
    scale = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return (0.0 if successes <= 0 else centre - half), (1.0 if successes >= n else centre + half)


def mcnemar(better: int, worse: int) -> float:
    """Exact two-sided p-value of McNemar's test: ``better`` and ``worse`` are the discordant pairs."""
    return 1.0 if better + worse == 0 else float(binomtest(better, better + worse, 0.5).pvalue)


class Paired(NamedTuple):
    """The difference of one metric between two variants on the same items, first minus second."""

    value: float
    low: float
    high: float
    p: float
    standard_error: float


def paired_difference(first: Sums, second: Sums, seed: int = 0) -> Paired:
    """Difference with its 95 % interval (the same clusters drawn for both) and the p-value of `swap_test`."""
    if first.clusters != second.clusters:
        raise ValueError("a paired comparison needs the same items on both sides")
    ours, theirs = _resampled([first, second], seed)
    values, observed = ours - theirs, first.value - second.value
    if not len(values) or math.isnan(observed):
        return Paired(math.nan, math.nan, math.nan, 1.0, math.nan)
    low, high = interval(values, observed, len(first.clusters))
    return Paired(observed, low, high, swap_test(first, second, seed), float(values.std()))


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


def detectable(standard_error: float, clusters: int = FEW) -> float:
    """The smallest true difference found with 80 % power by a two-sided 5 % test: (1.96 + 0.84) standard errors.

    With few clusters Student's quantiles, as in `interval`; NaN where `swap_test` cannot give p < 0.05 at all.
    """
    if clusters >= FEW:
        return (Z95 + Z80) * standard_error
    if 2 / 2**clusters > 0.05:
        return math.nan
    quantiles = float(t.ppf(0.975, clusters - 1) + t.ppf(0.8, clusters - 1))
    return quantiles * standard_error * math.sqrt(clusters / (clusters - 1))


def retention(base: Sums, single: Sums, kept: Sums, seed: int = 0) -> tuple[float, float, float] | None:
    """(kept - base) / (single - base) with a 95 % interval, the same clusters drawn for all three.

    Works for losses as for shares, since the sign cancels. None, undefined, when the gain of ``single`` is not
    statistically significant (the interval of its difference holds zero, or its p-value is above 0.05).
    """
    gain = paired_difference(single, base, seed)
    if math.isnan(gain.value) or gain.p > 0.05 or not (gain.low > 0 or gain.high < 0):
        return None
    return kept_share(base, single, kept, seed)


def kept_share(base: Sums, single: Sums, kept: Sums, seed: int = 0) -> tuple[float, float, float]:
    """(kept - base) / (single - base) with a 95 % interval, whether the gain is significant or not; NaN without one."""
    bases, singles, keeps = _resampled([base, single, kept], seed)
    gain, gains = single.value - base.value, singles - bases
    same_sign = (np.sign(gains) == np.sign(gain)) & (gains != 0)  # in a few resamples the gain vanishes
    low, high = _percentiles((keeps - bases)[same_sign] / gains[same_sign])
    return (kept.value - base.value) / gain if gain else math.nan, low, high


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


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return math.nan, math.nan
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
