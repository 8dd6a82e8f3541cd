"""Models and templates of strangers: nothing of theirs runs, leads elsewhere or goes on for ever."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from leylora.errors import LeyloraError
from leylora.models import templates
from leylora.models.bases import check_weights, config_of
from leylora.models.load import load_base, load_config, load_tokenizer
from leylora.models.templates import check_stranger, faults_of_stranger, instruction_template, served_template

Base = Callable[[str], Path]


@pytest.fixture
def model(tiny_base: Base, tmp_path: Path) -> Path:
    """A copy of a small base, to be damaged."""
    return Path(shutil.copytree(tiny_base("tiny-mistral"), tmp_path / "model"))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | values), "utf-8")


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch owned",)


@pytest.mark.parametrize(
    "file", ["x.bin", "../secret.safetensors", "/etc/hostname.safetensors", "a/b.safetensors", "", 5]
)
def test_an_index_names_plain_safetensors_of_its_folder_and_nothing_else(
    model: Path, file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model)
    (model / "model.safetensors").unlink()
    torch.save({"a": Hostile()}, model / "x.bin")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": file}}))
    with pytest.raises(LeyloraError, match=r"which is no safetensors file of this folder"):
        load_base(str(model), "16bit")
    assert not (model / "owned").exists()


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": "gone.safetensors"}}'])
def test_a_broken_index_is_one_sentence(model: Path, index: str) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(LeyloraError, match=r"index\.json"):
        check_weights(str(model))


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
def test_a_kernel_from_the_hub_is_not_taken_from_a_config(model: Path, key: str) -> None:
    change(model / "config.json", **{key: "kernels-community/flash-attn"})
    for door in (config_of, load_config, lambda name: load_base(name, "16bit")):
        with pytest.raises(LeyloraError, match="asks for the attention kernel 'kernels-community/flash-attn'"):
            door(str(model))


@pytest.mark.parametrize(
    "values",
    [
        *({"hidden_size": "x"}, {"hidden_size": 10**12}, {"vocab_size": 0}, {"max_position_embeddings": None}),
        *({"dtype": "os.system"}, {"quantization_config": 5}, {"model_type": 5}, {"model_type": "none-such"}),
        *({"num_attention_heads": 0}, {"rope_parameters": 3}, {"num_hidden_layers": "two"}),
    ],
)
def test_a_strange_config_is_one_sentence(model: Path, values: dict[str, Any]) -> None:
    change(model / "config.json", **values)
    with pytest.raises(LeyloraError) as error:
        load_base(str(model), "16bit")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[" * 100_000, "null", "", "{", '{"a": "\\ud800"}'])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_damaged_files_are_one_sentence(model: Path, name: str, content: str) -> None:
    (model / name).write_text(content)
    door = load_config if name == "config.json" else load_tokenizer
    with pytest.raises(LeyloraError) as error:
        door(str(model))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values", [{"eos_token": 5}, {"model_max_length": "x", "eos_token": None}])
def test_a_strange_tokenizer_is_one_sentence(model: Path, values: dict[str, Any]) -> None:
    change(model / "tokenizer_config.json", **values)
    with pytest.raises(LeyloraError):
        load_tokenizer(str(model))


def test_weights_that_were_cut_are_one_sentence(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(LeyloraError, match="get its files anew"):
        load_base(str(model), "16bit")


ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
DOUBLING = "{% set ns = namespace(t='x' * 1000000) %}{% for i in range(40) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}"


@pytest.mark.parametrize(("text", "fault"), [(ENDLESS, "time limit"), (DOUBLING, "too much memory|time limit")])
def test_a_template_without_end_is_given_up(text: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "SECONDS_PER_TEMPLATE", 0.7)
    start = time.monotonic()
    with pytest.raises(LeyloraError, match=fault):
        check_stranger(text, "LORA/odd")
    assert faults_of_stranger(text, ".jinja", "odd.jinja")[0]
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "text",
    [
        *("{{ 9 ** 9 ** 9 }}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "(" * 3000, "{{ '('*3000 }}"),
        *(
            "{% if a %}" * 3000,
            "hola",
            "{{ 1 / 0 }}",
            "{{ messages.x.y }}",
            "{{ ''.__class__.__mro__ }}",
            "{% include 'x' %}",
        ),
    ],
)
def test_every_other_strange_template_is_judged(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "SECONDS_PER_TEMPLATE", 2.0)
    assert faults_of_stranger(text, ".jinja", "odd.jinja")[0], "none of these can be used"


def test_our_own_templates_need_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "in_child", lambda *_, **__: pytest.fail("not for our own"))
    text = served_template(instruction_template("leylora-mistral"))
    assert check_stranger(text, "LORA/law") == text


IMPORTS = """
import sys, types
fetched = []
kernels = types.ModuleType("kernels")
kernels.get_kernel = lambda *a, **k: fetched.append(a)
sys.modules["kernels"] = kernels
import leylora
import bitsandbytes.backends.cpu.ops
assert not fetched, fetched
assert sys.modules["kernels"] is kernels
import kernels as again
assert again is kernels
"""


def test_importing_bitsandbytes_fetches_no_kernel() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
