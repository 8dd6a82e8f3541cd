"""Does the checker catch wrong sentences about the law, and leave right ones alone?

    python benchmarks/claims.py --laws data/build/laws

data/benchmark/claims.jsonl holds right and subtly wrong sentences over six laws, in our own words. The checker's rules
were made with the development half before their author's eyes; of the test half only the figures below were looked at.
The sentences of other writers ("second hand"), who had not seen the checker, were judged before any rule was made for
them; half of the first writer's then joined the development half, all others stay unread.
Beside it two simple ways: numbers only (a sentence is wrong if a figure or quotation of it is not in the article) and
words in common (wrong if too small a share of its words is in the article; the share is chosen on the development
half). Rates come with Wilson's 95 % intervals. Also: the time of a page.
"""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from leylora import console
from leylora.data.verify import figure_fault
from leylora.errors import LeyloraError
from leylora.files import read_jsonl, write_json
from leylora.grounding.checker import WRONG, Verdict, check_text
from leylora.grounding.citations import IndexedArticle, parse_citations
from leylora.grounding.claims import quoted
from leylora.grounding.index import open_laws
from leylora.grounding.quantities import quantities
from leylora.grounding.search import LawIndex
from leylora.grounding.wording import concepts
from leylora.laws.catalog import catalog
from leylora.project import ROOT
from leylora.text import words

SENTENCES = ROOT / "data/benchmark/claims.jsonl"
OUT = Path(__file__).with_suffix(".json")
PAGE = 450  # words
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


def verdict_of(text: str, index: LawIndex) -> Verdict:
    """One verdict for a sentence: wrong if any claim is, else the first that is not supported."""
    checked = check_text(text, index, find=lambda said: [hit.article for hit in index.search(said, 3)])
    found = [claim.verdict for claim in checked.claims] or [Verdict.UNCLEAR]
    wrong = [one for one in found if one in WRONG]
    return next(iter([*wrong, *(one for one in found if one is not Verdict.SUPPORTED)]), Verdict.SUPPORTED)


def numbers_only(text: str, articles: list[IndexedArticle], index: LawIndex) -> bool:
    """Whether a figure with a unit, or a quotation, is in none of the articles."""
    said = without_citations(text, index)
    for one in quantities(said):
        known = [quantities(f"{article.rubric}. {article.body}") for article in articles]
        sizes = [len(article.items) for article in articles]
        faults = [figure_fault(one, said, figures, size) for figures, size in zip(known, sizes, strict=True)]
        if one.unit and all(faults):
            return True
    rows = [f" {' '.join(words(f'{article.rubric}. {article.body}'))} " for article in articles]
    quotes = [part for part in said.replace("“", "«").replace("”", "»").split("«")[1:] if "»" in part]
    return any(not any(quoted(part.partition("»")[0], row) for row in rows) for part in quotes)


def in_common(text: str, articles: list[IndexedArticle], index: LawIndex) -> float:
    """The share of a sentence's words of content that are in the articles."""
    told = set(concepts(without_citations(text, index)))
    here = {one for article in articles for one in concepts(f"{article.rubric} {article.body}")}
    return len(told & here) / max(1, len(told))


def without_citations(text: str, index: LawIndex) -> str:
    for citation in parse_citations(text, index.known):
        first, last = citation.span
        text = text[:first] + " " * (last - first) + text[last:]
    return text


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return middle - half, middle + half


def rate(hits: int, total: int) -> dict[str, float]:
    low, high = wilson(hits, total)
    return {"value": round(hits / total, 4), "low": round(low, 4), "high": round(high, 4), "n": total}


