"""Building: splits that do not leak, shares, a stable result, a readable card, and clean stops."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import datasets
import pytest
from typer.testing import CliRunner

from leylora.data.build import NOT_LAW_TEXT, _capped, build
from leylora.data.card import measure
from leylora.data.conversation import Conversation, Message
from leylora.data.duplicates import runs, union
from leylora.data.mixture import Mixture
from leylora.data.verify import CitableLaws, verify_row
from leylora.errors import LeyloraError, UsageError
from leylora.files import sha256_file
from leylora.grounding.prompt import grounded_prompt, passage, read_grounded_prompt
from leylora.laws.law import Law
from leylora.project import ROOT

SPLITS = {"validation": 0.1, "test": 0.2}
Make = Callable[..., Mixture]


def read(folder: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]


def test_an_article_is_in_one_split_only_and_so_are_the_articles_shown(built: Path) -> None:
    seen: dict[tuple[str, str], str] = {}
    shown: dict[str, str] = {}
    for split in ("train", "validation", "test"):
        for row in read(built, split):
            if row["law_id"]:
                assert seen.setdefault((row["law_id"], row["article"]), split) == split
                for given in read_grounded_prompt(row["messages"][1]["content"])[1]:
                    assert shown.setdefault(given.citation, split) == split
    assert {split for (law, _), split in seen.items() if law == "obras"} == {"test"}
    assert sum(split == "test" for (law, _), split in seen.items() if law == "aguas") == 20
    assert sum(split == "validation" for (law, _), split in seen.items() if law == "aguas") == 10


def test_no_eight_words_of_a_test_answer_in_train(built: Path) -> None:
    def own(row: dict) -> set[int]:
        answer = row["messages"][-1]["content"]
        return union(NOT_LAW_TEXT.split(answer)) if row["law_id"] else runs(answer)

    written = [row for row in read(built, "test") if not row["source"].startswith("law:")]  # others share wordings only
    held = set().union(*(own(row) for row in written))
    assert held
    assert not [row for row in read(built, "train") if not held.isdisjoint(own(row))]


def test_a_planted_leak_is_taken_out(mixture_of: Make, sayings: dict, tmp_path: Path) -> None:
    mixture = mixture_of(splits=SPLITS, instructions={"sources": [sayings]})
    build(mixture, [], tmp_path / "one")
    test_answer = read(tmp_path / "one", "test")[0]["messages"][-1]["content"]
    train_id = read(tmp_path / "one", "train")[0]["id"].split(":")[1]
    path = tmp_path / "dichos.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for row in rows:
        if row["id"] == train_id:
            row["output"] = f"Como se ha dicho antes y con otras razones: {test_answer} Nada más que agregar por ahora."
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    report = build(mixture, [], tmp_path / "two")
    assert report.leaks_removed == 1
    assert train_id not in {row["id"].split(":")[1] for row in read(tmp_path / "two", "train")}


def test_questions_on_one_reading_text_stay_together(mixture_of: Make, tmp_path: Path) -> None:
    texts = [f"El pueblo {at} tiene una plaza, una fuente y un reloj que da la hora en punto. " * 4 for at in range(20)]
    rows = [
        {
            "id": f"{at}-{thing}",
            "context": text,
            "question": f"¿Qué tiene de {thing} el pueblo {at}?",
            "answers": {"text": [f"{thing} {at}"], "answer_start": [0]},
        }
        for at, text in enumerate(texts)
        for thing in ("plaza", "fuente", "reloj")
    ]
    (tmp_path / "qa.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    source = {"name": "qa", "path": "qa.jsonl", "license": "mit"}
    build(mixture_of(splits=SPLITS, instructions={"sources": [source]}), [], tmp_path / "out")
    where: dict[str, set[str]] = {}
    for split in ("train", "validation", "test"):
        for row in read(tmp_path / "out", split):
            where.setdefault(row["id"].split(":")[1].split("-")[0], set()).add(split)
    assert len(where) == 20
    assert all(len(found) == 1 for found in where.values())


def test_every_law_row_passes_the_verifier(built: Path, plain_laws: list[Law]) -> None:
    shelf = CitableLaws(plain_laws)
    rows = [Conversation.model_validate(row) for split in ("train", "test") for row in read(built, split)]
    assert sum(bool(row.law_id) for row in rows) > 300
    assert [row.id for row in rows if row.law_id and verify_row(row, shelf)] == []


def test_the_share_of_instructions(built: Path) -> None:
    rows = read(built, "train")
    share = sum(not row["law_id"] for row in rows) / len(rows)
    assert 0.1 < share <= 0.15
    assert json.loads((built / "report.json").read_text("utf-8"))["held_out_laws"] == ["obras"]


PROGRAM = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print("loaded:", *sorted({"torch", "transformers", "datasets", "openai"} & set(sys.modules)))
"""


