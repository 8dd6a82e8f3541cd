"""What a comparison's report says, in one language: a `View`, made of a results folder and the judge's summary.

The page, the Markdown and the terminal lay out the same view. Nothing is measured or estimated here: every number is
taken from the results and put into words.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from markupsafe import Markup

from leylora.adapters.report import layer_of
from leylora.evaluation.report.answers import Gallery, Question, galleries, questions
from leylora.evaluation.report.charts import Curve, bar_row, dot_row, heat_strip, key_line, loss_chart
from leylora.evaluation.report.texts import Texts
from leylora.evaluation.results import Difference, Finding, JudgeSummary, Results, Score

SIGNIFICANT = 0.05  # of a p value, after Holm's correction
ALSO = ("rouge_1", "rouge_2", "bits_per_byte", "invented_citations")  # shown beside a suite's headline

Place = tuple[str, str, str]  # suite, metric, part


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    ``note``: smaller, below the text. ``sign``: better, worse, same (than the base) or empty. ``shade``: 0 to 1, of
    the background; 1 is the best of its table.
    """

    text: str
    note: str = ""
    sign: str = ""
    best: bool = False
    shade: float | None = None
    drawing: Markup | None = None


@dataclass(frozen=True)
class Table:
    """The first cell of a row is its name. ``why`` says how to read the table."""

    title: str
    head: list[str]
    rows: list[list[Cell]]
    why: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing (None where there is nothing to draw) with its captions, each with the key of its line."""

    title: str
    drawing: Markup | None
    captions: list[tuple[Markup, str]]


@dataclass(frozen=True)
class Fact:
    """A name, and lines of text with something small after each (hashes, ids)."""

    name: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A part of the report. ``look`` of its tables: heat-table, rows, plain or folded."""

    name: str
    title: str
    help: str
    lines: list[str] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    code: str = ""
    look: str = "plain"

    @property
    def empty(self) -> bool:
        held = (self.lines, self.facts, self.tables, self.figures, self.galleries, self.questions, self.code)
        return not any(held)


@dataclass(frozen=True)
class View:
    """The whole report.

    ``filters``: by name of the filter, its values with their labels. ``anchors``: of the graded questions shown.
    """

    language: str
    lead: str
    warning: str
    sections: list[Section]
    filters: dict[str, dict[str, str]]
    anchors: set[str]
    version: str


def make_view(results: Results, judge: JudgeSummary | None, texts: Texts) -> View:
    """Everything the report shows, in the language of ``texts``; sections without content are left out."""
    provenance, scores = results.provenance, results.scores

    def section(name: str, *more: str, **content: Any) -> Section:
        return Section(name, texts(f"section.{name}"), " ".join((texts(f"help.{name}"), *more)).strip(), **content)

    shown = galleries(results, texts)
    free, graded, left_out = questions(results, texts, shown)
    some = [texts("filter.some", shown=len(graded), of=len(graded) + left_out)] if left_out else []
    partial = [texts("judge.same-family", family=name) for name in judge.same_family] if judge else []
    tabled = _tabled(results)
    sections = [
        section("summary", lines=_summary(results, texts)),
        section("findings", facts=_findings(results, texts)),
        section("table", tables=[_heat_table(results, texts, *one) for one in tabled.items()], look="heat-table"),
        section("retention", tables=_retention(results, texts), look="rows"),
        section("differences", tables=_differences(results, texts), look="rows"),
        section("judge", *partial, tables=_judge_table(judge, texts)),
        section("prompts", questions=free),
        section("gallery", texts("help.answers"), galleries=shown if graded else []),
        section("answers", *some, questions=graded),
        section("losses", figures=_losses(results, texts)),
        section("merge", figures=_merges(results, texts)),
        section("cost", f"({provenance.device})", tables=_costs(results, texts)),
        section("all", tables=_all_numbers(results, texts), look="folded"),
        section("provenance", code=provenance.command, facts=_provenance(results, texts)),
    ]
    tags = {tag: label for one in graded for said in one.answers for tag, label in said.tags.items()}
    variants = _variants(results)
    return View(
        language=texts.language,
        lead=texts("lead", models=len(provenance.models), variants=len(variants), items=len(results.items)),
        warning=texts("limited", limit=provenance.limit) if provenance.limit and scores.scores else "",
        sections=[one for one in sections if not one.empty],
        filters={
            "suite": {suite: texts.name("suite", suite) for suite in dict.fromkeys(one.suite for one in graded)},
            "model": {model.label: model.label for model in provenance.models},
            "variant": {variant: texts.name("variant", variant) for variant in variants},
            "verdict": tags,
        },
        anchors={one.anchor for one in graded},
        version=provenance.versions.get("leylora", ""),
    )


