"""Finding the right article: how often, against plain BM25, and how fast. `python benchmarks/retrieval.py LAWS`

`python benchmarks/retrieval.py LAWS development` prints the half on which things are chosen, and writes nothing.

LAWS is a folder of the six parsed laws of data/benchmark (Constitución 2011, COIP 2025, Código Civil 2014, LOGJCC
2020, Código del Trabajo 2023, LOTTTSV 2018). Questions: those of data/benchmark/ecuador.jsonl that an article answers,
and the everyday questions, follow-ups, paraphrases and off-topic questions of data/benchmark/retrieval.jsonl. They are
split in halves by article (off-topic ones by their text): all weights and the threshold were chosen on the development
half and on the development part of data/questions, everything printed is the test half. Where
`python scripts/search_laws.py --embed --laws LAWS` was run before, vectors alone and both rankers fused are measured
too; without it, words only.
"""

import hashlib
import json
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.table import Table

from leylora import console
from leylora.grounding.ground import Grounded, ground
from leylora.grounding.index import build_index, open_laws
from leylora.grounding.search import LawIndex, read_query, stem, terms
from leylora.laws.catalog import catalog
from leylora.laws.law import Law, load_laws
from leylora.models.embedding import attach

DATA = Path(__file__).resolve().parents[1] / "data" / "benchmark"
OUT = Path(__file__).with_suffix(".json")
DEEPEST = 10
OWN_WORDS = 2 / 3  # share of a question's words that are in its article, from which on it uses the law's own words
Question = dict[str, Any]
Found = list[tuple[str, str]]
Search = Callable[[str], Found]


def main(folder: Path, half: str) -> None:
    laws = load_laws(folder)
    with tempfile.TemporaryDirectory() as scratch:
        seconds, index = _built(folder, Path(scratch))
        groups = _groups(laws, _questions(half))
        peers: dict[str, Search] = {
            "leylora": lambda text: [(hit.article.law.id, hit.article.number) for hit in index.search(text, DEEPEST)],
            "plain BM25": _plain(laws, "unicode61 remove_diacritics 2"),
            "plain BM25, accents kept": _plain(laws, "unicode61 remove_diacritics 0"),
        }
        found = {
            name: {group: _scores(search, rows) for group, rows in groups.items()} for name, search in peers.items()
        }
        timing = _timing(index, _asked(groups))
        refusals = _refusals(index, groups)
        handed = {"words": _handed(index, groups)}
        fused = open_laws(folder, catalog())
        if attach(fused):
            peers = {
                "embeddings": lambda text: _by_vectors(fused, text),
                "leylora, with embeddings": lambda text: [
                    (hit.article.law.id, hit.article.number) for hit in fused.search(text, DEEPEST)
                ],
            }
            for name, search in peers.items():
                found[name] = {group: _scores(search, rows) for group, rows in groups.items()}
            timing |= {f"{key}, with embeddings": value for key, value in _timing(fused, _asked(groups)).items()}
            handed["with embeddings"] = _handed(fused, groups)
            refusals |= {f"{key}, with embeddings": value for key, value in _refusals(fused, groups).items()}
    result = {"build_seconds": round(seconds, 2), "search_ms": timing, "test_half": found, "refusals": refusals}
    result["handed over"] = handed
    if half == "test":
        OUT.write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    _show(result)


def _asked(groups: dict[str, list[Question]]) -> list[str]:
    return [_told(row) for rows in groups.values() for row in rows]


def _by_vectors(index: LawIndex, text: str) -> Found:
    assert index.ranker is not None
    alike = index.ranker(text).passages
    best = [index.article_of(key) for key in sorted(alike, key=lambda key: -alike[key])[:DEEPEST]]
    return [(article.law.id, article.number) for article in best]


def _built(folder: Path, scratch: Path) -> tuple[float, LawIndex]:
    """Median seconds of three builds, parsed files to index."""
    times = []
    for _ in range(3):
        stem.cache_clear()
        start = time.perf_counter()
        path = build_index(folder, catalog(), scratch / "index.sqlite")
        times.append(time.perf_counter() - start)
    return statistics.median(times), LawIndex(path)


