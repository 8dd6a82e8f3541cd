"""Each fault is planted and the run stops before its first step, with the sentence that names it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from leylora.errors import LeyloraError, UsageError
from leylora.models import falcon, load
from leylora.models.families import KNOWN
from leylora.models.load import silence_libraries
from leylora.models.templates import instruction_template
from leylora.training import checks, sft, trainer
from leylora.training.config import Arguments, parse
from leylora.training.sft import dry_run


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    silence_libraries()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    talk: list[dict[str, Any]] = [
        {
            "id": f"suma-{n}",
            "messages": [
                {"role": "user", "content": f"¿Cuánto es {n} más {n}?" + " Piénsalo bien." * (n % 3)},
                {"role": "assistant", "content": f"Es {2 * n}."},
            ],
        }
        for n in range(24)
    ]
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in talk), encoding="utf-8")
    return folder


@pytest.fixture
def asked(tiny_base: Callable[[str], Path], data: Path, tmp_path: Path) -> Callable[..., Arguments]:
    def ask(*words: str, family: str = "tiny-mistral") -> Arguments:
        paths = ["--model_name_or_path", str(tiny_base(family)), "--dataset_name", str(data)]
        return parse(["--model", family, "--dry_run", *paths, "--output_dir", str(tmp_path / "out"), *words])

    return ask


def test_a_dry_run_shows_every_check_and_leaves_nothing(
    asked: Callable[..., Arguments], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry_run(asked("--assume_gpu", "T4 16GB", "--bf16", "true"))  # which becomes fp16 on that card
    out = " ".join(capsys.readouterr().out.split())
    for words in (
        "all keys are valid and used",
        "sdpa (as the recipe asks)",
        "GiB, estimated T4 has 14.6",
        "answers end with </s> (2)",
        "24 to train on, 24 held out; 0 longer than 512 left out, none cut",
        "24, each whole and with its end; no question, no second BOS",
        "100% of the linear weights (nf4, double quantisation)",
        "none added",
        "head and embeddings untouched",
        "adapter in float32, computing in fp16",
        "padding '<unk>', ends in labels",
        "packed, their logits are",
        "28 layers",
        "16 keys in adapter_config.json",
        "end of answer",
    ):
        assert words in out
    assert list(tmp_path.iterdir()) == []


def test_a_large_model_without_a_gpu_is_checked_on_a_stand_in(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sft, "SMALL", 0)
    dry_run(asked("--mask_report", "0", family="tiny-falcon"))
    out = " ".join(capsys.readouterr().out.split())
    assert "double quantisation); on a small stand-in of its architecture" in out
    assert "8 layers" in out  # two blocks of four


def test_without_the_base_model_the_estimate_is_still_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dry_run", "--assume_gpu", "T4 16GB", "--dataset_name", str(data), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(LeyloraError, match=r"mistralai/Mistral-7B-v0\.1 cannot be loaded"):
        dry_run(parse(["--model", "mistral-7b", "--adapter", "law", *words]))
    out = capsys.readouterr().out
    assert " GiB, estimated" in out
    assert "about 410 tokens/s" in out


def test_a_disk_too_small_for_the_download_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks.constants, "HF_HUB_CACHE", str(tmp_path / "not" / "yet"))
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda place: SimpleNamespace(free=5e9))
    name = "mistralai/Mistral-7B-v0.1"
    with pytest.raises(LeyloraError, match=r"a download of about 14 GiB, and .* has 4\.7 free; .* HF_HOME"):
        checks.disk(name, KNOWN[name])
    checks.disk(str(tmp_path), KNOWN[name])  # a folder here is no download


@pytest.mark.parametrize(
    ("card", "has", "remedy"),
    [
        ("RTX 3060", "RTX 3060 has 11.8", "lower per_device_train_batch_size to 2 and raise"),
        ("7GB", "a card has 6.5", "lower per_device_train_batch_size to 1 and max_length to 1,"),
        ("3GB", "a card has 2.8", "not even one row of 256 tokens fits, so take a larger card or a smaller base"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_what_would(
    card: str, has: str, remedy: str, data: Path, tmp_path: Path
) -> None:
    words = ["--dry_run", "--assume_gpu", card, "--per_device_train_batch_size", "8"]
    sentence = rf"8 x 4096 tokens needs about 3\d\.\d GiB and {re.escape(has)}, by estimate; {remedy}"
    with pytest.raises(LeyloraError, match=sentence):
        dry_run(parse(["--model", "mistral-7b", "--adapter", "law", *words, "--output_dir", str(tmp_path / "out")]))


def test_rows_longer_than_the_model_was_made_for_are_refused(asked: Callable[..., Arguments]) -> None:
    with pytest.raises(UsageError, match="max_length 2048 is longer than the 1024 positions"):
        dry_run(asked("--max_length", "2048"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--chat_template_path", "x.jinja"], "chat_template_path cannot be used here: give instruction_template"),
        (["--lora_modules_to_save", "lm_head"], "lora_modules_to_save cannot be used here"),
        (["--use_dora", "true"], "use_dora cannot be used here"),
        (["--packing_strategy", "wrapped"], "packing_strategy: wrapped cannot be used here"),
        (["--assistant_only_loss", "false"], "only answers are trained"),
        (["--pad_token", "<x>"], "pad_token cannot be used here: padding is a token of the base"),
        (["--activation_offloading", "true"], "activation_offloading cannot be used here: .* and there is none"),
        (["--use_peft", "false"], "use_peft: false cannot be used here: an adapter is what is trained"),
    ],
)
def test_keys_that_would_be_ignored(asked: Callable[..., Arguments], words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dry_run(asked(*words))


def test_fault_mask_shifted_by_one(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    real = transformers.PreTrainedTokenizerFast.apply_chat_template

    def shifted(by: int) -> Callable[..., Any]:
        def apply(self: Any, *args: Any, **kwargs: Any) -> Any:
            encoded = real(self, *args, **kwargs)
            if kwargs.get("return_assistant_tokens_mask") and len(args[0]) == 2:  # the rows, not the probe
                mask = encoded["assistant_masks"]
                encoded["assistant_masks"] = [0] * by + mask[:-by] if by > 0 else mask[-by:] + [0] * -by
            return encoded

        return apply

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "apply_chat_template", shifted(-1))
    with pytest.raises(LeyloraError, match=r"Row suma-0: the answer's last trained token is .*not the end-of-turn"):
        dry_run(asked())
    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "apply_chat_template", shifted(2))
    with pytest.raises(LeyloraError, match="Row suma-0: "):
        dry_run(asked())


def test_fault_template_without_end_of_turn(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    text = instruction_template("leylora-mistral").replace("' ' + content + eos_token", "' ' + content")
    monkeypatch.setattr(sft, "instruction_template", lambda name: text)
    with pytest.raises(LeyloraError, match=r"not an end-of-turn token .*never stops"):
        dry_run(asked())


def test_fault_template_of_training_is_not_the_served_one(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sft.training_template
    monkeypatch.setattr(sft, "training_template", lambda text: real(text).replace("[INST] ", "### Pregunta: "))
    with pytest.raises(LeyloraError, match="Training would not see what INSTRUCTION-TEMPLATES serves: '### Pregunta"):
        dry_run(asked())


def test_fault_prompt_whose_last_token_joins_the_answer(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt that ends with the space before the answer: training joins it to the answer's first word."""
    text = instruction_template("leylora-mistral")
    joined = text.replace("' [/INST]'", "' [/INST] '").replace("' ' + content + eos_token", "content + eos_token")
    monkeypatch.setattr(sft, "instruction_template", lambda name: joined)
    with pytest.raises(LeyloraError, match="What a server sends before an answer is not how its training row begins"):
        dry_run(asked())


