"""A chat with a small base and its adapters."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import adapters_of
from leylora.chat.dialogue import Chat, ChatSettings
from leylora.models.presets import Sampling


@pytest.fixture(scope="session")
def model(tiny_base: Callable[[str], Path]) -> AdaptedModel:
    """The small base in 16 bits (float32 on CPU), to be shared."""
    return AdaptedModel(str(tiny_base("tiny-mistral")), "16bit")


@pytest.fixture
def chat(model: AdaptedModel, lora: Path) -> Chat:
    """A chat with the small base and its adapters, without laws."""
    variants = {one.name: one for one in adapters_of(model.name, lora)[0]}
    settings = ChatSettings("base", Sampling(do_sample=False, max_new_tokens=6))
    return Chat(model, variants, None, settings, "deterministic")
