"""Every reason to refuse a merge, each with the fault planted, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from leylora.adapters.files import convert_pickled, open_adapter
from leylora.adapters.merge import Parent, merge, parse_parent
from leylora.errors import LeyloraError, UsageError
from leylora.files import write_json

Maker = Callable[..., Path]
WEIGHTS = "adapter_model.safetensors"
KEY = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def refuse(match: str, parents: list[Path], tmp_path: Path, **options: Any) -> None:
    """The merge is refused with ``match`` in the message, and no file is written or changed."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LeyloraError, match=match):
        merge([(parent, 1.0) for parent in parents], tmp_path / "LORA" / "merged", picture=False, **options)
    assert sorted(tmp_path.rglob("*")) == before


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    return folder


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "all"}, "bias"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"init_lora_weights": "olora"}, "path_initial_model_for_weight_conversion"),
        ({"init_lora_weights": "corda"}, "changed the base"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices"),
        ({"base_model_name_or_path": "example/other"}, "base_model_name_or_path"),
        ({"base_model_name_or_path": None}, "not given"),
        ({"revision": "abc123"}, "revision"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"peft_type": "ADALORA"}, "ADALORA"),
    ],
)
def test_configs_that_do_not_go_together(
    make_adapter: Maker, tmp_path: Path, config: dict[str, Any], word: str
) -> None:
    good, other = make_adapter("a"), make_adapter("b", seed=1)
    path = other / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    refuse(word, [good, other], tmp_path)


