"""The samples: instructions, news and the invented law are well formed, without repeats, and what their README says."""

import re
from collections.abc import Iterator
from pathlib import Path

import ftfy
import pytest

from leylora.data.gate import clean
from leylora.data.readers import Draft, Record, RecordFault, convert, detect, read_records
from leylora.files import read_json, read_jsonl
from leylora.laws.parse import parse_file
from leylora.project import SAMPLES

from ..laws.pdf_printer import Layout, PrintedArticle, PrintedDivision, PrintedLaw, print_law

FILES = {"alpaca.jsonl": "alpaca", "messages.jsonl": "messages", "sharegpt.jsonl": "sharegpt", "squad.json": "squad"}
README = (SAMPLES / "README.md").read_text("utf-8")
RECORDS = {name: list(read_records(SAMPLES / "instructions" / name)) for name in FILES}
DRAFTS = {name: [row for row in convert(RECORDS[name], FILES[name]) if isinstance(row, Draft)] for name in FILES}
TURNS = [turn for drafts in DRAFTS.values() for draft in drafts for turn in draft.turns]
SQUAD = [part for entry in read_json(SAMPLES / "instructions" / "squad.json")["data"] for part in entry["paragraphs"]]
NEWS = [row for _, row in read_jsonl(SAMPLES / "resumenes.jsonl")]
LAW = PrintedLaw.load(SAMPLES / "ley-de-muestra.yaml")


def articles_of(divisions: tuple[PrintedDivision, ...]) -> Iterator[PrintedArticle]:
    for division in divisions:
        yield from division.articles
        yield from articles_of(division.divisions)


ARTICLES = list(articles_of(LAW.divisions))


def test_every_row_is_read_in_its_format_and_counted_in_the_readme() -> None:
    counted = {}
    for name, format in FILES.items():
        assert {detect(row.value) for row in RECORDS[name] if isinstance(row, Record)} == {format}
        assert not [row for row in convert(RECORDS[name], format) if isinstance(row, RecordFault)]
        counted[name] = sum(turn["role"] == "assistant" for draft in DRAFTS[name] for turn in draft.turns)
    said = dict(re.findall(r"^\| `instructions/(\S+)` .*\| (\d+) \|$", README, re.MULTILINE))
    assert {name: str(count) for name, count in counted.items()} == said
    assert f"`resumenes.jsonl` tiene {len(NEWS)} noticias" in README


def test_nothing_is_repeated() -> None:
    asked = [next(turn for turn in draft.turns if turn["role"] == "user") for rows in DRAFTS.values() for draft in rows]
    prompts = [re.sub(r"\W+", " ", turn["content"].lower()).strip() for turn in asked]
    news = [row[column] for row in NEWS for column in ("text", "summary")]
    ids = [draft.own_id for name in ("sharegpt.jsonl", "squad.json") for draft in DRAFTS[name]]
    for values in (prompts, news, ids, [article.rubric for article in ARTICLES]):
        assert len(values) == len(set(values))
    assert [row["id"] for row in NEWS] == [f"noticia-{number:02d}" for number in range(1, len(NEWS) + 1)]


def test_texts_are_clean_spanish_text() -> None:
    for text in [turn["content"] for turn in TURNS] + [row[column] for row in NEWS for column in ("text", "summary")]:
        assert text.strip() == text == ftfy.fix_text(text, uncurl_quotes=False)
        assert not re.search(r"[\ufffd\u00ad\u00a0]|  |Ã|modelo de lenguaje|ChatGPT|OpenAI", text)
        if not re.search("inglés|Welcome", text):  # English opens no question mark
            assert text.count("¿") == text.count("?"), text
            assert text.count("¡") == text.count("!"), text


def test_the_gate_keeps_nearly_every_row() -> None:
    _, report = clean((draft for rows in DRAFTS.values() for draft in rows), source="samples", license="CC0-1.0")
    assert report.rows_out >= 0.97 * report.rows_in
    assert report.step("near duplicate").dropped == report.step("personal data").dropped == 0


def test_squad_answers_are_where_they_say() -> None:
    for part in SQUAD:
        for question in part["qas"]:
            assert question["is_impossible"] == (not question["answers"])
            for answer in question["answers"]:
                assert part["context"][answer["answer_start"] :].startswith(answer["text"])


def test_a_summary_takes_a_third_of_the_words_and_invents_no_number() -> None:
    for row in NEWS:
        assert 60 <= len(row["text"].split()) <= 120, row["id"]
        assert 15 <= len(row["summary"].split()) <= 45, row["id"]
        assert set(re.findall(r"\d+", row["summary"])) <= set(re.findall(r"\d+", row["text"])), row["id"]


def test_the_law_says_that_it_is_invented_and_gives_every_kind_of_question_its_matter() -> None:
    assert re.match(r"#.*INVENTADA", (SAMPLES / "ley-de-muestra.yaml").read_text("utf-8"))
    in_force = {article.number: article for article in ARTICLES if not article.repealed}
    assert {article.number for article in ARTICLES} - {*in_force} == {"49", "72"}
    bodies = [article.body for article in ARTICLES]
    assert all(25 <= len(article.body.split()) <= 110 for article in in_force.values())
    assert {number for body in bodies for number in re.findall(r"\bartículos? (\d+)", body)} <= {*in_force}
    pools = {r"\bSe entiende por\b": 10, r"\b(plazo|término)( máximo)? de \w+": 45, r"(?m)^1\. ": 20, r"(?m)^a\) ": 1}
    pools |= {r"\bmulta de \w+ a \w+ salarios": 12, r"\bsuspensión .* por un plazo de \w+ a \w+ (días|meses)": 4}
    pools |= {r"\b(salvo|excepto|sin perjuicio)\b": 25, r"\bartículos? (anterior|\d+)": 12}
    found = {pattern: sum(bool(re.search(pattern, body)) for body in bodies) for pattern in pools}
    assert all(found[pattern] >= least for pattern, least in pools.items()), found


@pytest.mark.parametrize("layout", ["lexis", "lexis-finder", "esilec", "fielweb"])
def test_printed_and_parsed_the_law_gives_every_article(layout: Layout, tmp_path: Path) -> None:
    assert len(LAW.traps) >= 8
    print_law(LAW, layout, tmp_path / "ley.pdf")
    law = parse_file(tmp_path / "ley.pdf")
    inserted = iter(("64-innumerado-1", "64-innumerado-2"))
    expected = {next(inserted) if article.number == "..." else article.number: article for article in ARTICLES}
    parsed = {article.number: article for article in law.articles}
    assert parsed.keys() == expected.keys()
    for number, article in expected.items():
        assert parsed[number].rubric == article.rubric
        assert parsed[number].body.split() == article.body.split()
    statuses = {number: article.status for number, article in parsed.items() if article.status != "vigente"}
    assert statuses == {"49": "derogado", "72": "derogado", "60": "derogado_parcial"}
    assert [entry["number"] for entry in law.audit["ausente"]] == ["88", "89", "90", "91"]
    assert law.audit["missing"] == []
    assert {"Reformatoria", "Transitoria", "Final"} <= {p.number.split("-")[0].title() for p in law.provisions}
    assert (law.published, law.last_reform) == (LAW.published, LAW.last_reform)
