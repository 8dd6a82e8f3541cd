"""From items and raw answers to every number of a comparison: scores, paired differences, retention, findings.

`tally` computes ``scores.json`` from the files alone, without any model, and the same every time. Each metric is a
ratio of two sums over marks. ``score`` is the one that every suite shares: 1 for a right answer, 0 for a wrong one,
between for overlap with a reference (`leylora.evaluation.grading`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from leylora.adapters.discover import Variant
from leylora.data import duplicates
from leylora.evaluation import statistics
from leylora.evaluation.grading import KnownArticles, grade
from leylora.evaluation.results import (
    LEVEL,
    Answer,
    Cost,
    Difference,
    Finding,
    Interval,
    Item,
    Mark,
    Model,
    Retention,
    Score,
    Scores,
)
from leylora.evaluation.statistics import Sums
from leylora.files import read_json_object, read_jsonl
from leylora.grounding.prompt import read_grounded_prompt
from leylora.laws.law import Law
from leylora.text import words

HEADLINE = "score"
SKILL_OF = {"law": "law", "instructions": "instructions", "spanish": "instructions"}
"""Whose gain a merged adapter is measured against, by suite."""

FAVOURITE = 0.6  # share of the orders in which one place is chosen
BOILERPLATE = 3
SHORTEST = 4  # words of a question that can be recognised whole
ALIKE = 0.8  # of the different words of a question and a turn together
LEAKED = 0.5  # of a question's runs of eight words
NO_ARTICLE = "row "
NAMED = re.compile(r"cite el artículo\. (.*)\. No es asesoría legal")

Place = tuple[str, str, str]  # model, variant, suite
Ratio = tuple[float, float] | None  # what one mark adds above and below; None where the metric does not apply


class Metric(NamedTuple):
    """One metric: the sum over marks of what is above, over the sum of what is below."""

    name: str
    ratio: Callable[[Mark], Ratio]
    unit: str = "share"
    higher_is_better: bool = True
    binary: bool = False  # every mark adds 0 or 1 above and 1 below, so that Wilson's interval and McNemar's test apply
    by_task: bool = False  # reported for each task and setting, not only for the suite
    compared: bool = False  # differences between variants and their tests are reported for it


def _over(above: float | None, below: float | None = 1.0) -> Ratio:
    return None if above is None or below is None else (float(above), float(below))


def _cited_f1(mark: Mark) -> Ratio:
    if mark.cited_right is None or mark.cited is None or mark.expected_citations is None:
        return None
    return 2.0 * mark.cited_right, float(mark.cited + mark.expected_citations)


def _answered(mark: Mark) -> float | None:
    """1 unless declined, on the questions that have an answer."""
    return None if mark.should_abstain is not False else 1.0 - bool(mark.abstained)


def _missed(mark: Mark) -> float | None:
    """Error on the questions that have an answer and were not declined."""
    return 1.0 - mark.score if _answered(mark) and mark.score is not None else None


METRICS: tuple[Metric, ...] = (
    Metric("score", lambda m: _over(m.score), by_task=True, compared=True),
    Metric(
        "bits_per_byte", lambda m: _over(m.bits, m.reference_bytes), "bits/byte", False, by_task=True, compared=True
    ),
    Metric("accuracy", lambda m: _over(m.accuracy), by_task=True),
    Metric("correct", lambda m: _over(m.correct), binary=True, compared=True),
    Metric("accuracy_text", lambda m: _over(m.text_correct), binary=True),
    Metric("accuracy_text_norm", lambda m: _over(m.text_norm_correct), binary=True),
    Metric("brier", lambda m: _over(m.brier), "points", higher_is_better=False),
    Metric("citation_precision", lambda m: _over(m.cited_right, m.cited), by_task=True),
    Metric("citation_recall", lambda m: _over(m.cited_right, m.expected_citations), by_task=True),
    Metric("citation_f1", _cited_f1, by_task=True, compared=True),
    Metric(
        "invented_citations", lambda m: _over(m.cited_invented, m.cited_known), higher_is_better=False, by_task=True
    ),
    Metric("number_exact", lambda m: _over(m.number_exact), binary=True, by_task=True),
    Metric("abstained_when_due", lambda m: _over(m.abstained if m.should_abstain else None), binary=True, by_task=True),
    Metric("coverage", lambda m: _over(_answered(m)), binary=True, by_task=True),
    Metric("risk", lambda m: _over(_missed(m)), higher_is_better=False, by_task=True),
    Metric("chrf", lambda m: _over(m.chrf), by_task=True),
    Metric("rouge_l", lambda m: _over(m.rouge_l), by_task=True),
    Metric("token_f1", lambda m: _over(m.token_f1), by_task=True),
    Metric("exact", lambda m: _over(m.exact), binary=True),
    Metric("format", lambda m: _over(m.format_kept), binary=True),
    Metric("format_rules", lambda m: _over(m.format_rules)),
    Metric("in_spanish", lambda m: _over(m.spanish), binary=True),
    Metric("degenerate", lambda m: _over(m.degenerate), higher_is_better=False, binary=True),
    Metric("unfinished", lambda m: _over(m.unfinished), higher_is_better=False, binary=True),
    Metric("answer_tokens", lambda m: _over(m.tokens), "tokens", higher_is_better=False),
)


class Marked(NamedTuple):
    """All marks of one variant on one suite, in the order of the suite's items."""

    model: str
    variant: str
    suite: str
    marks: list[Mark]