# --- the numbers in sentences and tables


def _variants(results: Results) -> list[str]:
    return list(dict.fromkeys(variant.name for model in results.provenance.models for variant in model.variants))


def _by_place(scores: Iterable[Score]) -> dict[Place, dict[tuple[str, str], Score]]:
    """By suite, metric and part; then by model and variant."""
    found: dict[Place, dict[tuple[str, str], Score]] = {}
    for score in scores:
        found.setdefault((score.suite, score.metric, score.part), {})[score.model, score.variant] = score
    return found


def _headlines(results: Results) -> dict[Place, dict[tuple[str, str], Score]]:
    return _by_place(score for score in results.scores.scores if score.headline)


def _tabled(results: Results) -> dict[Place, dict[tuple[str, str], Score]]:
    """What has a heat table: the headlines, the same by setting, and of each suite the metrics of `ALSO`."""
    main = {(suite, metric) for suite, metric, _ in _headlines(results)}
    chosen = [
        score
        for score in results.scores.scores
        if score.headline
        or (score.metric in ALSO and score.part == "all")
        or (score.part.startswith("setting:") and (score.suite, score.metric) in main)
    ]
    suites = list(dict.fromkeys(score.suite for score in chosen))
    return _by_place(sorted(chosen, key=lambda one: (suites.index(one.suite), not one.headline, one.metric in ALSO)))


def _goodness(score: Score) -> float:
    """The value with its sign turned so that more is better."""
    return score.value if score.higher_is_better else -score.value


def _significant(difference: Difference) -> bool:
    return difference.p_holm < SIGNIFICANT


def _signs(results: Results) -> dict[tuple[str, ...], str]:
    """By suite, metric, part, model and variant: better or worse than the base, or the same (not significant)."""
    up = {(one.suite, one.metric): one.higher_is_better for one in results.scores.scores}
    signs: dict[tuple[str, ...], str] = {}
    for one in results.scores.differences:
        if one.against == "base":
            sign = "better" if (one.value > 0) == up[one.suite, one.metric] else "worse"
            signs[one.suite, one.metric, one.part, one.model, one.variant] = sign if _significant(one) else "same"
    return signs


def _summary(results: Results, texts: Texts) -> list[str]:
    """The best of each headline, how much the merge keeps, and the smallest difference the test can find."""
    lines = []
    signs = _signs(results)
    shares: set[Place] = set()
    for (suite, metric, part), scores in _headlines(results).items():
        model, variant = max(scores, key=lambda where: _goodness(scores[where]))
        score, base = scores[model, variant], scores.get((model, "base"))
        if score.unit == "share":
            shares.add((suite, metric, part))
        if base is None:
            continue
        said = {
            "suite": f"{texts.suite(suite, part)} ({texts.metric(metric, suite)})",
            "model": model,
            "value": texts.value(score.value, score.unit),
            "interval": texts.interval(score.low, score.high, score.unit, "interval"),
        }
        if variant == "base":
            alone = all(name == "base" for _, name in scores)
            lines.append(texts("summary.base-only" if alone else "summary.base-best", **said))
            continue
        better = signs.get((suite, metric, part, model, variant)) == "better"
        said |= {"variant": texts.name("variant", variant), "base": texts.value(base.value, base.unit)}
        lines.append(texts("summary.best", verdict=texts("summary.real" if better else "summary.unclear"), **said))
    merged = [one for one in results.scores.retention if one.variant == "merged"]
    kept = [one.value for one in merged if one.value is not None]
    if kept:
        lines.append(texts("summary.kept", value=texts.value(median(kept), "share"), n=len(kept), of=len(merged)))
    seen = [
        100 * one.detectable
        for one in results.scores.differences
        if one.detectable is not None and (one.suite, one.metric, one.part) in shares
    ]
    if seen:
        span = _span(texts.number(min(seen)), texts.number(max(seen)), texts)
        lines.append(texts("summary.detectable", value=f"{span}\u00a0{texts('points')}"))
    return lines


