"""The report in Markdown, for a README or a pull request: the tables and the sentences, without the answers."""

import re
from collections.abc import Iterable, Sequence

from leylora.evaluation.report import runs, tables
from leylora.evaluation.report.extras import Extras
from leylora.evaluation.report.words import Words
from leylora.evaluation.results import Results

SIGNS = {"better": " ▲", "worse": " ▼", "same": " ≈", "": ""}
_SPECIAL = re.compile(r"([\\`*_\[\]|])")


def escaped(text: object) -> str:
    """``text`` as one line that Markdown shows as it is: no tags, no links, no broken tables."""
    line = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def markdown(results: Results, words: Words, extras: Extras) -> str:
    """The whole text; see `leylora.evaluation.report.write_report`."""
    provenance = results.provenance
    counts = {"models": len(provenance.models), "variants": len(tables.variants_of(results)),
              "items": len(results.items)}  # fmt: skip
    lines = [f"# {words('title')}", "", f"{words('lead', **counts)} **{words('not-advice')}**", ""]
    if provenance.limit:
        lines += [f"> {words('limited', limit=provenance.limit)}", ""]
    lines += [f"- {escaped(line)}" for line in tables.summary(results, words)] + [""]
    lines += _findings(results, words)
    lines += _section("table", words)
    for table in tables.heat_tables(results, words):
        rows = []
        for model, cells in table.rows:
            said = ["" if cell is None else _cell(cell) for cell in cells]
            rows.append([escaped(model), *said])
        head = [words("column.model"), *(escaped(words.name("variant", one)) for one in table.variants)]
        lines += [f"### {escaped(table.title)}: {escaped(table.metric)}", "", *_table(head, rows)]
        lines += [escaped(" ".join(table.why)), ""]
    drawn = (("retention", tables.retention_rows(results, words)),
             ("differences", tables.difference_rows(results, words)))  # fmt: skip
    for name, by_title in drawn:
        if by_title:
            lines += _section(name, words)
        for title, chart_rows in by_title.items():
            head = [words("column.comparison"), words("column.value"), ""]
            cells_of = ([escaped(row.name), escaped(row.value), escaped(row.note)] for row in chart_rows)
            lines += [f"### {escaped(title)}", "", *_table(head, cells_of)]
    lines += _judge(words, extras) + _runs(results, words) + _costs(results, words)
    lines += _provenance(results, words)
    return "\n".join(lines).rstrip() + "\n"


def _cell(cell: tables.Cell) -> str:
    value = f"**{cell.value}**" if cell.best else cell.value
    return value + SIGNS[cell.mark] + (f" ({cell.interval})" if cell.interval else "")


def _section(name: str, words: Words) -> list[str]:
    return [f"## {words('section.' + name)}", "", words("help." + name), ""]


def _findings(results: Results, words: Words) -> list[str]:
    if not results.scores.findings:
        return []
    lines = _section("findings", words)
    for one in results.scores.findings:
        where = ", ".join(filter(None, (one.model, one.variant and words.name("variant", one.variant),
                                        one.suite and words.name("suite", one.suite))))  # fmt: skip
        kind, why = words.name("finding", one.kind), words.name("explain", one.kind)
        detail, _ = words.warning(one.error)
        said = detail if why == one.kind else f"{why} {detail}"
        lines.append(f"- **{escaped(kind)}**{f' ({escaped(where)})' if where else ''}: {escaped(said)}")
    return [*lines, ""]


def _judge(words: Words, extras: Extras) -> list[str]:
    if extras.judge is None:
        return []
    names = ("model", "comparison", "suite", "wins", "ties", "losses", "flipped", "refused", "length")
    rows = []
    for row in extras.judge.rows:
        pair = {"variant": words.name("variant", row.variant), "against": words.name("variant", row.against)}
        counts = map(str, (row.wins, row.ties, row.losses, row.flipped, row.refused))
        length = f"{words.number(row.length, 0)} / {words.number(row.length_against, 0)}"
        rows.append([escaped(row.model), escaped(words("against", **pair)), words.name("suite", row.suite), *counts,
                     length])  # fmt: skip
    return _section("judge", words) + _table([words("column." + name) for name in names], rows)


def _runs(results: Results, words: Words) -> list[str]:
    lines = []
    charts = runs.loss_charts(results, words)
    if charts:
        lines += [f"## {words('section.losses')}", ""]
        lines += [f"- {escaped(f'{chart.model}, {name}: {ends}')}" for chart in charts for _, name, ends in chart.key]
        lines.append("")
    strips = runs.strips(results, words)
    if strips:
        lines += [f"## {words('section.merge')}", ""]
        lines += [f"- {escaped(strip.title)}: {escaped(strip.text)}" for strip in strips] + [""]
    return lines


def _costs(results: Results, words: Words) -> list[str]:
    if not results.scores.costs:
        return []
    rows = []
    for cost in results.scores.costs:
        training = words("not-measured") if cost.training_seconds is None else words.duration(cost.training_seconds)
        base = cost.variant == "base"
        rows.append([
            escaped(cost.model), escaped(words.name("variant", cost.variant)), cost.load,
            words.measured(cost.memory_gib, 2), words.measured(cost.tokens_per_second),
            words("not-trained") if base else training, "—" if base else words.measured(cost.adapter_mib),
        ])  # fmt: skip
    names = ("model", "variant", "load", "memory", "speed", "training", "size")
    return _section("cost", words) + _table([words("column." + name) for name in names], rows)


def _provenance(results: Results, words: Words) -> list[str]:
    provenance = results.provenance
    lines = _section("provenance", words)
    lines += ["    " + line for line in provenance.command.splitlines()] + [""]
    lines.append(f"- {words('provenance.started')}: {escaped(provenance.started)}")
    lines.append(f"- {words('provenance.device')}: {escaped(provenance.device)}")
    lines.append(f"- {words('provenance.seed')}: {provenance.seed}")
    versions = ", ".join(f"{name} {value}" for name, value in provenance.versions.items())
    lines.append(f"- {words('provenance.versions')}: {escaped(versions)}")
    for model in provenance.models:
        lines.append(f"- {escaped(model.label)}: {escaped(model.endpoint or model.source)} `{model.sha256}`")
        lines += [f"  - {escaped(words.name('variant', one.name))}: {escaped(one.adapter)} `{one.sha256}`"
                  for one in model.variants if one.adapter]  # fmt: skip
    for suite in provenance.suites:
        lines.append(f"- {escaped(words.name('suite', suite.name))}: {suite.items}, `{suite.sha256}`")
    return lines
