"""What a person reads on the terminal after parsing: a table of the laws, and what to look at in each."""

from collections import Counter
from collections.abc import Iterable

from rich import box
from rich.markup import escape
from rich.table import Table

from leylora.laws.catalog import CatalogEntry
from leylora.laws.law import Law
from leylora.laws.parse import Outcome

_SHOWN = 12


def outcomes_table(outcomes: Iterable[Outcome]) -> Table:
    """One row a law: articles, final provisions, coverage, how many are repealed, and how many need a look."""
    table = Table(title="Laws parsed", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("law", overflow="fold", min_width=12)
    for heading in ("edition", "arts", "disps", "cover", "gone", "doubt", "miss", "refused"):
        table.add_column(heading, justify="right", no_wrap=True)
    for law in (outcome.law for outcome in outcomes if outcome.law):
        audit = law.audit
        gone = audit["status"].get("derogado", 0) + len(audit["ausente"])
        cells = [len(law), len(law.provisions), f"{audit['coverage']:.1%}", gone, len(audit["doubtful"])]
        cells += [len(audit["missing"]), len(audit["refused"])]
        table.add_row(escape(law.id), law.edition or "undated", *map(str, cells))
    return table


def remarks(law: Law) -> list[str]:
    """What a person should look at before training on this law, a sentence each."""
    audit = law.audit
    said = [f"the file: {warning}" for warning in audit["warnings"]]
    if audit["missing"]:
        said.append(f"missing articles: {_some(audit['missing'])}")
    if audit["ausente"]:
        said.append(f"repealed as a range, not printed: {_some([row['number'] for row in audit['ausente']])}")
    if audit["doubtful"]:
        said.append(f"doubtful, choose the text in force: {_some(audit['doubtful'])}")
    if audit["out_of_order"]:
        said.append(f"printed out of order: {_some(audit['out_of_order'])}")
    for reason, count in Counter(row["reason"] for row in audit["refused"]).items():
        said.append(f"{count} heading-like lines refused: {reason}")
    if not law.edition:
        said.append("no date of publication or reform was found: citations will read 'ed. s. f.'")
    return said


def catalog_table(entries: Iterable[CatalogEntry], parsed: dict[str, str]) -> Table:
    """The catalogue; ``parsed`` maps the ids on disk to their editions."""
    table = Table(title="Laws worth having", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("id", no_wrap=True)
    table.add_column("law, where published, where to get it", overflow="fold")
    table.add_column("on disk", no_wrap=True)
    for entry in entries:
        name = f"{entry.name} ({entry.siglas})" if entry.siglas else entry.name
        edition = parsed.get(entry.id)
        on_disk = "" if edition is None else edition or "undated"
        published = f"{entry.registro_oficial}, {entry.published}" if entry.published else entry.registro_oficial
        table.add_row(entry.id, f"{name}\n[dim]{published}\n{entry.url}[/]", on_disk)
    return table


def _some(values: list[object]) -> str:
    shown = ", ".join(map(str, values[:_SHOWN]))
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"