def test_same_base_is_the_users_word(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [make_adapter("a"), make_adapter("b", base_model_name_or_path="/models/tiny")]
    report = merge([(p, 1.0) for p in parents], tmp_path / "c", same_base=True, picture=False)
    assert report.base_model == "example/tiny"


def test_revision_main_is_the_same_as_none(make_adapter: Maker, tmp_path: Path) -> None:
    merge([(make_adapter("a"), 1.0), (make_adapter("b", revision="main"), 1.0)], tmp_path / "c", picture=False)


Tensors = dict[str, torch.Tensor]


def adding(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({f"base_model.model.{name}": torch.ones(3)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[KEY].view(-1).__setitem__(7, float("nan")), "NaN or infinity"),
        (lambda t: t[KEY].view(-1).__setitem__(7, float("inf")), "NaN or infinity"),
        (lambda t: t[KEY].view(-1).__setitem__(7, float("-inf")), "NaN or infinity"),
        (lambda t: t.update({KEY: t[KEY][:, :-1].contiguous()}), "24 x 24 in a and 24 x 23 in b"),
        (lambda t: t.pop(KEY), "has no lora_A"),
        (lambda t: t.update({KEY: t[KEY][:-1].contiguous()}), "are not LoRA factors"),
        (lambda t: t.update({KEY: t[KEY].to(torch.int8)}), "type I8"),
        (adding("model.layers.0.self_attn.q_proj.lora_magnitude_vector"), "neither a LoRA factor"),
        (adding("model.layers.0.input_layernorm.weight"), "neither a LoRA factor"),
        (adding("odd"), "neither a LoRA factor"),
        (dict.clear, "no LoRA factors"),
    ],
)
def test_weights_that_are_not_lora_s(
    make_adapter: Maker, tmp_path: Path, change: Callable[[Tensors], None], message: str
) -> None:
    refuse(message, [make_adapter("a"), edit_tensors(make_adapter("b"), change)], tmp_path)


def test_a_rank_the_config_does_not_know(make_adapter: Maker, tmp_path: Path) -> None:
    other = make_adapter("b", r=4)
    path = other / "adapter_config.json"
    path.write_text(path.read_text().replace('"r": 4', '"r": 8'))
    refuse("has rank 4, but adapter_config.json says 8", [make_adapter("a"), other], tmp_path)


def test_a_damaged_file(make_adapter: Maker, tmp_path: Path) -> None:
    other = make_adapter("b")
    data = (other / WEIGHTS).read_bytes()
    (other / WEIGHTS).write_bytes(data[: len(data) // 2])
    refuse("damaged", [make_adapter("a"), other], tmp_path)


def test_a_pickled_adapter_is_refused_and_can_be_converted(make_adapter: Maker, tmp_path: Path, dense: Any) -> None:
    good, other = make_adapter("a"), make_adapter("b", seed=1)
    wanted = dense.deltas(other)
    torch.save(load_file(other / WEIGHTS), other / "adapter_model.bin")
    (other / WEIGHTS).unlink()
    refuse("--convert", [good, other], tmp_path)
    convert_pickled(other)
    found = dense.deltas(other)
    assert all(torch.equal(found[module], delta) for module, delta in wanted.items())
    with pytest.raises(UsageError, match="already exists"):
        convert_pickled(other)


class _Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (Path.touch, (Path("bomb"),))  # type: ignore[return-value]


@pytest.mark.parametrize("content", [_Bomb(), {"a": _Bomb()}, {"a": 1}, [torch.ones(1)]])
def test_a_hostile_pickle_does_not_run(make_adapter: Maker, tmp_path: Path, content: Any) -> None:
    folder = make_adapter("a")
    (folder / WEIGHTS).unlink()
    torch.save(content, folder / "adapter_model.bin")
    with pytest.raises(LeyloraError, match="safetensors"):
        convert_pickled(folder)
    assert not Path("bomb").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["adapter_config.json", "adapter_model.bin"]


def test_more_than_one_adapter_inside(make_adapter: Maker, tmp_path: Path) -> None:
    good, other = make_adapter("a"), make_adapter("b")
    shutil.copytree(good, other / "checkpoint-100")
    open_adapter(other)  # a Trainer's checkpoints are not in the way
    shutil.copytree(good, other / "law")
    refuse("more than one adapter", [good, other], tmp_path)
    (other / "adapter_config.json").unlink()
    refuse("name one of the adapters inside it: checkpoint-100, law", [good, other], tmp_path)


def test_folders_that_are_not_adapters(make_adapter: Maker, tmp_path: Path) -> None:
    good = make_adapter("a")
    refuse("not a folder", [good, tmp_path / "nowhere"], tmp_path)
    (tmp_path / "empty").mkdir()
    refuse("no adapter_config.json.*; name the folder that a training wrote", [good, tmp_path / "empty"], tmp_path)
    shutil.copy(good / "adapter_config.json", tmp_path / "empty")
    refuse("not saved completely", [good, tmp_path / "empty"], tmp_path)


def with_full_tensor(folder: Path) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modules_to_save": ["lm_head"]}))
    return edit_tensors(folder, lambda t: t.__setitem__("base_model.model.lm_head.weight", torch.ones(5, 24)))


def test_fully_trained_weights(make_adapter: Maker, tmp_path: Path) -> None:
    first, second = make_adapter("a"), with_full_tensor(make_adapter("b", seed=1))
    with pytest.raises(LeyloraError, match="weight 1"):
        merge([(first, 1.0), (second, 0.5)], tmp_path / "c", picture=False)
    merge([(first, 0.5), (second, 1.0)], tmp_path / "c", picture=False)
    assert json.loads((tmp_path / "c" / "adapter_config.json").read_text())["modules_to_save"] == ["lm_head"]
    assert torch.equal(load_file(tmp_path / "c" / WEIGHTS)["base_model.model.lm_head.weight"], torch.ones(5, 24))
    merge([(with_full_tensor(first), 0.5), (second, 0.5)], tmp_path / "d", picture=False)  # the same in both
    edit_tensors(first, lambda t: t.__setitem__("base_model.model.lm_head.weight", torch.zeros(5, 24)))
    refuse("both hold whole weights", [first, second], tmp_path)


def vocabulary(*tokens: str) -> str:
    return json.dumps({"model": {"vocab": {token: at for at, token in enumerate(tokens)}}, "added_tokens": []})


def test_another_vocabulary(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [make_adapter("a"), make_adapter("b")]
    (parents[0] / "tokenizer.json").write_text(vocabulary("ley", "art"))
    (parents[1] / "tokenizer.json").write_text(vocabulary("ley", "art", "<pad>"))
    refuse("<pad>", parents, tmp_path)


def test_an_embedding_of_another_vocabulary(tmp_path: Path) -> None:
    folders = []
    for name, size in (("a", 30), ("b", 31)):
        key = "base_model.model.model.embed_tokens.lora_embedding_"
        tensors = {f"{key}A": torch.ones(2, size), f"{key}B": torch.ones(8, 2)}
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": "example/tiny"}
        folders.append(tmp_path / name)
        write_json(folders[-1] / "adapter_config.json", config)
        save_file(tensors, folders[-1] / WEIGHTS)
    refuse("vocabularies differ", folders, tmp_path)


def test_arguments_that_make_no_sense(make_adapter: Maker, tmp_path: Path) -> None:
    a, b = make_adapter("a"), make_adapter("b", seed=1)
    refuse("at least two", [a], tmp_path)
    refuse("not a merging method", [a, b], tmp_path, method="linear")
    refuse("named twice", [a, a], tmp_path)
    refuse("concat keeps every", [a, b], tmp_path, rank=4)
    refuse("not both", [a, b], tmp_path, method="svd", rank=4, energy=0.9)
    refuse("energy of 1.5", [a, b], tmp_path, method="svd", energy=1.5)
    refuse("rank of 0", [a, b], tmp_path, method="svd", rank=0)
    refuse("density of 0", [a, b], tmp_path, method="ties", density=0.0)
    refuse("float64", [a, b], tmp_path, dtype="float64")
    refuse("not a merging method", [a, b], tmp_path, method="dare")
    with pytest.raises(UsageError, match="nothing is left"):
        merge([(a, 0.0), (b, 0.0)], tmp_path / "c", picture=False)
    with pytest.raises(UsageError, match="not an adapter name"):
        merge([(a, 1.0), (b, 1.0)], tmp_path / "v0.1", picture=False)


def test_patterns_that_match_nothing(make_adapter: Maker, tmp_path: Path) -> None:
    a, b = make_adapter("a"), make_adapter("b", seed=1)
    for pattern in ("*.nothing", "9-3", "7"):
        with pytest.raises(UsageError, match="matches no module of b"):
            merge([Parent(a), Parent(b, 1.0, ((pattern, 0.5),))], tmp_path / "c", picture=False)


def test_existing_output(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]
    out = tmp_path / "c"
    merge(parents, out, picture=False)
    first = (out / WEIGHTS).read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        merge(parents, out, "svd", picture=False)
    assert (out / WEIGHTS).read_bytes() == first
    merge(parents, out, "svd", picture=False, overwrite=True)
    assert (out / WEIGHTS).read_bytes() != first


def test_overwrite_only_ever_replaces_an_adapter(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [(make_adapter("a"), 1.0), (make_adapter("b", seed=1), 1.0)]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    for out in (tmp_path / "home", parents[0][0], parents[0][0].parent, parents[0][0] / "merged"):
        with pytest.raises(UsageError):
            merge(parents, out, picture=False, overwrite=True)
    assert (tmp_path / "home" / "thesis.txt").is_file()
    assert (parents[0][0] / WEIGHTS).is_file()


def test_an_overflow_is_named(make_adapter: Maker, tmp_path: Path) -> None:
    parents = [make_adapter("a", size=1e6), make_adapter("b", seed=1)]
    refuse("overflow", parents, tmp_path, dtype="float16")


def test_weights_must_be_finite() -> None:
    assert parse_parent("LORA/a=-0.5") == Parent(Path("LORA/a"), -0.5)
    for text in ("LORA/a=nan", "LORA/a=inf", "LORA/a=", "LORA/a=much"):
        with pytest.raises(UsageError):
            parse_parent(text)
