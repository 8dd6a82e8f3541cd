"""Scores, differences and retention from marks that are given."""

import numpy as np

from leylora.adapters.discover import Variant
from leylora.evaluation.results import Mark, Model
from leylora.evaluation.scoring import Marked, differences, retentions, suite_scores


def test_a_share_stays_a_share_and_bits_may_pass_one() -> None:
    marks = [
        Mark(
            model="m",
            variant="v",
            suite="law",
            item=name,
            task="t",
            setting="",
            cluster=name,
            score=credit,
            bits=bits,
            reference_bytes=10,
        )
        for name, credit, bits in (("a", 0.0, 9.9), ("b", 0.9, 5.0))
    ]
    scores = {score.metric: score for score in suite_scores(Marked("m", "v", "law", marks), [])}
    assert (scores["score"].low, scores["score"].high) == (0.0, 1.0)
    assert (scores["bits_per_byte"].high or 0) > 1
    assert scores["bits_per_byte"].low == 0.0  # Student's interval of two questions would go far below


def test_a_gain_that_holms_correction_takes_back_is_no_base_of_a_share() -> None:
    chance = np.random.default_rng(2)
    base = chance.normal(2.0, 0.5, 60)
    levels = {"base": base, "law": base - 0.06 + chance.normal(0, 0.2, 60), "merged": base - 0.05}
    marked = [
        Marked(
            "m",
            name,
            "law",
            [
                Mark(
                    model="m",
                    variant=name,
                    suite="law",
                    item=str(at),
                    task="t",
                    setting="",
                    cluster=str(at),
                    bits=float(bits),
                    reference_bytes=1,
                )
                for at, bits in enumerate(values)
            ],
        )
        for name, values in levels.items()
    ]
    model = Model(
        label="m",
        source="m",
        variants=[
            Variant(name="base", role="base"),
            Variant(name="law", role="law"),
            Variant(name="merged", role="merged"),
        ],
    )
    found = differences(marked, [model])
    (gain,) = [one for one in found if (one.variant, one.against) == ("law", "base")]
    assert gain.p < 0.05
    (kept,) = retentions(marked, [model], found)
    assert kept.value is not None
    doubted = [one.model_copy(update={"p_holm": 0.06}) for one in found]
    (none,) = retentions(marked, [model], doubted)
    assert (none.value, none.undefined) == (None, "no-significant-gain")


def test_a_difference_that_cannot_be_is_not_called_detectable() -> None:
    """Two variants of which one is right at random: the interval stays a share's, and so few articles show nothing."""
    model = Model(label="m", source="m", variants=[Variant(name="base", role="base"), Variant(name="law", role="law")])
    for articles, known in ((4, False), (12, True)):
        marked = [
            Marked(
                "m",
                name,
                "law",
                [
                    Mark(
                        model="m",
                        variant=name,
                        suite="law",
                        item=str(at),
                        task="t",
                        setting="",
                        cluster=str(at),
                        score=float(at % 3 == 0) if name == "law" else 0.0,
                    )
                    for at in range(articles)
                ],
            )
            for name in ("base", "law")
        ]
        (found,) = [one for one in differences(marked, [model]) if one.metric == "score"]
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert (found.detectable is not None) == known
        assert (found.detectable or 0) <= 1
