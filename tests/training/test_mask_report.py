from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leylora.models.load import load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.mask_report import page, pieces, terminal
from leylora.training.rows import Rows, tokenize

TALK = [
    {"role": "user", "content": "¿Qué es <b>más</b>?"},
    {"role": "assistant", "content": "Tres días."},
    {"role": "user", "content": "¿Y después?"},
    {"role": "assistant", "content": "Nada más."},
]


@pytest.fixture
def made(tiny_base: Callable[[str], Path]) -> tuple[Rows, Any]:
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    template = training_template(instruction_template("leylora-mistral"))
    return tokenize([{"id": "fila & uno", "messages": TALK}], tokenizer, template, 256), tokenizer


def test_pieces_are_the_row_and_say_what_is_trained(made: tuple[Rows, Any]) -> None:
    rows, tokenizer = made
    row = rows.dataset[0]
    found = pieces(row["input_ids"], row["labels"], tokenizer, tokenizer.eos_token_id)
    assert sum(piece.tokens for piece in found) == len(row["input_ids"])
    assert [piece.text.strip() for piece in found if piece.trained] == ["Tres días.", "</s>", "Nada más.", "</s>"]
    assert [piece.end for piece in found if piece.special] == [False, True, True]  # <s>, </s>, </s>
    assert "Qué es" not in "".join(piece.text for piece in found if piece.trained)


def test_the_terminal_shows_trained_tokens_in_green(made: tuple[Rows, Any]) -> None:
    rows, tokenizer = made
    console = Console(record=True, width=200, force_terminal=True, color_system="standard")
    console.print(terminal(rows.dataset, tokenizer, tokenizer.eos_token_id, 5))
    styled = console.export_text(styles=True)
    assert "\x1b[32mTres días." in styled
    assert "end of answer" in styled
    assert "\x1b[2;7m<s>" in styled


def test_the_page_stands_alone_and_escapes_what_it_shows(made: tuple[Rows, Any]) -> None:
    rows, tokenizer = made
    text = page("mine", rows.dataset, tokenizer, tokenizer.eos_token_id, 1)
    assert "fila &amp; uno: " in text
    assert "&lt;b&gt;más&lt;/b&gt;" in text
    assert "<b>más" not in text
    assert text.count('<b class="end">end of answer</b>') == 3  # the legend's and two answers'
    assert "http" not in text
    assert "<script" not in text