def tally(
    models: Sequence[Model],
    items: Mapping[str, Sequence[Item]],
    answers: Mapping[Place, Sequence[Answer]],
    laws: Sequence[Law] = (),
    costs: Sequence[Cost] = (),
    findings: Sequence[Finding] = (),
    seed: int = 0,
) -> tuple[dict[Place, list[Mark]], Scores]:
    """Grade every answer and compute every number of ``scores.json``.

    Args:
        answers: each list in the order of the suite's items.
        laws: parsed laws, which tell an invented article from a wrong one.
        findings: those of the run, to which those of the answers are added.

    Raises:
        LeyloraError: an item's key does not name its right option.
    """
    known = {suite: KnownArticles(asked, laws) for suite, asked in items.items()}
    marks = {
        place: [grade(item, answer, known[place[2]]) for item, answer in zip(items[place[2]], given, strict=True)]
        for place, given in answers.items()
    }
    marked = [Marked(*place, given) for place, given in marks.items()]
    leaks = [leak for model in models for leak in contamination(model, items)]
    seen: dict[tuple[str, str], set[str]] = {}
    for leak in leaks:
        seen.setdefault((leak.model, leak.suite), set()).update(leak.items)
    scores: list[Score] = []
    for one in marked:
        scores += suite_scores(one, items[one.suite], seed)
        if tainted := seen.get((one.model, one.suite)):
            kept = [item for item in items[one.suite] if item.id not in tainted]
            clean = one._replace(marks=[mark for mark in one.marks if mark.item not in tainted])
            scores += [
                score.model_copy(update={"part": "clean", "headline": False})
                for score in (suite_scores(clean, kept, seed) if kept else [])
                if score.part == "all"
            ]
    noticed = [*findings, *leaks]
    noticed += [
        Finding(kind="duplicate-variant", model=model.label, variant=variant.name, names=[variant.same_as])
        for model in models
        for variant in model.variants
        if variant.same_as
    ]
    noticed += same_answers(models, answers)
    noticed += [found for one in marked for found in memorised(one.model, one.variant, one.suite, one.marks, seed)]
    compared = differences(marked, models, seed)
    kept_gains = retentions(marked, models, compared, seed)
    return marks, Scores(scores=scores, differences=compared, retention=kept_gains, costs=list(costs), findings=noticed)


def sums(metric: Metric, marks: Iterable[Mark]) -> Sums | None:
    """A metric's sums over the marks it applies to; None when there are none."""
    counted = [(mark.cluster, *ratio) for mark in marks if (ratio := metric.ratio(mark)) is not None]
    return statistics.by_cluster(*zip(*counted, strict=True)) if counted else None


