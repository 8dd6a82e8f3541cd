"""A look inside: the figures are the model's, and the views show them without running anything."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.chat.any_model import Decoding, check_marian, generate, load_any, t5_prompt, translate
from leylora.chat.conversation import TooLongError
from leylora.chat.engine import Engine
from leylora.chat.inspect_command import run
from leylora.chat.inspection import Inspection, entropy, inspect
from leylora.chat.inspection_views import coloured_line, page, percent, visible
from leylora.errors import LeyloraError, UsageError

TEXT = "La biblioteca presta libros por quince días."
VARIANTS = ("base", "tiny-mistral-instructions", "tiny-mistral-law")


@pytest.fixture(scope="module")
def inspection(engine: Engine) -> Inspection:
    return inspect(engine, TEXT, VARIANTS, top=5)


def test_probabilities_are_the_models_own(engine: Engine, inspection: Inspection) -> None:
    import torch

    for variant in inspection.variants:
        logprobs = engine.logits(variant.name, inspection.ids).log_softmax(-1)
        for at in range(1, len(inspection.ids)):
            reading = variant.tokens[at]
            assert reading.logprob == pytest.approx(float(logprobs[at - 1, inspection.ids[at]]), abs=1e-5)
            assert reading.rank == 1 + int((logprobs[at - 1] > logprobs[at - 1, inspection.ids[at]]).sum())
        assert variant.expected[0].id == int(logprobs[-1].argmax())
        assert variant.loss == pytest.approx(
            float(torch.nn.functional.nll_loss(logprobs[:-1], torch.tensor(inspection.ids[1:]))), abs=1e-5
        )
        assert sorted((one.probability for one in variant.expected), reverse=True) == [
            one.probability for one in variant.expected
        ]


def test_the_first_token_follows_nothing(inspection: Inspection) -> None:
    assert inspection.texts[0] == "<s>"
    assert inspection.variants[0].tokens[0].probability is None
    assert "".join(inspection.texts[1:]).strip() == TEXT


def test_what_an_adapter_taught_is_a_difference_to_the_base(inspection: Inspection) -> None:
    gain = inspection.gain(1, 2)
    base, taught = (inspection.variants[at].tokens[2].logprob for at in (0, 1))
    assert gain is not None
    assert base is not None
    assert taught is not None
    assert gain == pytest.approx(taught - base)
    assert inspection.gain(0, 2) == 0
    assert inspection.gain(1, 0) is None


def test_entropy_of_known_distributions() -> None:
    import torch

    rows = torch.log(torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]]))
    assert entropy(rows).tolist() == pytest.approx([math.log(4), 0.0])


def test_json_holds_everything(inspection: Inspection) -> None:
    data = json.loads(json.dumps(inspection.as_json()))
    assert [one["name"] for one in data["variants"]] == list(VARIANTS)
    assert len(data["tokens"]) == len(data["variants"][0]["tokens"]) == len(inspection.ids)
    assert len(data["variants"][0]["next"]["top"]) == 5


def test_the_page_escapes_and_loads_nothing(engine: Engine) -> None:
    text = page(inspect(engine, "<script>alert(1)</script> & una ley", ("base",)))
    assert "<script" not in text
    assert "http" not in text
    assert "&lt;" in text
    assert "<0xE2>" in inspect(engine, "—").texts  # a byte of a character the vocabulary lacks


def test_a_text_is_shown_as_it_is_and_cannot_steer_a_terminal(engine: Engine) -> None:
    line = coloured_line(inspect(engine, "uno [red]dos[/red]\n"), 0)
    assert "[red]" in line.plain
    assert visible(" a\n\x1b[0m") == "·a⏎\\x1b[0m"


@pytest.mark.parametrize(("value", "text"), [(0.5, "50.0%"), (0.0012, "0.120%"), (1e-7, "1e-07")])
def test_percent(value: float, text: str) -> None:
    assert percent(value) == text


def test_no_text_and_too_much_text(engine: Engine) -> None:
    with pytest.raises(UsageError, match="nothing to inspect"):
        inspect(engine, "")
    with pytest.raises(TooLongError):
        inspect(engine, "artículo " * 3000)


def test_the_command_compares_base_and_adapters(
    tiny_base: Callable[[str], Path], lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = str(tiny_base("tiny-mistral")), tmp_path / "look.html"
    run(TEXT, base, [], "16bit", 3, as_json=True, page=out, lora=lora)
    data = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in data["variants"]] == ["base", "tiny-mistral-instructions", "tiny-mistral-law"]
    assert out.read_text("utf-8").startswith("<!doctype html>")
    run(TEXT, base, ["tiny-mistral-on-top"], "16bit", 3, as_json=False, page=None, lora=lora)
    shown = capsys.readouterr().out
    assert "tiny-mistral-on-top" in shown
    assert "biblioteca" in shown
    with pytest.raises(UsageError, match="already exists"):
        run(TEXT, base, [], "16bit", 3, as_json=False, page=out, lora=lora)


@pytest.fixture(scope="module")
def t5(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random T5 with the small base's tokenizer."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from leylora.models.load import load_tokenizer

    torch.manual_seed(0)
    tokenizer = load_tokenizer(str(tiny_base("tiny-mistral")))
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("t5") / "t5-random"
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_encoder_decoder_generates_and_translates(t5: Path) -> None:
    loaded = load_any(str(t5))
    assert loaded.seq2seq
    short = Decoding(max_new_tokens=6, beams=2)
    told = generate(loaded, t5_prompt("The house.", "en", "es"), short)
    assert translate(loaded, "The house.", "en", "es", short) == told
    assert t5_prompt("The house.", "en", "es") == "translate English to Spanish: The house."
    warm = Decoding(max_new_tokens=6, temperature=1.5, top_p=0.9, seed=3)
    assert generate(loaded, "Uno", warm) == generate(loaded, "Uno", warm)


def test_a_causal_model_goes_on_and_does_not_repeat_the_prompt(tiny_base: Callable[[str], Path]) -> None:
    loaded = load_any(str(tiny_base("tiny-mistral")), "4bit")
    assert not loaded.seq2seq
    answer = generate(loaded, TEXT, Decoding(max_new_tokens=5))
    assert TEXT not in answer
    assert translate(loaded, "The house.", "en", "es", Decoding(max_new_tokens=5)) is not None
    with pytest.raises(UsageError, match="shorten it"):
        generate(loaded, "a " * 3000, Decoding())
    with pytest.raises(UsageError, match="nothing to read"):
        generate(loaded, " ", Decoding())
    with pytest.raises(UsageError, match="'xx' is not known"):
        translate(loaded, "The house.", "en", "xx", Decoding())


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(LeyloraError, match="does not exist"):
        load_any(str(tmp_path / "none"))


def test_a_marian_model_for_another_direction_is_refused() -> None:
    check_marian("Helsinki-NLP/opus-mt-es-en", "es", "en")
    check_marian("mine/translator", "es", "en")
    with pytest.raises(UsageError, match="translates from es to en"):
        check_marian("Helsinki-NLP/opus-mt-es-en", "en", "es")
