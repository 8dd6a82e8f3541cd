import json
from typing import Any

import pytest

from leylora.adapters.config import BASE_KEYS, check_adapter_name, keys_lost, parse_config, plain_config
from leylora.errors import LeyloraError, UsageError


def full_config(**changes: Any) -> dict[str, Any]:
    """What the installed PEFT writes, with changes."""
    from peft import LoraConfig

    written = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj"], task_type="CAUSAL_LM").to_dict()
    written["target_modules"] = sorted(written["target_modules"])
    written.pop("runtime_config", None)
    return dict(json.loads(json.dumps(written))) | changes


def test_a_config_of_todays_peft_becomes_the_16_base_keys() -> None:
    plain = plain_config(full_config(lora_dropout=0.05, init_lora_weights="eva", peft_version="0.21.2"))
    assert sorted(plain) == sorted(BASE_KEYS)
    assert len(BASE_KEYS) == 16
    assert plain["lora_dropout"] == 0.0
    assert plain["init_lora_weights"] is True
    assert plain["inference_mode"] is True
    assert plain["target_modules"] == ["k_proj", "q_proj"]


def test_keys_that_are_missing_get_pefts_default() -> None:
    plain = plain_config({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]})
    assert sorted(plain) == sorted(BASE_KEYS)
    assert plain["bias"] == "none"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_rslora", True),
        ("use_dora", True),
        ("rank_pattern", {"q_proj": 4}),
        ("alpha_pattern", {"q_proj": 4}),
        ("lora_bias", True),
        ("exclude_modules", ["k_proj"]),
        ("layer_replication", [[0, 4], [2, 5]]),
        ("trainable_token_indices", [1, 2]),
        ("a_key_of_next_year", {"x": 1}),
    ],
)
def test_a_key_that_matters_is_named_not_cut(key: str, value: Any) -> None:
    assert keys_lost(full_config(**{key: value})) == [key]
    with pytest.raises(LeyloraError, match=key):
        plain_config(full_config(**{key: value}))


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga"])
def test_an_initialisation_that_changed_the_base_is_refused(init: str) -> None:
    with pytest.raises(LeyloraError, match="init_lora_weights"):
        plain_config(full_config(init_lora_weights=init))


def test_plain_config_loads_in_the_installed_peft() -> None:
    from peft import LoraConfig

    plain = plain_config(full_config())
    assert LoraConfig(**plain).lora_alpha == 16


def test_scaling_follows_pefts_patterns() -> None:
    config = parse_config(
        full_config(rank_pattern={"layers.1.self_attn.q_proj": 2, "k_proj": 4}, alpha_pattern={"k_proj": 2}), "here"
    )
    assert config.scaling("model.layers.0.self_attn.q_proj") == 2.0
    assert config.scaling("model.layers.1.self_attn.q_proj") == 8.0
    assert config.scaling("model.layers.11.self_attn.q_proj") == 2.0
    assert config.scaling("model.layers.0.self_attn.k_proj") == 0.5
    rs = parse_config(full_config(use_rslora=True, r=16), "here")
    assert rs.scaling("model.layers.0.self_attn.q_proj") == 4.0


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ([], "object"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"peft_type": "LORA", "lora_alpha": 1}, "rank"),
        ({"peft_type": "LORA", "r": "many", "lora_alpha": 1}, "'r'"),
        ({"peft_type": "LORA", "r": 0, "lora_alpha": 1}, "below 1"),
    ],
)
def test_a_damaged_config_is_one_sentence(raw: Any, word: str) -> None:
    with pytest.raises(LeyloraError, match=word):
        parse_config(raw, "LORA/x/adapter_config.json")


@pytest.mark.parametrize("name", ["ley", "ley_2-final", "LORA", "a"])
def test_good_names(name: str) -> None:
    assert check_adapter_name(name) == name


@pytest.mark.parametrize("name", ["v0.1", "ley nueva", "año", "a/b", "", "law-np", ".."])
def test_names_the_webui_cannot_load(name: str) -> None:
    with pytest.raises(UsageError):
        check_adapter_name(name)
