"""Adapters of strangers: patterns that take for ever, pickles, links that lead elsewhere."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from leylora.adapters.config import CONFIG_FILE, parse_config
from leylora.adapters.files import PICKLED_FILE, WEIGHTS_FILE, convert_pickled, open_adapter
from leylora.errors import LeyloraError, UsageError

from .conftest import AdapterMaker

PLAIN = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}


@pytest.mark.parametrize("key", ["rank_pattern", "alpha_pattern"])
@pytest.mark.parametrize(
    "pattern", ["(([a-z._0-9])+)+Q", "(.+)+x$", "(", "[", "(?P<a", ".*.*.*.*.*x", "a" * 6_000, "(a|b)*c", "(" * 2_000]
)
def test_a_pattern_that_may_take_for_ever_is_refused(key: str, pattern: str) -> None:
    start = time.monotonic()
    with pytest.raises(LeyloraError, match=r"the pattern .* name the modules instead"):
        parse_config(PLAIN | {key: {pattern: 16}}, "adapter_config.json").rank("model.layers.0.self_attn.q_proj" * 3)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "pattern",
    ["q_proj", r"model\.layers\.(0|1|2)\.self_attn\.q_proj", r".*\.layers\.[0-9]+\.mlp.*", r"^(?!.*head).*_proj"],
)
def test_the_patterns_adapters_have_are_matched(pattern: str) -> None:
    config = parse_config(PLAIN | {"rank_pattern": {pattern: 16}, "target_modules": pattern}, "adapter_config.json")
    assert config.rank("model.layers.1.mlp.down_proj") in (4, 16)


@pytest.mark.parametrize(
    "values",
    [{"r": 10**9}, {"lora_alpha": float("nan")}, {"alpha_pattern": {"q": float("inf")}}, {"rank_pattern": {"q": 0}}],
)
def test_numbers_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(LeyloraError, match="restore the file PEFT wrote"):
        parse_config(PLAIN | values, "adapter_config.json")


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '"x"', "1" * 5_000, '{"r": "\\ud800"}'])
def test_a_damaged_config_names_its_file(make_adapter: AdapterMaker, content: str) -> None:
    folder = make_adapter("odd")
    (folder / CONFIG_FILE).write_text(content)
    with pytest.raises(LeyloraError, match=CONFIG_FILE):
        open_adapter(folder)


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(json.dumps(PLAIN))
    torch.save({"a.lora_A.weight": torch.ones(4, 8), "a.lora_B.weight": torch.ones(8, 4)}, folder / PICKLED_FILE)
    return folder


def test_converting_writes_through_no_link_and_touches_no_file_of_the_user(pickled: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (pickled / "adapter_model.partial").symlink_to(victim)
    assert convert_pickled(pickled).stat().st_size > 100
    assert victim.read_text() == "mine"
    assert (pickled / "adapter_model.partial").is_symlink(), "nor was what lay there deleted"
    assert not (pickled / WEIGHTS_FILE).is_symlink()
    assert sorted(file.name for file in pickled.iterdir()) == [
        CONFIG_FILE,
        PICKLED_FILE,
        "adapter_model.partial",
        WEIGHTS_FILE,
    ]


def test_converting_writes_over_no_link(pickled: Path, tmp_path: Path) -> None:
    (pickled / WEIGHTS_FILE).symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="already exists"):
        convert_pickled(pickled)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "sparse", "meta", "object", "number"])
def test_a_pickle_that_is_no_adapter_is_one_sentence_and_leaves_nothing(pickled: Path, damage: str) -> None:
    file = pickled / PICKLED_FILE
    data = file.read_bytes()
    special = {
        "sparse": {"a": torch.eye(3).to_sparse()},
        "meta": {"a": torch.ones(2, device="meta")},
        "object": {"a": object},
        "number": {5: torch.ones(2)},
    }
    if damage in special:
        torch.save(special[damage], file)
    else:
        flipped = bytes(byte ^ 0x5A if at % 37 == 0 else byte for at, byte in enumerate(data))
        file.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "flipped": flipped}[damage])
    with pytest.raises(LeyloraError) as error:
        convert_pickled(pickled)
    assert str(file) in str(error.value)
    assert sorted(file.name for file in pickled.iterdir()) == [CONFIG_FILE, PICKLED_FILE]
