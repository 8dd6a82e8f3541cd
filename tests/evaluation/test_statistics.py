import itertools
import math

import numpy as np
import pytest
from scipy import stats

from leylora.evaluation.statistics import (
    FEWEST,
    Sums,
    by_cluster,
    detectable,
    holm,
    kept_share,
    mcnemar,
    mean_interval,
    paired_difference,
    ratio_interval,
    retention,
    risk_coverage_area,
    share_interval,
    swap_test,
    wilson,
)


def alone(values: list[float]) -> Sums:
    return by_cluster([f"{at:04}" for at in range(len(values))], values, [1.0] * len(values))


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (5, 10), (10, 10), (37, 94), (1, 3)])
def test_wilson_is_scipys(successes: int, n: int) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mcnemar_is_the_sum_of_binomial_terms() -> None:
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(0, 0) == 1.0


def test_holm_on_the_textbook_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_interval_of_a_mean_has_its_standard_error() -> None:
    values = list(np.random.default_rng(1).normal(3, 2, 400))
    low, high = mean_interval(alone(values))
    half = 1.96 * np.std(values) / np.sqrt(400)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert low < np.mean(values) < high


def test_copies_of_a_question_in_one_cluster_make_nothing_surer() -> None:
    values = list(np.random.default_rng(2).integers(0, 2, 40).astype(float))
    once = alone(values)
    names = [f"{at:04}" for at in range(40)]
    five_times = by_cluster(names * 5, values * 5, [1.0] * 200)
    assert five_times.n == 200
    assert mean_interval(five_times) == pytest.approx(mean_interval(once))
    taken_apart = alone(values * 5)
    assert np.diff(mean_interval(taken_apart)) < np.diff(mean_interval(once)) * 0.6


def test_ratios_are_of_sums_not_means_of_ratios() -> None:
    bits = by_cluster(["a", "b"], [10.0, 1.0], [10.0, 2.0])
    assert bits.value == pytest.approx(11 / 12)


def test_a_paired_difference_is_surer_than_two_apart() -> None:
    chance = np.random.default_rng(3)
    first = chance.normal(0, 5, 200)
    second = first + 0.3 + chance.normal(0, 0.5, 200)
    found = paired_difference(alone(list(second)), alone(list(first)))
    assert found.value == pytest.approx(np.mean(second - first))
    t_test = stats.ttest_rel(second, first)
    assert (found.low, found.high) == pytest.approx(t_test.confidence_interval(), abs=0.02)
    assert found.p < 0.001
    assert stats.ttest_ind(second, first).pvalue > 0.05


def test_the_p_value_of_no_difference_is_spread_evenly() -> None:
    chance = np.random.default_rng(4)
    p = [
        paired_difference(alone(list(chance.normal(size=60))), alone(list(chance.normal(size=60)))).p for _ in range(60)
    ]
    assert 0 < sum(one < 0.05 for one in p) / 60 + 1e-9 < 0.17
    assert 0.3 < np.mean(p) < 0.7
    assert min(p) > 0


def test_pairs_must_be_of_the_same_items() -> None:
    with pytest.raises(ValueError, match="same items"):
        paired_difference(by_cluster(["a"], [1.0], [1.0]), by_cluster(["b"], [1.0], [1.0]))


def test_what_is_detectable_is_detected_four_times_in_five() -> None:
    chance, n, spread = np.random.default_rng(5), 100, 1.0
    true = detectable(spread / np.sqrt(n), n - 1, n)
    hits = [abs(sample.mean()) > 1.96 * spread / np.sqrt(n) for sample in chance.normal(true, spread, (4000, n))]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.02)


def test_retention_is_the_share_of_the_gain_and_none_of_noise() -> None:
    chance = np.random.default_rng(6)
    base = chance.normal(5, 1, 80)
    gain = chance.normal(2, 0.5, 80)
    kept = retention(alone(list(base)), alone(list(base + gain)), alone(list(base + 0.6 * gain)))
    assert kept is not None
    assert kept == pytest.approx((0.6, 0.6, 0.6))  # every item keeps the same share, so resampling cannot move it
    losses = retention(alone(list(base)), alone(list(base - gain)), alone(list(base - 0.6 * gain)))
    assert losses == pytest.approx(kept)
    noise = chance.normal(0, 1, 80)
    assert retention(alone(list(base)), alone(list(base + noise - noise.mean())), alone(list(base))) is None


