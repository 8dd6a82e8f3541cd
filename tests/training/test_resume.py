"""A killed run resumes as if it had never been interrupted, or says why it cannot."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainerState

from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json, sha256_file, write_jsonl
from leylora.models.families import FAMILIES
from leylora.models.load import load_base, load_tokenizer
from leylora.models.templates import instruction_template, training_template
from leylora.project import ROOT
from leylora.training.adapter import attach
from leylora.training.config import Arguments, parse
from leylora.training.data import lengths, prepare
from leylora.training.record import RunRecord
from leylora.training.resume import COMPLETE, checkpoints, fault_of, find_checkpoint, seal, what_changed
from leylora.training.sft import run
from leylora.training.trainer import LoraTrainer, build_trainer


def conversation(n: int) -> dict[str, Any]:
    answer = f"Es {2 * n}. " + "Así es. " * (n % 7)
    return {
        "id": f"fila-{n}",
        "messages": [{"role": "user", "content": f"¿{n} y {n}?"}, {"role": "assistant", "content": answer}],
    }


@pytest.fixture(scope="module")
def place(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base model, rows, and an adapter to train over."""
    folder = tmp_path_factory.mktemp("resume")
    shutil.copytree(tiny_base("tiny-mistral"), folder / "base")
    write_jsonl(folder / "data" / "train.jsonl", [conversation(n) for n in range(36)])
    write_jsonl(folder / "data" / "validation.jsonl", [conversation(n) for n in range(40, 46)])
    model = attach(load_base(str(folder / "base"), compute_dtype=torch.float32), arguments(folder), FAMILIES["mistral"])
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    model.save_pretrained(folder / "LORA" / "below")
    return folder


def words(folder: Path, name: str, *more: str) -> list[str]:
    """A command line whose run needs all that a checkpoint holds: dropout's random state, momentum, several epochs."""
    return [
        "--model",
        "tiny-mistral",
        "--model_name_or_path",
        str(folder / "base"),
        "--dataset_name",
        str(folder / "data"),
        "--output_dir",
        str(folder / "LORA" / name),
        "--max_length",
        "128",
        "--lora_dropout",
        "0.1",
        "--gradient_accumulation_steps",
        "2",
        "--logging_steps",
        "3",
        "--max_steps",
        "10",
        "--eval_strategy",
        "no",
        "--save_strategy",
        "steps",
        "--save_steps",
        "2",
        *more,
    ]


def arguments(folder: Path, *more: str) -> Arguments:
    return parse(words(folder, "run", *more))


def go(folder: Path, name: str, *more: str) -> RunRecord:
    line = words(folder, name, "--frozen_adapter", str(folder / "LORA" / "below"), *more)
    return run(parse(line), line)


def kill_while_it_saves_step_6(folder: Path) -> Path:
    """Start a real run and SIGKILL it in the middle of writing its third checkpoint; give the work folder.

    A named pipe in the place of a checkpoint's file holds the process there, because nothing reads from it.
    """
    work = folder / "LORA" / ".killed.run"
    line = words(folder, "killed", "--frozen_adapter", str(folder / "LORA" / "below"), "--dataset_num_proc", "1")
    process = subprocess.Popen([sys.executable, str(ROOT / "train" / "sft.py"), *line], stderr=subprocess.PIPE)
    try:
        wait_for(work / "asked.json", process)
        with pytest.raises(LeyloraError, match=r"\.killed\.run is still going on, .*; wait for it or end its process"):
            go(folder, "killed", "--resume_from_checkpoint", "true")
        (work / "checkpoint-6").mkdir()
        os.mkfifo(work / "checkpoint-6" / "optimizer.pt")
        wait_for(work / "checkpoint-6" / "adapter_model.safetensors", process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    (work / "checkpoint-6" / "optimizer.pt").unlink()
    return work


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)


def test_a_killed_run_resumes_bit_for_bit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = kill_while_it_saves_step_6(place)
    assert not (place / "LORA" / "killed").exists()
    with pytest.raises(
        UsageError, match=r"interrupted; .*step 6.*--resume_from_checkpoint true to go on, or --overwrite"
    ):
        go(place, "killed")
    refused_when_something_changed(place)

    capsys.readouterr()
    resumed = go(place, "killed", "--resume_from_checkpoint", "true", "--dataset_num_proc", "2", "--sample_every", "4")
    told = capsys.readouterr().err
    assert "checkpoint of step 6 was cut off while it was written; going back to the one before" in told
    assert "Going on from step 4." in told
    assert not work.exists()

    whole = go(place, "whole", "--dataset_num_proc", "1")
    assert (whole.resumed_from_step, resumed.resumed_from_step) == (None, 4)
    assert [point.step for point in whole.log] == [2, 3, 4, 6, 8, 9, 10]
    assert resumed.log == whole.log
    assert (resumed.train_loss, resumed.tokens) == (whole.train_loss, whole.tokens)
    assert resumed.adapter_sha256 == whole.adapter_sha256
    assert {sample.step for sample in resumed.samples} == {8, 10}  # and asking them disturbed nothing