def suite_scores(marked: Marked, items: Sequence[Item], seed: int = 0) -> list[Score]:
    """Every metric of one variant on one suite, with its interval: of all, and of each setting and each task."""
    parts = {"all": marked.marks}
    for setting in sorted({item.setting for item in items if item.setting}):
        parts[f"setting:{setting}"] = [mark for mark in marked.marks if mark.setting == setting]
    tasks = sorted({item.task for item in items})
    for name in tasks if len(tasks) > 1 else []:
        parts[f"task:{name}"] = [mark for mark in marked.marks if mark.task == name]
    counts = [len(item.options) for item in items if item.ask == "choose"]
    chance = float(np.mean([1 / count for count in counts])) if counts else None
    found: list[Score] = []
    for part, marks in parts.items():
        for metric in METRICS:
            if part != "all" and not metric.by_task:
                continue
            total = sums(metric, marks)
            if total is None or math.isnan(total.value):
                continue
            low, high, method = _interval(metric, total)
            score = Score(
                **_place(marked, metric.name, part),
                value=total.value,
                low=low,
                high=high,
                interval=method,
                n=total.n,
                clusters=int((total.denominator > 0).sum()),
                unit=metric.unit,
                higher_is_better=metric.higher_is_better,
                chance=chance if metric.name in ("accuracy", "correct") else None,
                headline=metric.name == HEADLINE and part == "all",
            )
            found.append(score)
    return [*found, *_risk_coverage(marked, seed)]


def _place(marked: Marked, metric: str, part: str) -> dict[str, Any]:
    return {"model": marked.model, "variant": marked.variant, "suite": marked.suite, "metric": metric, "part": part}


def _interval(metric: Metric, total: Sums) -> tuple[float | None, float | None, Interval]:
    share = metric.unit == "share"
    low, high = statistics.share_interval(total) if share else statistics.ratio_interval(total)
    if math.isnan(low):
        return None, None, "none"
    return low, high, "wilson" if share else "student-log"


def _risk_coverage(marked: Marked, seed: int) -> list[Score]:
    """Area under the risk-coverage curve of multiple choice, by the probability of the option chosen."""
    marks = [mark for mark in marked.marks if mark.confidence is not None]
    if not marks:
        return []
    confidence = np.array([mark.confidence for mark in marks])
    wrong = np.array([1.0 - bool(mark.correct) for mark in marks])
    names = sorted({mark.cluster for mark in marks})
    index = np.array([names.index(mark.cluster) for mark in marks])
    value = float(statistics.risk_coverage_area(confidence, wrong)[0])
    low = high = None
    if len(names) >= statistics.FEWEST:
        areas = statistics.risk_coverage_area(confidence, wrong, statistics.draws(len(names), seed)[:, index])
        low, high = (float(bound) for bound in np.percentile(areas, [2.5, 97.5]))
    score = Score(
        **_place(marked, "aurc", "all"),
        value=value,
        low=low,
        high=high,
        interval="none" if low is None else "bootstrap",
        n=len(marks),
        clusters=len(names),
        unit="share",
        higher_is_better=False,
    )
    return [score]


def differences(all_marked: Sequence[Marked], models: Sequence[Model], seed: int = 0) -> list[Difference]:
    """Paired differences of the compared metrics, corrected by Holm within each question that is asked of them.

    A question is one metric and one kind of comparison, over all suites and models: "does an adapter answer better
    than its base?" is one, and its sentence on the page rests on all of its tests.

    Within a model: each variant with the base, and merged ones with each single skill. Between models: the same role
    of each two, under an empty ``model`` and with ``MODEL/VARIANT`` as names.
    """
    at = {(one.model, one.variant, one.suite): one for one in all_marked}
    pairs = []
    for model in models:
        names = [variant.name for variant in model.variants]
        single = [variant.name for variant in model.variants if variant.role in ("instructions", "law")]
        merged = [variant.name for variant in model.variants if variant.role in ("merged", "other")]
        told = [("base", name, names[0]) for name in names[1:]]
        told += [("merge", name, one) for name in merged for one in single]
        pairs += [(kind, model.label, (model.label, first), (model.label, second)) for kind, first, second in told]
    for number, model in enumerate(models):
        for other in models[number + 1 :]:
            for mine in model.variants:
                alike = [theirs for theirs in other.variants if mine.role == theirs.role != "other"]
                pairs += [("models", "", (model.label, mine.name), (other.label, theirs.name)) for theirs in alike]
    families: dict[str, list[Difference]] = {}
    for suite in dict.fromkeys(one.suite for one in all_marked):
        for metric, (kind, label, first, second) in product((one for one in METRICS if one.compared), pairs):
            if (*first, suite) in at and (*second, suite) in at:
                one = _difference(metric, kind, label, at[*first, suite], at[*second, suite], seed)
                if one is not None:
                    families.setdefault(one.family, []).append(one)
    found = []
    for family in families.values():
        corrected = statistics.holm([one.p for one in family])
        size = {"family_size": len(family)}
        found += [one.model_copy(update={"p_holm": p, **size}) for one, p in zip(family, corrected, strict=True)]
    return found


