"""Adapters as GGUF: what llama.cpp computes with them is what transformers does, and a wrong export is not written."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from leylora.adapters import gguf, gguf_export
from leylora.adapters.gguf import write_lora, write_model
from leylora.adapters.gguf_export import Pieces, export, go_template, pieces_of
from leylora.adapters.gguf_proof import prove, server
from leylora.errors import LeyloraError, UsageError
from leylora.files import read_json_object
from leylora.models.templates import PROBE, instruction_template, render, served_template
from leylora.project import INSTRUCTION_TEMPLATES

pytest.importorskip("xllamacpp")
pytest.importorskip("conversion")

TEMPLATES = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """An adapter of a base with large random factors, beside its template."""

    def make(base: Path, template: str = "leylora-mistral", targets: list[str] | None = None, **config: Any) -> Path:
        torch.manual_seed(0)
        wanted = {"r": 4, "lora_alpha": 8, "target_modules": targets or LINEAR, "init_lora_weights": False} | config
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **wanted))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.mul_(0.4)
        folder = tmp_path / "LORA" / f"{base.name}-law"
        model.save_pretrained(folder)
        (folder / "chat_template.jinja").write_text(served_template(instruction_template(template)), "utf-8")
        return folder

    return make


@pytest.mark.parametrize(
    "config", [{"use_rslora": True}, {"alpha_pattern": {"v_proj": 3}, "rank_pattern": {"k_proj": 2}}]
)
def test_llama_cpp_computes_what_was_trained(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path, config: dict[str, Any]
) -> None:
    base = tiny_base("tiny-mistral")  # six query heads and two key heads
    done = export(adapter(base, **config), tmp_path / "out", str(base), kind="f32", proof=True)
    assert done.proof
    assert done.adapter
    assert done.proof.holds
    assert done.proof.effect > 0.1
    assert (done.proof.same_tokens, done.proof.prompts) == (4, 4)
    assert bool(done.adapter.rescaled) == ("alpha_pattern" in config)
    assert done.files == ["Modelfile", "README.md", "chat_template.jinja", "tiny-mistral-law.gguf"]
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "4 of 4 prompts are cut into the same tokens" in card


@pytest.mark.parametrize("fault", ["rows of queries and keys as they are", "alpha as the config has it"])
def test_a_wrong_export_is_refused_by_the_proof(
    tiny_base: Callable[[str], Path],
    adapter: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    base = tiny_base("tiny-mistral")
    folder = adapter(base, use_rslora=True, lora_alpha=32)
    if fault.startswith("rows"):
        monkeypatch.setattr(gguf, "_in_order", lambda b, module, config: b)
    else:
        monkeypatch.setattr(gguf, "common_alpha", lambda modules: (32.0, 0))
        monkeypatch.setattr(gguf.Module, "scaling", property(lambda self: 8.0), raising=False)
    with pytest.raises(LeyloraError, match="does not compute what was trained"):
        export(folder, tmp_path / "out", str(base), kind="f32", proof=True)
    assert not (tmp_path / "out").exists()


def test_words_are_cut_alike_and_the_proof_sees_when_not(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base("tiny-llama-2")
    folder = adapter(base, "leylora-llama-2")
    template = (folder / "chat_template.jinja").read_text("utf-8")
    monkeypatch.setattr(gguf, "tokenizer_corrections", lambda folder: {})
    write_model(base, tmp_path / "base.gguf", "f32")
    write_lora(folder, tmp_path / "lora.gguf", read_json_object(base / "config.json"))
    proof = prove(base, tmp_path / "base.gguf", tmp_path / "lora.gguf", folder, template)
    assert proof.same_tokens == 0
    assert proof.gap < 0.01
    assert not proof.holds


def test_qwen_and_falcon_keep_their_own_order_of_rows(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their small stand-ins have a tokenizer that the converter does not know, so only figures are compared."""
    from conversion.base import TextModel
    from conversion.qwen import Qwen3Model

    monkeypatch.setattr(Qwen3Model, "set_vocab", TextModel._set_vocab_llama_hf)
    monkeypatch.setattr(TextModel, "get_vocab_base_pre", lambda self, tokenizer: "falcon")
    torch.manual_seed(1)
    qwen = tmp_path / "tiny-qwen3"
    shutil.copytree(tiny_base("tiny-mistral"), qwen)
    shape = {"hidden_size": 96, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 32}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 3072, "max_position_embeddings": 512}
    Qwen3ForCausalLM(Qwen3Config(**shape, **heads)).save_pretrained(qwen)
    falcon = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]
    for base, targets, template in ((qwen, LINEAR, "qwen3"), (tiny_base("tiny-falcon"), falcon, "falcon")):
        folder = adapter(base, f"leylora-{template}", targets)
        write_model(base, tmp_path / f"{base.name}.gguf", "f32")
        write_lora(folder, tmp_path / f"{base.name}-lora.gguf", read_json_object(base / "config.json"))
        text = (folder / "chat_template.jinja").read_text("utf-8")
        proof = prove(base, tmp_path / f"{base.name}.gguf", tmp_path / f"{base.name}-lora.gguf", folder, text)
        assert max(proof.gap, proof.base_gap) < 0.01 < 0.1 < proof.effect
        assert proof.same_choice == proof.steps