def refused_when_something_changed(place: Path) -> None:
    again = ("--resume_from_checkpoint", "true")
    asked = place / "LORA" / ".killed.run" / "asked.json"
    before = sha256_file(asked)
    with pytest.raises(
        LeyloraError, match=r"this changed since the run began: learning_rate \(0.01 before, 0.02 now\)"
    ):
        go(place, "killed", *again, "--learning_rate", "0.02")
    with pytest.raises(LeyloraError, match=r"began: lora_r \(16 before, 8 now\); max_length \(128 before, 64 now\)"):
        go(place, "killed", *again, "--lora_r", "8", "--max_length", "64")
    for path, name in [
        (place / "data" / "train.jsonl", "the training conversations"),
        (place / "base" / "model.safetensors", "the base model"),
        (place / "base" / "tokenizer.json", "the base model's tokenizer"),
        (place / "LORA" / "below" / "adapter_model.safetensors", "the frozen adapter"),
    ]:
        kept = path.read_bytes()
        path.write_bytes(altered(path.name, kept))
        with pytest.raises(LeyloraError, match=f"this changed since the run began: {name}[.;]"):
            go(place, "killed", *again)
        path.write_bytes(kept)
    assert sha256_file(asked) == before


def altered(name: str, content: bytes) -> bytes:
    if name == "train.jsonl":
        return content.replace(b"Es 8. ", b"Es 9. ")
    if name == "tokenizer.json":
        tokenizer = json.loads(content)
        tokenizer["model"]["merges"].pop()
        return json.dumps(tokenizer).encode()
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.fixture
def trainer(place: Path, tmp_path: Path) -> Callable[..., LoraTrainer]:
    """``trainer("--key", "value")``: a trainer without a frozen adapter, whose work folder is tmp_path/work."""

    def make(*more: str) -> LoraTrainer:
        asked = arguments(place, *more)
        tokenizer = load_tokenizer(str(place / "base"))
        rows = prepare(asked, tokenizer, training_template(instruction_template("leylora-mistral"))).train
        base = load_base(str(place / "base"), compute_dtype=torch.float32, attn_implementation="sdpa")
        return build_trainer(attach(base, asked, FAMILIES["mistral"]), tokenizer, rows, None, asked, tmp_path / "work")

    return make


@pytest.mark.parametrize(
    ("file", "said"), [("optimizer.pt", "the disk may be full"), ("trainer_state.json", "the disk is full")]
)
def test_a_full_disk_stops_the_run_and_spares_the_last_checkpoint(
    trainer: Callable[..., LoraTrainer], tmp_path: Path, file: str, said: str
) -> None:
    """Writing to /dev/full fails as on a disk without space, in the very system call."""

    class NoSpace(TrainerCallback):
        def on_step_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                (tmp_path / "work" / "checkpoint-4").mkdir()
                (tmp_path / "work" / "checkpoint-4" / file).symlink_to("/dev/full")

    built = trainer("--save_total_limit", "1")
    built.add_callback(NoSpace())
    with pytest.raises(LeyloraError, match=rf"step 4 could not be written .*{said}.*checkpoint of step 2 is intact"):
        built.run(None)
    (left,) = checkpoints(tmp_path / "work")
    assert (left.name, fault_of(left)) == ("checkpoint-2", None)


def test_a_run_cut_off_after_its_last_step_only_has_to_be_saved(
    trainer: Callable[..., LoraTrainer], tmp_path: Path
) -> None:
    first = trainer("--max_steps", "3", "--save_total_limit", "2")
    first.run(None)
    assert [path.name for path in checkpoints(tmp_path / "work")] == ["checkpoint-2", "checkpoint-3"]
    files = {path.name for path in (tmp_path / "work" / "checkpoint-3").iterdir()}
    assert COMPLETE in files
    assert "training_args.bin" not in files  # a pickle of everything, which is never read
    second = trainer("--max_steps", "3")
    second.run(tmp_path / "work" / "checkpoint-3")
    assert second.state.log_history == first.state.log_history[:-1]  # all but the speed of the whole
    for name, parameter in first.model.named_parameters():
        assert torch.equal(parameter, second.model.get_parameter(name)), name


def test_optimizer_state_that_was_paged_is_ordinary_memory_after_loading(
    trainer: Callable[..., LoraTrainer], tmp_path: Path
) -> None:
    """bitsandbytes marks paged tensors by attributes that torch saves; of ordinary tensors they end the process."""
    first = trainer("--max_steps", "2")
    first.run(None)
    file = tmp_path / "work" / "checkpoint-2" / "optimizer.pt"
    saved = torch.load(file, weights_only=True)
    for state in saved["state"].values():
        state["exp_avg"].is_paged, state["exp_avg"].page_deviceid = True, 0
    torch.save(saved, file)
    assert torch.load(file, weights_only=True)["state"][0]["exp_avg"].is_paged, "torch no longer keeps the marks"

    second = trainer("--max_steps", "4")
    second.create_optimizer_and_scheduler(4)
    second._load_optimizer_and_scheduler(str(file.parent))
    moments = [state["exp_avg"] for state in second.optimizer.state.values()]
    assert moments
    assert not any(hasattr(moment, "is_paged") or hasattr(moment, "page_deviceid") for moment in moments)