def _cell(score: Score, texts: Texts, **look: Any) -> Cell:
    return Cell(texts.value(score.value, score.unit), texts.interval(score.low, score.high, score.unit), **look)


def _span(low: str, high: str, texts: Texts) -> str:
    return low if low == high else texts("range", low=low, high=high)


def _heat_table(results: Results, texts: Texts, place: Place, scores: dict[tuple[str, str], Score]) -> Table:
    """One number over models (rows) and variants (columns)."""
    suite, metric, part = place
    signs = _signs(results)
    ranks = [_goodness(score) for score in scores.values()]
    low, spread = min(ranks), max(ranks) - min(ranks)
    variants = [name for name in _variants(results) if any(variant == name for _, variant in scores)]
    rows = []
    for model in dict.fromkeys(model for model, _ in scores):
        mine = [_goodness(score) for (one, _), score in scores.items() if one == model]
        row = [Cell(model)]
        for variant in variants:
            score = scores.get((model, variant))
            if score is None:
                row.append(Cell("", texts("not-measured")))
                continue
            best = _goodness(score) == max(mine) > min(mine)
            shade = round((_goodness(score) - low) / spread, 2) if spread else 0.0
            row.append(_cell(score, texts, sign=signs.get((*place, model, variant), ""), best=best, shade=shade))
        rows.append(row)
    first = next(iter(scores.values()))
    why = [texts.get(f"why.{suite}.{metric}") or texts.get(f"why.{metric}")]
    if not first.higher_is_better:
        why.append(texts("less-is-better"))
    if first.chance is not None:
        why.append(texts("chance", value=texts.value(first.chance, first.unit)))
    counts = sorted({score.n for score in scores.values()})
    why.append(f"{texts('column.n')}: {_span(str(counts[0]), str(counts[-1]), texts)}.")
    head = [texts("column.model"), *(texts.name("variant", name) for name in variants)]
    return Table(f"{texts.suite(suite, part)}: {texts.metric(metric, suite)}", head, rows, " ".join(filter(None, why)))


def _retention(results: Results, texts: Texts) -> list[Table]:
    """By suite and metric: how much of each single adapter's gain is kept, all on one scale of at most 2."""
    known = [one for one in results.scores.retention if one.value is not None]
    top = min(2.0, max([1.1, *(one.high or one.value or 0 for one in known)]))
    rows: dict[str, list[list[Cell]]] = {}
    for one in results.scores.retention:
        names = {"variant": texts.name("variant", one.variant), "single": texts.name("variant", one.single)}
        name = f"{one.model}: {texts('of-single', **names)}"
        drawing, text = None, texts.get(f"undefined.{one.undefined}")
        if one.value is not None:
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            interval = texts.interval(one.low, one.high, "share", "interval")
            text = f"{texts.value(one.value, 'share')} ({interval})"
            drawing = bar_row(f"{name}: {text}", one.value, low, high, top)
        title = f"{texts.suite(one.suite, one.part)}: {texts.metric(one.metric, one.suite)}"
        rows.setdefault(title, []).append([Cell(name), Cell(text, drawing=drawing)])
    head = [texts("column.comparison"), texts("column.value")]
    return [Table(title, head, found) for title, found in rows.items()]


def _differences(results: Results, texts: Texts) -> list[Table]:
    """By number of `_tabled`: every paired difference with its interval, each table on a scale of its own."""

    def contestant(name: str) -> str:  # a variant, or MODEL/VARIANT of a comparison between models
        model, slash, variant = name.rpartition("/")
        return f"{model}{', ' if slash else ''}{texts.name('variant', variant)}"

    tables = []
    for (suite, metric, part), scores in _tabled(results).items():
        unit = next(iter(scores.values())).unit
        ours = [one for one in results.scores.differences if (one.suite, one.metric, one.part) == (suite, metric, part)]
        reach = max([1e-9, *(max(abs(one.low), abs(one.high), abs(one.value)) for one in ours)])
        rows = []
        for one in ours:
            name = texts("against", variant=contestant(one.variant), against=contestant(one.against))
            name = f"{one.model}: {name}" if one.model else name
            text = texts.change(one.value, unit)
            p = texts.probability(one.p_holm).replace(" ", "\u00a0")
            note = f"{texts('real' if _significant(one) else 'unclear')} ({p})"
            title = f"{name}: {text} ({texts.change(one.low, unit)}, {texts.change(one.high, unit)}); {note}"
            drawing = dot_row(title, one.value, one.low, one.high, reach, filled=_significant(one))
            rows.append([Cell(name), Cell(text, note, drawing=drawing)])
        found = sorted(one.detectable for one in ours if one.detectable is not None)
        if found:
            low, high = (texts.change(end, unit).removeprefix("+") for end in (found[0], found[-1]))
            rows.append([Cell(texts("detectable")), Cell(_span(low, high, texts))])
        if rows:
            title = f"{texts.suite(suite, part)}: {texts.metric(metric, suite)}"
            tables.append(Table(title, [texts("column.comparison"), texts("column.value")], rows))
    return tables