@app.command()
def main(
    laws: Annotated[Path, typer.Option(help="Folder of the six parsed laws.")] = Path("data/build/laws"),
    out: Annotated[Path, typer.Option(help="Where to write the figures.")] = OUT,
) -> None:
    """Print the table and write the figures."""
    index = open_laws(laws, catalog())
    rows = [row for _, row in read_jsonl(SENTENCES)]
    missing = {one.partition(":")[0] for row in rows for one in row["articles"]} - {law.id for law in index.laws}
    if missing:
        raise LeyloraError(f"{laws} lacks {', '.join(sorted(missing))}; parse these laws into it first.")
    started = time.process_time()  # pages of thirty sentences, each article met for the first time
    for first in range(0, len(rows), 30):
        verdict_of("\n\n".join(row["text"] for row in rows[first : first + 30]), index)
    seconds = time.process_time() - started
    judged: list[dict[str, Any]] = [{**row, "verdict": verdict_of(row["text"], index)} for row in rows]
    for row in judged:
        found = [index.article(*one.split(":", 1)) for one in row["articles"]]
        articles = [one for one in found if one is not None]
        row["numbers"] = not articles or numbers_only(row["text"], articles, index)
        row["share"] = in_common(row["text"], articles, index) if articles else 0.0
    development = [row for row in judged if row["half"] == "development"]
    least = max((n / 100 for n in range(101)), key=lambda least: balance(development, least))
    figures: dict[str, Any] = {"least_share": least, "halves": {}}
    table = Table("half", "checker", "wrong caught", "right called wrong", "right supported", box=SIMPLE_HEAD)
    for half in ("development", "test", "second hand"):
        mine = [row for row in judged if row["half"] == half]
        ways = {
            "leylora": [row["verdict"] in WRONG for row in mine],
            "numbers only": [row["numbers"] for row in mine],
            "words in common": [row["share"] < least for row in mine],
        }
        figures["halves"][half] = {"verdicts": verdicts(mine), "kinds": kinds(mine)}
        for name, flagged in ways.items():
            wrong = [flag for flag, row in zip(flagged, mine, strict=True) if not row["right"]]
            right = [flag for flag, row in zip(flagged, mine, strict=True) if row["right"]]
            supported = sum(row["verdict"] is Verdict.SUPPORTED for row in mine if row["right"])
            scores = {"caught": rate(sum(wrong), len(wrong)), "false_alarms": rate(sum(right), len(right))}
            if name == "leylora":
                scores["supported"] = rate(supported, len(right))
                unknown = sum(row["verdict"] in (Verdict.UNCLEAR, Verdict.UNCHECKABLE) for row in mine)
                scores["unknown"] = rate(unknown, len(mine))
            figures["halves"][half][name] = scores
            cells = [shown(scores[key]) if key in scores else "" for key in ("caught", "false_alarms", "supported")]
            table.add_row(half, name, *cells)
    many = sum(len(row["text"].split()) for row in rows)
    figures["ms_a_page"] = round(1000 * seconds * PAGE / many, 1)
    write_json(out, figures)
    console.out.print(table)
    console.say(f"{figures['ms_a_page']} ms of CPU for a page of {PAGE} words, six laws")
    console.note(f"Wrote {out}.")


def balance(rows: list[dict[str, Any]], least: float) -> float:
    wrong = [row["share"] < least for row in rows if not row["right"]]
    right = [row["share"] >= least for row in rows if row["right"]]
    return sum(wrong) / len(wrong) + sum(right) / len(right)


def verdicts(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {
        name: dict(Counter(row["verdict"].value for row in rows if row["right"] is right))
        for name, right in (("right", True), ("wrong", False))
    }


def kinds(rows: list[dict[str, Any]]) -> dict[str, str]:
    """By kind, how many of how many were judged as they should be."""
    found = {}
    for right, name in ((False, "wrong"), (True, "right")):
        for kind in sorted({row["kind"] for row in rows if row["right"] is right}):
            mine = [row for row in rows if row["right"] is right and row["kind"] == kind]
            good = sum((row["verdict"] in WRONG) != right for row in mine)
            found[f"{name}: {kind}"] = f"{good}/{len(mine)}"
    return found


def shown(score: dict[str, float]) -> str:
    return f"{100 * score['value']:.1f} % [{100 * score['low']:.0f}–{100 * score['high']:.0f}]"


if __name__ == "__main__":
    console.run(app)
