"""What a comparison's report says, in one language: a `View`, made from a folder of results and the judge's summary.

The page, the Markdown and the terminal lay out the same view. Nothing is measured here: every number is taken from
the results and put into words. In order: the parts of a view, `make_view`, and what fills each of its sections.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

from markupsafe import Markup

from leylora.adapters.report import layer_of
from leylora.evaluation.report.answers import Gallery, Question, galleries, questions
from leylora.evaluation.report.charts import Curve, heat_strip, interval_row, key_line, loss_chart
from leylora.evaluation.report.texts import Texts
from leylora.evaluation.results import LEVEL, Finding, JudgeSummary, Results, Score

OWN = {"law": "law", "instructions": "instructions", "spanish": "instructions"}  # whose skill a suite asks for
ALSO = ("bits_per_byte", "invented_citations")  # shown next to a suite's headline

Place = tuple[str, str, str]  # suite, metric, part
Scored = dict[Place, dict[tuple[str, str], Score]]  # ... then by model and variant
Signs = dict[tuple[str, ...], str]  # by suite, metric, part, model and variant
Facts = dict[str, list[tuple[str, str]]]  # by what they are about, lines with something small (hashes, ids) after each
Figure = tuple[str, Markup | None, list[tuple[Markup, str]]]  # title, drawing, captions with the key of their line


class Cell(NamedTuple):
    text: str
    note: str = ""  # smaller, below the text
    sign: str = ""  # better, worse or same, against the base
    best: bool = False
    shade: float | None = None  # of the background, 0 to 1: 1 is the best of its table
    drawing: Markup | None = None


class Table(NamedTuple):
    title: str
    head: list[str]
    rows: list[list[Cell]]  # the first cell of each is its name
    why: str = ""  # how to read the table


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    help: str
    look: str = "plain"  # of its tables: heat-table, rows, plain or folded
    lines: list[str] = field(default_factory=list)
    code: str = ""
    facts: Facts = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    galleries: list[Gallery] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


class View(NamedTuple):
    lead: str
    warning: str
    sections: list[Section]
    filters: dict[str, dict[str, str]]  # by name of the filter, its values with their labels
    anchors: set[str]  # of the graded questions shown
    version: str


def make_view(results: Results, judge: JudgeSummary | None, texts: Texts) -> View:
    """Everything the report shows, in the language of ``texts``; sections without content are left out."""
    provenance, scores = results.provenance, results.scores
    variants = list(dict.fromkeys(variant.name for model in provenance.models for variant in model.variants))
    tabled, signs = _tabled(scores.scores), _signs(results)
    shown = galleries(results, texts)
    free, graded, left_out = questions(results, texts, shown)
    some = texts("filter.some", shown=len(graded), of=len(graded) + left_out) if left_out else ""
    partial = [texts("judge.same-family", family=name) for name in judge.same_family] if judge else []
    sections: list[Section] = []

    def add(name: str, *more: str, look: str = "plain", **content: Any) -> None:
        if any(content.values()):
            words = " ".join(filter(None, (texts.get(f"help.{name}"), *more)))
            sections.append(Section(name, texts(f"section.{name}"), words, look, **content))

    add("summary", lines=_summary(results, signs, texts))
    add("findings", facts=_findings(scores.findings, texts))
    heat = [_heat_table(place, found, variants, signs, texts) for place, found in tabled.items()]
    add("table", tables=heat, look="heat-table")
    add("retention", tables=_retention(results, texts), look="rows")
    add("differences", tables=_differences(results, tabled, texts), look="rows")
    add("judge", *partial, tables=_judged(judge, texts) if judge else [])
    add("prompts", questions=free)
    add("gallery", texts("help.answers"), galleries=shown if graded else [])
    add("answers", some, questions=graded)
    add("losses", figures=_losses(results, texts))
    add("merge", figures=_merges(results, texts))
    add("cost", f"({provenance.device})", tables=_costs(results, texts))
    add("all", tables=_all_numbers(scores.scores, variants, texts), look="folded")
    add("provenance", code=provenance.command, facts=_provenance(results, texts))
    return View(
        lead=texts("lead", models=len(provenance.models), variants=len(variants), items=len(results.items)),
        warning=texts("limited", limit=provenance.limit) if provenance.limit and scores.scores else "",
        sections=sections,
        filters={
            "suite": {one.suite: texts.name("suite", one.suite) for one in graded},
            "model": {model.label: model.label for model in provenance.models},
            "variant": {variant: texts.name("variant", variant) for variant in variants},
            "verdict": {tag: label for one in graded for said in one.answers for tag, label in said.tags.items()},
        },
        anchors={one.anchor for one in graded},
        version=provenance.versions.get("leylora", ""),
    )


def _by_place(scores: Iterable[Score]) -> Scored:
    found: Scored = {}
    for score in scores:
        found.setdefault((score.suite, score.metric, score.part), {})[score.model, score.variant] = score
    return found


def _tabled(scores: list[Score]) -> Scored:
    """What has a heat table: the headlines, the same by setting, and of each suite the metrics of `ALSO`."""
    main = {(score.suite, score.metric) for score in scores if score.headline}
    chosen = [
        score
        for score in scores
        if score.headline
        or (score.metric in ALSO and score.part == "all")
        or (score.part.startswith("setting:") and (score.suite, score.metric) in main)
    ]
    suites = list(dict.fromkeys(score.suite for score in chosen))
    return _by_place(sorted(chosen, key=lambda one: (suites.index(one.suite), not one.headline, one.metric in ALSO)))


def _signs(results: Results) -> Signs:
    """Whether a variant is better or worse than the base, or the same (not significant)."""
    up = {(one.suite, one.metric): one.higher_is_better for one in results.scores.scores}
    signs: Signs = {}
    for one in results.scores.differences:
        if one.against == "base":
            sign = "better" if (one.value > 0) == up[one.suite, one.metric] else "worse"
            place = (one.suite, one.metric, one.part, one.model, one.variant)
            signs[place] = sign if one.p_holm < LEVEL else "same"
    return signs


def _goodness(score: Score) -> float:
    """The value with its sign turned so that more is better."""
    return score.value if score.higher_is_better else -score.value


def _summary(results: Results, signs: Signs, texts: Texts) -> list[str]:
    """The verdict: who answers better than its base, what was learned, what the merge keeps; never more than that.

    Better and worse are what is statistically significant; nobody is best among what chance may have put in order.
    """
    lines = []
    headlines = {(one.suite, one.metric, one.part) for one in results.scores.scores if one.headline}
    shares = {(one.suite, one.metric, one.part) for one in results.scores.scores if one.unit == "share"}
    value = {(one.suite, one.metric, one.part, one.model, one.variant): one.value for one in results.scores.scores}
    many = len(results.provenance.models) > 1
    leaked = {(one.model, one.variant, one.suite) for one in results.scores.findings if one.kind == "seen-in-training"}
    for model in results.provenance.models:
        said: list[str] = []
        adapters = [one.name for one in model.variants if one.name != "base"]
        questions = sum(one.suite != "prompts" for one in results.items.values())
        changed = False
        for suite, metric, part in headlines_in_order(results, headlines):
            for name in adapters:
                sign = signs.get((suite, metric, part, model.label, name), "")
                place = (suite, metric, part, model.label)
                if sign not in ("better", "worse") or (*place, name) not in value or (*place, "base") not in value:
                    continue
                changed = True
                key = "verdict-seen" if sign == "better" and (model.label, name, suite) in leaked else f"verdict-{sign}"
                gap = texts.change(value[*place, name] - value[*place, "base"], "share")
                said.append(texts(key, variant=texts.name("variant", name), suite=texts.name("suite", suite), gap=gap))
        if not adapters:
            said.append(texts("verdict-base-only", n=questions))
        elif questions and not changed:
            said.append(texts("verdict-none", n=questions))
        for suite in dict.fromkeys(suite for suite, _, _ in headlines_in_order(results, headlines)):
            for name in adapters:
                place = (suite, "bits_per_byte", "all", model.label)
                if signs.get((*place, name)) == "better" and name == OWN.get(suite, name) != "merged":
                    less = 1 - value[*place, name] / value[*place, "base"]
                    names = {"variant": texts.name("variant", name), "suite": texts.name("suite", suite)}
                    said.append(texts("verdict-learned", share=texts.value(round(less, 2), "share"), **names))
        for one in results.scores.retention:
            if one.model == model.label and one.value is not None and one.variant == "merged":
                names = {"single": texts.name("variant", one.single), "suite": texts.name("suite", one.suite)}
                interval = texts.interval(one.low, one.high, "share", "interval")
                names |= {"metric": texts.name("metric", one.metric), "value": texts.value(one.value, "share")}
                said.append(texts("summary.kept", interval=interval, **names))
        if said:
            lines.append(f"{model.label}: {' '.join(said)}" if many else " ".join(said))
    seen = [
        100 * one.detectable
        for one in results.scores.differences
        if one.detectable is not None and (one.suite, one.metric, one.part) in shares
    ]
    if seen:
        span = texts.span(texts.number(min(seen)), texts.number(max(seen)))
        lines.append(texts("summary.detectable", value=f"{span}\u00a0{texts('points')}"))
    return lines


def headlines_in_order(results: Results, headlines: set[Place]) -> list[Place]:
    order = {suite.name: at for at, suite in enumerate(results.provenance.suites)}
    return sorted(headlines, key=lambda place: (order.get(place[0], 0), place))


def _findings(findings: list[Finding], texts: Texts) -> Facts:
    """The findings by what they are about (model, variant, suite), each a sentence with the ids of its items."""
    facts: Facts = {}
    for one in findings:
        place = texts.place(one.model, one.variant, texts.name("suite", one.suite))
        ids = ", ".join(one.items[:12]) + ("…" if len(one.items) > 12 else "")
        facts.setdefault(place, []).append((sentence(one, texts), ids))
    return facts or {"": [(texts("findings.none"), "")]}


def sentence(finding: Finding, texts: Texts) -> str:
    """What a finding says, in the language of ``texts``."""
    said = finding.model_dump() | {"items": len(finding.items), "names": ", ".join(finding.names)}
    if finding.share is not None:
        said["share"] = f"{texts.number(100 * finding.share, 0)}\u00a0%"
    if finding.place is not None:
        said["place"] = "ABCDEFGHIJ"[finding.place]
    return texts(f"finding.{finding.kind}", **said)


def _cell(score: Score, texts: Texts, **look: Any) -> Cell:
    interval = texts.interval(score.low, score.high, score.unit) or texts("few")
    return Cell(texts.value(score.value, score.unit), interval, **look)


def _heat_table(
    place: Place, scores: dict[tuple[str, str], Score], variants: list[str], signs: Signs, texts: Texts
) -> Table:
    """One number over models (rows) and variants (columns)."""
    suite, metric, part = place
    asked = [name for name in variants if any(variant == name for _, variant in scores)]
    ranks = [_goodness(score) for score in scores.values()]
    low, spread = min(ranks), max(ranks) - min(ranks)
    rows = []
    for model in dict.fromkeys(model for model, _ in scores):
        mine = [_goodness(score) for (one, _), score in scores.items() if one == model]
        row = [Cell(model)]
        for variant in asked:
            if score := scores.get((model, variant)):
                sign = signs.get((*place, model, variant), "")
                best = sign == "better" and _goodness(score) == max(mine) > min(mine)
                shade = round((_goodness(score) - low) / spread, 2) if spread and sign == "better" else 0.0
                row.append(_cell(score, texts, sign=sign, best=best, shade=shade))
            else:
                row.append(Cell("", texts("not-measured")))
        rows.append(row)
    first = next(iter(scores.values()))
    counts = sorted({score.n for score in scores.values()})
    why = [
        texts.get(f"why.{metric}"),
        "" if first.higher_is_better else texts("less-is-better"),
        "" if first.chance is None else texts("chance", value=texts.value(first.chance, first.unit)),
        f"{texts('column.n')}: {texts.span(str(counts[0]), str(counts[-1]))}.",
    ]
    head = [texts("column.model"), *(texts.name("variant", name) for name in asked)]
    return Table(texts.title(suite, metric, part), head, rows, " ".join(filter(None, why)))


def _retention(results: Results, texts: Texts) -> list[Table]:
    """By suite and metric: how much of each single adapter's gain is kept, all on one scale of at most 2."""
    top = min(2.0, max([1.1, *(one.high or one.value for one in results.scores.retention if one.value)]))
    rows: dict[str, list[list[Cell]]] = {}
    for one in results.scores.retention:
        names = {"variant": texts.name("variant", one.variant), "single": texts.name("variant", one.single)}
        name = f"{one.model}: {texts('of-single', **names)}"
        drawing, text = None, texts.get(f"undefined.{one.undefined}")
        if one.value is not None:
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            interval = texts.interval(one.low, one.high, "share", "interval")
            text = f"{texts.value(one.value, 'share')} ({interval})"
            drawing = interval_row(f"{name}: {text}", one.value, (low, high), (0.0, top), mark=1)
        title = texts.title(one.suite, one.metric, one.part)
        rows.setdefault(title, []).append([Cell(name), Cell(text, drawing=drawing)])
    head = [texts("column.comparison"), texts("column.value")]
    return [Table(title, head, found) for title, found in rows.items()]


