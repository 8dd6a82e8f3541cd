"""The report's tables: what `Scores` says, arranged for reading. Nothing is measured or estimated here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from leylora.evaluation.report.charts import difference_row, kept_bar
from leylora.evaluation.report.words import Words
from leylora.evaluation.results import Difference, Results, Score

ALPHA = 0.05
ALSO = ("rouge_1", "rouge_2", "bits_per_byte", "invented_citations")  # beside the headline of a suite that has them

Place = tuple[str, str, str]  # suite, metric, part


@dataclass(frozen=True)
class Cell:
    """One variant in a heat table; ``mark`` is ``better``, ``worse``, ``same`` or, for the base, empty."""

    value: str
    interval: str
    mark: str
    best: bool
    shade: float  # 0 to 1, 1 the best of the table


@dataclass(frozen=True)
class HeatTable:
    """A headline number over models (rows) and variants (columns); a cell is None where nothing was measured."""

    title: str
    metric: str
    why: list[str]
    variants: list[str]
    rows: list[tuple[str, list[Cell | None]]]


@dataclass(frozen=True)
class ChartRow:
    """A row of a drawn table: what it is, the drawing (None when there is nothing to draw), the number in words."""

    name: str
    drawing: Markup | None
    value: str
    note: str = ""


def variants_of(results: Results) -> list[str]:
    """The variants of all models, in the order they were named."""
    return list(dict.fromkeys(variant.name for model in results.provenance.models for variant in model.variants))


def headlines(results: Results) -> dict[Place, dict[tuple[str, str], Score]]:
    """The headline numbers: by suite, metric and part, then by model and variant."""
    return _by_place(score for score in results.scores.scores if score.headline)


def tabled(results: Results) -> dict[Place, dict[tuple[str, str], Score]]:
    """What has a heat table: the headlines, the same by setting, and for each suite the metrics of `ALSO`."""
    main = {(suite, metric) for suite, metric, _ in headlines(results)}
    chosen = [
        score for score in results.scores.scores
        if score.headline or (score.metric in ALSO and score.part == "all")
        or (score.part.startswith("setting:") and (score.suite, score.metric) in main)
    ]  # fmt: skip
    suites = list(dict.fromkeys(score.suite for score in chosen))
    return _by_place(sorted(chosen, key=lambda one: (suites.index(one.suite), not one.headline, one.metric in ALSO)))


def _by_place(scores: Iterable[Score]) -> dict[Place, dict[tuple[str, str], Score]]:
    found: dict[Place, dict[tuple[str, str], Score]] = {}
    for score in scores:
        found.setdefault((score.suite, score.metric, score.part), {})[score.model, score.variant] = score
    return found


def goodness(score: Score) -> float:
    """The value with its sign turned so that more is better."""
    return score.value if score.higher_is_better else -score.value


def is_real(difference: Difference) -> bool:
    """Whether the difference is told from chance after Holm's correction."""
    return difference.p_holm < ALPHA


def heat_tables(results: Results, words: Words) -> list[HeatTable]:
    """One table for each number of `tabled`."""
    return [_heat_table(results, words, place, scores) for place, scores in tabled(results).items()]


def _heat_table(results: Results, words: Words, place: Place, scores: dict[tuple[str, str], Score]) -> HeatTable:
    suite, metric, part = place
    against_base = {
        (one.model, one.variant): one
        for one in results.scores.differences
        if (one.suite, one.metric, one.part, one.against) == (*place, "base")
    }
    ranks = [goodness(score) for score in scores.values()]
    low, spread = min(ranks), max(ranks) - min(ranks)
    variants = [name for name in variants_of(results) if any(variant == name for _, variant in scores)]
    rows: list[tuple[str, list[Cell | None]]] = []
    for model in dict.fromkeys(model for model, _ in scores):
        mine = [goodness(score) for (one, _), score in scores.items() if one == model]
        cells: list[Cell | None] = []
        for variant in variants:
            score = scores.get((model, variant))
            if score is None:
                cells.append(None)
                continue
            cells.append(
                Cell(
                    value=words.value(score.value, score.unit),
                    interval=words.ends(score.low, score.high, score.unit),
                    mark=_mark(against_base.get((model, variant)), score.higher_is_better),
                    best=goodness(score) == max(mine) > min(mine),
                    shade=round((goodness(score) - low) / spread, 2) if spread else 0.0,
                )
            )
        rows.append((model, cells))
    first = next(iter(scores.values()))
    why = words.why(metric, suite)
    if not first.higher_is_better:
        why.append(words("less-is-better"))
    if first.chance is not None:
        why.append(words("chance", value=words.value(first.chance, first.unit)))
    why.append(f"{words('column.n')}: {first.n}.")
    return HeatTable(words.suite(suite, part), words.metric(metric, suite), why, variants, rows)


def _mark(difference: Difference | None, higher_is_better: bool) -> str:
    if difference is None:
        return ""
    if not is_real(difference):
        return "same"
    return "better" if (difference.value > 0) == higher_is_better else "worse"


def retention_rows(results: Results, words: Words) -> dict[str, list[ChartRow]]:
    """By suite: how much of each single adapter's gain is kept; one scale for all, at most twice the gain."""
    known = [one for one in results.scores.retention if one.value is not None]
    top = min(2.0, max([1.1, *(one.high or one.value or 0 for one in known)]))
    tables: dict[str, list[ChartRow]] = {}
    for one in results.scores.retention:
        names = {"variant": words.name("variant", one.variant), "single": words.name("variant", one.single)}
        name = f"{one.model}: {words('of-single', **names)}"
        drawing, text = None, words.name("note", one.undefined)
        if one.value is not None:
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            text = f"{words.value(one.value, 'share')} ({words.interval(one.low, one.high, 'share')})"
            drawing = kept_bar(f"{name}: {text}", one.value, low, high, top)
        title = f"{words.suite(one.suite, one.part)}: {words.metric(one.metric, one.suite)}"
        tables.setdefault(title, []).append(ChartRow(name, drawing, text))
    return tables


