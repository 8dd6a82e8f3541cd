"""A look inside: the figures are the model's, and the views show them without running anything."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import Variant, adapters_of
from leylora.chat.inspect import Inspection, coloured_line, entropy, inspect, page, percent, run, visible
from leylora.errors import UsageError
from leylora.models.generate import TooLongError

TEXT = "La biblioteca presta libros por quince días."
VARIANTS = ("base", "tiny-mistral-instructions", "tiny-mistral-law")


@pytest.fixture(scope="module")
def variants(model: AdaptedModel, lora: Path) -> dict[str, Variant]:
    return {one.name: one for one in adapters_of(model.name, lora)[0]}


@pytest.fixture(scope="module")
def inspection(model: AdaptedModel, variants: dict[str, Variant]) -> Inspection:
    return inspect(model, TEXT, [variants[name] for name in VARIANTS], top=5)


def test_probabilities_are_the_models_own(
    model: AdaptedModel, variants: dict[str, Variant], inspection: Inspection
) -> None:
    import torch

    for variant in inspection.variants:
        logprobs = model.logits(variants[variant.name], inspection.ids).log_softmax(-1)
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


def test_the_page_escapes_and_loads_nothing(model: AdaptedModel) -> None:
    text = page(inspect(model, "<script>alert(1)</script> & una ley"))
    assert "<script" not in text
    assert "http" not in text
    assert "&lt;" in text
    assert "<0xE2>" in inspect(model, "—").texts  # a byte of a character the vocabulary lacks


def test_a_text_is_shown_as_it_is_and_cannot_steer_a_terminal(model: AdaptedModel) -> None:
    line = coloured_line(inspect(model, "uno [red]dos[/red]\n"), 0)
    assert "[red]" in line.plain
    assert visible(" a\n\x1b[0m") == "·a⏎\\x1b[0m"


@pytest.mark.parametrize(("value", "text"), [(0.5, "50.0%"), (0.0012, "0.120%"), (1e-7, "1e-07")])
def test_percent(value: float, text: str) -> None:
    assert percent(value) == text


def test_no_text_and_too_much_text(model: AdaptedModel) -> None:
    with pytest.raises(UsageError, match="nothing to inspect"):
        inspect(model, "")
    with pytest.raises(TooLongError):
        inspect(model, "artículo " * 3000)
    assert inspect(model, "a\ud800").ids == inspect(model, "a�").ids


def test_the_command_compares_base_and_adapters(
    tiny_base: Callable[[str], Path], lora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, out = str(tiny_base("tiny-mistral")), tmp_path / "look.html"
    run(TEXT, base, [], "16bit", 3, out, lora)
    shown = capsys.readouterr().out
    assert [line.split(":")[0] for line in shown.splitlines()[-3:]] == list(VARIANTS)
    assert "biblioteca" in shown
    assert out.read_text("utf-8").startswith("<!doctype html>")
    run(TEXT, base, ["tiny-mistral-on-top"], "16bit", 3, None, lora)
    shown = capsys.readouterr().out
    assert "tiny-mistral-on-top" in shown
    assert "tiny-mistral-law" not in shown
    with pytest.raises(UsageError, match="already exists"):
        run(TEXT, base, [], "16bit", 3, out, lora)
