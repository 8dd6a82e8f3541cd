import os
import runpy
from pathlib import Path

import pytest
import yaml

from leylora.errors import LeyloraError, UsageError
from leylora.models.cards import Card
from leylora.project import ROOT
from leylora.training import config
from leylora.training.config import parse
from leylora.training.recipe import adapter_names, compose, model_names, read_recipe


@pytest.fixture(autouse=True)
def _no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "find_card", lambda: None)


def with_card(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setattr(config, "find_card", lambda: card)


@pytest.mark.parametrize("model", model_names())
@pytest.mark.parametrize("adapter", adapter_names())
def test_every_shipped_recipe_parses(model: str, adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, Card("NVIDIA RTX A4000", 15.7, bf16=True))
    # use_cpu: transformers itself refuses bf16 where there is no GPU
    parsed = parse(["--model", model, "--adapter", adapter, "--use_cpu", "true"])
    recipe = compose(model, adapter)
    assert parsed.model.load_in_4bit
    assert parsed.model.use_bnb_nested_quant
    assert parsed.model.bnb_4bit_quant_type == "nf4"
    assert parsed.model.lora_target_modules == recipe.get("lora_target_modules")  # a heal goes on with an adapter's own
    assert parsed.training.packing
    assert parsed.training.assistant_only_loss
    assert parsed.training.learning_rate == recipe["learning_rate"]
    assert str(parsed.training.lr_scheduler_type) in {"cosine", "SchedulerType.COSINE"}
    kind = {"combined-on-top": "law-on-top"}.get(adapter, adapter)
    assert parsed.output == Path(f"LORA/{model.replace('.', '-')}-{kind}")  # no dots in an adapter's name
    assert (parsed.run.min_gpu_memory_gib > 0) == (not model.startswith(("tiny", "smollm2", "qwen3-0.6b")))


def test_without_a_gpu_the_default_says_what_is_missing_and_what_runs() -> None:
    with pytest.raises(LeyloraError, match=r"needs an NVIDIA GPU with 10 GiB and none was found.*tiny-mistral"):
        parse([])


def test_a_gpu_too_small_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, Card("NVIDIA GeForce RTX 3060 Laptop GPU", 5.8, bf16=True))
    with pytest.raises(LeyloraError, match=r"RTX 3060 Laptop GPU has 5\.8"):
        parse([])


def test_a_card_without_bf16_trains_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    with_card(monkeypatch, Card("Tesla T4", 14.6, bf16=False))
    parsed = parse(["--use_cpu", "true"])
    assert parsed.recipe == "mistral-7b/instructions"
    assert (parsed.training.fp16, parsed.training.bf16, parsed.model.dtype) == (True, False, "float16")


def test_a_dry_run_asks_for_no_gpu_and_may_assume_one() -> None:
    for words in (["--dry_run"], ["--dry_run", "true"], ["--dry_run=true"]):
        parsed = parse(words)
        assert (parsed.run.dry_run, parsed.training.use_cpu, parsed.training.bf16) == (True, True, True)
    parsed = parse(["--dry_run", "--assume_gpu", "T4 16GB"])
    assert (parsed.training.fp16, parsed.training.bf16) == (True, False)
    with pytest.raises(UsageError, match="assume_gpu only makes sense with --dry_run true"):
        parse(["--model", "tiny-mistral", "--assume_gpu", "T4"])


def test_the_command_line_overrides_the_recipe() -> None:
    parsed = parse(["--model", "tiny-mistral", "--learning_rate", "1e-4", "--lora_r=8", "--output_dir", "LORA/other"])
    assert (parsed.training.learning_rate, parsed.model.lora_r) == (1e-4, 8)
    assert parsed.output == Path("LORA/other")


def write(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**compose("tiny-mistral", "instructions"), **changes}), encoding="utf-8")
    return str(path)