def _difference(metric: Metric, kind: str, label: str, first: Marked, second: Marked, seed: int) -> Difference | None:
    rows = zip(first.marks, second.marks, strict=True)
    both = [(a, b) for a, b in rows if metric.ratio(a) is not None and metric.ratio(b) is not None]
    one, two = sums(metric, (a for a, _ in both)), sums(metric, (b for _, b in both))
    if one is None or two is None or len(one.clusters) < 2:
        return None
    share = metric.unit == "share"
    result = statistics.paired_difference(one, two, seed, shares=share)
    if math.isnan(result.value):
        return None

    def alone(mark: Mark) -> float:
        above, below = metric.ratio(mark) or (0.0, 0.0)
        return above / below if below else 0.0

    sign = 1 if metric.higher_is_better else -1
    gaps = [sign * (alone(a) - alone(b)) for a, b in both]
    better, worse = sum(gap > 1e-12 for gap in gaps), sum(gap < -1e-12 for gap in gaps)
    exact = metric.binary and len(one.clusters) == one.n
    least = statistics.detectable(result.standard_error, result.freedom, len(one.clusters))
    known = not math.isnan(result.low)
    return Difference(
        model=label,
        suite=first.suite,
        metric=metric.name,
        part="all",
        variant=first.variant if label else f"{first.model}/{first.variant}",
        against=second.variant if label else f"{second.model}/{second.variant}",
        value=result.value,
        low=(max(result.low, -1.0) if share else result.low) if known else None,
        high=(min(result.high, 1.0) if share else result.high) if known else None,
        test="mcnemar" if exact else "randomisation",
        p=statistics.mcnemar(better, worse) if exact else result.p,
        p_holm=1.0,
        family=f"{kind} {metric.name}",
        family_size=1,
        n=one.n,
        clusters=len(one.clusters),
        detectable=None if math.isnan(least) or not least or (share and least > 1) else least,
        better=better,
        worse=worse,
    )


def retentions(
    all_marked: Sequence[Marked], models: Sequence[Model], compared: Sequence[Difference], seed: int = 0
) -> list[Retention]:
    """What each merged variant keeps of each single adapter's gain, by score and by bits per byte.

    A gain that is not significant among the differences ``compared``, corrected by Holm, has no share.
    """
    tested = [one for one in compared if one.p_holm < LEVEL]
    significant = {(one.model, one.suite, one.metric, one.variant, one.against) for one in tested}
    at = {(one.model, one.variant, one.suite): one.marks for one in all_marked}
    found = []
    for model in models:
        role: dict[str, str] = {variant.role: variant.name for variant in reversed(model.variants)}
        merged = [variant.name for variant in model.variants if variant.role in ("merged", "other")]
        alone = [(suite, role.get(skill, "")) for suite, skill in SKILL_OF.items()]
        alone = [(suite, name) for suite, name in alone if (model.label, name, suite) in at]
        kept_by = [metric for metric in METRICS if metric.name in (HEADLINE, "bits_per_byte")]
        for (suite, single), metric, name in product(alone, kept_by, merged):
            three = [at[model.label, one, suite] for one in ("base", single, name)]
            rows = [row for row in zip(*three, strict=True) if all(metric.ratio(mark) is not None for mark in row)]
            base, gained, kept = (sums(metric, [row[which] for row in rows]) for which in range(3))
            if base is None or gained is None or kept is None:
                continue
            gain = (model.label, suite, metric.name, single, "base")
            is_known = gain in significant and len(base.clusters) > 1
            result = statistics.retention(base, gained, kept, seed) if is_known else None
            undefined: Literal["", "no-significant-gain", "worse-than-base"] = ""
            if result is None:
                undefined = "no-significant-gain"
            elif (gained.value < base.value) == metric.higher_is_better:
                result, undefined = None, "worse-than-base"
            value, low, high = result or (None, None, None)
            one = Retention(
                model=model.label,
                suite=suite,
                metric=metric.name,
                part="all",
                variant=name,
                single=single,
                value=value,
                low=low,
                high=high,
                n=base.n,
                undefined=undefined,
            )
            found.append(one)
    return found