def test_the_same_bytes_in_every_process_and_nothing_heavy_is_loaded(
    mixture_of: Make, sayings: dict, plain_laws: list[Law], tmp_path: Path
) -> None:
    mixture_of(splits=SPLITS, laws={}, instructions={"sources": [sayings]})
    for law in plain_laws:
        law.save(tmp_path / "laws" / law.id)
    hashes = []
    for seed in ("1", "99"):
        out = tmp_path / f"out{seed}"
        options = {"--mixture": tmp_path / "mezcla.yaml", "--laws": tmp_path / "laws", "--out": out}
        command = [sys.executable, "-c", PROGRAM, str(ROOT / "scripts" / "build_dataset.py")]
        command += [str(word) for pair in options.items() for word in pair]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
        assert done.stdout.splitlines()[-1] == "loaded:"
        files = sorted(path for path in out.rglob("*") if path.is_file())
        hashes.append({str(path.relative_to(out)): sha256_file(path) for path in files})
    assert hashes[0] == hashes[1]
    assert {"train.jsonl", "test.parquet", "report.json", "README.md", "plots/tasks.png"} <= set(hashes[0])


def test_what_was_written_loads_with_datasets(built: Path, tmp_path: Path) -> None:
    everything = datasets.load_dataset(str(built), cache_dir=str(tmp_path / "cache"))
    assert set(everything) == {"train", "validation", "test"}
    assert everything["train"].num_rows == len(read(built, "train"))
    assert everything["train"].features == everything["test"].features
    parquet = datasets.load_dataset("parquet", data_files=str(built / "train.parquet"), cache_dir=str(tmp_path / "c2"))
    assert parquet["train"][0]["messages"] == everything["train"][0]["messages"]


def test_measures_are_what_a_person_would_count(laws: list[Law]) -> None:
    law = next(one for one in laws if one.id == "huertos")
    given = [passage(law, law["5"]), passage(law, law["1"])]
    answers = [  # the article's own are ten of the first one's thirteen words
        f"Mire: «pena privativa de libertad de seis meses a dos años», nada más ({law.cite('5')}).",
        f"Quizás no ({law.cite('5')}) y tampoco así ({law.cite('1')}).",
    ]
    rows = [
        Conversation(
            id=str(place),
            messages=[
                *([Message(role="user", content="Hola"), Message(role="assistant", content="Diga.")] * place),
                Message(role="user", content=grounded_prompt("¿Y qué pena tiene?", given)),
                Message(role="assistant", content=answer),
            ],
            task="penalty",
            source="law:huertos",
            license="public-domain",
            law_id=law.id,
            article="5",
            edition=law.edition,
            articles=["huertos:5", "huertos:1"][: place + 1],
        )
        for place, answer in enumerate(answers)
    ]
    found = measure(rows, laws)
    assert (found.rows, found.several_articles, found.several_turns, found.several_laws) == (2, 0.5, 0.5, 0)
    assert found.own_words == round((3 + 5) / (13 + 5), 4)
    assert (found.question_openings, found.answer_openings, found.answer_forms) == (1, 2, 2)
    assert (found.citations_per_answer, found.turns, found.laws_per_prompt) == (1.5, 1.5, 1)
    assert measure([], laws).rows == 0