def test_the_area_under_risk_and_coverage() -> None:
    confidence, wrong = np.array([0.9, 0.3, 0.6, 0.5]), np.array([0.0, 1.0, 0.0, 1.0])
    by_hand = np.mean([0, 0, 1 / 3, 2 / 4])  # most confident first: right, right, wrong, wrong
    assert risk_coverage_area(confidence, wrong)[0] == pytest.approx(by_hand)
    perfect = risk_coverage_area(1 - wrong, wrong)[0]
    areas = [risk_coverage_area(np.array(order), wrong)[0] for order in itertools.permutations([0.1, 0.2, 0.3, 0.4])]
    assert perfect == pytest.approx(min(areas))
    weighted = risk_coverage_area(confidence, wrong, np.array([[1, 0, 1, 1]]))[0]
    assert weighted == pytest.approx(risk_coverage_area(confidence[[0, 2, 3]], wrong[[0, 2, 3]])[0])


@pytest.mark.parametrize(("questions", "p"), [(1, 1.0), (2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125)])
def test_few_questions_prove_no_more_than_they_can(questions: int, p: float) -> None:
    """All in favour: two of the 2^C ways to swap are as extreme, whatever the size of the difference."""
    assert swap_test(alone([1.0] * questions), alone([0.2] * questions)) == p


def test_the_swap_test_agrees_with_scipys_where_both_are_exact() -> None:
    first, second = [0.9, 0.3, 0.8, 0.7, 0.65, 0.2, 0.9], [0.4, 0.35, 0.5, 0.75, 0.3, 0.1, 0.6]
    theirs = stats.permutation_test(
        (first, second),
        lambda one, other, axis: one.mean(axis) - other.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,
    )
    assert swap_test(alone(first), alone(second)) == pytest.approx(theirs.pvalue)


def test_the_interval_of_a_mean_is_students() -> None:
    values = [0.2, 0.5, 0.4, 0.45, 0.1, 0.3]
    found = stats.ttest_1samp(values, 0).confidence_interval()
    assert mean_interval(alone(values)) == pytest.approx((found.low, found.high))
    assert all(math.isnan(end) for end in mean_interval(alone(values[: FEWEST - 1])))


def test_few_clusters_detect_less_and_five_nothing() -> None:
    assert detectable(0.1, 7, 8) > detectable(0.1, 19, 20)
    assert math.isnan(detectable(0.1, 4, 5))  # even when all five agree, p is 0.06


def test_answers_that_cite_nothing_make_no_share_of_invented_citations_surer() -> None:
    """One citation in thirty answers, not invented: nearly anything may be true."""
    names = [str(at) for at in range(30)]
    cited = by_cluster(names, [0.0] * 30, [1.0] + [0.0] * 29)
    assert share_interval(cited) == pytest.approx(wilson(0, 1))
    assert share_interval(cited)[1] > 0.75
    mixed = by_cluster(names, [1.0, 0.0, 1.0, 0.0, 0.0, 1.0] + [0.0] * 24, [1.0] * 6 + [0.0] * 24)
    assert share_interval(mixed) == pytest.approx(share_interval(alone([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])))


def test_a_positive_ratio_has_no_negative_end_and_two_questions_have_none() -> None:
    bits = by_cluster(list("abcdef"), [1.0, 90.0, 3.0, 2.0, 8.0, 1.0], [10.0] * 6)
    low, high = ratio_interval(bits)
    assert 0 < low < bits.value < high
    assert all(math.isnan(end) for end in ratio_interval(by_cluster(["a", "b"], [1.0, 30.0], [10.0, 10.0])))


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("clusters", [12, 60])
def test_intervals_of_shares_cover_the_truth(share: float, clusters: int) -> None:
    """Three questions an article, alike within it; benchmarks/intervals.py has the whole table."""
    chance, hits = np.random.default_rng(clusters), 0
    names = [f"{at:03}" for at in range(clusters)]
    for _ in range(400):
        rates = chance.beta(share * 7 / 3, (1 - share) * 7 / 3, clusters)
        low, high = share_interval(by_cluster(names, list(chance.binomial(3, rates)), [3.0] * clusters))
        hits += low <= share <= high
    assert hits / 400 > 0.92


def test_pairs_that_are_all_alike_do_not_prove_that_all_are() -> None:
    same = alone([0.0] * 19 + [1.0])
    found = paired_difference(same, same, shares=True)
    assert found.low < -0.02
    assert found.high > 0.02


def test_the_share_of_a_gain_that_may_be_nothing_has_no_ends() -> None:
    chance = np.random.default_rng(8)
    base = chance.normal(5, 1, 30)
    value, low, high = kept_share(alone(list(base)), alone(list(base + chance.normal(0.01, 1, 30))), alone(list(base)))
    assert value == 0
    assert math.isnan(low)
    assert math.isnan(high)
