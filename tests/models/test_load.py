import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from leylora.errors import LeyloraError
from leylora.models.load import load_base, load_config, load_tokenizer


@pytest.mark.parametrize(
    ("family", "padding"), [("tiny-mistral", "<unk>"), ("tiny-llama-2", "<unk>"), ("tiny-falcon", ">>SUFFIX<<")]
)
def test_padding_is_not_the_end_of_text_and_adds_no_token(
    tiny_base: Callable[[str], Path], family: str, padding: str
) -> None:
    before = len(AutoTokenizer.from_pretrained(tiny_base(family)))
    tokenizer = load_tokenizer(str(tiny_base(family)))
    assert tokenizer.pad_token == padding != tokenizer.eos_token
    assert len(tokenizer) == before


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    content = json.loads((tiny_base("tiny-falcon") / "tokenizer.json").read_text("utf-8"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] == "<|endoftext|>"]
    (tmp_path / "own.json").write_text(json.dumps(content), encoding="utf-8")
    plain = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "own.json"), eos_token="<|endoftext|>")
    plain.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "falcon"}', encoding="utf-8")
    with pytest.raises(LeyloraError, match="no special token other than its end-of-text token"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-llama-2", "tiny-falcon"])
def test_bytes_of_a_rare_character_are_not_special_tokens(tiny_base: Callable[[str], Path], family: str) -> None:
    tokenizer = load_tokenizer(str(tiny_base(family)))
    text = "ÑANDÚ «œuvre» — 中"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert not set(ids) & {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_missing_small_base_names_the_command_that_makes_it() -> None:
    with pytest.raises(LeyloraError, match=r"scripts/demo\.py --base-only --family tiny-nothing"):
        load_config("data/build/models/tiny-nothing")


def test_a_model_that_is_nowhere_is_one_sentence() -> None:
    with pytest.raises(LeyloraError, match="nobody/has-this cannot be loaded"):
        load_config("nobody/has-this")


def test_a_folder_without_weights_is_one_sentence(tiny_base: Callable[[str], Path], tmp_path: Path) -> None:
    config = json.loads((tiny_base("tiny-mistral") / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(LeyloraError, match="cannot be loaded"):
        load_base(str(tmp_path), compute_dtype=torch.float32)
