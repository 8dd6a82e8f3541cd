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
    steps = " ".join(next_steps(export(webui, ["tiny-law", "deterministic"], lora_root)))
    assert f"Copy the folder {tmp_path / 'models' / 'tiny-base'} into" in steps
    assert "Download" not in steps
    assert 'choose "tiny-base"' in steps
    assert '"Preset": "Deterministic"' in steps, "the name that the list shows"
    assert '"See more options" > "LoRA(s)": choose "tiny-law"' in steps
