import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import PreTrainedTokenizerBase

from leylora.errors import LeyloraError
from leylora.models.load import load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.data import (
    IGNORED,
    check_answers,
    check_labels,
    load_conversations,
    show_masks,
    tokenize,
    with_replay,
)


@pytest.fixture
def tokenizer(tiny_base: Callable[[str], Path]) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tiny_base("tiny-mistral")))


def row(question: str, answer: str, name: str = "r1") -> dict[str, Any]:
    return {
        "id": name,
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
    }


TEMPLATE = training_template(instruction_template("leylora-mistral"))


def test_labels_are_the_answer_and_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = tokenize([row("¿Cuál es el plazo?", "Quince días.")], tokenizer, TEMPLATE, 128)
    ids, labels = rows.dataset[0]["input_ids"], rows.dataset[0]["labels"]
    trained = [label for label in labels if label != IGNORED]
    assert tokenizer.decode(trained, skip_special_tokens=True).strip() == "Quince días."
    assert trained[-1] == tokenizer.eos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert rows.tokens == len(ids)


def test_a_row_that_is_too_long_is_left_out_whole_and_named(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = tokenize([row("¿Qué?", "Sí."), row("¿Qué?", "Sí. " * 200, "long")], tokenizer, TEMPLATE, 64)
    assert (len(rows.dataset), rows.too_long) == (1, ["long"])
    with pytest.raises(LeyloraError, match="All 1 rows are longer than max_length 8"):
        tokenize([row("¿Cuál es el plazo?", "Quince días.")], tokenizer, TEMPLATE, 8)


def test_a_template_that_leaves_the_end_unmarked_stops_the_run(tokenizer: PreTrainedTokenizerBase) -> None:
    open_ended = TEMPLATE.replace("content + eos_token -}}{% endgeneration %}", "content -}}{% endgeneration %}")
    assert open_ended != TEMPLATE
    with pytest.raises(LeyloraError, match=r"not an end-of-turn token .*'</s>'.*never stops"):
        tokenize([row("¿Cuál?", "Quince días.")], tokenizer, open_ended, 128)


def test_an_answer_without_text_has_nothing_to_learn_but_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    unmarked = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    with pytest.raises(LeyloraError, match="marks no token of an answer"):
        tokenize([row("¿Cuál?", "Quince.")], tokenizer, unmarked, 128)


def test_planted_label_faults(tokenizer: PreTrainedTokenizerBase) -> None:
    bos, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    check_labels([bos, 9, 8, end], [IGNORED, IGNORED, 8, end], tokenizer, "right", end)
    with pytest.raises(LeyloraError, match="the question too"):
        check_labels([bos, 9, end], [bos, 9, end], tokenizer, "all", end)
    with pytest.raises(LeyloraError, match="no token carries loss"):
        check_labels([bos, 9, end], [IGNORED] * 3, tokenizer, "none", end)
    with pytest.raises(LeyloraError, match="never stops"):  # the mask shifted by one
        check_labels([bos, 9, 8, end], [IGNORED, 9, 8, IGNORED], tokenizer, "shifted", end)
    with pytest.raises(LeyloraError, match="two BOS"):
        check_labels([bos, bos, 8, end], [IGNORED, IGNORED, 8, end], tokenizer, "double", end)


def test_planted_answer_faults(tokenizer: PreTrainedTokenizerBase) -> None:
    conversation = row("¿Cuál es el plazo?", "Quince días.")["messages"]
    encoded = tokenizer.apply_chat_template(
        conversation, chat_template=TEMPLATE, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    end = tokenizer.eos_token_id
    labels = [token if kept else IGNORED for token, kept in zip(ids, mask, strict=True)]
    check_answers(labels, conversation, tokenizer, "right", end)
    first = labels.index(next(label for label in labels if label != IGNORED))
    late = [IGNORED if position <= first + 1 else label for position, label in enumerate(labels)]
    with pytest.raises(LeyloraError, match=r"Row late: what carries loss is not the whole answer .*shifted"):
        check_answers(late, conversation, tokenizer, "late", end)
    with pytest.raises(LeyloraError, match="Row open: 0 ends of an answer carry loss and there are 1"):
        check_answers([IGNORED if label == end else label for label in labels], conversation, tokenizer, "open", end)
    with pytest.raises(LeyloraError, match="Row text: 2 ends"):
        tokenize([row("¿Cómo termina?", "Con </s> termina.", "text")], tokenizer, TEMPLATE, 128)
    question = "¿Cuál es el plazo para apelar una sentencia, y desde cuándo se cuenta, si hay feriados de por medio?"
    talk = row(question, "Diez días.")["messages"]
    whole = tokenizer.apply_chat_template(talk, chat_template=TEMPLATE, return_dict=True)["input_ids"]
    with pytest.raises(LeyloraError, match="Row all: more than the answer carries loss"):
        check_answers([IGNORED, *whole[1:]], talk, tokenizer, "all", end)


def test_replay_makes_up_its_share_and_repeats_only_when_it_must() -> None:
    law = [row("¿Ley?", str(number), f"law-{number}") for number in range(60)]
    talk = [row("¿Hola?", str(number), f"talk-{number}") for number in range(25)]
    mixed = with_replay(law, talk, 0.5, seed=1)
    names = [item["id"] for item in mixed]
    assert len(mixed) == 120
    assert sorted(name for name in names if name.startswith("law")) == sorted(item["id"] for item in law)
    counts = [names.count(item["id"]) for item in talk]
    assert set(counts) == {2, 3}
    assert with_replay(law, talk, 0.5, seed=1) == mixed
    assert with_replay(law, talk, 0.5, seed=2) != mixed
    assert len(with_replay(law, talk, 0.25, seed=1)) == 80


def test_hash_is_of_the_conversations(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [row("¿A?", "Uno."), row("¿B?", "Dos.")]
    renamed = [{**item, "id": "other"} for item in rows]
    assert tokenize(rows, tokenizer, TEMPLATE, 64).sha256 == tokenize(renamed, tokenizer, TEMPLATE, 64).sha256
    assert tokenize(rows, tokenizer, TEMPLATE, 64).sha256 != tokenize(rows[::-1], tokenizer, TEMPLATE, 64).sha256


def test_datasets_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match=r"does not exist; make it with scripts/build_dataset\.py"):
        load_conversations(str(tmp_path / "none"), "train")
    with pytest.raises(LeyloraError, match="cannot be had from the Hub"):
        load_conversations("nobody/has-this", "train")
    (tmp_path / "validation.jsonl").write_text(json.dumps({"text": "a"}) + "\n", encoding="utf-8")
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(LeyloraError, match=r"train\.jsonl is missing; there: empty, validation"):
        load_conversations(str(tmp_path), "train")
    with pytest.raises(LeyloraError, match="row 1: there are no 'messages'"):
        load_conversations(str(tmp_path), "validation")
    with pytest.raises(LeyloraError, match=r"'empty' of .* is empty"):
        load_conversations(str(tmp_path), "empty")


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([], "there are no 'messages'"),
        (["hola"], "a message is not"),
        ([{"role": "user", "content": "¿Sí?"}, {"role": "assistant", "content": None}], "a message is not"),
        (
            [{"role": "user", "content": "¿Sí?"}, {"role": "assistant", "content": [{"text": "Sí."}]}],
            "a message is not",
        ),
        ([{"role": "user", "content": "¿Sí?"}, {"role": "gpt", "content": "Sí."}], "the role 'gpt'"),
        ([{"role": "user", "content": "¿Sí?"}, {"role": "assistant", "content": " \n"}], "an answer is empty"),
        ([{"role": "user", "content": "¿Sí?"}], "ends with a message of the user"),
        ([{"role": "system", "content": "Responde."}], "ends with a message of the system"),
    ],
)
def test_a_row_that_is_not_a_conversation_is_named(tmp_path: Path, messages: list[Any], fault: str) -> None:
    rows = [row("¿Cuál es el plazo?", "Quince días."), {"messages": messages}]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    with pytest.raises(LeyloraError, match=f"split 'train', row 2: .*{fault}.*mend it"):
        load_conversations(str(tmp_path), "train")