def test_a_whole_model_answers_as_base_and_adapter(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_base("tiny-mistral")
    folder = adapter(base, lora_alpha=32)
    export(folder, tmp_path / "apart", str(base), with_base=True, kind="f32")
    export(folder, tmp_path / "whole", str(base), merge=True, kind="f32")
    assert "ADAPTER" not in (tmp_path / "whole" / "Modelfile").read_text("utf-8")
    said = []
    for model, lora in (
        (tmp_path / "apart" / "tiny-mistral.gguf", tmp_path / "apart" / "tiny-mistral-law.gguf"),
        (tmp_path / "whole" / "tiny-mistral-law.gguf", None),
        (tmp_path / "apart" / "tiny-mistral.gguf", None),
    ):
        with server(model, lora) as ask:
            reply = ask(
                "completion", prompt="[INST] ¿Quién paga? [/INST]", n_predict=12, temperature=0, return_tokens=True
            )
            said.append(reply["tokens"])
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_taken_apart_is_the_same_conversation(name: str) -> None:
    text = served_template(instruction_template(name))
    pieces = pieces_of(text, "<s>", "</s>")
    for talk in (PROBE[1:2], PROBE[:2], PROBE[1:4], PROBE[:4]):
        wanted = render(text, talk, bos_token="<s>", eos_token="</s>", add_generation_prompt=True)
        assert _as_ollama(pieces, talk) == wanted.removeprefix("<s>")
    assert go_template(pieces).count("{{") == go_template(pieces).count("}}")


def _as_ollama(pieces: Pieces, talk: list[dict[str, str]]) -> str:
    """What `go_template` says, in Python."""
    system = "\n\n".join(one["content"] for one in talk if one["role"] == "system")
    said = pieces.told + system + pieces.asked_then if system else pieces.asked
    for at, one in enumerate(talk):
        if one["role"] == "user":
            said += one["content"] + pieces.answer
        elif one["role"] == "assistant":
            said += (
                pieces.answered.removeprefix(pieces.answer) + one["content"] + (pieces.next if talk[at + 1 :] else "")
            )
    return said


def test_the_modelfile_says_template_stops_and_sampling(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path
) -> None:
    base = tiny_base("tiny-mistral")
    folder = adapter(base)
    mine = folder.rename(folder.with_name("mistral-7b-law"))
    export(mine, tmp_path / "out", str(base))
    lines = (tmp_path / "out" / "Modelfile").read_text("utf-8").splitlines()
    assert lines[:2] == ["FROM ./tiny-mistral.gguf", "ADAPTER ./mistral-7b-law.gguf"]
    for line in ('PARAMETER stop "</s>"', "PARAMETER temperature 0.2", "PARAMETER top_k 40", "PARAMETER num_ctx 1024"):
        assert line in lines
    assert '{{- if eq .Role "user" }}{{ .Content }}{{ " [/INST]" }}' in lines
    assert "--with-base" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_what_cannot_be_said_is_refused(
    tiny_base: Callable[[str], Path], adapter: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny_base("tiny-mistral")
    folder = adapter(base)
    config = read_json_object(base / "config.json")
    with pytest.raises(UsageError, match="of type 'gemma3'"):
        write_lora(folder, tmp_path / "x.gguf", config | {"model_type": "gemma3"})
    with pytest.raises(LeyloraError, match="do not divide"):
        write_lora(folder, tmp_path / "x.gguf", config | {"num_attention_heads": 7})
    with pytest.raises(UsageError, match="--merge writes one whole model"):
        export(folder, tmp_path / "out", str(base), merge=True, proof=True)
    (tmp_path / "there").mkdir()
    with pytest.raises(UsageError, match="already exists"):
        export(folder, tmp_path / "there", str(base))
    trained = adapter(base, modules_to_save=["lm_head"])
    with pytest.raises(LeyloraError, match="write the whole model with --merge"):
        export(trained, tmp_path / "out", str(base))
    (folder / "chat_template.jinja").unlink()
    monkeypatch.setattr(gguf_export, "template_name", lambda folder: None)
    with pytest.raises(LeyloraError, match="has no chat template"):
        export(folder, tmp_path / "out", str(base))
    odd = "{% for m in messages %}{{ m.content if loop.last else '' }}{% endfor %}"
    with pytest.raises(LeyloraError, match="Ollama's form"):
        pieces_of(odd, "<s>", "</s>")
    with pytest.raises(LeyloraError, match="opens an answer in two ways"):
        go_template(Pieces("", "", "", "A:", "B:", ""))
    assert not (tmp_path / "out").exists()


def test_without_the_packages_the_command_to_install_them_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(LeyloraError, match=r'pip install "leylora\[gguf\]"'):
        write_model(tmp_path, tmp_path / "x.gguf")
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(LeyloraError, match=r'pip install "leylora\[gguf\]"'), server(tmp_path / "x.gguf"):
        pass
