"""How recipes are put together; every shipped one passes the checks against a small stand-in of its own family."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    FalconConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from leylora.errors import UsageError
from leylora.models.cards import assumed_card
from leylora.models.families import FAMILIES, KNOWN, shape_of
from leylora.models.load import load_base, load_tokenizer, silence_libraries
from leylora.models.templates import instruction_template, training_template, turn_end
from leylora.models.tiny import make_stand_in, train_tokenizer
from leylora.project import MIXTURES, RECIPES, SAMPLES
from leylora.training import checks, memory
from leylora.training.config import parse
from leylora.training.recipe import adapter_names, compose, model_names, recipe_of, wants_config
from leylora.training.sft import dry_run

SMALL = (
    *("qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-14b", "smollm2-135m-instruct", "smollm2-360m-instruct"),
    *("salamandra-2b-instruct", "salamandra-7b-instruct"),
)
# Of models that differ from another one in their sizes only, one adapter says as much as four.
SHIPPED = [(model, adapter) for model in model_names() for adapter in (["law"] if model in SMALL else adapter_names())]
LARGE = [model for model in model_names() if not model.startswith("tiny")]
HEADER = "# Estimated, not measured: "
TEXTS = (SAMPLES / "ley-de-muestra.yaml").read_text("utf-8").split("\n\n")
NAMES = {"tiny-mistral": "mistral-7b", "tiny-llama-2": "llama-2-7b", "tiny-falcon": "falcon-7b"} | {
    model: "qwen3-8b" if "qwen3" in model else f"{model.partition('-')[0]}" for model in SMALL
}

LLAMA_3 = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|reserved_special_token_0|>",
]
QWEN = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SALAMANDRA = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def byte_level(special: list[str], plain: list[str], **names: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=1024, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def make(model: str, folder: Path) -> None:
    """A stand-in as the published model's configuration would give one, with a tokenizer of the same special tokens."""
    if model == "falcon-7b":
        tokenizer = train_tokenizer("tiny-falcon", TEXTS)
    elif model == "llama-3.1-8b-instruct":
        tokenizer = byte_level(LLAMA_3, [], bos_token=LLAMA_3[0], eos_token="<|eot_id|>")
    elif model == "qwen3-8b":
        tokenizer = byte_level(QWEN, ["<think>", "</think>"], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    elif model == "smollm2":
        tokenizer = byte_level(QWEN, [], bos_token="<|im_start|>", eos_token="<|im_end|>", unk_token="<|endoftext|>")
        tokenizer.chat_template = CHATML
    elif model == "salamandra":
        tokenizer = byte_level(SALAMANDRA, [], bos_token="<s>", eos_token="</s>", unk_token="<unk>")
        tokenizer.chat_template = CHATML
    else:
        tokenizer = train_tokenizer("tiny-mistral", TEXTS)
    if model == "mistral-7b-instruct-v0.3":
        tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]})
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": 4096}
    gated = sizes | {"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False}
    config = {
        "mistral-7b": lambda: MistralConfig(**gated, sliding_window=4096),
        "mistral-7b-instruct-v0.3": lambda: MistralConfig(**gated, sliding_window=None),
        "llama-2-7b": lambda: LlamaConfig(**gated | {"num_key_value_heads": 32}),
        "llama-3.1-8b-instruct": lambda: LlamaConfig(**gated),
        "qwen3-8b": lambda: Qwen3Config(**gated),
        "smollm2": lambda: LlamaConfig(**gated | {"tie_word_embeddings": True}),
        "salamandra": lambda: LlamaConfig(**gated),
        "falcon-7b": lambda: FalconConfig(**sizes, multi_query=True, new_decoder_architecture=False, alibi=False),
    }[model]()
    make_stand_in(config, folder)
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        base = load_base(str(folder), compute_dtype=torch.float32, load="16bit")
        targets = list(FAMILIES[config.model_type].linear_layers)
        get_peft_model(base, LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM")).save_pretrained(
            folder / "adapter"
        )


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model's stand-in, with an untrained adapter of it in ``adapter``."""
    root = tmp_path_factory.mktemp("stand-ins")
    silence_libraries()

    def get(recipes: str) -> Path:
        folder = root / NAMES.get(recipes, recipes)
        if not folder.is_dir():
            make(folder.name, folder)
        return folder

    return get


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    talk: list[dict[str, Any]] = []
    for number in range(12):
        messages = [
            {"role": "user", "content": f"¿Cuántas páginas tiene el libro {number}?"},
            {"role": "assistant", "content": f"Tiene {number * 7 + 20} páginas.\n\nEstá en la sala {number}."},
        ]
        if number % 2:
            messages = [{"role": "system", "content": "Responde en español."}, *messages, *messages]
        talk.append({"id": f"libro-{number}", "messages": messages})
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in talk), encoding="utf-8")
    return folder