def _all_numbers(results: Results, texts: Texts) -> list[Table]:
    """A table a suite with a row for each metric, part and model, a column for each variant."""
    variants = _variants(results)
    head = [texts("column.metric"), texts("column.part"), texts("column.model")]
    head += [texts.name("variant", name) for name in variants]
    rows: dict[str, list[list[Cell]]] = {}
    for (suite, metric, part), scores in _by_place(results.scores.scores).items():
        for model in dict.fromkeys(model for model, _ in scores):
            names = [Cell(texts.metric(metric, suite)), Cell(texts.part(part)), Cell(model)]
            cells = [_cell(score, texts) if (score := scores.get((model, name))) else Cell("") for name in variants]
            rows.setdefault(suite, []).append([*names, *cells])
    return [Table(f"{texts.name('suite', suite)} ({len(found)})", head, found) for suite, found in rows.items()]


def _costs(results: Results, texts: Texts) -> list[Table]:
    names = ("model", "variant", "load", "memory", "speed", "training", "size")
    rows = []
    for one in results.scores.costs:
        training = size = texts("not-measured")
        if one.training_seconds is not None:
            training = ", ".join(filter(None, (texts.duration(one.training_seconds), one.training_device)))
        if one.variant == "base":
            training, size = texts("not-trained"), "—"
        elif one.adapter_mib is not None:
            size = texts.number(one.adapter_mib)
        measured = (texts.measured(one.memory_gib, 2), texts.measured(one.tokens_per_second))
        said = (one.model, texts.name("variant", one.variant), one.load, *measured, training, size)
        rows.append([Cell(text) for text in said])
    return [Table("", [texts(f"column.{name}") for name in names], rows)] if rows else []


def _judge_table(judge: JudgeSummary | None, texts: Texts) -> list[Table]:
    if judge is None:
        return []
    names = ("model", "comparison", "suite", "wins", "ties", "losses", "flipped", "refused", "length")
    rows = []
    for one in judge.rows:
        pair = {"variant": texts.name("variant", one.variant), "against": texts.name("variant", one.against)}
        counts = map(str, (one.wins, one.ties, one.losses, one.flipped, one.refused))
        length = f"{texts.number(one.length, 0)} / {texts.number(one.length_against, 0)}"
        said = (one.model, texts("against", **pair), texts.name("suite", one.suite), *counts, length)
        rows.append([Cell(text) for text in said])
    return [Table(judge.judge, [texts(f"column.{name}") for name in names], rows)]


# --- what the checks found, and where it all comes from


def _findings(results: Results, texts: Texts) -> list[Fact]:
    """The findings by what they are about (model, variant, suite), each a sentence made from its fields."""
    lines: dict[str, list[tuple[str, str]]] = {}
    for one in results.scores.findings:
        names = (one.model, texts.name("variant", one.variant), texts.name("suite", one.suite))
        ids = ", ".join(one.items[:12]) + ("…" if len(one.items) > 12 else "")
        lines.setdefault(", ".join(filter(None, names)), []).append((sentence(one, texts), ids))
    return [Fact(place, said) for place, said in lines.items()] or [Fact("", [(texts("findings.none"), "")])]


def sentence(finding: Finding, texts: Texts) -> str:
    """What a finding says, in the language of ``texts``."""
    said = finding.model_dump() | {"items": len(finding.items), "names": ", ".join(finding.names)}
    if finding.share is not None:
        said["share"] = f"{texts.number(100 * finding.share, 0)}\u00a0%"
    if finding.place is not None:
        said["place"] = "ABCDEFGHIJ"[finding.place]
    scores = (
        f"{name.replace('rouge', 'ROUGE-')} {texts.value(value, 'share')}" for name, value in finding.scores.items()
    )
    return texts(f"finding.{finding.kind}", **said | {"scores": ", ".join(scores)})


