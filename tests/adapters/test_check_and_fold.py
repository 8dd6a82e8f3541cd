"""Merged adapters on real (random, tiny) models: PEFT, 4-bit bases, full weights."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, FalconConfig, MistralConfig, PreTrainedTokenizerFast

from leylora.adapters.check import TEXTS, check_merge
from leylora.adapters.fold import fold_into_base, measure_drift
from leylora.adapters.merge import merge
from leylora.errors import LeyloraError, UsageError
from leylora.models.bases import Load

SCRIPT = Path(__file__).parents[2] / "scripts" / "merge_adapters.py"
WORDS = sorted({word for text in TEXTS for word in text.replace("?", " ? ").replace(".", " . ").split()})
VOCABULARY = {token: at for at, token in enumerate(["<unk>", "<s>", "</s>", *WORDS])}
IDS = torch.arange(3, 40)[None]

FAMILIES: dict[str, tuple[Any, list[str]]] = {
    "mistral": (
        MistralConfig(
            vocab_size=len(VOCABULARY),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        ),
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "falcon": (
        FalconConfig(
            vocab_size=len(VOCABULARY), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, multi_query=True
        ),
        ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    ),
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A random model of the family with a word tokenizer, in a folder, and the family's LoRA targets."""
    config, targets = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param) / "base"
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    return folder, targets


def trained(folder: Path, base: Path, targets: list[str], seed: int, **lora: Any) -> Path:
    """An adapter PEFT itself wrote, with random factors in place of trained ones."""
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=targets, lora_dropout=0.05, **lora)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    return folder


@pytest.fixture
def pair(base: tuple[Path, list[str]], tmp_path: Path) -> list[Path]:
    folder, targets = base
    return [
        trained(tmp_path / "LORA" / "instr", folder, targets, 1, r=8, lora_alpha=16),
        trained(tmp_path / "LORA" / "law", folder, targets[:2], 2, r=4, lora_alpha=4, use_rslora=True),
    ]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return torch.as_tensor(model.eval()(input_ids=IDS).logits[0])


def test_peft_loads_the_merge_and_gives_the_logits_of_both_added_by_hand(
    base: tuple[Path, list[str]], pair: list[Path], tmp_path: Path, dense: Any
) -> None:
    merge([(pair[0], 1.0), (pair[1], -0.6)], tmp_path / "c")
    by_hand = AutoModelForCausalLM.from_pretrained(base[0], dtype=torch.float32)
    for module, delta in dense.sum(pair, [1.0, -0.6]).items():
        by_hand.get_submodule(module).weight.data += delta.float()
    model = AutoModelForCausalLM.from_pretrained(base[0], dtype=torch.float32)
    bare = logits(model)
    merged = logits(PeftModel.from_pretrained(model, tmp_path / "c"))
    torch.testing.assert_close(merged, logits(by_hand), rtol=1e-4, atol=1e-4)
    assert float((merged - bare).abs().max()) > 0.1


def test_svd_agrees_with_pefts_own(base: tuple[Path, list[str]], tmp_path: Path, dense: Any) -> None:
    folder, targets = base
    pair = [trained(tmp_path / name, folder, targets, seed, r=4, lora_alpha=8) for seed, name in enumerate("ab")]
    merge([(pair[0], 1.0), (pair[1], 0.5)], tmp_path / "c", "svd", 4, picture=False)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), pair[0], adapter_name="a")
    model.load_adapter(pair[1], adapter_name="b")
    model.add_weighted_adapter(["a", "b"], [1.0, 0.5], "c", combination_type="svd", svd_rank=4)
    for module, delta in dense.deltas(tmp_path / "c").items():
        theirs = model.base_model.model.get_submodule(module).get_delta_weight("c").double()
        assert dense.error(delta, theirs) < 1e-4


