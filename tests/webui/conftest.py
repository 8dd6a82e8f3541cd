"""A pretended installation, adapters of a few kilobytes, and a folder LORA to export from."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from leylora.webui.client import Client, ServerSettings

from .stand_in import ADMIN_KEY, API_KEY, StandIn, State

MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def make_adapter() -> MakeAdapter:
    """Write an adapter as PEFT does, with random factors: ``make_adapter(folder, prefix=…, r=…, key=value…)``."""

    def make(folder: Path, *, prefix: str = "base_model.model.", **config: Any) -> Path:
        folder.mkdir(parents=True)
        written = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "mistralai/Mistral-7B-v0.1",
            "r": 4,
            "lora_alpha": 8,
            "lora_dropout": 0.05,
            "target_modules": ["q_proj", "v_proj"],
            "use_dora": False,
            "peft_version": "0.21.2",
        } | config
        (folder / "adapter_config.json").write_text(json.dumps(written), "utf-8")
        rng = np.random.default_rng(0)
        tensors = {}
        for module in ("q_proj", "v_proj"):
            key = f"{prefix}model.layers.0.self_attn.{module}"
            tensors[f"{key}.lora_A.weight"] = rng.normal(size=(4, 16)).astype(np.float32)
            tensors[f"{key}.lora_B.weight"] = rng.normal(size=(16, 4)).astype(np.float32)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.fixture
def lora_root(tmp_path: Path, make_adapter: MakeAdapter) -> Path:
    """A folder LORA with the three adapters of one base model."""
    for use in ("instructions", "law", "combined"):
        make_adapter(tmp_path / "LORA" / f"mistral-7b-{use}")
    return tmp_path / "LORA"


@pytest.fixture
def webui(tmp_path: Path) -> Path:
    """The skeleton of a full installation in the layout since v3.1."""
    root = tmp_path / "text-generation-webui"
    for name in ("loras", "presets", "instruction-templates", "models"):
        (root / "user_data" / name).mkdir(parents=True)
    (root / "server.py").write_text("")
    (root / "user_data" / "presets" / "Deterministic.yaml").write_text("do_sample: false\ntop_k: 1\n")
    (root / "user_data" / "loras" / "place-your-loras-here.txt").write_text("")
    (root / "user_data" / "CMD_FLAGS.txt").write_text("# Example:\n# --listen --api\n")
    return root


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server that behaves like the webui, and a client that does not pause before it tries again."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def state(server: StandIn) -> State:
    return server.state


@pytest.fixture
def settings(server: StandIn) -> ServerSettings:
    return ServerSettings.from_environment(server.url, API_KEY, ADMIN_KEY)


@pytest.fixture
def client(settings: ServerSettings) -> Iterator[Client]:
    with Client(settings) as made:
        yield made
