"""Two architectures through data, training, merge, export and comparison, with a few steps each.

Llama's is Mistral's with another template; the recipe tests take it through the preflight.
"""

import json
from pathlib import Path

import pytest
import yaml

from leylora import combining, demo
from leylora.adapters.config import BASE_KEYS
from leylora.combining import Step, Training
from leylora.demo import Demo, write_closing_report
from leylora.errors import UsageError
from leylora.files import read_json, sha256_file
from leylora.training.record import RunRecord


@pytest.mark.slow
@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-falcon"])
def test_the_whole_job(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # One training through `accelerate launch` is enough here; starting processes takes longest.
    launches = iter([combining.accelerate_launch] if family == "tiny-mistral" else [])
    here = combining.in_this_process
    monkeypatch.setattr(combining, "accelerate_launch", lambda used: next(launches, lambda _: here)(used))
    Demo(family, quick=True).run()
    printed = capsys.readouterr().out
    assert "law on top, with replay" in printed

    lora = tmp_path / "LORA"
    made = {f"{family}-{name}" for name in ("instructions", "law", "law-on-top", "plain-merge", "combined")}
    assert {path.name for path in lora.iterdir()} == made  # no checkpoint, no half adapter
    for name in ("instructions", "law", "law-on-top"):
        folder = lora / f"{family}-{name}"
        record = RunRecord.model_validate(read_json(folder / "run.json"))
        assert record.quantized_fraction == 1.0
        assert record.adapter_sha256 == sha256_file(folder / "adapter_model.safetensors")
        assert record.steps == 4
        assert record.packing_efficiency is not None
        assert 0.5 < record.packing_efficiency <= 1.0
        assert (record.frozen_adapter is not None) == (name == "law-on-top")
        assert set(read_json(folder / "adapter_config.json")) == set(BASE_KEYS)
        assert {"README.md", "chat_template.jinja", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
        assert "{% generation %}" not in (folder / "chat_template.jinja").read_text("utf-8")
    assert read_json(lora / f"{family}-combined" / "adapter_config.json")["r"] == 32

    data = tmp_path / "data/build/demo" / family / "text-generation-webui/user_data"
    exported = {f"{family}-{name}" for name in ("instructions", "law", "combined")}
    assert {path.name for path in (data / "loras").iterdir()} == exported
    model = family.removeprefix("tiny-")
    presets = {f"leylora-{kind}.yaml" for kind in ("instructions", "law", "combined")}
    assert {path.name for path in (data / "presets").iterdir()} == presets
    template = f"leylora-{model}"
    content = yaml.safe_load((data / "instruction-templates" / f"{template}.yaml").read_text("utf-8"))
    assert content["instruction_template"]

    cells = json.loads((tmp_path / "data/build/demo" / family / "comparison.json").read_text("utf-8"))
    assert {(cell["variant"], cell["held_out"]) for cell in cells} == {
        (variant, skill)
        for variant in ("base", "instructions", "law", "plain-merge", "combined")
        for skill in ("law", "instructions")
    }

    if family == "tiny-mistral":
        page = write_closing_report([Demo(family, quick=True)])
        scores = read_json(page.parent / "scores.json")
        assert {name for name in ("base", "instructions", "law", "merged") if f'"{name}"' in json.dumps(scores)} == {
            "base",
            "instructions",
            "law",
            "merged",
        }
        assert "Ley Orgánica de Bibliotecas" in page.read_text("utf-8")

        hashes = {path: sha256_file(path) for path in lora.glob("*/adapter_model.safetensors")}
        Demo(family, quick=True).run()
        assert capsys.readouterr().out.count("kept from the last time") == 4
        assert {path: sha256_file(path) for path in lora.glob("*/adapter_model.safetensors")} == hashes


def test_a_pretrained_base_takes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    with pytest.raises(UsageError, match=r"holds no config\.json"):
        Demo("smollm2-135m", base_folder=tmp_path / "base")
    with pytest.raises(UsageError, match="The base of tiny-falcon is made here"):
        Demo("tiny-falcon", base_folder=tmp_path / "base")
    with pytest.raises(
        UsageError, match=r"no small model 'smollm2'; there are tiny-mistral, .*, qwen3-0\.6b, smollm2-135m"
    ):
        Demo("smollm2")
    (tmp_path / "base/config.json").write_text("{}", "utf-8")

    steps: list[Step] = []
    monkeypatch.setattr(demo, "do", lambda step, **_: steps.append(step))
    monkeypatch.setattr(demo, "compare_variants", lambda base, *rest, **_: [])
    monkeypatch.setattr(Demo, "export", lambda self: self.folder)
    job = Demo("smollm2-135m", base_folder=tmp_path / "base")
    job.run()
    trainings = [step.settings for step in steps if isinstance(step, Training)]
    assert [one["max_steps"] for one in trainings] == ["12", "12", "24"]
    assert {one["model_name_or_path"] for one in trainings} == {str(tmp_path / "base")} == {job.base}
    assert {one["instruction_template"] for one in trainings} == {"leylora-smollm2"}
    assert trainings[2]["frozen_adapter"] == str(job.lora("instructions"))
    assert Demo("smollm2-135m").base == "HuggingFaceTB/SmolLM2-135M-Instruct"