def test_packs_do_not_depend_on_the_number_of_processes(place: Path) -> None:
    tokenizer = load_tokenizer(str(place / "base"))
    template = training_template(instruction_template("leylora-mistral"))
    found: list[Any] = []
    for processes in ("1", "3"):
        data = prepare(
            arguments(place, "--dataset_num_proc", processes, "--eval_strategy", "steps"), tokenizer, template
        )
        rows = data.train
        found.append(data)
        assert rows.packed is not None
        assert max(lengths(rows.packed)) <= 128
        assert sum(lengths(rows.packed)) == rows.tokens == sum(lengths(rows.dataset))
    assert found[0].train.packed[:] == found[1].train.packed[:]
    assert found[0].made_from == found[1].made_from
    other = prepare(arguments(place, "--max_length", "100", "--eval_strategy", "steps"), tokenizer, template)
    changed = {key for key, value in other.made_from.items() if found[0].made_from[key] != value}
    assert changed == {"token ids, labels or packs of the rows"}


def checkpoint(work: Path, step: int, *, sealed: bool = True) -> Path:
    folder = work / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "optimizer.pt").write_bytes(b"moments")
    if sealed:
        seal(folder)
    return folder


def test_what_a_checkpoint_can_suffer(tmp_path: Path) -> None:
    assert fault_of(checkpoint(tmp_path, 1)) is None
    assert fault_of(checkpoint(tmp_path, 2, sealed=False)) == "was cut off while it was written"
    (checkpoint(tmp_path, 3) / "optimizer.pt").write_bytes(b"moment5")
    assert fault_of(tmp_path / "checkpoint-3") == "is damaged (optimizer.pt is not what was written)"
    (checkpoint(tmp_path, 4) / "adapter_model.safetensors").unlink()
    assert fault_of(tmp_path / "checkpoint-4") == "is damaged (adapter_model.safetensors is missing)"
    (checkpoint(tmp_path, 5) / COMPLETE).write_text("{")
    assert fault_of(tmp_path / "checkpoint-5") == "is damaged (complete.json is not JSON)"


def test_which_checkpoint_is_taken(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = arguments(place, "--resume_from_checkpoint", "true")
    assert find_checkpoint(arguments(place), tmp_path) is None
    assert find_checkpoint(asked, tmp_path) is None
    assert "no checkpoint in" in capsys.readouterr().err
    (checkpoint(tmp_path, 90) / "optimizer.pt").write_bytes(b"other")
    with pytest.raises(LeyloraError, match=r"No checkpoint in .* is whole; --overwrite true begins again"):
        find_checkpoint(asked, tmp_path)
    checkpoint(tmp_path, 8)
    checkpoint(tmp_path, 100, sealed=False)
    assert find_checkpoint(asked, tmp_path) == tmp_path / "checkpoint-8"
    told = capsys.readouterr().err
    assert "step 100 was cut off" in told
    assert "step 90 is damaged (optimizer.pt" in told
    assert find_checkpoint(arguments(place, "--overwrite", "true"), tmp_path) is None
    with pytest.raises(UsageError, match="holds its checkpoint of step 100"):
        find_checkpoint(arguments(place), tmp_path)
    named = str(tmp_path / "checkpoint-8")
    assert find_checkpoint(arguments(place, "--resume_from_checkpoint", named), tmp_path) == Path(named)
    with pytest.raises(LeyloraError, match="checkpoint-90 is damaged"):
        find_checkpoint(arguments(place, "--resume_from_checkpoint", str(tmp_path / "checkpoint-90")), tmp_path)
    with pytest.raises(UsageError, match=r"not a checkpoint of this run .*checkpoint-8, checkpoint-90.*--resume_ad"):
        find_checkpoint(arguments(place, "--resume_from_checkpoint", str(tmp_path / "checkpoint-9")), tmp_path)


def test_changes_are_named_with_their_values_unless_they_are_hashes() -> None:
    before = {"lora_r": 16, "the base model": "sha256:" + "a" * 64, "seed": 1, "gone": True}
    now = {"lora_r": 8, "the base model": "sha256:" + "b" * 64, "seed": 1}
    assert what_changed(before, before) == []
    assert what_changed(before, now) == ["gone (True before, None now)", "lora_r (16 before, 8 now)", "the base model"]


def test_an_adapter_under_way_leaves_no_trace_when_it_is_done(place: Path) -> None:
    go(place, "quick", "--max_steps", "1", "--save_strategy", "no")
    assert not (place / "LORA" / ".quick.run").exists()
    assert read_json(place / "LORA" / "quick" / "run.json")["resumed_from_step"] is None
