"""What may be exported, what is refused and why."""

import json
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.models.templates import instruction_template, served_template
from leylora.webui.artifacts import adapter_artifact, collect, template_of
from leylora.webui.export import export

from .conftest import MakeAdapter


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["nothing", "..", "../../etc", "leylora-mistral.yaml", ""])
def test_unknown_names_list_the_known(webui: Path, lora_root: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"There is no adapter .*mistral-7b-law"):
        export(webui, [name], lora_root)


def test_a_path_to_an_adapter_is_a_name_too(webui: Path, lora_root: Path, make_adapter: MakeAdapter) -> None:
    elsewhere = make_adapter(lora_root.parent / "elsewhere" / "my_adapter")
    assert [found.name for found in collect([f"{elsewhere}/"], lora_root) if found.kind == "adapter"] == ["my_adapter"]
    dotted = make_adapter(lora_root.parent / "elsewhere" / "mistral-v0.1-es")
    with pytest.raises(UsageError, match="no adapter name that text-generation-webui can load"):
        export(webui, [str(dotted)], lora_root)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"use_dora": True}, "plain|DoRA|dora"),
        ({"use_rslora": True}, "use_rslora would be lost"),
        ({"init_lora_weights": "pissa"}, "changed the base weights"),
        ({"r": 8}, "has rank 4"),
    ],
)
def test_an_adapter_that_would_not_be_the_same_is_refused(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter, config: dict[str, object], reason: str
) -> None:
    make_adapter(lora_root / "odd", **config)
    before = snapshot(webui)
    with pytest.raises(LeyloraError, match=reason):
        export(webui, ["odd"], lora_root)
    assert snapshot(webui) == before


def test_weights_that_would_do_nothing_are_refused(webui: Path, lora_root: Path, make_adapter: MakeAdapter) -> None:
    make_adapter(lora_root / "odd", prefix="")
    with pytest.raises(LeyloraError, match="no effect"):
        export(webui, ["odd"], lora_root)
    (lora_root / "mistral-7b-law" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(LeyloraError, match="damaged"):
        export(webui, ["mistral-7b-law"], lora_root)


def test_target_modules_become_a_list(lora_root: Path, make_adapter: MakeAdapter) -> None:
    folder = make_adapter(lora_root / "odd", target_modules=r".*\.(q|v)_proj")
    text = adapter_artifact(folder).files["adapter_config.json"]
    assert json.loads(str(text))["target_modules"] == [
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.self_attn.v_proj",
    ]


def test_how_the_template_of_an_adapter_is_found(lora_root: Path) -> None:
    folder = lora_root / "mistral-7b-law"
    assert template_of(folder, {"base_model_name_or_path": "x/Falcon-7B"}) == "leylora-falcon"
    assert template_of(folder, {"base_model_name_or_path": "m/Mistral-7B-Instruct-v0.3"}) == (
        "leylora-mistral-instruct-v0.3"
    )
    assert template_of(folder, {"base_model_name_or_path": "x/unheard-of"}) is None
    (folder / "chat_template.jinja").write_text(served_template(instruction_template("leylora-llama-2")) + "\n")
    assert template_of(folder, {"base_model_name_or_path": "x/Falcon-7B"}) == "leylora-llama-2"
    (folder / "run.json").write_text(json.dumps({"instruction_template": "leylora-qwen3"}))
    assert template_of(folder, {}) == "leylora-qwen3"