def test_all_recipes_are_here() -> None:
    assert adapter_names() == ["combined-heal", "combined-on-top", "instructions", "law"]
    bases = {"falcon-7b", "llama-2-7b", "mistral-7b", "tiny-falcon", "tiny-llama-2", "tiny-mistral"}
    assert set(model_names()) == bases | {"llama-3.1-8b-instruct", "mistral-7b-instruct-v0.3", "qwen3-8b", *SMALL}
    for folder, option in ((RECIPES, "model"), (RECIPES / "adapters", "adapter")):
        for path in folder.glob("*.yaml"):
            assert path.read_text("utf-8").splitlines()[1].startswith("#   accelerate launch train/sft.py --model ")
            assert f"--{option} {path.stem}" in path.read_text("utf-8").splitlines()[1]


def test_later_parts_win_and_null_takes_a_key_out() -> None:
    law = compose("falcon-7b", "law")
    assert (law["max_length"], law["per_device_train_batch_size"], law["num_train_epochs"]) == (2048, 2, 3)
    assert (law["learning_rate"], law["output_dir"]) == (2e-4, "LORA/falcon-7b-law")
    heal = compose("llama-3.1-8b-instruct", "combined-heal")
    assert not {"lora_r", "lora_target_modules"} & heal.keys()
    assert heal["resume_adapter"] == "LORA/llama-3-1-8b-instruct-merged"
    tiny = compose("tiny-falcon", "combined-on-top")
    assert not {"max_grad_norm", "num_train_epochs", "extends", "adapters"} & tiny.keys()
    assert (tiny["max_steps"], tiny["learning_rate"], tiny["load_in_4bit"]) == (140, 1e-2, True)


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine-1.5b.yaml"
    mine.write_text("model_name_or_path: me/mine\nadapters: {law: {lora_r: 8}}\n", encoding="utf-8")
    law = compose(str(mine), "law")
    assert (law["model_name_or_path"], law["lora_r"], law["output_dir"]) == ("me/mine", 8, "LORA/mine-1-5b-law")
    assert compose(str(mine), "instructions")["lora_r"] == 16
    (tmp_path / "skill.yaml").write_text("on_top_of: LORA/a\nlearning_rate: 3e-5\n", encoding="utf-8")
    skill = compose("qwen3-8b", str(tmp_path / "skill.yaml"))
    assert (skill["frozen_adapter"], skill["learning_rate"]) == ("LORA/a", 3e-5)  # the older name of the key


