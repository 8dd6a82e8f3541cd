"""The sample news: well formed, without repeats, and their summaries shorter than they are."""

import re
from pathlib import Path

import ftfy

from leylora.files import read_jsonl

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
NEWS = [row for _, row in read_jsonl(SAMPLES / "resumenes.jsonl")]


def test_there_are_as_many_news_as_the_readme_says() -> None:
    said = re.search(r"`resumenes.jsonl` tiene (\d+) noticias", (SAMPLES / "README.md").read_text("utf-8"))
    assert said is not None
    assert len(NEWS) == int(said.group(1))
    assert [row["id"] for row in NEWS] == [f"noticia-{number:02d}" for number in range(1, len(NEWS) + 1)]


def test_texts_are_clean_and_differ() -> None:
    texts = [row[column] for row in NEWS for column in ("text", "summary")]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text == text.strip() == ftfy.fix_text(text, uncurl_quotes=False)
        assert text.endswith(".")
        assert "  " not in text


def test_a_summary_says_it_in_a_third_of_the_words_and_invents_no_number() -> None:
    for row in NEWS:
        text, summary = row["text"].lower(), row["summary"].lower()
        assert 60 <= len(text.split()) <= 120, row["id"]
        assert 15 <= len(summary.split()) <= 45, row["id"]
        assert set(re.findall(r"\d+", summary)) <= set(re.findall(r"\d+", text)), row["id"]