def test_samples_and_rules_lie_beside_the_rows(built: Path) -> None:
    report = json.loads((built / "report.json").read_text("utf-8"))
    rules = json.loads((built / "rules.json").read_text("utf-8"))
    assert set(rules) == {"aguas", "obras"}
    assert all(set(counts) == {"read", "refused"} for counts in rules.values())
    assert "rules" not in report["law_tasks"]["train"]
    samples = (built / "samples.md").read_text("utf-8")
    tasks = {task for part in report["by_task"].values() for task in part}
    assert {line[3:] for line in samples.splitlines() if line.startswith("## ")} == tasks
    assert f"{report['measures']['own_words']:.1%}" in (built / "README.md").read_text("utf-8")


def test_the_card_counts_what_the_files_hold(built: Path) -> None:
    card = (built / "README.md").read_text("utf-8")
    assert f"| **all** | **{len(read(built, 'train'))}** |" in card
    assert "path: train.jsonl" in card
    assert "Ley de Aguas de Barrio" in card
    assert "Código de Obras Menores (held out: test only)" in card
    assert "no legal advice" in card
    for line in card.splitlines():
        if line.startswith("!["):
            assert (built / line.split("](")[1].rstrip(")")).stat().st_size > 5_000


def test_the_report_accounts_for_every_row(built: Path) -> None:
    report = json.loads((built / "report.json").read_text("utf-8"))
    gate = report["gates"]["dichos"]
    assert gate["rows_in"] == 110 == gate["rows_out"] + sum(step["dropped"] for step in gate["steps"])
    for split in ("train", "validation", "test"):
        assert report["rows"][split] == len(read(built, split)) == sum(report["by_task"][split].values())
        assert report["sha256"][f"{split}.jsonl"] == sha256_file(built / f"{split}.jsonl")


