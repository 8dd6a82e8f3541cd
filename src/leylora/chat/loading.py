"""What a loaded base alone says of how to talk to it: its chat template, and how much it can look at."""

from typing import TYPE_CHECKING

from leylora.errors import LeyloraError
from leylora.models.families import FAMILIES
from leylora.models.templates import instruction_template, served_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def template_of_base(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> str:
    """The chat template for the base alone: its own, or the one its family's adapters are trained with.

    Raises:
        LeyloraError: it has neither.
    """
    if isinstance(tokenizer.chat_template, str):
        return tokenizer.chat_template
    family = FAMILIES.get(model.config.model_type)
    if family is None:
        raise LeyloraError(
            f"{model.config.name_or_path} has no chat template and is of type '{model.config.model_type}', for which "
            "none is known here; use it for plain text, or add a template to its tokenizer_config.json."
        )
    return served_template(instruction_template(family.instruction_template))


def context_window(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """How many tokens the model can look at together: its positions, or its sliding window if that is shorter."""
    config = model.config.get_text_config()
    limits = [config.max_position_embeddings, getattr(config, "sliding_window", None), tokenizer.model_max_length]
    return min(int(limit) for limit in limits if limit)