def test_an_unknown_key_is_an_error_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown key 'learning_rat'; did you mean 'learning_rate'\?"):
        parse(["--config", write(tmp_path, learning_rat=1e-4)])
    with pytest.raises(UsageError, match="unknown key 'lora_rank'"):
        parse(["--model", "tiny-mistral", "--lora_rank", "8"])


def test_yaml_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("learning_rate: 2e-4\nmax_grad_norm: 1E+0\nseed: 4\n", encoding="utf-8")
    assert read_recipe(path) == {"learning_rate": 2e-4, "max_grad_norm": 1.0, "seed": 4}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config"], "--config needs a name"),
        (["--config", "train/recipes/nothing.yaml"], r"There is no recipe train/recipes/nothing\.yaml.*falcon-7b.*law"),
        (["--model", "mistral"], r"There is no model 'mistral' in .*; there are falcon-7b, .*, mistral-7b"),
        (["--adapter", "ley"], r"There is no adapter 'ley' in .*; there are combined-heal, .*, law\."),
        (["--config", "mine.yaml", "--adapter", "law"], "--config takes one whole recipe"),
        (["--min_gpu_memory_gib", "much"], "min_gpu_memory_gib must be a number, not much"),
        (
            ["--model", "tiny-mistral", "--lora_r", "many"],
            "tiny-mistral/instructions: lora_r: invalid int value: 'many'",
        ),
        (["--model", "tiny-mistral", "law"], "unexpected word 'law'; did you mean --adapter law?"),
        (["--model", "tiny-mistral", "--max_steps", "3", "law"], "unexpected word 'law'; every setting"),
        (["falcon-7b"], "unexpected word 'falcon-7b'; did you mean --model falcon-7b?"),
        (["--model", "tiny-mistral", "lore"], "unexpected word 'lore'; every setting"),
        (["--model", "tiny-mistral", "--frozen_adapter", "LORA/a", "--resume_adapter", "LORA/b"], "exclude each other"),
        (["--model", "tiny-mistral", "--replay_fraction", "1.5"], r"between 0 and 1, not 1\.5"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n- b\n", "found list"), ("a: [", r"not YAML \(line 1: .*\); mend or delete the file"), ("", "is empty")],
)
def test_a_recipe_that_is_not_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LeyloraError, match=message):
        read_recipe(path)


@pytest.mark.parametrize("key", ["model_name_or_path", "dataset_name"])
def test_a_recipe_without_model_or_data(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match=f"{key} is missing"):
        parse(["--config", write(tmp_path, **{key: None})])


@pytest.mark.parametrize(
    ("key", "value"),
    [("learning_rate", "nan"), ("learning_rate", "inf"), ("gradient_accumulation_steps", "0"), ("lora_r", "-1")],
)
def test_numbers_that_train_nothing_are_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=rf"tiny-mistral/law: {key} must be a number above 0, not {value}\."):
        parse(["--model", "tiny-mistral", "--adapter", "law", f"--{key}={value}"])


def test_training_lets_memory_grow_in_place_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for given, wanted in ((None, "expandable_segments:True"), ("max_split_size_mb:64", "max_split_size_mb:64")):
        monkeypatch.delenv("PYTORCH_CUDA_ALLOC_CONF", raising=False)
        monkeypatch.setenv("PYTORCH_ALLOC_CONF", given or "")
        if given is None:
            monkeypatch.delenv("PYTORCH_ALLOC_CONF")
        runpy.run_path(str(ROOT / "train" / "sft.py"), run_name="imported")
        assert os.environ["PYTORCH_ALLOC_CONF"] == wanted


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="seed must lie between 0 and 4294967295, not -1"):
        parse(["--model", "tiny-mistral", "--adapter", "law", "--seed", "-1"])


def test_a_secret_among_the_keys_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="hub_token is a secret") as error:
        parse(["--model", "tiny-mistral", "--adapter", "law", "--hub_token=hf_Planted0123456789"])
    assert "Planted" not in str(error.value)
