"""The quantisation benchmark at its smallest: every precision is measured, and with the model's own numbers."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, get_peft_model
from typer.testing import CliRunner

from leylora.errors import LeyloraError
from leylora.evaluation.backends import Continuation, LocalModel
from leylora.evaluation.results import Item
from leylora.models.load import load_base
from leylora.models.templates import instruction_template

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quantization.py"
TEMPLATE = instruction_template("leylora-mistral")
ITEMS = [
    Item(
        suite="spanish",
        id=f"g{n}",
        task="qa",
        ask="generate",
        cluster=f"g{n}",
        reference="Cierra los lunes.",
        messages=[{"role": "user", "content": f"¿Cuándo cierra el mercado {n}?"}],
    )
    for n in range(3)
] + [
    Item(
        suite="law",
        id=f"c{n}",
        task="multiple-choice",
        ask="choose",
        cluster=f"c{n}",
        reference="Dos días",
        messages=[{"role": "user", "content": f"¿Qué plazo fija la regla {n}?"}],
        options=["Un día", "Dos días"],
        correct=1,
        orders=[[0, 1], [1, 0]],
    )
    for n in range(2)
]


@pytest.fixture(scope="module")
def benchmark(program: Callable[[Path], ModuleType]) -> ModuleType:
    return program(SCRIPT)


@pytest.fixture(scope="module")
def base(tiny_base: Callable[[str], Path]) -> Path:
    return tiny_base("tiny-mistral")


@pytest.fixture(scope="module")
def rows(benchmark: ModuleType, base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("adapters") / "tiny-mistral-law"
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(folder)
    found: list[dict[str, Any]] = benchmark.measure(str(base), TEMPLATE, ITEMS, folder, max_new_tokens=4)
    return found


def test_every_precision_is_measured_with_the_adapter_and_without(
    benchmark: ModuleType, rows: list[dict[str, Any]]
) -> None:
    assert [(row["load"], bool(row["adapter"])) for row in rows] == [
        (precision, with_adapter) for precision in benchmark.PRECISIONS for with_adapter in (False, True)
    ]
    for row in rows:
        if "problem" in row:
            assert row["load"] == "int8"  # not every build of bitsandbytes has it for CPUs
            continue
        assert row["generated_per_second"] > 0
        assert row["scored_per_second"] > 0
        assert math.isfinite(row["bits_per_byte"])
        assert row["accuracy"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    sizes = {row["load"]: row["size_gib"] for row in rows if "problem" not in row}
    assert sizes["nf4-double"] <= sizes["nf4"] < sizes["16bit"]


def test_the_loss_is_the_models_own(benchmark: ModuleType, base: Path, rows: list[dict[str, Any]]) -> None:
    model = LocalModel(str(base), TEMPLATE, model=benchmark.load_as(str(base), "16bit"))
    spoken = [item for item in ITEMS if item.ask == "generate"]
    told = [one for one in model.likelihoods([Continuation(i.messages, i.reference) for i in spoken]) if one]
    size = sum(len(item.reference.encode()) for item in spoken)
    bits = -sum(one[0] for one in told) / math.log(2) / size
    assert rows[0]["bits_per_byte"] == pytest.approx(bits, rel=1e-5)
    assert rows[1]["bits_per_byte"] != pytest.approx(bits, rel=1e-3)  # the adapter acts


def test_double_quantisation_is_really_on_and_off(benchmark: ModuleType, base: Path) -> None:
    for precision, nested in (("nf4", {False}), ("nf4-double", {True})):
        modules = benchmark.load_as(str(base), precision).modules()
        assert {one.weight.quant_state.nested for one in modules if isinstance(one, Linear4bit)} == nested


def test_a_precision_that_cannot_be_loaded_leaves_a_sentence_and_the_others(
    benchmark: ModuleType, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = benchmark.load_as

    def load(name: str, precision: str) -> object:
        if precision == "int8":
            raise NotImplementedError("int8 has no CPU kernel\nand a page of reasons")
        return real(name, precision)

    monkeypatch.setattr(benchmark, "load_as", load)
    rows = benchmark.measure(str(base), TEMPLATE, ITEMS, precisions=["int8", "nf4"], max_new_tokens=4)
    assert [(row["load"], row.get("problem", "")) for row in rows] == [("int8", "int8 has no CPU kernel"), ("nf4", "")]
    with pytest.raises(LeyloraError, match="no CPU kernel"):
        benchmark.measure(str(base), TEMPLATE, ITEMS, precisions=["int8"])
    with pytest.raises(LeyloraError, match="needs questions"):
        benchmark.measure(str(base), TEMPLATE, ITEMS[:3])


def test_the_command_writes_table_and_file(benchmark: ModuleType, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "quantization.json"
    words = [str(base), "--precision", "nf4", "--limit", "4", "--out", str(out)]
    done = CliRunner().invoke(benchmark.app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert [row["load"] for row in json.loads(out.read_text("utf-8"))["rows"]] == ["nf4"]
    wrong = CliRunner().invoke(benchmark.app, [str(base), "--precision", "int3"])
    assert "no precision 'int3'" in str(wrong.exception)
