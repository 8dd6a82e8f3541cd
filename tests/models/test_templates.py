from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers.utils.chat_template_utils import render_jinja_template

from leylora.errors import LeyloraError, UsageError
from leylora.models.load import load_tokenizer
from leylora.models.templates import (
    find_template,
    instruction_template,
    render,
    served_template,
    stop_strings,
    template_faults,
    template_text,
    training_template,
)
from leylora.project import INSTRUCTION_TEMPLATES

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


@pytest.fixture(params=PAIRS, ids=[family for family, _ in PAIRS])
def asked(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> tuple[Any, str]:
    """A small model's tokenizer and its family's template."""
    family, name = request.param
    return load_tokenizer(str(tiny_base(family))), instruction_template(name)


def test_exactly_the_answers_and_their_ends_are_marked(asked: tuple[Any, str]) -> None:
    tokenizer, template = asked
    encoded = tokenizer.apply_chat_template(
        TALK, chat_template=training_template(template), return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [token for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mask]
    assert marked.count(tokenizer.eos_token_id) == 2
    text = tokenizer.decode(marked, skip_special_tokens=True)
    assert "Tres días." in text
    assert "Desde la notificación." in text
    assert "apelar" not in text
    assert "Responda" not in text


def test_a_prompt_is_how_its_training_row_begins(asked: tuple[Any, str]) -> None:
    tokenizer, template = asked
    prompt = tokenizer.apply_chat_template(
        TALK[:-1], chat_template=served_template(template), add_generation_prompt=True
    )["input_ids"]
    trained = tokenizer.apply_chat_template(TALK, chat_template=training_template(template))["input_ids"]
    assert trained[: len(prompt)] == prompt


def test_training_and_serving_render_the_same_text(asked: tuple[Any, str]) -> None:
    tokenizer, template = asked
    as_written, served, trained = (
        tokenizer.apply_chat_template(TALK, chat_template=text, tokenize=False)
        for text in (template, served_template(template), training_template(template))
    )
    assert as_written == served == trained
    bos = {instruction_template("leylora-mistral"): 1, instruction_template("leylora-llama-2"): 2}.get(template, 0)
    assert as_written.count(tokenizer.bos_token or "<s>") == bos


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
    with pytest.raises(LeyloraError, match=r"broken\.yaml: not YAML"):
        instruction_template("broken", tmp_path)
    with pytest.raises(LeyloraError, match="no text under the key"):
        instruction_template("empty", tmp_path)


# As the webui reads and renders them

TEMPLATES = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
CONVERSATION = [
    {"role": "system", "content": " Responde en español. \n"},
    {"role": "user", "content": "¿Qué dice el artículo 1?\n"},
    {"role": "assistant", "content": "\n¡Que la sombra de los árboles es de todos!  "},
    {"role": "user", "content": "¿Y el [2]: (sic)?"},
    {"role": "assistant", "content": "(Nada)"},
]


@pytest.mark.parametrize("name", TEMPLATES)
def test_our_templates_are_sound_and_stop(name: str) -> None:
    content = (INSTRUCTION_TEMPLATES / f"{name}.yaml").read_text("utf-8")
    faults, stops = template_faults(content, ".yaml")
    assert not faults
    assert "</s>" in stops or any("<|" in stop for stop in stops)
    assert list(yaml.safe_load(content)) == ["instruction_template"]


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("leylora-mistral", ["</s>", "[/INST]"]),
        ("leylora-llama-2", ["</s>", "[/INST]"]),
        ("leylora-falcon", ["\n\nAssistant:", "</s>"]),
        ("leylora-mistral-instruct-v0.3", ["</s>", "[/INST]"]),
        ("leylora-llama-3.1", ["</s>", "<|eot_id|>"]),
        ("leylora-qwen3", ["</s>", "<|im_end|>"]),
        ("leylora-smollm2", ["</s>", "<|im_end|>"]),
        ("leylora-salamandra", ["<|im_end|>"]),
    ],
)
def test_the_stop_strings(name: str, stops: list[str]) -> None:
    assert stop_strings(instruction_template(name)) == stops


@pytest.mark.parametrize("name", TEMPLATES)
def test_training_webui_and_prompts_have_the_same_text(name: str) -> None:
    """The same file, rendered by the webui's rules and by transformers with the marks made blocks.

    What precedes an answer in training is, to the character, what the model is asked with.
    """
    template = instruction_template(name)
    (trained,), (spans,) = render_jinja_template(
        [CONVERSATION],
        chat_template=training_template(template),
        return_assistant_tokens_mask=True,
        bos_token="<s>",
        eos_token="</s>",
    )
    assert trained == render(template, CONVERSATION)
    learned = [trained[start:end].lstrip() for start, end in spans]
    end = "<|im_end|>" if name == "leylora-salamandra" else "</s>"  # its end of text is another token
    assert learned == [f"¡Que la sombra de los árboles es de todos!{end}", f"(Nada){end}"]
    for turn, (start, _) in zip((2, 4), spans, strict=True):
        assert trained[:start] == render(template, CONVERSATION[:turn], add_generation_prompt=True)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_conversation_without_a_system_message_or_with_two(name: str) -> None:
    template = instruction_template(name)
    alone = render(template, CONVERSATION[1:2], add_generation_prompt=True)
    assert "SYS" not in alone
    empty = render(template, [{"role": "system", "content": ""}, CONVERSATION[1]], add_generation_prompt=True)
    assert empty == alone
    two = render(template, [CONVERSATION[0], {"role": "system", "content": "Sé breve."}, CONVERSATION[1]])
    assert two.index("Responde en español.") < two.index("Sé breve.") < two.index("¿Qué dice")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("instruction_template: ''", "holds no text"),
        ("other: x", "Alpaca"),
        ("user: a\nturn_template: b", "old form"),
        ("a: [", "takes the whole file as Jinja"),
        ("instruction_template: '{% if %}'", "status 500"),
        ("instruction_template: \"{{ raise_exception('no') }}\"", "status 500"),
        ("instruction_template: 'hello'", "drops the question"),
        (
            "instruction_template: '{% for m in messages %}{{ m.content }} {% endfor %}'",
            "nothing distinctive",
        ),
        (
            'instruction_template: "{% for m in messages %}{{ m.content + eos_token }}{% endfor %}'
            "{{ 'Answer:' if add_generation_prompt }}\"",
            "not how the full text begins",
        ),
    ],
)
def test_faulty_templates_are_seen(content: str, fault: str) -> None:
    assert any(fault in text for text in template_faults(content, ".yaml")[0])


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(LeyloraError, match="cannot be rendered"):
        render("{{ ''.__class__.__mro__ }}", CONVERSATION)


def test_which_file_is_read_for_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("instruction_template: x")
    assert find_template(tmp_path, "a") == tmp_path / "a.yaml"
    (tmp_path / "a.jinja").write_text("x")
    assert find_template(tmp_path, "a") == tmp_path / "a.jinja"
    assert find_template(tmp_path, "b") is None
    assert template_text("{{ x }}", ".jinja") == ("{{ x }}", [])