def _differences(results: Results, tabled: Scored, texts: Texts) -> list[Table]:
    """Every paired difference with its interval, each table on a scale of its own."""

    def contestant(name: str) -> str:  # a variant, or MODEL/VARIANT in a comparison between models
        model, _, variant = name.rpartition("/")
        return texts.place(model, variant)

    tables = []
    for place, scores in tabled.items():
        unit = next(iter(scores.values())).unit
        ours = [one for one in results.scores.differences if (one.suite, one.metric, one.part) == place]
        reach = 1.06 * max(
            [1e-9, *(abs(end) for one in ours for end in (one.low, one.high, one.value) if end is not None)]
        )
        rows = []
        for one in ours:
            name = texts("against", variant=contestant(one.variant), against=contestant(one.against))
            name = f"{one.model}: {name}" if one.model else name
            real = one.p_holm < LEVEL
            text = texts.change(one.value, unit)
            p = texts.probability(one.p_holm).replace(" ", "\u00a0")
            note = f"{texts('real' if real else 'unclear')} ({p})"
            low, high = (one.value if end is None else end for end in (one.low, one.high))
            ends = texts("few") if one.low is None else f"{texts.change(low, unit)}, {texts.change(high, unit)}"
            title = f"{name}: {text} ({ends}); {note}"
            dot = "dot filled" if real else "dot"
            drawing = interval_row(title, one.value, (low, high), (-reach, reach), mark=0, dot=dot)
            rows.append([Cell(name), Cell(text, note, drawing=drawing)])
        if found := [one.detectable for one in ours if one.detectable is not None]:
            least, most = (texts.change(end, unit).removeprefix("+") for end in (min(found), max(found)))
            rows.append([Cell(texts("detectable")), Cell(texts.span(least, most))])
        if rows:
            tables.append(Table(texts.title(*place), [texts("column.comparison"), texts("column.value")], rows))
    return tables