def difference_rows(results: Results, words: Words) -> dict[str, list[ChartRow]]:
    """By headline number: every paired difference with its interval, each table on a scale of its own."""
    tables: dict[str, list[ChartRow]] = {}
    for (suite, metric, part), scores in tabled(results).items():
        unit = next(iter(scores.values())).unit
        ours = [one for one in results.scores.differences if (one.suite, one.metric, one.part) == (suite, metric, part)]
        reach = max([1e-9, *(max(abs(one.low), abs(one.high), abs(one.value)) for one in ours)])
        rows = []
        for one in ours:
            name = words("against", variant=_contestant(one.variant, words), against=_contestant(one.against, words))
            name = f"{one.model}: {name}" if one.model else name
            text = words.change(one.value, unit)
            note = f"{words('real' if is_real(one) else 'unclear')} ({words.probability(one.p_holm)})"
            ends = f"{words.change(one.low, unit)}, {words.change(one.high, unit)}"
            drawing = difference_row(f"{name}: {text} ({ends}); {note}", one.value, one.low, one.high, reach,
                                     real=is_real(one))  # fmt: skip
            rows.append(ChartRow(name, drawing, text, note))
        found = sorted(one.detectable for one in ours if one.detectable is not None)
        if found:
            low, high = (words.change(end, unit).removeprefix("+") for end in (found[0], found[-1]))
            rows.append(ChartRow(words("detectable"), None, low if low == high else words("range", low=low, high=high)))
        if rows:
            tables[f"{words.suite(suite, part)}: {words.metric(metric, suite)}"] = rows
    return tables


def _contestant(name: str, words: Words) -> str:
    """A variant, or ``MODEL/VARIANT`` of a comparison between models."""
    model, slash, variant = name.rpartition("/")
    said = words.name("variant", variant)
    return f"{model}, {said}" if slash else said


def summary(results: Results, words: Words) -> list[str]:
    """The headline numbers in sentences: the best of each, how much the merge keeps, what the test can find."""
    lines = []
    for (suite, metric, part), scores in headlines(results).items():
        model, variant = max(scores, key=lambda where: goodness(scores[where]))
        score, base = scores[model, variant], scores.get((model, "base"))
        title = f"{words.suite(suite, part)} ({words.metric(metric, suite)})"
        said = {
            "suite": title,
            "model": model,
            "value": words.value(score.value, score.unit),
            "interval": words.interval(score.low, score.high, score.unit),
        }
        if base is None:
            continue
        if variant == "base":
            alone = all(name == "base" for _, name in scores)
            lines.append(words("summary.base-only" if alone else "summary.base-best", **said))
            continue
        wanted = (model, suite, metric, part, variant, "base")
        real = [is_real(one) for one in results.scores.differences
                if (one.model, one.suite, one.metric, one.part, one.variant, one.against) == wanted]  # fmt: skip
        verdict = words("summary.real" if any(real) else "summary.unclear")
        lines.append(
            words("summary.best", variant=words.name("variant", variant), verdict=verdict,
                  base=words.value(base.value, base.unit), **said)
        )  # fmt: skip
    merged = [one for one in results.scores.retention if one.variant == "merged"]
    kept = [one.value for one in merged if one.value is not None]
    if kept:
        said = {"value": words.value(median(kept), "share"), "n": str(len(kept)), "of": str(len(merged))}
        lines.append(words("summary.kept", **said))
    seen = _detectable_share(results)
    if seen:
        low, high = (words.number(100 * end) for end in (min(seen), max(seen)))
        span = low if low == high else words("range", low=low, high=high)
        lines.append(words("summary.detectable", value=f"{span}\u00a0{words('points')}"))
    return lines


def _detectable_share(results: Results) -> list[float]:
    """The detectable differences of the headline shares."""
    shares = {place for place, scores in headlines(results).items() if next(iter(scores.values())).unit == "share"}
    return [one.detectable for one in results.scores.differences
            if one.detectable is not None and (one.suite, one.metric, one.part) in shares]  # fmt: skip


def all_numbers(results: Results, words: Words) -> list[tuple[str, list[str], list[list[str]]]]:
    """Every score: a table a suite with a line for each metric, part and model, a column for each variant."""
    variants = variants_of(results)
    tables = []
    for suite in dict.fromkeys(score.suite for score in results.scores.scores):
        lines: dict[tuple[str, str, str], dict[str, Score]] = {}
        for score in results.scores.scores:
            if score.suite == suite:
                lines.setdefault((score.metric, score.part, score.model), {})[score.variant] = score
        rows = [
            [words.metric(metric, suite), words.part(part), model, *(_short(by.get(v), words) for v in variants)]
            for (metric, part, model), by in lines.items()
        ]
        head = [words("column.metric"), words("column.part"), words("column.model")]
        tables.append((words.suite(suite), head + [words.name("variant", v) for v in variants], rows))
    return tables


def _short(score: Score | None, words: Words) -> str:
    if score is None:
        return ""
    ends: Sequence[float | None] = (score.low, score.high)
    text = words.value(score.value, score.unit)
    if None in ends:
        return text
    low, high = (words.value(end or 0.0, score.unit).removesuffix("\u00a0%") for end in ends)
    return f"{text} [{low}; {high}]"
