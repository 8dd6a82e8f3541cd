"""What the tests of several rooms share: small base models, made once per test process."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from leylora.files import write_json
from leylora.models.templates import instruction_template, served_template
from leylora.project import SAMPLES

# No test may reach a network, and two test processes share two cores. Here and not in a fixture: the Hub's client reads
# this when it is imported, and test modules import it before the first fixture runs.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GRADIO_ANALYTICS_ENABLED": "False"}


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a barely trained small base model of a family (``tiny-mistral`` …)."""
    folder = tmp_path_factory.mktemp("bases")
    texts = (SAMPLES / "ley-de-muestra.yaml").read_text("utf-8").split("\n\n")

    def make(family: str) -> Path:
        from leylora.models.tiny import make_tiny_base  # torch: tests that need no model start without it

        make_tiny_base(family, texts, folder / family, steps=2)
        return folder / family

    return make


@pytest.fixture(scope="session")
def program() -> Callable[[Path], ModuleType]:
    """A script as a module, for what needs no process of its own."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses look up the names of their module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses on six held-out rows of a dataset: enough to see that all is measured."""
    from leylora import combining
    from leylora.evaluation import loss, weight_search

    def six(*where: Any, **how: Any) -> Any:
        return loss.held_out_rows(*where, **{**how, "most": 6})

    monkeypatch.setattr(combining, "held_out_rows", six)
    monkeypatch.setattr(weight_search, "held_out_rows", six)


@pytest.fixture(scope="session")
def lora(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LORA folder: two adapters of tiny-mistral, one on top of the second, and one of another base.

    Their factors are random and large, so that each says something of its own.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("lora")
    base = tiny_base("tiny-mistral")
    template = served_template(instruction_template("leylora-mistral"))
    for seed, name in enumerate(("tiny-mistral-instructions", "tiny-mistral-law", "tiny-mistral-on-top", "other-law")):
        torch.manual_seed(seed)
        config = LoraConfig(
            task_type="CAUSAL_LM", r=4, lora_alpha=16, init_lora_weights=False, target_modules=["q_proj", "down_proj"]
        )
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        model.save_pretrained(folder / name)
        (folder / name / "chat_template.jinja").write_text(template, "utf-8")
    config_file = folder / "other-law" / "adapter_config.json"
    config_file.write_text(config_file.read_text("utf-8").replace(str(base), "someone/else"), "utf-8")
    write_json(folder / "tiny-mistral-on-top" / "run.json", {"frozen_adapter": "LORA/tiny-mistral-law"})
    return folder
