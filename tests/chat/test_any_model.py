"""Generate and translate with models of either kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leylora.chat.any_model import check_marian, generate, load_any, t5_prompt, translate
from leylora.errors import LeyloraError, UsageError
from leylora.models.tiny import make_tiny_t5

TEXT = "La biblioteca presta libros por quince días."


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small T5 of random weights."""
    folder = tmp_path_factory.mktemp("t5") / "t5-random"
    make_tiny_t5([TEXT, "Uno", "The house."] * 3, folder)
    return folder


def test_an_encoder_decoder_generates_and_translates(t5: Path) -> None:
    loaded = load_any(str(t5))
    assert loaded[0].config.is_encoder_decoder
    short = {"max_new_tokens": 6, "num_beams": 2}
    told = generate(*loaded, t5_prompt("The house.", "en", "es"), **short)
    assert translate(*loaded, "The house.", "en", "es", **short) == told
    assert t5_prompt("The house.", "en", "es") == "translate English to Spanish: The house."
    warm: dict[str, Any] = {"max_new_tokens": 6, "temperature": 1.5, "top_p": 0.9, "seed": 3}
    assert generate(*loaded, "Uno", **warm) == generate(*loaded, "Uno", **warm)


def test_a_causal_model_goes_on_and_does_not_repeat_the_prompt(tiny_base: Callable[[str], Path]) -> None:
    loaded = load_any(str(tiny_base("tiny-mistral")), "4bit")
    assert not loaded[0].config.is_encoder_decoder
    answer = generate(*loaded, TEXT, max_new_tokens=5)
    assert TEXT not in answer
    assert translate(*loaded, "The house.", "en", "es", max_new_tokens=5) is not None
    with pytest.raises(UsageError, match="shorten it"):
        generate(*loaded, "a " * 3000)
    with pytest.raises(UsageError, match="nothing to read"):
        generate(*loaded, " ")
    with pytest.raises(UsageError, match="'xx' is not known"):
        translate(*loaded, "The house.", "en", "xx")


def test_what_is_not_a_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        load_any(str(tmp_path / "none"))


def test_a_marian_model_for_another_direction_is_refused() -> None:
    check_marian("Helsinki-NLP/opus-mt-es-en", "es", "en")
    check_marian("mine/translator", "es", "en")
    with pytest.raises(UsageError, match="translates from es to en"):
        check_marian("Helsinki-NLP/opus-mt-es-en", "en", "es")
