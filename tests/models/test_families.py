"""What is said of an architecture is what its models have."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from leylora.errors import UsageError
from leylora.models.families import FAMILIES, family_of
from leylora.models.load import load_base


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-llama-2", "tiny-falcon"])
def test_a_family_names_every_linear_layer_of_its_models(tiny_base: Callable[[str], Path], family: str) -> None:
    model = load_base(str(tiny_base(family)), compute_dtype=torch.float32, load="16bit")
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert linear == set(family_of(model.config).linear_layers)


def test_an_unknown_architecture_is_refused() -> None:
    from transformers import GPT2Config

    with pytest.raises(UsageError, match=r"'gpt2', which has no family here .*mistral"):
        family_of(GPT2Config())
    assert set(FAMILIES) == {"mistral", "llama", "qwen3", "falcon"}