def test_the_composed_recipe_is_shown_and_taken_back_as_one_file(tmp_path: Path) -> None:
    words = ["--model", "tiny-mistral", "--adapter=law", "--show_config", "true", "--lora_r", "8", "--sample_prompts"]
    words += ["¿Uno?", "¿Dos?", "--learning-rate=5e-5", "--no_packing"]
    assert wants_config(words)
    assert not wants_config(["--show_config", "false"])
    recipe = recipe_of(words)
    assert recipe.name == "tiny-mistral/law"
    assert recipe.overrides == {
        "lora_r": 8,
        "sample_prompts": ["¿Uno?", "¿Dos?"],
        "learning_rate": 5e-5,
        "packing": False,
    }
    mine = tmp_path / "mine.yaml"
    mine.write_text(recipe.as_yaml(), encoding="utf-8")
    again = recipe_of(["--config", str(mine)])
    assert again.settings == recipe.whole == {**compose("tiny-mistral", "law"), **recipe.overrides}
    one, other = parse(words), parse(["--config", str(mine)])
    assert one.training.to_dict() == other.training.to_dict() | {
        key: value for key, value in one.training.to_dict().items() if key in ("logging_dir",)
    }
    assert (one.model, one.run, one.output) == (other.model, other.run, other.output)


@pytest.mark.parametrize(("model", "adapter"), SHIPPED)
def test_every_recipe_passes_the_preflight_of_its_family(
    model: str,
    adapter: str,
    stand_in: Callable[[str], Path],
    rows: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = stand_in(model)
    words = ["--model", model, "--adapter", adapter, "--dry_run", "--mask_report", "0"]
    words += ["--output_dir", str(tmp_path / "out")]
    recipe = compose(model, adapter)
    for key, value in {
        "model_name_or_path": base,
        "dataset_name": rows,
        "replay_dataset": rows,
        "frozen_adapter": base / "adapter",
        "resume_adapter": base / "adapter",
    }.items():
        if key in recipe:
            words += [f"--{key}", str(value)]
    dry_run(parse(words))
    table = capsys.readouterr().out
    for check in ("recipe", "memory", "template", "rows", "answers", "packing", "4 bits", "documents", "adapter file"):
        assert check in table
    assert "100% of the linear weights" in table
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("model", "adapter"), SHIPPED)
def test_a_recipe_reads_data_that_a_documented_command_makes(model: str, adapter: str) -> None:
    recipe = compose(model, adapter)
    made = {f"data/build/{mixture.stem}" for mixture in MIXTURES.glob("*.yaml")}
    assert {recipe["dataset_name"], recipe.get("replay_dataset", recipe["dataset_name"])} <= made


@pytest.mark.parametrize("skill", ["instructions", "law"])
def test_an_adapter_opens_with_the_command_that_makes_its_data(skill: str) -> None:
    text = (RECIPES / "adapters" / f"{skill}.yaml").read_text("utf-8")
    assert f"--out {compose('mistral-7b', skill)['dataset_name']}\n" in text


@pytest.mark.parametrize("model", LARGE)
@pytest.mark.parametrize("adapter", adapter_names())
def test_a_recipe_opens_with_what_the_estimator_says(model: str, adapter: str) -> None:
    figures = []
    for card in ("T4", "RTX 4090"):
        asked = parse(["--model", model, "--adapter", adapter, "--dry_run", "--assume_gpu", card])
        shape = KNOWN[str(asked.model.model_name_or_path)]
        known = assumed_card(card)
        figures.append(memory.headline(checks.sizes_of(asked, shape, "sdpa", known), known))
    start = "# combined-on-top: " if adapter == "combined-on-top" else HEADER
    assert f"{start}{'; '.join(figures)}.\n" in (RECIPES / f"{model}.yaml").read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "end", "padding"),
    [
        ("mistral-7b-instruct-v0.3", "</s>", "<unk>"),
        ("llama-3.1-8b-instruct", "<|eot_id|>", "<|finetune_right_pad_id|>"),
        ("qwen3-8b", "<|im_end|>", "<|endoftext|>"),
        ("smollm2-135m-instruct", "<|im_end|>", "<|endoftext|>"),
        ("salamandra-7b-instruct", "<|im_end|>", "<unk>"),
        ("falcon-7b", "<|endoftext|>", ">>SUFFIX<<"),
    ],
)
def test_the_token_that_ends_a_turn_is_trained_and_padding_is_another(
    stand_in: Callable[[str], Path], model: str, end: str, padding: str
) -> None:
    tokenizer = load_tokenizer(str(stand_in(model)))
    template = str(compose(model, "law")["instruction_template"])
    assert (
        tokenizer.convert_ids_to_tokens(turn_end(tokenizer, training_template(instruction_template(template)))) == end
    )
    assert tokenizer.pad_token == padding


