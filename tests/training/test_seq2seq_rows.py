"""ROUGE of Spanish words, rows of articles and summaries, and what a tokenizer cannot write."""

import unicodedata
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.files import write_jsonl
from leylora.models.tiny import train_t5_tokenizer
from leylora.training.data import IGNORED
from leylora.training.seq2seq_rouge import SpanishWords, lead, score_summaries
from leylora.training.seq2seq_rows import Pair, load_pairs, note_unwritable, tokenize_pairs

COLUMNS = ("text", "summary")


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def test_words_keep_their_accents_however_they_are_encoded() -> None:
    assert SpanishWords().tokenize("¡El Niño de 3,5 años, «ayer»!") == ["el", "niño", "de", "3", "5", "años", "ayer"]
    assert SpanishWords().tokenize(unicodedata.normalize("NFD", "AÑO_único")) == ["año", "único"]


def test_rouge_by_hand() -> None:
    reference, summary = "el año pasado la ciudad creció", "la ciudad creció el año"
    scores = score_summaries([summary], [reference])
    assert scores.mean("rouge1") == pytest.approx(f1(5 / 5, 5 / 6))
    assert scores.mean("rouge2") == pytest.approx(f1(3 / 4, 3 / 5))  # el año, la ciudad, ciudad creció
    assert scores.mean("rougeL") == pytest.approx(f1(3 / 5, 3 / 6))  # la ciudad creció
    assert set(scores.means) == {"rouge1", "rouge2", "rougeL"}
    assert score_summaries(["ano"], ["año"]).mean("rouge1") == 0  # the usual tokenizer sees neither letter
    assert score_summaries(["cantaban"], ["cantar"]).mean("rouge1") == 0  # no stemmer


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(UsageError, match="0 summaries"):
        score_summaries([], [])
    with pytest.raises(UsageError, match="1 summaries cannot be scored against 2"):
        score_summaries(["a"], ["a", "b"])


def test_the_lead_is_three_sentences() -> None:
    assert lead("Uno. «¿Dos?» ¡Tres! Cuatro.") == "Uno. «¿Dos?» ¡Tres!"
    assert lead("Costó 3.5 dólares el kg. de pan. Nada más.", 1) == "Costó 3.5 dólares el kg. de pan."
    assert lead("Sin punto") == "Sin punto"


def test_every_fifth_row_of_a_file_is_held_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [{"text": f"t{number}", "summary": f"s{number}"} for number in range(12)])
    held_out = load_pairs(str(path), "test", None, COLUMNS, None)
    train = load_pairs(str(path), "train", None, COLUMNS, None)
    assert [pair.summary for pair in held_out] == ["s4", "s9"]
    assert len(train) == 10
    assert not set(train) & set(held_out)
    assert load_pairs(str(path), "train", None, COLUMNS, 3) == train[:3]


def test_a_folder_of_splits(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "validation.jsonl", [{"cuerpo": " t ", "resumen": "s"}])
    assert load_pairs(str(tmp_path), "validation", None, ("cuerpo", "resumen"), 5) == [Pair("t", "s")]
    with pytest.raises(LeyloraError, match=r"no split 'train' .* there: validation"):
        load_pairs(str(tmp_path), "train", None, COLUMNS, None)
    write_jsonl(tmp_path / "validation.jsonl", [{"text": "t", "summary": " "}])
    with pytest.raises(LeyloraError, match="row 1: no text in 'summary'"):
        load_pairs(str(tmp_path), "validation", None, COLUMNS, None)


def test_mlsum_is_had_without_its_loading_script() -> None:
    with pytest.raises(UsageError, match="use --dataset_name mteb/mlsum"):
        load_pairs("reciTAL/mlsum", "train", "es", COLUMNS, None)


def test_articles_are_cut_summaries_never(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = train_t5_tokenizer(["el gato come pan", "la casa es grande", "hoy llueve en la casa"] * 4)
    pairs = [Pair("el gato come pan en la casa " * 5, "el gato"), Pair("la casa", "hoy llueve en la casa " * 9)]
    rows = tokenize_pairs(pairs, tokenizer, "Resume:", max_source=12, max_target=20)
    assert (rows.cut, rows.too_long, rows.pairs) == (1, 1, pairs[:1])
    row = rows.dataset[0]
    assert len(row["input_ids"]) == len(row["attention_mask"]) == 12
    assert row["input_ids"][-1] == row["labels"][-1] == tokenizer.eos_token_id
    assert IGNORED not in row["labels"]
    assert tokenizer.decode(row["labels"], skip_special_tokens=True) == "el gato"
    assert note_unwritable(rows, tokenizer) == ""
    odd = tokenize_pairs([Pair("el gato", "el ñandú")], tokenizer, "Resume:", 12, 20)
    assert set(note_unwritable(odd, tokenizer)) == {"ñ", "ú"}
    assert "has no token for" in capsys.readouterr().err


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = train_t5_tokenizer(["el gato come pan"] * 4)
    tokenizer.eos_token = "<unk>"
    with pytest.raises(LeyloraError, match="does not end a summary"):
        tokenize_pairs([Pair("el gato", "el gato")], tokenizer, "Resume:", 12, 20)
