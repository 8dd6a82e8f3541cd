"""Where an answer ends, and text that appears only when it is certain."""

import pytest

from leylora.chat.ending import TextStream, ending_of, overlap, spelled
from leylora.chat.engine import Engine
from leylora.chat.sampling import Sampling, preset, preset_for, presets
from leylora.errors import LeyloraError, UsageError
from leylora.models.templates import instruction_template, served_template


def streamed(engine: Engine, text: str, stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    stream = TextStream(engine.tokenizer, stops)
    pieces = []
    for token in engine.tokenizer.encode(text, add_special_tokens=False):
        pieces.append(stream.add(token))
        if stream.stopped:
            return pieces, True
    return [*pieces, stream.end()], False


@pytest.mark.parametrize("text", ["Artículo 1.- Objeto.", "El señor Ñandú 😀 llegó — y «dijo»:\n\n1. Sí.\n2. No."])
def test_streamed_text_is_the_text(engine: Engine, text: str) -> None:
    pieces, stopped = streamed(engine, text)
    assert "".join(pieces) == text
    assert not stopped
    assert not any("�" in piece for piece in pieces)


def test_a_stop_text_is_never_shown_in_part(engine: Engine) -> None:
    pieces, stopped = streamed(engine, "El plazo es de quince días. [INST] ¿Y la multa?", ("[INST]",))
    assert "".join(pieces) == "El plazo es de quince días. "
    assert stopped


def test_what_only_looks_like_a_stop_text_is_shown(engine: Engine) -> None:
    pieces, stopped = streamed(engine, "véase [INS y [I", ("[INST]",))
    assert "".join(pieces) == "véase [INS y [I"
    assert not stopped


def test_mistral_ends_before_it_plays_the_user(engine: Engine) -> None:
    ending = ending_of(served_template(instruction_template("leylora-mistral")), engine.tokenizer)
    assert ending.ids == {engine.tokenizer.eos_token_id}
    assert "[INST]" in ending.texts


def test_control_tokens_end_by_number_and_their_words_do_not(engine: Engine) -> None:
    import copy

    tokenizer = copy.deepcopy(engine.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    ending = ending_of(template, tokenizer)
    assert set(tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])) <= ending.ids
    assert ending.texts == ()


def test_a_token_is_spelled_with_its_blank(engine: Engine) -> None:
    ids = engine.tokenizer.encode("la biblioteca comunitaria", add_special_tokens=False)
    assert "".join(spelled(engine.tokenizer, at) for at in ids[1:]).endswith(" comunitaria")
    assert spelled(engine.tokenizer, engine.tokenizer.eos_token_id) == "</s>"


@pytest.mark.parametrize(
    ("text", "stop", "size"), [("ab", "abc", 2), ("xab", "abc", 2), ("abc", "abd", 0), ("a", "a", 0)]
)
def test_overlap(text: str, stop: str, size: int) -> None:
    assert overlap(text, stop) == size


def test_presets_are_those_of_the_project() -> None:
    assert "contrastive-search-legacy" not in presets()
    sampling, ignored = preset("mistral-7b-law", Sampling(temperature=2, max_new_tokens=9))
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_new_tokens) == (0.2, 0.9, 40, 9)
    assert not ignored
    assert preset("deterministic")[0].greedy
    assert preset_for("mistral-7b-law") == "mistral-7b-law"
    assert preset_for("mine") == "deterministic"


def test_what_a_preset_wants_in_vain_is_said(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "odd.yaml").write_text("temperature: 0.5\nmirostat_mode: 2\nmirostat_tau: 5\n", "utf-8")
    sampling, ignored = preset("odd", folder=folder)
    assert sampling.temperature == 0.5
    assert ignored == ["mirostat_mode"]
    (folder / "broken.yaml").write_text("temperature: '0.5'\n", "utf-8")
    with pytest.raises(LeyloraError, match="cannot be used"):
        preset("broken", folder=folder)
    with pytest.raises(UsageError, match="odd"):
        preset("none", folder=folder)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Sampling(top_p=3)


def test_a_setting_must_be_a_finite_number() -> None:
    from leylora.chat.sampling import from_settings

    for key in ("top_k", "repetition_penalty", "temperature"):
        with pytest.raises(UsageError, match="finite"):
            from_settings({key: float("inf")})
    assert from_settings({"top_k": 40.0})[0].top_k == 40
