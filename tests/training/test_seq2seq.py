"""Summary runs on a small T5 made on the spot: the machinery computes right numbers, and stops where it should."""

import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, read_jsonl, write_json, write_jsonl
from leylora.models.tiny import make_tiny_t5, train_t5_tokenizer
from leylora.project import RECIPES, SAMPLES
from leylora.text import accented_words
from leylora.training.data import IGNORED
from leylora.training.seq2seq import (
    lead,
    load_pairs,
    means,
    note_unwritable,
    parse,
    run,
    score_summaries,
    tokenize_pairs,
)

NEWS = SAMPLES / "resumenes.jsonl"
RECIPE = str(RECIPES / "seq2seq" / "tiny-t5.yaml")


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bases") / "tiny-t5"
    make_tiny_t5([row[column] for _, row in read_jsonl(NEWS) for column in ("text", "summary")], out)
    return out


def words(base: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--config", RECIPE, "--model_name_or_path", str(base), "--dataset_name", str(NEWS)]
    return [*fixed, "--output_dir", str(out), "--max_steps", "6", "--max_source_length", "64", *more]


@pytest.fixture(scope="module")
def untied_t5(tiny_t5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model with an output head of its own, published as Flan-T5 is.

    T5Config (transformers 5.23) reads ``tie_word_embeddings: false`` as "do not scale" and says ``true`` from then on;
    the two matrices stay apart only because the loader finds both and unlike.
    """
    out = tmp_path_factory.mktemp("bases") / "untied-t5"
    shutil.copytree(tiny_t5, out)
    weights = load_file(out / "model.safetensors")
    head = weights["shared.weight"] * weights["shared.weight"].shape[1] ** -0.5  # not scaled: the head is small instead
    save_file(weights | {"lm_head.weight": head.flip(0)}, out / "model.safetensors", {"format": "pt"})
    config = {key: value for key, value in read_json(out / "config.json").items() if key != "scale_decoder_outputs"}
    write_json(out / "config.json", config | {"tie_word_embeddings": False})
    return out


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_run_scores_itself_and_saves_what_loads_again(
    kind: str, tiny_t5: Path, untied_t5: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "resumen"
    base = tiny_t5 if kind == "lora" else untied_t5
    lora = ["--use_peft", "true", "--lora_target_modules", "q", "v", "--learning_rate", "0.05"]
    asked = words(base, out, "--eval_strategy", "steps", "--eval_steps", "3", "--logging_steps", "2")
    record = run([*asked, *(lora if kind == "lora" else [])])
    assert "base model" in capsys.readouterr().out

    told = [record[key] for key in ("kind", "rows", "rows_too_long", "eval_rows", "articles_cut", "steps")]
    assert told == [kind, 32, 0, 8, 32, 6]
    assert read_json(out / "run.json") == record
    assert [point["step"] for point in record["log"] if "eval_rouge1" in point] == [3, 6]
    assert record["eval_loss"] != record["eval_loss_before"]
    saved = [row for _, row in read_jsonl(out / "summaries.jsonl")]
    references = [row["reference"] for row in saved]
    assert record["rouge"]["after"] == means(score_summaries([row["after"] for row in saved], references))
    assert record["rouge"]["lead"]["rouge1"] > record["rouge"]["before"]["rouge1"]
    for ends, after, before in zip(
        record["gain"].values(), record["rouge"]["after"].values(), record["rouge"]["before"].values(), strict=True
    ):
        assert ends[0] <= after - before <= ends[1]

    tokenizer = AutoTokenizer.from_pretrained(out)
    if kind == "lora":
        from peft import PeftModel

        plain = AutoModelForSeq2SeqLM.from_pretrained(tiny_t5)
        model = PeftModel.from_pretrained(plain, out)
        assert len(read_json(out / "adapter_config.json")) == 16
    else:
        model = AutoModelForSeq2SeqLM.from_pretrained(out)
        before, after = load_file(base / "model.safetensors"), load_file(out / "model.safetensors")
        assert not torch.equal(model.lm_head.weight, model.shared.weight)
        assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"]), "the head is trained too"
        assert not model.config.scale_decoder_outputs
    loss, summary = reference_loss(model, tokenizer, saved), first_summary(model, tokenizer, saved[0]["article"])
    assert loss == pytest.approx(record["eval_loss"], rel=1e-5)
    assert summary == saved[0]["after"]

    with pytest.raises(UsageError, match="overwrite true"):
        run(asked)


def test_a_step_in_parts_is_the_step_in_one(tiny_t5: Path, tmp_path: Path) -> None:
    def steps(name: str, batch: int, parts: int) -> dict[str, Any]:
        sizes = ["--per_device_train_batch_size", str(batch), "--gradient_accumulation_steps", str(parts)]
        short = ["--max_steps", "2", "--logging_steps", "1", "--eval_strategy", "steps", "--eval_steps", "9"]
        still = ["--max_train_rows", "8", "--max_eval_rows", "1", "--warmup_steps", "0", "--max_target_length", "96"]
        asked = words(tiny_t5, tmp_path / name, *sizes, *short, *still)
        return run(asked)

    whole, parts = steps("whole", 8, 1), steps("parts", 2, 4)
    for one, four in zip(
        whole["log"], parts["log"], strict=True
    ):  # dropout differs, a sum over parts would be fourfold
        if "loss" in one:
            assert four["loss"] == pytest.approx(one["loss"], rel=0.02)
            assert four["grad_norm"] == pytest.approx(one["grad_norm"], rel=0.1)


def reference_loss(model: torch.nn.Module, tokenizer: object, rows: list[dict[str, str]]) -> float:
    """Nats a token over all summaries in one batch, as a person would compute it."""
    inputs = [tokenizer(f"Resume el siguiente artículo:\n{row['article']}")["input_ids"] for row in rows]  # type: ignore[operator]
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for ids, row in zip(inputs, rows, strict=True):
            labels = torch.tensor([tokenizer(row["reference"])["input_ids"]])  # type: ignore[operator]
            out = model.eval()(input_ids=torch.tensor([[*ids[:63], ids[-1]]]), labels=labels)
            total, tokens = total + out.loss.item() * labels.numel(), tokens + labels.numel()
    return total / tokens


def first_summary(model: torch.nn.Module, tokenizer: object, article: str) -> str:
    ids = tokenizer(f"Resume el siguiente artículo:\n{article}")["input_ids"]  # type: ignore[operator]
    source = torch.tensor([[*ids[:63], ids[-1]]])
    made = model.generate(input_ids=source, attention_mask=torch.ones_like(source), max_length=64)
    return tokenizer.decode(made[0], skip_special_tokens=True).strip()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--fp16", "true"], "T5 overflows in float16"),
        (["--load_in_4bit", "true"], "drop load_in_4bit"),
        (["--eval_strategy", "no"], "nothing to compare with"),
        (["--promt", "Resume:"], r"unknown key 'promt'; did you mean 'prompt'\?"),
        (["--max_target_length", "1"], "at least 8 and 2"),
    ],
)
def test_what_a_summary_run_cannot_honour(more: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse(["--config", RECIPE, *more])


def test_a_summary_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no recipe nofile\.yaml; there are .*flan-t5-small\.yaml") as raised:
        parse(["--config", "nofile.yaml"])
    assert "--model" not in str(raised.value)
    with pytest.raises(LeyloraError, match="is a folder"):
        parse(["--config", str(tmp_path)])


@pytest.mark.parametrize(
    "path", sorted(RECIPES.glob("seq2seq/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_every_summary_recipe_parses(path: Path) -> None:
    _, training, model, asked, _ = parse(["--config", str(path)])
    assert f"#   accelerate launch train/seq2seq.py --config train/recipes/seq2seq/{path.name}" in (
        path.read_text("utf-8").splitlines()
    )
    assert asked.prompt == "Resume el siguiente artículo:"
    assert Path(str(training.output_dir)).parts[0] == ("LORA" if model.use_peft else "data")


def test_rows_that_stop_a_run_before_a_model_is_loaded(tiny_t5: Path, tmp_path: Path) -> None:
    def attempt(*more: str) -> None:
        run([*words(tiny_t5, tmp_path / "out"), *more])

    with pytest.raises(LeyloraError, match=r"no\.jsonl does not exist"):
        attempt("--dataset_name", str(tmp_path / "no.jsonl"))
    with pytest.raises(LeyloraError, match=r"row 1: no text in 'resumen' \(it has id, text, summary\)"):
        attempt("--summary_column", "resumen")
    with pytest.raises(UsageError, match="has the splits 'train' and 'test', not 'validation'"):
        attempt("--dataset_test_split", "validation")
    with pytest.raises(LeyloraError, match="All 32 summaries are longer than max_target_length 4"):
        attempt("--max_target_length", "4")
    write_jsonl(tmp_path / "few.jsonl", [{"text": "Uno.", "summary": "Uno."}])
    with pytest.raises(LeyloraError, match="too few rows for a 'test' split"):
        attempt("--dataset_name", str(tmp_path / "few.jsonl"))
    assert not (tmp_path / "out").exists()


def test_a_causal_model_is_sent_to_the_other_script(tiny_base: object, tmp_path: Path) -> None:
    base = tiny_base("tiny-mistral")  # type: ignore[operator]
    with pytest.raises(UsageError, match=r"has no encoder; train it with train/sft\.py"):
        run(words(base, tmp_path / "out"))


def test_scores_are_of_each_row() -> None:
    scores = score_summaries(["el niño comió", ""], ["el niño comió pan", "nada"])
    assert np.allclose(scores["rouge1"], [2 * 1 * 0.75 / 1.75, 0])


COLUMNS = ("text", "summary")


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


def test_words_keep_their_accents_however_they_are_encoded() -> None:
    assert accented_words("¡El Niño de 3,5 años, «ayer»!") == ["el", "niño", "de", "3", "5", "años", "ayer"]
    assert accented_words(unicodedata.normalize("NFD", "AÑO_único")) == ["año", "único"]


def test_rouge_by_hand() -> None:
    reference, summary = "el año pasado la ciudad creció", "la ciudad creció el año"
    scores = score_summaries([summary], [reference])
    assert means(scores)["rouge1"] == pytest.approx(f1(5 / 5, 5 / 6))
    assert means(scores)["rouge2"] == pytest.approx(f1(3 / 4, 3 / 5))  # el año, la ciudad, ciudad creció
    assert means(scores)["rougeL"] == pytest.approx(f1(3 / 5, 3 / 6))  # la ciudad creció
    assert set(scores) == {"rouge1", "rouge2", "rougeL"}
    assert score_summaries(["ano"], ["año"])["rouge1"][0] == 0  # the usual tokenizer sees neither letter
    assert score_summaries(["cantaban"], ["cantar"])["rouge1"][0] == 0  # no stemmer


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
    assert [summary for _, summary in held_out] == ["s4", "s9"]
    assert len(train) == 10
    assert not set(train) & set(held_out)
    assert load_pairs(str(path), "train", None, COLUMNS, 3) == train[:3]


def test_a_folder_of_splits(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "validation.jsonl", [{"cuerpo": " t ", "resumen": "s"}])
    assert load_pairs(str(tmp_path), "validation", None, ("cuerpo", "resumen"), 5) == [("t", "s")]
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
    pairs = [("el gato come pan en la casa " * 5, "el gato"), ("la casa", "hoy llueve en la casa " * 9)]
    rows, cut = tokenize_pairs(pairs, tokenizer, "Resume:", max_source=12, max_target=20)
    (row,) = rows
    assert (cut, row["article"], row["summary"]) == (1, *pairs[0])
    assert len(row["input_ids"]) == len(row["attention_mask"]) == 12
    assert row["input_ids"][-1] == row["labels"][-1] == tokenizer.eos_token_id
    assert IGNORED not in row["labels"]
    assert tokenizer.decode(row["labels"], skip_special_tokens=True) == "el gato"
    assert note_unwritable(["el gato"], tokenizer) == ""
    assert set(note_unwritable(["el ñandú"], tokenizer)) == {"ñ", "ú"}
    assert "has no token for" in capsys.readouterr().err


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = train_t5_tokenizer(["el gato come pan"] * 4)
    tokenizer.eos_token = "<unk>"
    with pytest.raises(LeyloraError, match="does not end a summary"):
        tokenize_pairs([("el gato", "el gato")], tokenizer, "Resume:", 12, 20)