def _questions(half: str) -> list[Question]:
    """The questions of one half that have an article, with their kind."""
    rows = [json.loads(line) for line in (DATA / "ecuador.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["article"] and not row.get("abstain")]
    rows += [json.loads(line) for line in (DATA / "retrieval.jsonl").read_text("utf-8").splitlines()]
    return [row for row in rows if _half(row) == half]


def _half(row: Question) -> str:
    if "half" in row:
        return str(row["half"])
    key = f"{row['law_id']}:{row['article']}" if "article" in row else row["question"]
    return "development" if hashlib.sha256(key.encode()).digest()[0] % 2 == 0 else "test"


def _groups(laws: list[Law], rows: Iterable[Question]) -> dict[str, list[Question]]:
    """By what they ask with: the article's number, the law's own words, other words; and those off topic."""
    texts = {
        (law.id, row.number): {*terms(f"{row.rubric or ''} {row.body} {' '.join(step.name for step in row.path)}")}
        for law in laws
        for row in law
    }
    groups: dict[str, list[Question]] = {
        name: [] for name in ("number", "own words", "some words", "paraphrase", "everyday", "follow-up", "off-topic")
    }
    for row in rows:
        if row["kind"] in ("paraphrase", "everyday", "follow-up", "off-topic"):
            groups[row["kind"]].append(row)
        elif row["kind"] == "number-to-topic":
            groups["number"].append(row)
        else:
            words = read_query(row["question"], laws).words
            share = sum(stem(word) in texts[row["law_id"], row["article"]] for word in words) / max(len(words), 1)
            groups["own words" if share >= OWN_WORDS else "some words"].append(row)
    return groups


def _plain(laws: list[Law], tokenizer: str) -> Search:
    """What FTS5 gives as it comes: whole articles in one column, the question's words joined by OR."""
    db = sqlite3.connect(":memory:")
    db.execute(
        f'CREATE VIRTUAL TABLE articles USING fts5 (law UNINDEXED, number UNINDEXED, text, tokenize="{tokenizer}")'
    )
    rows = (
        (law.id, row.number, f"{law.name} {law.siglas}. Artículo {row.number}. {row.text}")
        for law in laws
        for row in law
    )
    db.executemany("INSERT INTO articles VALUES (?, ?, ?)", rows)

    def search(text: str) -> Found:
        words = re.findall(r"\w+", text.lower())
        query = " OR ".join(f'"{word}"' for word in words)
        statement = "SELECT law, number FROM articles WHERE articles MATCH ? ORDER BY bm25(articles) LIMIT ?"
        return db.execute(statement, (query, DEEPEST)).fetchall()

    return search


def _scores(search: Search, rows: list[Question]) -> dict[str, float]:
    """Recall at 1 and 5 and mean reciprocal rank (within ten); nothing for questions without an article."""
    rows = [row for row in rows if "article" in row]
    if not rows:
        return {}
    ranks = []
    for row in rows:
        found = [f"{law_id}:{number}" for law_id, number in search(_told(row))]
        wanted = row.get("accepted", [[f"{row['law_id']}:{row['article']}"]])[0]
        ranks.append(next((place for place, one in enumerate(found, start=1) if one in wanted), 0))
    return {
        "questions": len(ranks),
        "recall@1": round(sum(rank == 1 for rank in ranks) / len(ranks), 3),
        "recall@5": round(sum(0 < rank <= 5 for rank in ranks) / len(ranks), 3),
        "mrr": round(sum(1 / rank for rank in ranks if rank) / len(ranks), 3),
    }


def _told(row: Question) -> str:
    """The question, after the one before it where it leans on that."""
    return f"{row['previous']} {row['question']}" if "previous" in row else str(row["question"])


def _handed(index: LawIndex, groups: dict[str, list[Question]]) -> dict[str, dict[str, float]]:
    """Of everyday questions: to how many a right article is handed over, only wrong ones, or one is asked about."""
    shares = {}
    for name, rows in groups.items():
        if name not in ("paraphrase", "everyday", "follow-up") or not rows:
            continue
        counts: Counter[str] = Counter()
        for row in rows:
            found = _grounded(row, index)
            wanted = {one for group in row.get("accepted", [[f"{row['law_id']}:{row['article']}"]]) for one in group}
            shown = {f"{hit.article.law.id}:{hit.article.number}" for hit in found.sources or found.offered}
            what = "right" if shown & wanted else "only wrong"
            counts[f"{found.outcome}, {what}" if shown else found.outcome] += 1
        shares[name] = {outcome: round(count / len(rows), 3) for outcome, count in sorted(counts.items())}
    return shares


def _grounded(row: Question, index: LawIndex) -> Grounded:
    return ground(row["question"], index, previous=row.get("previous", ""))


def _timing(index: LawIndex, questions: list[str]) -> dict[str, float]:
    """Milliseconds a search takes: the best of three for each question, since machines are shared. Each try is another
    text, because vectors of the last questions are kept."""
    times = []
    for question in questions:
        tries = []
        for again in range(3):
            start = time.perf_counter()
            index.search(question + " " * again, 5)
            tries.append(1_000 * (time.perf_counter() - start))
        times.append(min(tries))
    p95 = statistics.quantiles(times, n=20)[-1]
    return {"median": round(statistics.median(times), 1), "p95": round(p95, 1), "longest": round(max(times), 1)}


def _refusals(index: LawIndex, groups: dict[str, list[Question]]) -> dict[str, float]:
    """The share of questions answered with "nothing found": right for off-topic ones, wrong for the others."""
    return {
        name: round(sum(not _grounded(row, index).sources for row in rows) / len(rows), 3)
        for name, rows in groups.items()
        if rows
    }


def _show(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("questions", "", "n", "recall@1", "recall@5", "MRR"):
        table.add_column(column)
    for name, groups in result["test_half"].items():
        for group, scores in groups.items():
            if scores:
                table.add_row(group, name, *map(str, scores.values()))
    console.out.print(table)
    console.say(f"index of six laws: {result['build_seconds']} s; search in ms: {result['search_ms']}")
    console.say(f"handed over: {result['handed over']}")
    console.say(f"answered with nothing found: {result['refusals']}")


if __name__ == "__main__":
    if sys.argv[2:] not in ([], ["development"]):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *sys.argv[2:] or ["test"])