# Did a variant see the questions before?
#
# Statutes are in every pre-training corpus; what must not be shared is our own questions. Where no training rows are at
# hand, a variant that memorised the letters of a benchmark gives itself away: it answers right only while the options
# are in the published order.


def training_rows(variant: Variant) -> list[Path]:
    """The training files a variant's run.json names and that are there; of a merge, those of its parents."""
    folders: list[str | None] = []
    if variant.run is not None:
        folders += [variant.run.get("dataset"), variant.run.get("replay_dataset")]
    if variant.merge is not None and variant.adapter:
        for parent in variant.merge.get("parents", []):
            record = Path(variant.adapter).resolve() / str(parent["path"]) / "run.json"
            if record.is_file():
                run = read_json_object(record)
                folders += [run.get("dataset"), run.get("replay_dataset")]
    files = [Path(folder) / "train.jsonl" for folder in dict.fromkeys(folders) if folder]
    return [file for file in files if file.is_file()]


def seen_in_training(items: Sequence[Item], files: Iterable[Path]) -> list[str]:
    """Ids of the items that occur in training rows, in any turn of any role.

    A question that stands there whole is seen, however often. Else half of its runs of eight words must be there,
    supplied articles apart; or one turn must share with it the numbers and `ALIKE` of the different words of both
    (shortened, reordered). In runs the names of laws do not count, nor does wording that `BOILERPLATE` questions, or
    training rows, about different articles share, for that is a template's. A training row on one article is not a
    leak of a question on another.
    """
    asked = {item.id: duplicates.marks(own_question(item.messages)) for item in items}
    wholes: dict[str, list[Item]] = {}
    bags: dict[str, frozenset[str]] = {}
    for item in items:
        said = words(own_question(item.messages))
        bags[item.id] = frozenset(said)
        if len(said) >= SHORTEST:
            wholes.setdefault(" ".join(said), []).append(item)
    holders: dict[str, set[str]] = {}  # a word -> items
    for name, bag in bags.items():
        for word in bag:
            holders.setdefault(word, set()).add(name)
    shared: dict[int, set[str]] = {}
    for item in items:
        for mark in asked[item.id]:
            shared.setdefault(mark, set()).add(item.cluster)
    wanted = {mark for mark, clusters in shared.items() if len(clusters) < BOILERPLATE}
    found: dict[int, set[str]] = {}  # a run of words -> the articles of the training rows that have it
    leaked: set[str] = set()
    at = {item.id: item for item in items}

    def about(item: Item, article: str) -> bool:
        return article.startswith(NO_ARTICLE) or article == item.cluster.rpartition(":")[2]

    read: set[tuple[str, str]] = set()
    for file in files:
        for line, row in read_jsonl(file):
            turns = row.get("messages", [])
            for number, turn in enumerate(turns):
                if turn["role"] == "system":
                    continue
                text = own_question(turns[: number + 1])
                said = words(text)
                key, article = " ".join(said), str(row.get("article") or f"{NO_ARTICLE}{file}, {line}")
                if (key, str(row.get("article") or "")) in read:
                    continue  # an upsampled row is one row
                read.add((key, str(row.get("article") or "")))
                leaked |= {item.id for item in wholes.get(key, ()) if about(item, article)}
                for mark in duplicates.marks(text) & wanted:
                    found.setdefault(mark, set()).add(article)
                leaked |= {name for name in _like(frozenset(said), bags, holders) if about(at[name], article)}
    seen = {mark: rows for mark, rows in found.items() if len(rows) < BOILERPLATE}
    for item in items:
        own = asked[item.id] & wanted
        count = sum(any(about(item, one) for one in seen.get(mark, ())) for mark in own)
        if count and count >= LEAKED * len(own):
            leaked.add(item.id)
    return [item.id for item in items if item.id in leaked]