def test_fault_two_bos(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{{- bos_token -}}" + instruction_template("leylora-mistral")
    monkeypatch.setattr(sft, "instruction_template", lambda name: text)
    with pytest.raises(LeyloraError, match="begins with two BOS"):
        dry_run(asked())


def test_fault_padding_is_eos_with_a_naive_collator(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trainer.build_trainer

    def naive(model: Any, tokenizer: Any, *args: Any) -> Any:
        built = real(model, tokenizer, *args)
        tokenizer.pad_token = tokenizer.eos_token
        collate = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)
        built.data_collator = lambda batch: collate([{"input_ids": row["input_ids"]} for row in batch])
        return built

    monkeypatch.setattr(sft, "build_trainer", naive)
    with pytest.raises(LeyloraError, match=r"leaves 0 of \d+ ends of an answer \('</s>'\) in the labels"):
        dry_run(asked())


def test_fault_a_layer_that_stays_unquantised(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import nullcontext

    monkeypatch.setattr(load, "plain_linear_layers", nullcontext)  # what transformers does to Falcon by itself
    with pytest.raises(LeyloraError, match="Only 0% of the linear weights were loaded in 4 bits"):
        dry_run(asked(family="tiny-falcon"))


def test_fault_contaminated_packing(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "isolate_packed_documents", lambda model: None)
    with pytest.raises(LeyloraError, match="Packed documents see each other"):
        dry_run(asked(family="tiny-falcon"))
    assert falcon.isolate_packed_documents is not load.isolate_packed_documents


def test_fault_adapters_cast_to_half_precision(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "keep_fp32_master_weights", lambda model: None)  # TRL casts them to bf16
    with pytest.raises(LeyloraError, match="held in bfloat16 and must be in float32"):
        dry_run(asked("--assume_gpu", "T4", "--bf16", "true"))  # which becomes fp16 on that card


def test_fault_an_added_token(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch, tiny_base: Callable[[str], Path]
) -> None:
    real = sft.load_tokenizer

    def with_token(*args: Any) -> Any:
        tokenizer = real(*args)
        tokenizer.add_tokens(["<|artículo|>"])
        return tokenizer

    monkeypatch.setattr(sft, "load_tokenizer", with_token)
    with pytest.raises(LeyloraError, match=r"knows 3073 tokens and the model has rows for 3072.*tokens were added"):
        dry_run(asked())


def test_fault_a_trained_head(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    real = sft.attach

    def with_head(*args: Any) -> Any:
        model = real(*args)
        model.get_output_embeddings().weight.requires_grad_(True)
        return model

    monkeypatch.setattr(sft, "attach", with_head)
    with pytest.raises(LeyloraError, match=r"The adapter alone must be trained, and .*lm_head\.weight is trained too"):
        dry_run(asked())


def test_fault_an_adapter_that_does_not_read_back(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checks.write_weights

    def damaged(model: Any, folder: Path, place: Path) -> Any:
        config = real(model, folder, place)
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "adapter_model.safetensors")
        save_file({key: tensor + 1 for key, tensor in tensors.items()}, folder / "adapter_model.safetensors")
        return config

    monkeypatch.setattr(checks, "write_weights", damaged)
    with pytest.raises(LeyloraError, match="does not read back as it was saved"):
        dry_run(asked())


def test_fault_an_adapter_below_that_was_asked_otherwise(
    asked: Callable[..., Arguments], tiny_base: Callable[[str], Path], tmp_path: Path
) -> None:
    from peft import LoraConfig, get_peft_model

    base = load.load_base(str(tiny_base("tiny-mistral")), compute_dtype=torch.float32, load="16bit")
    get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(
        tmp_path / "a"
    )
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    with pytest.raises(LeyloraError, match="was trained with another chat template than leylora-mistral"):
        dry_run(asked("--frozen_adapter", str(tmp_path / "a")))
    (tmp_path / "a" / "chat_template.jinja").unlink()
    with pytest.raises(LeyloraError, match="does not fit this base model"):
        dry_run(asked("--frozen_adapter", str(tmp_path / "a"), family="tiny-falcon"))
    with pytest.raises(LeyloraError, match="not an adapter folder"):
        dry_run(asked("--frozen_adapter", str(tmp_path / "none")))


def test_the_checks_are_those_of_a_normal_run_too(asked: Callable[..., Arguments], tmp_path: Path) -> None:
    from leylora.training.sft import run

    normal = asked("--packing_strategy", "wrapped")
    with pytest.raises(UsageError, match="packing_strategy: wrapped"):
        run(replace(normal, run=replace(normal.run, dry_run=False)), [])
    assert not (tmp_path / "out").exists()


def test_weights_that_zero3_has_split_are_not_asked_for_logits(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def split(*_: object) -> str:
        raise RuntimeError("'weight' must be 2-D")  # what torch says of an embedding whose rows are elsewhere

    monkeypatch.setattr(checks, "uses_zero3", lambda: True)
    monkeypatch.setattr(checks, "check_packing", split)
    dry_run(asked("--load_in_4bit", "false"))
    assert "not tried: ZeRO-3 has split the weights" in " ".join(capsys.readouterr().out.split())


def test_of_several_processes_the_first_looks_at_the_model(
    asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transformers.TrainingArguments, "process_index", 1)
    monkeypatch.setattr(checks, "check_round_trip", None)
    dry_run(asked())
    table = capsys.readouterr().out
    assert "packing" in table
    assert "documents" not in table


def test_a_missing_tracker_is_one_sentence(asked: Callable[..., Arguments], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.integrations.integration_utils.is_mlflow_available", lambda: False)
    with pytest.raises(UsageError, match="report_to: mlflow is not installed; `pip install mlflow`, or use"):
        dry_run(asked("--report_to", "mlflow"))
    with pytest.raises(UsageError, match=r"there is no tracker 'notebook'; there are .*tensorboard.*, or none"):
        dry_run(asked("--report_to", "notebook"))
