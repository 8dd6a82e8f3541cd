"""Our presets and templates, and the guards against faulty ones."""

import re
from pathlib import Path

import pytest
import yaml
from transformers.utils.chat_template_utils import render_jinja_template

from leylora.errors import LeyloraError
from leylora.models.presets import DEFAULTS, parse_preset
from leylora.models.templates import (
    find_template,
    instruction_template,
    render,
    stop_strings,
    template_faults,
    template_text,
    training_template,
)
from leylora.project import GENERATION_PRESETS, INSTRUCTION_TEMPLATES

TEMPLATES = sorted(path.stem for path in INSTRUCTION_TEMPLATES.glob("*.yaml"))
CONVERSATION = [
    {"role": "system", "content": " Responde en español. \n"},
    {"role": "user", "content": "¿Qué dice el artículo 1?\n"},
    {"role": "assistant", "content": "\n¡Que la sombra de los árboles es de todos!  "},
    {"role": "user", "content": "¿Y el [2]: (sic)?"},
    {"role": "assistant", "content": "(Nada)"},
]


@pytest.mark.parametrize("path", sorted(GENERATION_PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_our_presets_hold_known_keys_that_differ_from_the_defaults(path: Path) -> None:
    legacy = path.stem.endswith("-legacy")
    preset = parse_preset(path.read_bytes(), (4, 34) if legacy else (5, 6))
    assert not preset.faults
    assert path.read_bytes().isascii()
    assert re.fullmatch(r"[a-z0-9-]+", path.stem)
    assert all(value != DEFAULTS[key] for key, value in preset.settings.items())
    if legacy:
        assert parse_preset(path.read_bytes(), (5, 6)).faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty instead of a mapping"),
        ("- temperature", "a list instead of"),
        ("a: [", "not YAML"),
        ("temperature: '0.5'", "is no int"),
        ("do_sample: 1", "is no bool"),
        ("top_k: true", "is no int"),
        ("temperature: 0", "empty answer"),
        ("max_new_tokens: 2", "no preset key"),
        ("penalty_alpha: 0.3\ndo_sample: false", "contrastive search"),
    ],
)
def test_faulty_presets_are_seen(text: str, fault: str) -> None:
    assert fault in parse_preset(text.encode()).faults[0]


def test_what_is_wrong_only_somewhere_is_a_remark() -> None:
    assert "ignored" in parse_preset(b"num_beams: 2\ntop_k: 3").remarks[0]
    assert "code page" in parse_preset("# año\ntop_k: 3".encode()).remarks[0]
    assert parse_preset(b"\xf1: 1").faults == ("not UTF-8 (byte 0)",)


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
    ],
)
def test_the_stop_strings(name: str, stops: list[str]) -> None:
    assert stop_strings(instruction_template(name)) == stops


@pytest.mark.parametrize("name", TEMPLATES)
def test_training_and_webui_see_the_same_text(name: str) -> None:
    """The same file, rendered by the webui's rules and by transformers with the marks made blocks."""
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
    assert learned == ["¡Que la sombra de los árboles es de todos!</s>", "(Nada)</s>"]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_of_every_answer_is_how_the_full_text_goes_on(name: str) -> None:
    """What precedes an answer in training is, to the character, what the model is asked with."""
    template = instruction_template(name)
    (full,), (spans,) = render_jinja_template(
        [CONVERSATION],
        chat_template=training_template(template),
        return_assistant_tokens_mask=True,
        bos_token="<s>",
        eos_token="</s>",
    )
    for turn, (start, _) in zip((2, 4), spans, strict=True):
        assert full[:start] == render(template, CONVERSATION[:turn], add_generation_prompt=True)


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
