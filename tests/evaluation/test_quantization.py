import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from typer.testing import CliRunner

from leylora.errors import LeyloraError, UsageError
from leylora.evaluation import quantization
from leylora.evaluation.local import LocalModel
from leylora.evaluation.quantization import PRECISIONS, Precision, QuantizationReport, load_as, measure
from leylora.evaluation.quantization_run import run, table
from leylora.evaluation.results import Item
from leylora.models.load import load_base
from leylora.models.templates import instruction_template

TEMPLATE = instruction_template("leylora-mistral")
ITEMS = [
    Item(suite="spanish", id=f"g{n}", task="qa", ask="generate", cluster=f"g{n}", reference="Cierra los lunes.",
         messages=[{"role": "user", "content": f"¿Cuándo cierra el mercado {n}?"}])
    for n in range(3)
] + [
    Item(suite="law", id=f"c{n}", task="multiple-choice", ask="choose", cluster=f"c{n}", reference="Dos días",
         messages=[{"role": "user", "content": f"¿Qué plazo fija la regla {n}?"}], options=["Un día", "Dos días"],
         correct=1, orders=[[0, 1], [1, 0]])
    for n in range(2)
]  # fmt: skip


@pytest.fixture(scope="module")
def base(tiny_base: Callable[[str], Path]) -> Path:
    return tiny_base("tiny-mistral")


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "tiny-mistral-law"
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(load_base(str(base), compute_dtype=torch.float32), config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def report(base: Path, adapter: Path) -> QuantizationReport:
    return measure(str(base), TEMPLATE, ITEMS, adapter, max_new_tokens=4)


def test_every_precision_is_measured_with_the_adapter_and_without(report: QuantizationReport) -> None:
    assert [(row.load, row.adapter) for row in report.rows] == [
        (precision, name) for precision in PRECISIONS for name in (None, "tiny-mistral-law")
    ]
    for row in report.rows:
        if row.problem:
            assert row.load == "int8"  # which not every build of bitsandbytes has for CPUs
            continue
        assert row.generated_per_second is not None
        assert row.scored_per_second is not None
        assert row.bits_per_byte is not None
        assert math.isfinite(row.bits_per_byte)
        assert row.accuracy in (0.0, 0.25, 0.5, 0.75, 1.0)


def test_fewer_bits_are_smaller(report: QuantizationReport) -> None:
    sizes = {row.load: row.size_gib for row in report.rows if row.size_gib is not None}
    assert sizes["nf4-double"] <= sizes["nf4"] < sizes["16bit"]


def test_the_loss_is_the_models_own(base: Path, report: QuantizationReport) -> None:
    model = LocalModel(str(base), TEMPLATE, model=load_as(str(base), "16bit"))
    from leylora.evaluation.asking import Continuation

    spoken = [item for item in ITEMS if item.ask == "generate"]
    told = [one for one in model.likelihoods([Continuation.of(i.messages, i.reference) for i in spoken]) if one]
    size = sum(len(item.reference.encode()) for item in spoken)
    bits = -sum(one.logprob for one in told) / math.log(2) / size
    assert report.rows[0].bits_per_byte == pytest.approx(bits, rel=1e-5)
    assert report.rows[1].bits_per_byte != pytest.approx(bits, rel=1e-3)  # the adapter acts


def test_double_quantisation_is_really_on_and_off(base: Path) -> None:
    def nested(precision: Precision) -> set[bool]:
        from bitsandbytes.nn import Linear4bit

        return {
            module.weight.quant_state.nested
            for module in load_as(str(base), precision).modules()
            if isinstance(module, Linear4bit)
        }

    assert nested("nf4") == {False}
    assert nested("nf4-double") == {True}


def test_a_precision_that_cannot_be_loaded_leaves_a_sentence_and_the_others(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load_as

    def load(name: str, precision: Precision) -> object:
        if precision == "int8":
            raise NotImplementedError("int8 has no CPU kernel\nand a page of reasons")
        return real(name, precision)

    monkeypatch.setattr(quantization, "load_as", load)
    report = measure(str(base), TEMPLATE, ITEMS, precisions=["int8", "nf4"], max_new_tokens=4)
    assert [(row.load, row.problem) for row in report.rows] == [("int8", "int8 has no CPU kernel"), ("nf4", "")]
    assert table(report).row_count == 2
    with pytest.raises(LeyloraError, match="no CPU kernel"):
        measure(str(base), TEMPLATE, ITEMS, precisions=["int8"])


def test_without_questions_nothing_is_loaded(base: Path) -> None:
    with pytest.raises(LeyloraError, match="needs questions"):
        measure(str(base), TEMPLATE, ITEMS[:3])


def test_an_unknown_precision_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no precision 'int3'"):
        run("data/nothing", None, ["int3"], 8, tmp_path, 0)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_table_and_file(base: Path, tmp_path: Path) -> None:
    import importlib.util

    from leylora.project import ROOT

    spec = importlib.util.spec_from_file_location("quantization_script", ROOT / "scripts" / "quantization.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    done = CliRunner().invoke(
        script.app, [str(base), "--precision", "nf4", "--limit", "4", "--out", str(tmp_path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    written = QuantizationReport.model_validate_json((tmp_path / "quantization.json").read_text("utf-8"))
    assert [row.load for row in written.rows] == ["nf4"]
    assert (written.choices, written.references) == (4, 4)
