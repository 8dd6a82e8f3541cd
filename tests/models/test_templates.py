from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.errors import LeyloraError, UsageError
from leylora.models.load import load_tokenizer
from leylora.models.templates import instruction_template, served_template, training_template

TALK = [
    {"role": "system", "content": "Responda con la ley."},
    {"role": "user", "content": "¿Qué plazo hay para apelar?"},
    {"role": "assistant", "content": "Tres días."},
    {"role": "user", "content": "¿Y para casar?"},
    {"role": "assistant", "content": "Treinta días.\n\nDesde la notificación."},
]
PAIRS = [
    ("tiny-mistral", "leylora-mistral"),
    ("tiny-llama-2", "leylora-llama-2"),
    ("tiny-falcon", "leylora-falcon"),
]


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_exactly_the_answers_and_their_ends_are_marked(
    tiny_base: Callable[[str], Path], family: str, name: str
) -> None:
    tokenizer = load_tokenizer(str(tiny_base(family)))
    encoded = tokenizer.apply_chat_template(
        TALK,
        chat_template=training_template(instruction_template(name)),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    marked = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert marked.count(tokenizer.eos_token_id) == 2
    text = tokenizer.decode(marked, skip_special_tokens=True)
    assert "Tres días." in text
    assert "Desde la notificación." in text
    assert "apelar" not in text
    assert "Responda" not in text


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_what_the_model_sees_when_asked_is_how_its_training_rows_begin(
    tiny_base: Callable[[str], Path], family: str, name: str
) -> None:
    tokenizer = load_tokenizer(str(tiny_base(family)))
    template = instruction_template(name)
    asked = tokenizer.apply_chat_template(
        TALK[:-1], chat_template=served_template(template), add_generation_prompt=True
    )["input_ids"]
    trained = tokenizer.apply_chat_template(TALK, chat_template=training_template(template))["input_ids"]
    assert trained[: len(asked)] == asked


@pytest.mark.parametrize(("_family", "name"), PAIRS)
def test_training_and_serving_render_the_same_text(tiny_base: Callable[[str], Path], _family: str, name: str) -> None:
    tokenizer = load_tokenizer(str(tiny_base(_family)))
    template = instruction_template(name)
    as_written, served, trained = (
        tokenizer.apply_chat_template(TALK, chat_template=text, tokenize=False)
        for text in (template, served_template(template), training_template(template))
    )
    assert as_written == served == trained
    assert as_written.count(tokenizer.bos_token or "<s>") == {"leylora-mistral": 1, "leylora-llama-2": 2}.get(name, 0)


@pytest.mark.parametrize(
    "text", ["{{ messages[0].content }}", "{# generation #}{{ messages[0].content }}", "{# endgeneration #}"]
)
def test_a_template_that_marks_no_whole_answer_is_refused(text: str) -> None:
    with pytest.raises(LeyloraError, match="one of both"):
        training_template(text)


def test_missing_and_broken_template_files(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("instruction_template: [", encoding="utf-8")
    (tmp_path / "empty.yaml").write_text("other: 1\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no instruction template 'none'.*broken, empty"):
        instruction_template("none", tmp_path)
    with pytest.raises(LeyloraError, match=r"broken\.yaml is not YAML"):
        instruction_template("broken", tmp_path)
    with pytest.raises(LeyloraError, match="no text under the key"):
        instruction_template("empty", tmp_path)