def _provenance(results: Results, texts: Texts) -> list[Fact]:
    provenance = results.provenance
    facts = {
        "started": provenance.started,
        "seconds": texts.duration(provenance.seconds),
        "device": provenance.device,
        "seed": str(provenance.seed),
        "settings": ", ".join(f"{name} = {value}" for name, value in provenance.settings.items()),
        "versions": ", ".join(f"{name} {value}" for name, value in provenance.versions.items()),
    }
    models, suites = [], []
    for model in provenance.models:
        template = f"{texts('provenance.template')} {model.template}" if model.template else ""
        said = ", ".join(filter(None, (model.endpoint or model.source, model.load, template)))
        models.append((f"{model.label}: {said}", model.sha256))
        for one in model.variants:
            if one.adapter:
                same = texts("provenance.same-as", other=texts.name("variant", one.same_as)) if one.same_as else ""
                adapter = f"{model.label}, {texts.name('variant', one.name)}: {one.adapter}{same and ', '}{same}"
                models.append((adapter, one.sha256))
    for suite in provenance.suites:
        tasks = ", ".join(f"{texts.name('task', task)} {count}" for task, count in suite.tasks.items())
        counted = f"{texts.name('suite', suite.name)}: {suite.items} ({tasks})"
        suites.append((", ".join((counted, *suite.sources)), suite.sha256))
    return [
        *(Fact(texts(f"provenance.{name}"), [(text, "")]) for name, text in facts.items()),
        Fact(texts("provenance.models"), models),
        Fact(texts("provenance.suites"), suites),
    ]


# --- what the adapters' own records tell


def _losses(results: Results, texts: Texts) -> list[Figure]:
    """One chart for each model with runs on record, all on the same axes."""
    curves: dict[str, dict[str, Curve]] = {}
    for model in results.provenance.models:
        for variant in model.variants:
            log = (variant.run or {}).get("log") or []
            train = [(int(one["step"]), float(one["loss"])) for one in log if one.get("loss") is not None]
            unseen = [(int(one["step"]), float(one["eval_loss"])) for one in log if one.get("eval_loss") is not None]
            if train or unseen:
                curves.setdefault(model.label, {})[texts.name("variant", variant.name)] = Curve(train, unseen)
    points = [point for of_model in curves.values() for one in of_model.values() for point in one.train + one.unseen]
    last, top = max([1, *(step for step, _ in points)]), max([1e-9, *(loss for _, loss in points)])
    figures = []
    for label, of_model in curves.items():
        captions = []
        for number, (name, curve) in enumerate(of_model.items()):
            ends = ((texts("chart.train"), curve.train), (texts("chart.eval"), curve.unseen))
            said = ", ".join(f"{what} {texts.number(points[-1][1], 2)}" for what, points in ends if points)
            captions.append((key_line(number), f"{name}: {said}"))
        title = f"{label}: {'; '.join(text for _, text in captions)}"
        axes = (texts("chart.step"), texts("chart.loss"))
        drawing = loss_chart(title, list(of_model.values()), last, top, axes, texts.tick)
        figures.append(Figure(label, drawing, captions))
    return figures


def _merges(results: Results, texts: Texts) -> list[Figure]:
    """For every merged adapter: the error of cutting it to its rank, by layer and module."""
    figures = []
    for model in results.provenance.models:
        for variant in model.variants:
            if (merge := variant.merge) is None:
                continue
            parents = " + ".join(f"{texts.number(one['weight'], 2)} × {one['name']}" for one in merge["parents"])
            rank = "" if merge.get("rank") is None else f", r = {merge['rank']}"
            title = f"{model.label}, {texts.name('variant', variant.name)}: {merge['method']}{rank} ({parents})"
            cells = {
                (one["module"].rpartition(".")[2], layer_of(one["module"]) or 0): float(one["truncation_error"])
                for one in merge["modules"]
            }
            top = max(cells.values(), default=0.0)
            drawing, text = None, texts("merge.exact")
            if top >= 1e-6:
                mean = texts.value(sum(cells.values()) / len(cells), "share")
                text = texts("merge.mean", mean=mean, top=texts.value(top, "share"))
                drawing = heat_strip(f"{title}: {text}", cells, top, texts("merge.axis"))
            figures.append(Figure(title, drawing, [(Markup(), text)]))
    return figures
