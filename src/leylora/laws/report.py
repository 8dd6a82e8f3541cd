"""What a person reads on the terminal after parsing: a table of the laws, and what to look at in each."""

from collections import Counter
from collections.abc import Iterable

from rich import box
from rich.markup import escape
from rich.table import Table

from leylora.laws.catalog import CatalogEntry, age_notes
from leylora.laws.law import Law


def laws_table(laws: Iterable[Law]) -> Table:
    """One row per law: articles, final provisions, coverage, how many are repealed, and how many need a look."""
    table = Table(title="Laws parsed", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("law", overflow="fold")
    for heading in ("edition", "arts", "disps", "cover", "gone", "doubt", "miss", "refused"):
        table.add_column(heading, justify="right", no_wrap=True)
    for law in laws:
        audit = law.audit
        gone = audit["status"].get("derogado", 0) + len(audit["ausente"])
        cells = [len(law), len(law.provisions), f"{audit['coverage']:.1%}", gone, len(audit["doubtful"])]
        cells += [len(audit["missing"]), len(audit["refused"])]
        table.add_row(escape(law.siglas or law.id), law.edition or "undated", *map(str, cells))
    return table


def remarks(law: Law) -> list[str]:
    """What a person should look at before training on this law, one sentence each."""
    audit = law.audit
    said = [f"the file: {warning}" for warning in audit["warnings"]]
    for title, numbers in (
        ("missing articles", audit["missing"]),
        ("repealed as a range, not printed", [row["number"] for row in audit["ausente"]]),
        ("doubtful, choose the text in force", audit["doubtful"]),
        ("printed out of order", audit["out_of_order"]),
    ):
        if numbers:
            more = f" and {len(numbers) - 12} more" if len(numbers) > 12 else ""
            said.append(f"{title}: {', '.join(map(str, numbers[:12]))}{more}")
    for reason, count in Counter(row["reason"] for row in audit["refused"]).items():
        said.append(f"{count} heading-like lines refused: {reason}")
    if not law.edition:
        said.append("no date of publication or reform was found: citations will read 'ed. s. f.'")
    else:
        said += age_notes([law], "en")
    return said


def catalog_table(entries: Iterable[CatalogEntry], parsed: dict[str, str]) -> Table:
    """The catalogue; ``parsed`` maps the ids on disk to their editions."""
    table = Table(title="Laws worth having", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    table.add_column("id", no_wrap=True)
    table.add_column("law, where published, where to get it", overflow="fold")
    table.add_column("on disk", no_wrap=True)
    for entry in entries:
        name = f"{entry.name} ({entry.siglas})" if entry.siglas else entry.name
        published = f"{entry.registro_oficial}, {entry.published}" if entry.published else entry.registro_oficial
        on_disk = (parsed[entry.id] or "undated") if entry.id in parsed else ""
        where = "\n".join(filter(None, (published, entry.url)))
        table.add_row(entry.id, f"{name}\n[dim]{where}[/]", on_disk)
    return table