def _like(said: frozenset[str], bags: Mapping[str, frozenset[str]], holders: Mapping[str, set[str]]) -> list[str]:
    """The questions that share `ALIKE` of all words, and all numbers, with a turn of at least eight words."""
    if len(said) < duplicates.RUN:
        return []
    counts = Counter(name for word in said for name in holders.get(word, ()))
    near = [name for name, both in counts.items() if both >= ALIKE * len(said | bags[name])]
    return [name for name in near if not any(word.isdigit() for word in said ^ bags[name])]


def own_question(messages: Sequence[Mapping[str, str]]) -> str:
    """The last question, without the articles supplied with it and without the names of the laws it is about."""
    question, _ = read_grounded_prompt(messages[-1]["content"])
    for turn in messages:
        named = NAMED.search(turn["content"]) if turn["role"] == "system" else None
        for law in named[1].split("; ") if named else []:
            question = question.replace(law.rpartition(", ed. ")[0] or law, "LEY")
    return question


def contamination(model: Model, items: Mapping[str, Sequence[Item]]) -> list[Finding]:
    """A finding for each variant and suite whose questions occur in its training rows.

    Training rows are available where ``run.json`` names a dataset folder that still exists.
    """
    found = []
    cache: dict[tuple[str, tuple[Path, ...]], list[str]] = {}
    for variant in model.variants:
        files = tuple(training_rows(variant))
        if variant.adapter and not files:
            found.append(Finding(kind="not-checked", model=model.label, variant=variant.name))
        for suite, asked in items.items():
            if files and (suite, files) not in cache:
                cache[suite, files] = seen_in_training(asked, files)
            if seen := cache.get((suite, files), []):
                about: dict[str, Any] = {"model": model.label, "variant": variant.name, "suite": suite}
                found.append(Finding(kind="seen-in-training", items=seen, total=len(asked), **about))
    return found


def same_answers(models: Sequence[Model], answers: Mapping[Place, Sequence[Answer]]) -> list[Finding]:
    """Pairs of variants that answered every question of a suite alike, though their weights have different hashes.

    One adapter saved again, rescaled or disturbed below what rounding keeps. Likelihoods count to four digits.
    """

    def said(answer: Answer) -> str:
        def rounded(value: float | None) -> str:
            return "" if value is None else f"{value:.4g}"

        letters = [[rounded(one) for one in row] for row in answer.option_logprobs or []]
        return str((answer.text, answer.letters, rounded(answer.nll), letters))

    found = []
    for model in models:
        suites = dict.fromkeys(suite for label, _, suite in answers if label == model.label and suite != "prompts")
        for suite in suites:
            first: dict[tuple[str, ...], str] = {}
            for variant in model.variants:
                given = answers.get((model.label, variant.name, suite), ())
                if not given or variant.same_as:
                    continue
                earlier = first.setdefault(tuple(map(said, given)), variant.name)
                if earlier != variant.name:
                    about: dict[str, Any] = {"model": model.label, "variant": variant.name, "suite": suite}
                    found.append(Finding(kind="same-answers", names=[earlier], total=len(given), **about))
    return found


def memorised(model: str, variant: str, suite: str, marked: Sequence[Mark], seed: int = 0) -> list[Finding]:
    """Whether multiple choice goes better in the published order than in others, and whether one letter is favoured."""
    rows = [mark for mark in marked if mark.published_order is not None and mark.other_orders is not None]
    clusters = [mark.cluster for mark in rows]
    if len(set(clusters)) < 2:
        return []
    found = []
    gaps = [float(mark.published_order or 0) - (mark.other_orders or 0) for mark in rows]
    gap = statistics.by_cluster(clusters, gaps, [1.0] * len(rows))
    if statistics.mean_interval(gap)[0] > 0 and gap.value > 0.1:
        found.append(Finding(kind="memorised", model=model, variant=variant, suite=suite, share=gap.value))
    shares = [float(np.mean(column)) for column in zip_longest(*(mark.places for mark in rows), fillvalue=0.0)]
    if max(shares) > FAVOURITE:
        liked: dict[str, Any] = {"place": int(np.argmax(shares)), "share": max(shares)}
        found.append(Finding(kind="position-bias", model=model, variant=variant, suite=suite, **liked))
    return found