def _judged(judge: JudgeSummary, texts: Texts) -> list[Table]:
    names = ("model", "comparison", "suite", "wins", "ties", "losses", "flipped", "refused", "length")
    rows = []
    for one in judge.rows:
        pair = {"variant": texts.name("variant", one.variant), "against": texts.name("variant", one.against)}
        counts = map(str, (one.wins, one.ties, one.losses, one.flipped, one.refused))
        length = f"{texts.number(one.length, 0)} / {texts.number(one.length_against, 0)}"
        said = (one.model, texts("against", **pair), texts.name("suite", one.suite), *counts, length)
        rows.append([*map(Cell, said)])
    return [Table(judge.judge, [texts(f"column.{name}") for name in names], rows)]


def _losses(results: Results, texts: Texts) -> list[Figure]:
    """One chart for each model whose adapters have a training log, all on the same axes."""
    curves: dict[str, dict[str, Curve]] = {}
    for model in results.provenance.models:
        for variant in model.variants:
            log = (variant.run or {}).get("log") or []
            train, unseen = (
                [(int(one["step"]), float(one[key])) for one in log if one.get(key) is not None]
                for key in ("loss", "eval_loss")
            )
            if train or unseen:
                curves.setdefault(model.label, {})[texts.name("variant", variant.name)] = Curve(train, unseen)
    points = [point for of_model in curves.values() for one in of_model.values() for point in one.train + one.unseen]
    last, top = max([1, *(step for step, _ in points)]), max([1e-9, *(loss for _, loss in points)])
    axes = (texts("chart.step"), texts("chart.loss"))
    figures: list[Figure] = []
    for label, of_model in curves.items():
        captions = []
        for number, (name, curve) in enumerate(of_model.items()):
            ends = ((texts("chart.train"), curve.train), (texts("chart.eval"), curve.unseen))
            said = ", ".join(f"{what} {texts.number(losses[-1][1], 2)}" for what, losses in ends if losses)
            captions.append((key_line(number), f"{name}: {said}"))
        title = f"{label}: {'; '.join(text for _, text in captions)}"
        drawing = loss_chart(title, list(of_model.values()), last, top, axes, texts.tick)
        figures.append((label, drawing, captions))
    return figures