def test_a_dry_run_counts_the_same_and_writes_nothing(mixture_of: Make, plain_laws: list[Law], tmp_path: Path) -> None:
    mixture = mixture_of(laws={})
    counted = build(mixture, plain_laws, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    written = build(mixture, plain_laws, tmp_path / "out")
    assert counted.rows == written.rows


def test_clean_stops(mixture_of: Make, sayings: dict, plain_laws: list[Law], tmp_path: Path) -> None:
    out = tmp_path / "out"
    missing = {"name": "nada", "path": "nada.jsonl", "license": "mit"}
    ticks: list[str] = []
    with pytest.raises(LeyloraError, match="The source 'nada' of the mixture is missing"):
        build(
            mixture_of(instructions={"sources": [sayings, missing]}), [], out, tick=lambda name, *_: ticks.append(name)
        )
    assert ticks == []
    with pytest.raises(UsageError, match="no laws were given; add --laws DIR"):
        build(mixture_of(laws={}), [], out)
    with pytest.raises(UsageError, match="asks for coip; the laws given are: aguas, obras"):
        build(mixture_of(laws={"hold_out": ["coip"]}), plain_laws, out)
    with pytest.raises(LeyloraError, match=r"leaves no row to train on.*forbids commercial use"):
        build(mixture_of(instructions={"sources": [{**sayings, "license": "cc-by-nc-4.0"}]}), [], out)
    with pytest.raises(LeyloraError, match="most fell at 'length'"):
        build(mixture_of(instructions={"sources": [sayings], "gate": {"max_answer": 3}}), [], out)
    assert list(tmp_path.glob("*out*")) == []
    build(mixture_of(laws={}), plain_laws, out)
    with pytest.raises(UsageError, match="already exists"):
        build(mixture_of(laws={}), plain_laws, out)
    build(mixture_of(laws={}), plain_laws, out, overwrite=True)


def test_only_a_dataset_is_replaced(mixture_of: Make, plain_laws: list[Law], tmp_path: Path) -> None:
    mixture = mixture_of(laws={})
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear", encoding="utf-8")
    for out, message in [
        ("letters", "holds other things than a dataset"),
        ("letters/mine.txt", "is a file"),
        ("letters/mine.txt/deeper", "is a file"),
    ]:
        with pytest.raises(UsageError, match=message):
            build(mixture, plain_laws, tmp_path / out, overwrite=True)
    assert (tmp_path / "letters" / "mine.txt").read_text("utf-8") == "dear"
    (tmp_path / "empty").mkdir()
    build(mixture, plain_laws, tmp_path / "empty", overwrite=True)


def test_an_optional_source_that_is_missing_is_reported(mixture_of: Make, sayings: dict, tmp_path: Path) -> None:
    missing = {"name": "nada", "path": "nada.jsonl", "license": "mit", "optional": True}
    report = build(mixture_of(instructions={"sources": [sayings, missing]}), [], tmp_path / "out")
    assert "does not exist" in report.skipped_sources["nada"]
    assert "Left out: nada" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_rows_of_the_benchmark_stay_out(mixture_of: Make, sayings: dict, plain_laws: list[Law], tmp_path: Path) -> None:
    mixture = mixture_of(instructions={"sources": [sayings]}, benchmark=["bench.jsonl"])
    taken = json.loads((tmp_path / "dichos.jsonl").read_text("utf-8").splitlines()[7])["instruction"]
    (tmp_path / "bench.jsonl").write_text(json.dumps({"question": taken}), encoding="utf-8")
    report = build(mixture, [], tmp_path / "out")
    step = report.gates["dichos"].step("benchmark overlap")
    assert [sample.place for sample in step.samples] == ["dichos.jsonl, line 8"]


def test_the_command(mixture_of: Make, sayings: dict, tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    from build_dataset import app

    mixture_of(instructions={"sources": [sayings]})
    arguments = ["--mixture", str(tmp_path / "mezcla.yaml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert done.exit_code == 0, done.output
    assert "nothing was written" in done.output
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "train.jsonl").exists()


class _Writer(BaseHTTPRequestHandler):
    """A model that says of any article what its first sentence says."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        sentence = asked.split("\n")[3].split(". ")[0]
        reply = json.dumps([{"pregunta": "¿Qué se hará?", "respuesta": f"{sentence}."}])
        body = json.dumps({"choices": [{"message": {"content": reply}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def test_rows_a_model_writes_join_the_others(mixture_of: Make, plain_laws: list[Law], tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Writer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    writer = {
        "base_url": f"http://127.0.0.1:{server.server_port}/v1",
        "model": "m",
        "replies": "respuestas.jsonl",
        "max_articles": 10,
        "per_article": 1,
    }
    mixture = mixture_of(laws={"writer": writer})
    assert "model-written" not in build(mixture, plain_laws, tmp_path / "out", dry_run=True).by_task["train"]
    assert not (tmp_path / "respuestas.jsonl").exists()
    report = build(mixture, plain_laws, tmp_path / "out")
    server.shutdown()
    assert report.by_task["train"].get("model-written", 0) >= 8, report.law_tasks
    again = build(mixture, plain_laws, tmp_path / "out", overwrite=True)  # the server is gone, the replies are there
    assert again.sha256 == report.sha256


def test_a_source_is_capped_or_warned_about() -> None:
    turns = [Message(role="user", content="¿Sí?"), Message(role="assistant", content="Sí, claro.")]
    rows = [
        Conversation(id=f"{source}:{at}", messages=turns, task="t", source=source, license="mit")
        for source, count in (("large", 90), ("small", 30))
        for at in range(count)
    ]
    kept, warnings = _capped(rows, None, 1)
    assert len(kept) == 120
    assert "large makes up 75%" in warnings[0]
    kept, warnings = _capped(rows, 0.6, 1)
    assert Counter(row.source for row in kept) == {"large": 45, "small": 30}
    assert "45 of 90 rows were left out" in warnings[0]
    assert _capped(rows, 0.8, 1) == (rows, [])
