"""One base, adapters switched on it: what each says, and that they never mix."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from leylora.adapters.adapted import AdaptedModel
from leylora.adapters.discover import BASE, Variant, adapters_of, read_variant
from leylora.errors import LeyloraError
from leylora.models.generate import Row, TooLongError
from leylora.models.presets import GREEDY

QUESTION = [{"role": "user", "content": "¿Qué dice el artículo?"}]
SHORT = replace(GREEDY, max_new_tokens=12)


@pytest.fixture(scope="module")
def model(tiny_base: Callable[[str], Path]) -> AdaptedModel:
    return AdaptedModel(str(tiny_base("tiny-mistral")), "16bit")


@pytest.fixture(scope="module")
def variants(model: AdaptedModel, lora: Path) -> dict[str, Variant]:
    return {variant.name: variant for variant in adapters_of(model.name, lora)[0]}


def answer(model: AdaptedModel, variant: Variant) -> str:
    return "".join(piece.text for piece in model.stream(variant, model.prompt(QUESTION, variant), SHORT)).rstrip()


def test_every_variant_has_an_answer_of_its_own(model: AdaptedModel, variants: dict[str, Variant]) -> None:
    answers = {name: answer(model, variant) for name, variant in variants.items()}
    assert len(answers) == 4
    assert len(set(answers.values())) == 4
    assert {name: answer(model, variants[name]) for name in reversed(variants)} == answers
    prompt = model.prompt(QUESTION)
    assert {name: model.generate(one, [prompt], SHORT)[0].text for name, one in variants.items()} == answers


def test_an_adapter_computes_what_peft_computes(model: AdaptedModel, variants: dict[str, Variant], lora: Path) -> None:
    ids = model.prompt(QUESTION)
    base = AutoModelForCausalLM.from_pretrained(model.name)
    with torch.no_grad():
        bare = base(input_ids=torch.tensor([ids])).logits[0]
        theirs = PeftModel.from_pretrained(base, lora / "tiny-mistral-on-top", adapter_name="one")
        theirs.load_adapter(lora / "tiny-mistral-law", adapter_name="two")
        theirs.base_model.set_adapter(["one", "two"])
        both = theirs.eval()(input_ids=torch.tensor([ids])).logits[0]
        theirs.base_model.set_adapter("two")
        law = theirs(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(model.logits(variants["tiny-mistral-on-top"], ids), both, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.logits(BASE, ids), bare, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.logits(variants["tiny-mistral-law"], ids), law, atol=1e-4, rtol=1e-4)


def test_weights_scale_each_adapter_and_leave_the_others(model: AdaptedModel, variants: dict[str, Variant]) -> None:
    pair, law = variants["tiny-mistral-on-top"], variants["tiny-mistral-law"]
    ids = torch.tensor([model.prompt(QUESTION)])

    def logits(variant: Variant, weights: tuple[float, ...] | None = None) -> torch.Tensor:
        with model.using(variant, weights) as active, torch.no_grad():
            return active(input_ids=ids).logits

    alone, both, bare = logits(law), logits(pair), logits(BASE)
    torch.testing.assert_close(logits(pair, (0.0, 1.0)), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits(pair, (0.0, 0.0)), bare, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(pair, (0.5, 1.0)), both)
    torch.testing.assert_close(logits(pair), both)
    torch.testing.assert_close(logits(law), alone)


def test_an_adapter_first_used_for_a_look_inside_can_still_be_switched(
    tiny_base: Callable[[str], Path], variants: dict[str, Variant]
) -> None:
    model = AdaptedModel(str(tiny_base("tiny-mistral")), "16bit")
    law = variants["tiny-mistral-law"]
    model.logits(law, model.plain_prompt("Artículo"))
    assert answer(model, BASE) != answer(model, law)


def test_threads_do_not_mix(model: AdaptedModel, variants: dict[str, Variant]) -> None:
    alone = {name: answer(model, variant) for name, variant in variants.items()}
    wrong: list[str] = []

    def ask(name: str) -> None:
        wrong.extend(name for _ in range(3) if answer(model, variants[name]) != alone[name])

    threads = [threading.Thread(target=ask, args=(name,)) for name in [*variants] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_scores_are_of_the_variant_that_is_asked(model: AdaptedModel, variants: dict[str, Variant]) -> None:
    rows = [model.answer_row(QUESTION, text) for text in ("Tres días.", "No lo dice.")]
    assert rows[0].targets[-1] == model.tokenizer.eos_token_id
    assert model.answer_row(QUESTION, "Tres días.", ends=False).targets == rows[0].targets[:-1]
    found = {name: model.score(variant, rows) for name, variant in variants.items()}
    assert len({row.logprob for scores in found.values() for row in scores}) == 8
    law = variants["tiny-mistral-law"]
    logprobs = model.logits(law, rows[0].inputs).log_softmax(-1)
    wanted = sum(float(logprobs[at, token]) for at, token in enumerate(rows[0].targets) if token >= 0)
    assert found[law.name][0].logprob == pytest.approx(wanted, abs=1e-3)


def test_a_template_that_changes_the_prompt_once_it_is_answered_cannot_be_scored(
    tiny_base: Callable[[str], Path], model: AdaptedModel
) -> None:
    odd = "{% for m in messages %}{{ messages | length }}{{ m.content }}{{ eos_token }}{% endfor %}"
    other = AdaptedModel(model.name, "16bit", template=odd, model=model.model, tokenizer=model.tokenizer)
    with pytest.raises(LeyloraError, match="cannot be scored"):
        other.answer_row(QUESTION, "No.")


def test_the_prompt_begins_with_one_bos(model: AdaptedModel, variants: dict[str, Variant]) -> None:
    bos = model.tokenizer.bos_token_id
    assert model.prompt(QUESTION, variants["tiny-mistral-law"]).count(bos) == 1
    assert model.plain_prompt("Art. 1")[0] == bos
    assert model.plain_prompt("<s>Art. 1").count(bos) == 1


def test_a_prompt_that_fills_the_window_is_refused(model: AdaptedModel) -> None:
    long = model.plain_prompt("artículo " * 3000)
    with pytest.raises(TooLongError, match="fit the model's window"):
        list(model.stream(BASE, long, SHORT, plain=True))
    empty, short = model.generate(BASE, [long, model.prompt(QUESTION)], SHORT)
    assert (empty.text, empty.finished, bool(short.text)) == ("", False, True)


def test_an_answer_ends_with_the_window(model: AdaptedModel) -> None:
    ids = model.plain_prompt("a " * model.window)[: model.window - 3]
    *_, last = model.stream(BASE, ids, replace(SHORT, max_new_tokens=50), plain=True)
    assert last.finish is not None
    assert last.finish.prompt_tokens + last.finish.completion_tokens <= model.window


def test_an_adapter_that_does_not_fit_leaves_the_model_as_it_was(
    tiny_base: Callable[[str], Path], lora: Path, tmp_path: Path
) -> None:
    cut, wide = tmp_path / "cut", tmp_path / "wide"
    for folder in (cut, wide):
        shutil.copytree(lora / "tiny-mistral-law", folder)
    weights = load_file(cut / "adapter_model.safetensors")
    some = sorted(weights)[0]
    save_file({key: value for key, value in weights.items() if key != some}, cut / "adapter_model.safetensors")
    save_file({key: value.repeat(2, 1) for key, value in weights.items()}, wide / "adapter_model.safetensors")
    model = AdaptedModel(str(tiny_base("tiny-mistral")), "16bit")
    before = answer(model, BASE)
    for first in (cut, wide):  # no adapter was loaded before
        with pytest.raises(LeyloraError, match=f"{first.name} does not load"):
            model.prepare(read_variant(first))
        assert answer(model, BASE) == before
    law = read_variant(lora / "tiny-mistral-law")
    said = answer(model, law)
    with pytest.raises(LeyloraError, match="no weights for"):
        model.prepare(read_variant(cut))
    assert answer(model, law) == said
    assert answer(model, BASE) == before


@pytest.mark.parametrize("load", ["4bit", "8bit"])
def test_4bit_and_8bit_answer_too(tiny_base: Callable[[str], Path], variants: dict[str, Variant], load: str) -> None:
    model = AdaptedModel(str(tiny_base("tiny-mistral")), load)  # type: ignore[arg-type]
    assert answer(model, BASE) != answer(model, variants["tiny-mistral-law"])


def test_an_encoder_decoder_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}', "utf-8")
    with pytest.raises(LeyloraError, match="has an encoder"):
        AdaptedModel(str(tmp_path))


def test_a_plain_text_goes_on_without_a_template(model: AdaptedModel) -> None:
    ids = model.plain_prompt("Artículo 1")
    *pieces, last = model.stream(BASE, ids, SHORT, plain=True)
    assert last.finish is not None
    assert last.finish.prompt_tokens == len(ids)
    assert model.generate(BASE, [ids], SHORT, plain=True)[0].text == "".join(piece.text for piece in pieces).strip()
    assert isinstance(model.score(BASE, [Row.of_labels(ids, ids)])[0].logprob, float)
