"""What the user is told to click, in the webui's own words."""

from pathlib import Path

from leylora.webui.export import export
from leylora.webui.guide import next_steps

from .conftest import MakeAdapter


def test_the_steps_name_what_was_exported(webui: Path, lora_root: Path) -> None:
    steps = " ".join(next_steps(export(webui, ["mistral-7b-combined"], lora_root)))
    for label in (
        '"LoRA(s)": choose "mistral-7b-combined"',
        '"Apply LoRAs"',
        "Transformers",
        "mistralai/Mistral-7B",
        "mistralai_M",
    ):
        assert label in steps
    (webui / "user_data" / "models" / "my-Mistral-7B-v0.1").mkdir()
    steps = " ".join(next_steps(export(webui, ["mistral-7b-combined"], lora_root)))
    assert "Download" not in steps
    assert 'choose "my-Mistral-7B-v0.1"' in steps


def test_a_base_on_this_disk_is_copied_not_downloaded(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    (tmp_path / "models" / "tiny-base").mkdir(parents=True)
    make_adapter(lora_root / "tiny-law", base_model_name_or_path=str(tmp_path / "models" / "tiny-base"))
    steps = " ".join(next_steps(export(webui, ["tiny-law"], lora_root)))
    assert f"Copy the folder {tmp_path / 'models' / 'tiny-base'} into" in steps
    assert "Download" not in steps
    assert 'choose "tiny-base"' in steps
    assert '"See more options" > "LoRA(s)": choose "tiny-law"' in steps
    make_adapter(lora_root / "tiny-other")
    steps = " ".join(next_steps(export(webui, ["tiny-other", "deterministic"], lora_root)))
    assert '"Preset": "Deterministic"' in steps, "the name that the list shows"


def test_a_base_of_another_disk_is_not_downloaded(webui: Path, lora_root: Path, make_adapter: MakeAdapter) -> None:
    make_adapter(lora_root / "far-law", base_model_name_or_path="data/build/models/tiny-mistral")
    steps = " ".join(next_steps(export(webui, ["far-law"], lora_root)))
    assert "Copy the base model, data/build/models/tiny-mistral where the adapter was trained, into" in steps
    assert "Download" not in steps
    assert 'choose "tiny-mistral"' in steps


def test_every_adapter_has_a_preset_and_the_template_s_box_is_explained(
    webui: Path, lora_root: Path, make_adapter: MakeAdapter
) -> None:
    for name, preset in {
        "mistral-7b-law": "mistral-7b-law",
        "qwen3-8b-law": "leylora-law",
        "mistral-7b-combined-on-top": "leylora-combined",
        "llama-3.1-8b-instruct-instructions".replace(".", "-"): "leylora-instructions",
    }.items():
        if not (lora_root / name).exists():
            make_adapter(lora_root / name)
        done = export(webui, [name], lora_root)
        steps = " ".join(next_steps(done))
        assert f'"Preset": "{preset}"' in steps
        assert (webui / "user_data" / "presets" / f"{preset}.yaml").is_file()
        assert "is set with the model" in steps
        assert '"Saved instruction templates" says None' in steps
        assert 'again after every "Load"' in steps
