"""Two CPU processes (gloo) train what one process trains: the same rows, losses and adapter."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from leylora.adapters.files import open_adapter
from leylora.errors import UsageError
from leylora.files import read_json, write_jsonl
from leylora.project import ROOT
from leylora.training import checks
from leylora.training.adapter import whole_weights
from leylora.training.config import parse
from leylora.training.distributed import use_all_cores
from leylora.training.record import RunRecord
from leylora.training.sft import run

TOLERANCE = 1e-5  # of losses
# Adam moves a weight by the learning rate whatever the size of its gradient, so that one that is nearly zero and is
# summed in another order may differ by more; seen: 0 on one kind of CPU, 1.8e-5 on another.
WEIGHT_TOLERANCE = 1e-4
WORDS = ["ley", "plazo", "multa", "norma", "juez", "parte", "recurso", "derecho", "orden", "mes", "sentencia"]


@dataclass(frozen=True)
class Reference:
    """The one-process run that the others are compared with."""

    words: list[str]
    record: RunRecord
    folder: Path


@pytest.fixture(scope="module")
def reference(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("runs")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"¿Qué dice {WORDS[number % 11]} {number}?"},
                {"role": "assistant", "content": " ".join(WORDS[: 1 + number % 11]) + "."},
            ]
        }
        for number in range(40)
    ]
    write_jsonl(folder / "data" / "train.jsonl", rows[:33])  # packed into an odd number of rows
    write_jsonl(folder / "data" / "validation.jsonl", rows[33:])
    words = [
        "--model",
        "tiny-mistral",
        "--adapter",
        "instructions",
        "--model_name_or_path",
        str(tiny_base("tiny-mistral")),
        "--dataset_name",
        str(folder / "data"),
        "--max_length",
        "96",
        "--max_steps",
        "4",
        "--logging_steps",
        "1",
        "--bnb_4bit_quant_storage",
        "float32",
    ]
    single = [*words, "--gradient_accumulation_steps", "2", "--output_dir", str(folder / "one")]
    return Reference(words, run(parse(single), single), folder)


def launch(command: Sequence[str], words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command, *words, "--gradient_accumulation_steps", "1"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def same_as_one_process(reference: Reference, folder: Path) -> None:
    one, two = reference.record, RunRecord.model_validate(read_json(folder / "run.json"))
    assert (two.processes, two.steps, two.tokens) == (2, one.steps, one.tokens)
    losses = [(point.loss, point.grad_norm) for point in one.log if point.loss is not None]
    assert len(losses) == 4
    for expected, found in zip(losses, [(p.loss, p.grad_norm) for p in two.log if p.loss is not None], strict=True):
        assert found == pytest.approx(expected, rel=TOLERANCE)
    assert two.eval_loss == pytest.approx(one.eval_loss, rel=TOLERANCE)
    whole, expected_adapter = open_adapter(folder), open_adapter(reference.folder / "one")
    assert list(whole.modules) == list(expected_adapter.modules)
    for module in whole.modules:
        for found_factor, factor in zip(whole.factors(module), expected_adapter.factors(module), strict=True):
            assert torch.allclose(found_factor, factor, atol=WEIGHT_TOLERANCE)


def test_two_processes_give_the_losses_of_one(reference: Reference) -> None:
    out = reference.folder / "two"
    command = ["accelerate.commands.launch", "--config_file", "train/accelerate/ddp.yaml", "--main_process_port", "0"]
    done = launch([*command, "train/sft.py"], [*reference.words, "--output_dir", str(out)])
    assert done.returncode == 0, done.stderr
    same_as_one_process(reference, out)
    assert done.stdout.count("held-out loss") == 1, "only rank 0 prints"
    assert "find_unused_parameters" not in done.stderr


def test_fsdp_splits_a_4bit_model_and_saves_a_whole_adapter(reference: Reference) -> None:
    """And when a process fails, the launcher ends the other and one sentence says why."""
    out = reference.folder / "split"
    words = [*reference.words, "--output_dir", str(out), "--save_strategy", "steps", "--save_steps", "3"]
    settings = {"VERSION": "2", "AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP", "STATE_DICT_TYPE": "FULL_STATE_DICT"}
    environment = {"ACCELERATE_USE_FSDP": "true", **{f"FSDP_{key}": value for key, value in settings.items()}}
    script = str(Path(__file__).with_name("fsdp_on_cpu.py"))
    done = launch(["torch.distributed.run", "--standalone", "--nproc_per_node", "2", script], words, **environment)
    assert done.returncode == 1, done.stderr
    same_as_one_process(reference, out)
    assert done.stderr.count("The run is over.") == 1
    assert done.stderr.count("error: Only rank 1 failed.") == 1
    assert done.stderr.count("error: ") == 1, done.stderr


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ([], r"stored in the dtype they are multiplied in, float32, .* is bfloat16; add --bnb_4bit_quant_storage flo"),
        (["--bnb_4bit_quant_storage", "float32", "--optim", "paged_adamw_8bit"], "add --optim adamw_torch"),
    ],
)
def test_settings_that_sharded_training_cannot_work_with(
    monkeypatch: pytest.MonkeyPatch, extra: list[str], sentence: str
) -> None:
    words = ["--model", "tiny-mistral", "--adapter", "law", "--bnb_4bit_quant_storage", "bfloat16", *extra]
    arguments = parse(words)
    checks.processes(arguments)  # nothing is split
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(UsageError, match=sentence):
        checks.processes(arguments)


def test_zero3_wants_reentrant_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--model", "tiny-mistral", "--adapter", "law", "--bnb_4bit_quant_storage", "float32"]
    words += ["--gradient_checkpointing", "true"]
    monkeypatch.setattr(checks, "uses_zero3", lambda: True)
    checks.processes(parse([*words, "--gradient_checkpointing_kwargs", '{"use_reentrant":true}']))
    with pytest.raises(UsageError, match=r"Selective checkpointing does not work .* '\{\"use_reentrant\":true\}'"):
        checks.processes(parse([*words, "--gradient_checkpointing_kwargs", '{"selective":true}']))
    with pytest.raises(UsageError, match="DeepSpeed ZeRO-3 can only split 4-bit weights"):
        checks.processes(parse(words[:2]))


def test_fsdp_version_1_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = parse(["--model", "tiny-mistral", "--adapter", "law", "--load_in_4bit", "false"])
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    with pytest.raises(UsageError, match="fsdp_version: 2"):
        checks.processes(arguments)


def test_only_the_trained_adapter_is_gathered() -> None:
    model = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 2), "frozen": torch.nn.Linear(2, 2)})
    outer = torch.nn.Module()
    outer.add_module("lora_A", model)
    assert list(whole_weights(outer)) == ["lora_A.default.weight", "lora_A.default.bias"]


@pytest.mark.parametrize(
    ("environment", "launcher", "threads"),
    [
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}, b"HOME=/root\0", "all"),
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}, b"OMP_NUM_THREADS=1\0HOME=/root", "1"),
        ({"OMP_NUM_THREADS": "1"}, b"HOME=/root", "1"),
        ({"OMP_NUM_THREADS": "3", "ACCELERATE_MIXED_PRECISION": "no"}, b"HOME=/root", "3"),
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no", "WORLD_SIZE": "2"}, b"HOME=/root", "1"),
    ],
)
def test_all_cores_are_used_where_nobody_chose(
    environment: dict[str, str], launcher: bytes, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("OMP_NUM_THREADS", "ACCELERATE_MIXED_PRECISION", "WORLD_SIZE"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "environ").write_bytes(launcher)
    use_all_cores(tmp_path / "environ")
    assert os.environ["OMP_NUM_THREADS"] == (str(len(os.sched_getaffinity(0))) if threads == "all" else threads)