def test_the_terminal_shows_trained_tokens_in_green(tokenizer: PreTrainedTokenizerBase) -> None:
    talk = [*row("¿Qué es <b>más</b>?", "Tres días.")["messages"], *row("¿Y después?", "Nada más.")["messages"]]
    rows = tokenize([{"id": "fila & uno", "messages": talk}], tokenizer, TEMPLATE, 256)
    masks = show_masks(rows.dataset, tokenizer, tokenizer.eos_token_id, 5)
    styles = {"green": "", "dim": "", "reverse green": "", "reverse dim": ""}
    for span in masks.spans:
        if span.style in styles:
            styles[str(span.style)] += masks.plain[span.start : span.end] + "|"
    assert [text.strip() for text in styles["green"].split("|")] == [
        "Tres días.",
        "Nada más.",
        "green: carries loss",
        "",
    ]
    assert "Qué es" in styles["dim"]
    assert styles["reverse green"] == "</s>|</s>|"
    assert styles["reverse dim"] == "<s>|"
    assert masks.plain.count("end of answer") == 2
    assert masks.plain.startswith("fila & uno: ")
    console = Console(record=True, width=200, force_terminal=True, color_system="standard")
    console.print(masks)
    assert "\x1b[32mTres días." in console.export_text(styles=True)