def test_a_base_with_a_format_of_its_own_is_not_given_another_family_s(
    stand_in: Callable[[str], Path], rows: Path, tmp_path: Path
) -> None:
    base = str(stand_in("smollm2-135m-instruct"))
    words = ["--model", "llama-2-7b", "--adapter", "law", "--model_name_or_path", base, "--dataset_name", str(rows)]
    words += ["--dry_run", "--mask_report", "0", "--output_dir", str(tmp_path / "out")]
    with pytest.raises(UsageError, match=r"opens questions with '<\|im_start\|>user', and leylora-llama-2 does not"):
        dry_run(parse(words))
    dry_run(parse([*words, "--instruction_template", "leylora-smollm2"]))
    own = ["--model", "smollm2-360m-instruct", *words[2:]]
    dry_run(parse(own))  # a recipe for such a base, with another folder


def test_a_recipe_that_needs_no_card_runs_on_a_cpu_in_float32() -> None:
    asked = parse(["--model", "smollm2-135m-instruct", "--adapter", "law"])
    assert (asked.training.bf16, asked.training.use_cpu, asked.model.dtype) == (False, True, "float32")
    assert asked.training.optim == "adamw_torch"
    mine = parse(["--model", "smollm2-135m-instruct", "--adapter", "law", "--optim", "sgd"])
    assert mine.training.optim == "sgd", "what was asked for stays"


def test_an_end_of_turn_that_is_not_the_end_of_text_is_known(stand_in: Callable[[str], Path]) -> None:
    """The Qwen 3 base with ChatML: its end of text is another token, and the webui stops at the bracketed mark."""
    tokenizer = load_tokenizer(str(stand_in("qwen3-8b")))
    tokenizer.eos_token, tokenizer.pad_token = "<|endoftext|>", "<|im_start|>"
    text = training_template(
        instruction_template("leylora-qwen3").replace("content + eos_token", "content + '<|im_end|>'")
    )
    assert tokenizer.convert_ids_to_tokens(turn_end(tokenizer, text)) == "<|im_end|>"


def test_shapes_that_are_shipped_are_those_of_the_published_models() -> None:
    parameters = {name: shape.linear_parameters + shape.embedding_parameters for name, shape in KNOWN.items()}
    published = {  # billions, from the models' pages
        "mistralai/Mistral-7B-v0.1": 7.24,
        "mistralai/Mistral-7B-Instruct-v0.3": 7.25,
        "meta-llama/Llama-2-7b-chat-hf": 6.74,
        "meta-llama/Llama-3.1-8B-Instruct": 8.03,
        "Qwen/Qwen3-8B": 8.19,
        "Qwen/Qwen3-0.6B": 0.596,
        "Qwen/Qwen3-1.7B": 1.72,
        "Qwen/Qwen3-4B": 4.02,
        "Qwen/Qwen3-14B": 14.77,
        "HuggingFaceTB/SmolLM2-135M-Instruct": 0.1345,
        "HuggingFaceTB/SmolLM2-360M-Instruct": 0.3618,
        "BSC-LT/salamandra-2b-instruct": 2.253,
        "BSC-LT/salamandra-7b-instruct": 7.768,
        "tiiuae/falcon-7b": 6.92,
    }
    for name, billions in published.items():
        assert parameters[name] / 1e9 == pytest.approx(billions, rel=0.002)
    config = Qwen3Config(
        hidden_size=4096,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        intermediate_size=12288,
        vocab_size=151936,
        max_position_embeddings=40960,
        tie_word_embeddings=False,
    )
    assert shape_of(config) == KNOWN["Qwen/Qwen3-8B"]
