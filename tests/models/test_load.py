import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from leylora.errors import LeyloraError, UsageError
from leylora.models import bases
from leylora.models.cards import Card, require_card
from leylora.models.families import FAMILIES, family_of
from leylora.models.load import load_base, load_config, load_tokenizer


@pytest.mark.parametrize(
    ("family", "padding"), [("tiny-mistral", "<unk>"), ("tiny-llama-2", "<unk>"), ("tiny-falcon", ">>SUFFIX<<")]
)
def test_padding_is_no_end_of_text_and_adds_no_token(
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
    with pytest.raises(LeyloraError, match="no special token besides"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-llama-2", "tiny-falcon"])
def test_bytes_of_a_rare_character_are_no_special_tokens(tiny_base: Callable[[str], Path], family: str) -> None:
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


@pytest.mark.parametrize("family", ["tiny-mistral", "tiny-llama-2", "tiny-falcon"])
def test_a_family_names_every_linear_layer_of_its_models(tiny_base: Callable[[str], Path], family: str) -> None:
    model = load_base(str(tiny_base(family)), compute_dtype=torch.float32, load="16bit")
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    assert linear == set(family_of(model.config).linear_layers)


def test_an_unknown_architecture_is_refused() -> None:
    from transformers import GPT2Config

    with pytest.raises(UsageError, match=r"'gpt2', which has no family here .*mistral"):
        family_of(GPT2Config())
    assert set(FAMILIES) == {"mistral", "llama", "qwen3", "falcon"}


@pytest.mark.parametrize(
    ("card", "message"),
    [(None, "none was found"), (Card("NVIDIA GeForce GTX 1650", 3.9, bf16=False), "GTX 1650 has 3.9")],
)
def test_a_missing_or_small_card_stops_with_an_alternative(card: Card | None, message: str) -> None:
    with pytest.raises(LeyloraError, match=rf"{message}.*make demo"):
        require_card(card, 14, instead="make demo")
    require_card(card, 0, instead="make demo")
    require_card(Card("Tesla T4", 14.6, bf16=False), 14, instead="make demo")


def test_without_network_the_hub_is_not_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    asked: list[bool] = []

    def from_pretrained(*_: object, local_files_only: bool, **__: object) -> None:
        asked.append(local_files_only)
        raise OSError("couldn't find them in the cached files")

    monkeypatch.setattr(bases, "getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", from_pretrained)
    bases._hub_has_address.cache_clear()
    with pytest.raises(LeyloraError, match="Check the name and the network"):
        load_config("nobody/has-this")
    monkeypatch.setattr(bases, "getproxies", lambda: {"https": "http://proxy:3128"})  # which resolves names itself
    bases._hub_has_address.cache_clear()
    with pytest.raises(LeyloraError):
        load_config("nobody/has-this")
    bases._hub_has_address.cache_clear()
    assert asked == [True, False]
