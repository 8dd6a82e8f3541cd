"""How well the rules of articles are read: against a gold of 300 articles, field by field.

    python benchmarks/rules.py --laws data/build/laws [--json benchmarks/rules.json]

``tests/rules/gold.jsonl`` names articles of six laws and, as places in the body of one edition, the rules that a person
who had not seen the reader found right; it holds no text. Half of the articles were drawn from all, half from those in
which something was read. Precision is counted over both, recall over the first half. An article of another edition is
left out and counted.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from leylora import console
from leylora.files import read_jsonl, write_json
from leylora.laws.law import Article, load_laws
from leylora.project import ROOT
from leylora.rules.read import Rules, read_rules

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
GOLD = ROOT / "tests" / "rules" / "gold.jsonl"
FIELDS = {
    "offence": ("who", "conduct", "consequence", "prison", "fine", "others", "legal_person"),
    "order": ("modality", "who", "verb", "what", "conditional"),
    "term": ("period",),
    "definition": ("term",),
    "exception": ("clause", "despite"),
    "list": ("lead", "items"),
}


def as_fields(rules: Rules) -> list[dict[str, Any]]:
    """Every rule as plain fields: its kind, where its sentence begins, spans, and the labels of a list's items."""
    found: list[dict[str, Any]] = []
    for kind, ones in (
        ("offence", rules.offences),
        ("order", rules.orders),
        ("term", rules.terms),
        ("definition", rules.definitions),
        ("exception", rules.exemptions),
        ("list", rules.listings),
    ):
        for one in ones:
            plain = one._asdict()
            at = plain["lead"] if kind == "list" else plain.pop("sentence")
            if kind == "list":
                plain["items"] = [[label, len(text)] for label, text in plain["items"]]
            if kind == "order":
                plain["modality"] = plain["modality"].value
            found.append({"kind": kind, "at": at[0], **{key: _plain(value) for key, value in plain.items()}})
    return found


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def compare(gold: dict[str, Any], article: Article) -> tuple[Counter[tuple[str, str, str]], list[str]]:
    """Counts of ``(kind, field, right | read)`` and, under the field "", ``(kind, "", found | there)``; with the faults
    in words."""
    counts: Counter[tuple[str, str, str]] = Counter()
    faults = []
    there = {(one["kind"], one["at"]): one for one in gold["rules"]}
    for found in as_fields(read_rules(article)):
        kind = found["kind"]
        right = there.get((kind, found["at"]))
        if gold["part"] == "random" and right:
            counts[kind, "", "found"] += 1
        for name in FIELDS[kind]:
            counts[kind, name, "read"] += 1
            if right is not None and right[name] == found[name]:
                counts[kind, name, "right"] += 1
            else:
                faults.append(f"{gold['law_id']}:{gold['article']} {kind} at {found['at']}: {name}")
    if gold["part"] == "random":
        for kind in FIELDS:
            of_kind = sum(one["kind"] == kind for one in gold["rules"])
            counts[kind, "", "there"] += of_kind + gold["missed"].get(kind, 0)
    return counts, faults


@app.command()
def main(
    laws: Annotated[Path, typer.Option(help="Folder of parsed laws.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
) -> None:
    """Precision of every field and recall of every kind of rule, with each fault."""
    parsed = {law.id: law for law in load_laws(laws)}
    counts: Counter[tuple[str, str, str]] = Counter()
    used = 0
    for _, gold in read_jsonl(GOLD):
        law = parsed.get(gold["law_id"])
        article = law[gold["article"]] if law is not None and gold["article"] in law else None
        if law is None or article is None or law.edition != gold["edition"] or len(article.body) != gold["length"]:
            continue
        used += 1
        mine, faults = compare(gold, article)
        counts += mine
        for fault in faults:
            console.out.print(fault)
    table = Table(title=f"rules of {used} articles")
    for heading in ("kind", "field", "read", "right", "precision", "recall"):
        table.add_column(heading)
    figures = []
    for kind, names in FIELDS.items():
        there, found = counts[kind, "", "there"], counts[kind, "", "found"]
        for place, name in enumerate(names):
            read, right = counts[kind, name, "read"], counts[kind, name, "right"]
            recall = f"{found} of {there}" if place == 0 else ""
            table.add_row(
                kind if place == 0 else "", name, str(read), str(right), f"{right / max(1, read):.3f}", recall
            )
            figures.append({"kind": kind, "field": name, "read": read, "right": right, "found": found, "there": there})
    console.out.print(table)
    if json_file:
        write_json(json_file, {"articles": used, "fields": figures})


if __name__ == "__main__":
    console.run(app)
