"""The benchmark of GGUF types: turning a model round changes nothing, and the published table is the measured one."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from leylora.adapters.gguf import write_model
from leylora.files import read_json_object
from leylora.project import ROOT

gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")
pytest.importorskip("conversion")


@pytest.fixture(scope="module")
def drift(program: Callable[[Path], ModuleType]) -> ModuleType:
    return program(ROOT / "benchmarks" / "gguf_drift.py")


def test_a_model_turned_round_says_the_same(drift: ModuleType, tiny_base: Callable[[str], Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base("tiny-mistral"))  # six query heads and two key heads
    ids = torch.tensor([[5, 9, 30, 31, 7]])
    with torch.no_grad():
        before, weights = model(ids).logits, model.model.layers[0].self_attn.o_proj.weight.clone()
        drift.turn_round(model)
        assert float((model(ids).logits - before).abs().max()) < drift.SAME
    assert not torch.equal(model.model.layers[0].self_attn.o_proj.weight, weights)


def test_a_file_is_written_again_in_another_type(
    drift: ModuleType, tiny_base: Callable[[str], Path], tmp_path: Path
) -> None:
    write_model(tiny_base("tiny-mistral"), tmp_path / "whole.gguf", "f32")
    assert drift.requantize(tmp_path / "whole.gguf", tmp_path / "small.gguf", "Q8_0") == pytest.approx(8.5, abs=0.2)
    whole, small = (gguf.GGUFReader(tmp_path / f"{name}.gguf") for name in ("whole", "small"))
    assert set(whole.fields) - set(small.fields) <= {"general.file_type"}
    for one, other in zip(whole.tensors, small.tensors, strict=True):
        back = gguf.quants.dequantize(other.data, other.tensor_type)
        assert np.abs(back.reshape(-1) - one.data.reshape(-1)).max() <= 0.005 * np.abs(one.data).max()


def test_drift_is_nothing_between_equals_and_something_otherwise(drift: ModuleType) -> None:
    one, other = {1: -0.1, 2: -3.0}, {1: -2.0, 2: -0.3}
    assert drift.drift([one], [one], [1]) == {"divergence": pytest.approx(0), "loss": 0.0, "same": 1.0}
    found = drift.drift([one], [other], [1])
    assert found["divergence"] > 1
    assert found["loss"] == pytest.approx(1.9)
    assert found["same"] == 0


def test_the_published_table_is_the_measured_one() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    for row in read_json_object(ROOT / "benchmarks" / "gguf_drift.json")["types"]:
        line = f"| {row['type']} | {row['bytes'] / 2**20:.0f} | {row['bits_a_weight']:.1f} | {row['divergence']:.3f} |"
        assert line in text
        assert text.partition(line)[2].partition("\n")[0].endswith(f"| {100 * row['same']:.0f} |")
