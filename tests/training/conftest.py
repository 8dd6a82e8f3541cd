"""A small trainer, for the tests that watch one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from leylora.models.families import FAMILIES
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.training.adapter import attach
from leylora.training.config import parse
from leylora.training.data import tokenize
from leylora.training.trainer import LoraTrainer, build_trainer

TEMPLATE = instruction_template("leylora-mistral")


@pytest.fixture
def trainer(tiny_base: Callable[[str], Path], tmp_path: Path) -> Callable[..., LoraTrainer]:
    """``trainer("--key", "value")``: a trainer over twelve rows of which one speaks of a quetzal."""
    folder = tiny_base("tiny-mistral")
    tokenizer = load_tokenizer(str(folder))

    def make(*more: str) -> LoraTrainer:
        asked = parse(
            [
                "--model",
                "tiny-mistral",
                "--adapter",
                "instructions",
                "--max_length",
                "64",
                "--gradient_accumulation_steps",
                "2",
                "--max_steps",
                "6",
                "--eval_strategy",
                "no",
                "--logging_steps",
                "1",
                "--output_dir",
                str(tmp_path / "LORA" / "watched"),
                *more,
            ]
        )
        rows = [row(n, "Un quetzal." if n == 7 else f"Es el {n}.") for n in range(12)]
        model = attach(load_base(str(folder), compute_dtype=torch.float32), asked, FAMILIES["mistral"])
        made = tokenize(rows, tokenizer, training_template(TEMPLATE), 64)
        return build_trainer(model, tokenizer, made, None, asked, tmp_path / "work")

    return make


def row(n: int, answer: str) -> dict[str, Any]:
    question = f"¿Qué es el número {n}?"
    return {
        "id": f"fila-{n}",
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
    }