def _merges(results: Results, texts: Texts) -> list[Figure]:
    """For every merged adapter: the error of truncating it to its rank, by layer and module."""
    figures = []
    for label, variant in ((model.label, one) for model in results.provenance.models for one in model.variants):
        if (merge := variant.merge) is None:
            continue
        parents = " + ".join(f"{texts.number(one['weight'], 2)} × {one['name']}" for one in merge["parents"])
        rank = "" if merge.get("rank") is None else f", r = {merge['rank']}"
        title = f"{texts.place(label, variant.name)}: {merge['method']}{rank} ({parents})"
        cells = {
            (one["module"].rpartition(".")[2], layer_of(one["module"]) or 0): float(one["truncation_error"])
            for one in merge["modules"]
        }
        top = max(cells.values(), default=0.0)
        drawing, text = None, texts("merge.exact")
        if top >= 1e-6:
            mean = texts.value(fmean(cells.values()), "share")
            text = texts("merge.mean", mean=mean, top=texts.value(top, "share"))
            drawing = heat_strip(f"{title}: {text}", cells, top, texts("merge.axis"))
        figures.append((title, drawing, [(Markup(), text)]))
    return figures


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
        rows.append([*map(Cell, said)])
    return [Table("", [texts(f"column.{name}") for name in names], rows)] if rows else []


