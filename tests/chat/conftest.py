"""A small base with random adapters that each say something of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import adapters_of
from leylora.chat.dialogue import Chat, Settings
from leylora.files import write_json
from leylora.models.presets import Sampling
from leylora.models.templates import instruction_template, served_template

ADAPTERS = ("tiny-mistral-instructions", "tiny-mistral-law", "tiny-mistral-on-top")


@pytest.fixture(scope="session")
def lora(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LORA folder: two adapters of tiny-mistral, one on top of the second, and one of another base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("lora")
    base = tiny_base("tiny-mistral")
    template = served_template(instruction_template("leylora-mistral"))
    for seed, name in enumerate((*ADAPTERS, "other-law")):
        torch.manual_seed(seed)
        config = LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=16, init_lora_weights=False, target_modules=["q_proj", "down_proj"]
        )
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        model.save_pretrained(folder / name)
        (folder / name / "chat_template.jinja").write_text(template, "utf-8")
    config_file = folder / "other-law" / "adapter_config.json"
    config_file.write_text(config_file.read_text("utf-8").replace(str(base), "someone/else"), "utf-8")
    write_json(folder / "tiny-mistral-on-top" / "run.json", {"on_top_of": "LORA/tiny-mistral-law"})
    return folder


@pytest.fixture(scope="session")
def model(tiny_base: Callable[[str], Path]) -> AdaptedModel:
    """The small base in 16 bits (float32 on CPU), to be shared."""
    return AdaptedModel(str(tiny_base("tiny-mistral")), "16bit")


@pytest.fixture
def chat(model: AdaptedModel, lora: Path) -> Chat:
    """A chat with the small base and its adapters, without laws."""
    variants = {one.name: one for one in adapters_of(model.name, lora)[0]}
    settings = Settings("base", Sampling(do_sample=False, max_new_tokens=6))
    return Chat(model, variants, None, settings, "deterministic")
