"""The checker: each way an adapter, preset or template can fail in an installation, planted."""

import json
from pathlib import Path
from typing import Any

import pytest

from leylora.webui.check import ArtifactVerdict, check_adapter, check_install
from leylora.webui.export import export

from .conftest import MakeAdapter


def verdicts(webui: Path) -> dict[str, ArtifactVerdict]:
    return {f"{verdict.kind} {verdict.name}": verdict for verdict in check_install(webui)}


def test_everything_we_export_passes(webui: Path, lora_root: Path) -> None:
    export(webui, lora_root=lora_root)
    found = check_install(webui)
    assert len(found) > 15
    assert not [verdict for verdict in found if verdict.faults]
    assert {v.loader for v in found if v.kind == "adapter"} == {"Transformers"}


def test_adapters_that_would_not_load(webui: Path, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    loras = webui / "user_data" / "loras"
    make_adapter(loras / "good")
    make_adapter(loras / "mistral-7b-v0.1-es")
    make_adapter(loras / "hidden-np")
    make_adapter(loras / "no-effect", prefix="model.")
    make_adapter(loras / "wrong-rank", r=16)
    (make_adapter(loras / "empty") / "adapter_model.safetensors").write_bytes(b"")
    (make_adapter(loras / "damaged") / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    (make_adapter(loras / "weightless") / "adapter_model.safetensors").unlink()
    (make_adapter(loras / "no-config") / "adapter_config.json").unlink()
    (make_adapter(loras / "bad-config") / "adapter_config.json").write_text("{")
    pickled = make_adapter(loras / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    (loras / "old.gguf").write_bytes(b"GGUF")
    (loras / "link").symlink_to(tmp_path / "gone")
    found = {name.removeprefix("adapter "): v for name, v in verdicts(webui).items() if v.kind == "adapter"}
    assert not found["good"].faults
    assert not found["pickled"].faults
    assert "pickle" in found["pickled"].remarks[0]
    for name, reason in {
        "mistral-7b-v0.1-es": "not an adapter name",
        "hidden-np": "does not list",
        "no-effect": "nothing changes",
        "wrong-rank": "has rank 4, the config says 16",
        "empty": "0 bytes",
        "damaged": "damaged",
        "weightless": "no adapter_model.safetensors",
        "no-config": "does not exist",
        "bad-config": "not JSON",
        "old.gguf": "no longer loaded",
        "link": "broken link",
    }.items():
        assert reason in found[name].faults[0], name


@pytest.mark.parametrize(
    ("peft", "loads"),
    [("0.4", True), ("0.5", True), ("0.6", False), ("0.12", False), ("0.13", False), ("0.14", True), ("0.18", True)],
)
def test_config_keys_against_the_install_s_peft(webui: Path, make_adapter: MakeAdapter, peft: str, loads: bool) -> None:
    (webui / "requirements" / "full").mkdir(parents=True)
    (webui / "requirements" / "full" / "requirements.txt").write_text(f"peft=={peft}.*\n")
    make_adapter(webui / "user_data" / "loras" / "untrimmed")
    faults = verdicts(webui)["adapter untrimmed"].faults
    assert (not faults) is loads
    if faults:
        assert "peft_version" in faults[0]


def test_half_a_pair_and_no_lora_at_all(tmp_path: Path, make_adapter: MakeAdapter) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    folder = make_adapter(tmp_path / "half")
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    save_file({key: np.zeros((4, 16), np.float32)}, folder / "adapter_model.safetensors")
    assert "only one of its two factors" in check_adapter(folder).faults[0]
    save_file({"weight": np.zeros(3)}, folder / "adapter_model.safetensors")
    assert "no LoRA factors" in check_adapter(folder).faults[0]


def write(
    folder: Path, *, layers: int = 2, width: int = 16, factor: float = 1.0, drop: str = "-", kind: str = "F32"
) -> None:
    """Weights of q_proj and v_proj in some layers, without those whose name ends with ``drop``."""
    import numpy as np

    names = [f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(layers) for part in "qv"]
    header, data = {}, b""
    for name in names:
        for letter, shape in (("A", (4, width)), ("B", (width, 4))):
            if f"{name}.".endswith(f"{drop}."):
                continue
            values = np.full(shape, factor if letter == "B" else 1.0, np.float32)
            raw = values.tobytes() if kind == "F32" else (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
            key = f"base_model.model.{name}.lora_{letter}.weight"
            header[key] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
            data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.fixture
def base(webui: Path) -> Path:
    """The base model of the adapters in an installation: two layers, 16 wide."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = webui / "user_data" / "models" / "mistralai_Mistral-7B-v0.1"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    names = [f"model.layers.{layer}.self_attn.{part}_proj.weight" for layer in (0, 1) for part in "qv"]
    save_file({name: np.zeros((16, 16), np.float32) for name in names}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("with_base", [True, False])
@pytest.mark.parametrize(
    ("options", "reason", "only_with_base"),
    [
        ({}, "", False),
        ({"kind": "BF16"}, "", False),
        ({"factor": float("nan")}, "NaN or infinity", False),
        ({"factor": float("inf"), "kind": "BF16"}, "NaN or infinity", False),
        ({"factor": 0.0}, "all factors B are zero", False),
        ({"factor": -0.0, "kind": "BF16"}, "all factors B are zero", False),
        ({"drop": "0.self_attn.v_proj"}, "v_proj has no weights in layer 0", False),
        ({"drop": ".v_proj"}, "targets v_proj, for which there are no weights", False),
        ({"layers": 1}, "q_proj has no weights in layer 1", True),
        ({"layers": 3}, "has no module model.layers.2", True),
        ({"width": 32}, "is 32 x 32, in mistralai_Mistral-7B-v0.1 16 x 16", True),
    ],
)
def test_weights_that_load_and_do_not_do_what_they_say(
    webui: Path,
    base: Path,
    make_adapter: MakeAdapter,
    with_base: bool,
    options: dict[str, Any],
    reason: str,
    only_with_base: bool,
) -> None:
    if not with_base:
        (base / "model.safetensors").unlink()
    write(make_adapter(webui / "user_data" / "loras" / "mine"), **options)
    verdict = verdicts(webui)["adapter mine"]
    if not reason or (only_with_base and not with_base):
        assert not verdict.faults
    else:
        assert reason in verdict.faults[0]
    told = "compared with mistralai_Mistral-7B-v0.1" if with_base else "not here to compare with"
    assert told in verdict.remarks[0]


def test_layers_left_out_on_purpose_are_no_fault(webui: Path, base: Path, make_adapter: MakeAdapter) -> None:
    write(make_adapter(webui / "user_data" / "loras" / "first", layers_to_transform=[0]), layers=1)
    assert not verdicts(webui)["adapter first"].faults


def test_targets_of_another_architecture(webui: Path, make_adapter: MakeAdapter) -> None:
    make_adapter(webui / "user_data" / "loras" / "mine", target_modules=["query_key_value"])
    assert "targets query_key_value" in verdicts(webui)["adapter mine"].faults[0]


def test_presets_and_templates_that_would_not_work(webui: Path) -> None:
    data = webui / "user_data"
    (data / "presets" / "broken.yaml").write_text("- a")
    (data / "presets" / "unlisted.yml").write_text("top_k: 2")
    (data / "presets" / "latin.yaml").write_bytes("# año\ntop_k: 2".encode("latin-1"))
    (data / "instruction-templates" / "broken.yaml").write_text("instruction_template: '{% if %}'")
    (data / "instruction-templates" / "newer.jinja").write_text(
        "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}"
    )
    (data / "instruction-templates" / "latin.yaml").write_bytes("instruction_template: 'ñ'".encode("latin-1"))
    found = verdicts(webui)
    assert "status 500" in found["preset broken"].faults[0]
    assert "rename it to .yaml" in found["preset unlisted.yml"].faults[0]
    assert "not UTF-8" in found["preset latin"].faults[0]
    assert "status 500" in found["template broken"].faults[0]
    assert "not UTF-8" in found["template latin"].faults[0]
    assert "since v4.7" in found["template newer"].remarks[-1]
    assert not found["preset Deterministic"].faults


def test_a_portable_build_loads_no_adapter(webui: Path, make_adapter: MakeAdapter) -> None:
    (webui / "portable_env").mkdir()
    make_adapter(webui / "user_data" / "loras" / "good")
    verdict = verdicts(webui)["adapter good"]
    assert verdict.loader == "none"
    assert "portable build" in verdict.faults[0]


def test_keys_of_the_release_itself_are_no_fault(tmp_path: Path, make_adapter: MakeAdapter) -> None:
    folder = make_adapter(tmp_path / "dora", use_dora=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    del config["peft_version"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    assert not check_adapter(folder, (0, 12)).faults
    assert "use_dora" in check_adapter(folder, (0, 8)).faults[0]