def _all_numbers(scores: list[Score], variants: list[str], texts: Texts) -> list[Table]:
    """A table a suite with a row for each metric, part and model, a column for each variant."""
    head = [texts(f"column.{name}") for name in ("metric", "part", "model")]
    head += [texts.name("variant", name) for name in variants]
    rows: dict[str, list[list[Cell]]] = {}
    for (suite, metric, part), found in _by_place(scores).items():
        for model in dict.fromkeys(model for model, _ in found):
            names = [Cell(texts.name("metric", metric)), Cell(texts.part(part)), Cell(model)]
            cells = [_cell(score, texts) if (score := found.get((model, name))) else Cell("") for name in variants]
            rows.setdefault(suite, []).append([*names, *cells])
    return [Table(f"{texts.name('suite', suite)} ({len(found)})", head, found) for suite, found in rows.items()]


def _provenance(results: Results, texts: Texts) -> Facts:
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
                adapter = ", ".join(filter(None, (one.adapter, same)))
                models.append((f"{texts.place(model.label, one.name)}: {adapter}", one.sha256))
    for suite in provenance.suites:
        tasks = ", ".join(f"{texts.name('task', task)} {count}" for task, count in suite.tasks.items())
        counted = f"{texts.name('suite', suite.name)}: {suite.items} ({tasks})"
        suites.append((", ".join((counted, *suite.sources)), suite.sha256))
    lines = {texts(f"provenance.{name}"): [(text, "")] for name, text in facts.items()}
    return {**lines, texts("provenance.models"): models, texts("provenance.suites"): suites}