def test_embeddings_with_lora_merge_and_fold_exactly(base: tuple[Path, list[str]], tmp_path: Path, dense: Any) -> None:
    """PEFT saves the frozen embedding with its factors; both parents then hold the same one."""
    folder, targets = base
    embedding = "word_embeddings" if "dense" in targets else "embed_tokens"
    names = [embedding, targets[0]]
    pair = [trained(tmp_path / name, folder, names, seed, r=4, lora_alpha=8) for seed, name in enumerate("ab")]
    merge([(pair[0], 1.0), (pair[1], -0.5)], tmp_path / "c", picture=False)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), pair[0], adapter_name="a")
    model.load_adapter(pair[1], adapter_name="b")
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.scaling["b"] *= -0.5
    model.base_model.set_adapter(["a", "b"])
    wanted = logits(model)
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "c")
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-4)
    if embedding == "word_embeddings":  # Falcon's embedding is its output head
        with pytest.raises(LeyloraError, match="cannot be both"):
            fold_into_base(tmp_path / "c", tmp_path / "full", str(folder))
        return
    fold_into_base(tmp_path / "c", tmp_path / "full", str(folder))
    folded = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    torch.testing.assert_close(logits(folded), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("load", ["4bit", "16bit"])
def test_check_finds_an_exact_merge_exact_and_a_wrong_one_wrong(pair: list[Path], tmp_path: Path, load: Load) -> None:
    out = tmp_path / "LORA" / "both"
    merge([(pair[0], 0.5), (pair[1], 2.0)], out, picture=False)
    found = check_merge(out, load=load)
    assert found.effect is not None
    assert found.effect > 0.05
    assert found.gap < (1e-2 if load == "4bit" else 1e-5) * found.effect  # the 4-bit kernels round to 16 bits
    assert found.agreement == 1.0
    weights = out / "adapter_model.safetensors"
    save_file({key: 0.5 * tensor for key, tensor in load_file(weights).items()}, weights)
    with pytest.raises(LeyloraError, match="does not reproduce its parents"):
        check_merge(out, load=load)


def test_check_needs_the_parents_as_they_were(pair: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "LORA" / "both"
    merge([(folder, 1.0) for folder in pair], out, picture=False)
    config = pair[0] / "adapter_config.json"
    config.write_text(config.read_text().replace("16", "32"))
    with pytest.raises(LeyloraError, match="has changed"):
        check_merge(out)
    shutil.rmtree(pair[0])
    with pytest.raises(LeyloraError, match="not there any more"):
        check_merge(out)
    with pytest.raises(LeyloraError, match=r"merge_report\.json does not exist"):
        check_merge(pair[1])


@pytest.mark.parametrize("shard_size", ["5GB", "20KB"])
def test_folding_equals_pefts_merge_and_unload(
    base: tuple[Path, list[str]], pair: list[Path], tmp_path: Path, shard_size: str
) -> None:
    source = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(base[0]).to(torch.bfloat16).save_pretrained(source, max_shard_size=shard_size)
    assert (source / "model.safetensors").exists() is (shard_size == "5GB")
    changed = fold_into_base(pair[1], tmp_path / "full", str(source))
    assert changed == 4
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    wanted = PeftModel.from_pretrained(model, pair[1]).merge_and_unload().state_dict()
    full = AutoModelForCausalLM.from_pretrained(tmp_path / "full")
    assert full.dtype == torch.bfloat16
    for name, tensor in full.state_dict().items():
        torch.testing.assert_close(tensor, wanted[name].to(torch.bfloat16), rtol=0.01, atol=1e-5)


def test_folding_refuses_what_it_cannot_do(base: tuple[Path, list[str]], pair: list[Path], tmp_path: Path) -> None:
    source = tmp_path / "base"
    shutil.copytree(base[0], source)
    with pytest.raises(UsageError, match="already exists"):
        fold_into_base(pair[0], source, str(base[0]))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"quantization_config": {"load_in_4bit": True}}))
    with pytest.raises(LeyloraError, match="is quantised"):
        fold_into_base(pair[0], tmp_path / "full", str(source))
    (source / "config.json").write_text(json.dumps(config))
    tensors = load_file(source / "model.safetensors")
    tensors.pop(next(name for name in tensors if name.endswith(("q_proj.weight", "query_key_value.weight"))))
    save_file(tensors, source / "model.safetensors")
    with pytest.raises(LeyloraError, match="not its base model"):
        fold_into_base(pair[0], tmp_path / "full", str(source))
    (source / "model.safetensors").unlink()
    with pytest.raises(LeyloraError, match="only safetensors"):
        fold_into_base(pair[0], tmp_path / "full", str(source))
    assert not (tmp_path / "full").exists()
    assert not list(tmp_path.glob(".full*"))


def test_drift_is_that_of_the_quantised_base(pair: list[Path], tmp_path: Path) -> None:
    fold_into_base(pair[0], tmp_path / "full")
    folded, bases = measure_drift(pair[0], tmp_path / "full")
    assert folded.effect is not None
    assert 0 < folded.gap < folded.effect
    assert folded.gap < 5 * bases.gap


def test_the_command_checks_and_folds(pair: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("merge_adapters", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / "LORA" / "both"
    for arguments in (
        [str(pair[0]), f"{pair[1]}=0.5", "--out", str(out)],
        ["--check", str(out), "--load", "16bit"],
        [str(out), "--into-base", str(tmp_path / "full")],
    ):
        script.app(arguments, standalone_mode=False)
    printed = capsys.readouterr().out
    assert "merge against parents" in printed
    assert "gap between the two" in printed
    assert (tmp_path / "full" / "model.safetensors").is_file()
