"""What only a CUDA GPU shows."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from leylora.files import write_jsonl
from leylora.training.config import parse
from leylora.training.sft import run

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-llama-2", "tiny-falcon"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_run_in_either_half_precision_learns(
    tiny_base: Callable[[str], Path], tmp_path: Path, family: str, precision: str
) -> None:
    """fp16 dies at the first step when adapters are in bf16, as TRL leaves them."""
    rows = [
        {"messages": [{"role": "user", "content": f"¿Cuánto es {n}?"}, {"role": "assistant", "content": f"Es {n}."}]}
        for n in range(64)
    ]
    for split in ("train", "validation"):
        write_jsonl(tmp_path / "data" / f"{split}.jsonl", rows)
    other = "bf16" if precision == "fp16" else "fp16"
    words = [
        "--model",
        family,
        "--adapter",
        "instructions",
        "--model_name_or_path",
        str(tiny_base(family)),
        "--dataset_name",
        str(tmp_path / "data"),
        "--output_dir",
        str(tmp_path / "out"),
        "--use_cpu",
        "false",
        f"--{precision}",
        "true",
        f"--{other}",
        "false",
        "--max_steps",
        "20",
        "--logging_steps",
        "1",
    ]
    record = run(parse(words), words)
    losses = [point.loss for point in record.log if point.loss is not None]
    assert losses[-1] < losses[0]
    assert record.quantized_fraction == 1.0
    assert record.device != "cpu"
