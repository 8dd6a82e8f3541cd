"""From an export to a chat on a real text-generation-webui; runs when WEBUI_DIR names one (see real_server.py)."""

import ast
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from leylora.errors import UsageError
from leylora.evaluation.items import Sources
from leylora.evaluation.run import CompareSettings, compare
from leylora.models.templates import instruction_template, render, stop_strings
from leylora.webui.check import check_install
from leylora.webui.client import Client, ServerSettings
from leylora.webui.export import export, remove
from leylora.webui.install import find_install
from leylora.webui.protocol import (
    EmptyAnswerError,
    LoraError,
    NoModelError,
    ServerFailedError,
    StreamCutError,
    UnauthorizedError,
)

from .real_server import (
    ADMIN_KEY,
    ANSWER,
    API_KEY,
    FAMILIES,
    QUESTION,
    Running,
    fresh_user_data,
    running,
    train_adapter,
    with_strong_head,
)

WEBUI = Path(os.environ.get("WEBUI_DIR", ""))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("WEBUI_DIR"), reason="WEBUI_DIR names no text-generation-webui"),
]
FAULTY = ("no-effect", "empty", "not-a-number", "twin")
GREEDY: dict[str, Any] = {"preset": "deterministic", "max_tokens": 60}


@pytest.fixture(scope="module")
def server(tiny_base: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on the three small base models, into which three adapters were exported, and two faulty ones put."""
    root = tmp_path_factory.mktemp("webui")
    bases = {name: Path(shutil.copytree(tiny_base(name), root / name)) for name in FAMILIES}
    for base in bases.values():
        with_strong_head(base)
    for name, template in FAMILIES.items():
        train_adapter(bases[name], template, root / "LORA" / f"{name}-law")
    data = fresh_user_data(WEBUI, root / "user_data", bases)
    names = [f"{name}-law" for name in FAMILIES]
    report = export(data, [*names, "deterministic", "contrastive-search-legacy"], root / "LORA")
    assert not report.states("kept", "skipped")
    make_faulty(data / "loras")
    with running(WEBUI, data) as server:
        yield server


def make_faulty(loras: Path) -> None:
    """Adapters whose weights bear a wrong prefix, are missing, or are not numbers; and a sound one of the same rank."""
    from safetensors.numpy import load_file, save_file

    config = (loras / "tiny-mistral-law" / "adapter_config.json").read_text()
    for name in FAULTY:
        (loras / name).mkdir()
        (loras / name / "adapter_config.json").write_text(config)
    tensors = load_file(loras / "tiny-mistral-law" / "adapter_model.safetensors")
    renamed = {key.replace("base_model.model.", "other."): value for key, value in tensors.items()}
    save_file(renamed, loras / "no-effect" / "adapter_model.safetensors")
    (loras / "empty" / "adapter_model.safetensors").write_bytes(b"")
    for name, factor in (("twin", -1.0), ("not-a-number", float("nan"))):
        save_file(
            {key: value * factor if ".lora_B." in key else value for key, value in tensors.items()},
            loras / name / "adapter_model.safetensors",
        )


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    with Client(server.settings) as made:
        yield made


@pytest.fixture
def mistral(client: Client) -> Client:
    client.load_model("tiny-mistral")
    return client


def test_what_was_exported_is_listed(client: Client, server: Running) -> None:
    assert {f"{name}-law" for name in FAMILIES} <= set(client.loras())
    assert set(client.models()) == set(FAMILIES)
    faulty = {verdict.name for verdict in check_install(server.data) if verdict.faults}
    assert faulty == {"no-effect", "empty", "not-a-number", "contrastive-search-legacy"}


def test_the_install_is_recognised() -> None:
    install = find_install(WEBUI)
    assert not install.portable
    assert install.pins.get("peft")
    assert all(folder.is_dir() for folder in (install.loras, install.presets, install.templates, install.models))
    bundled = [verdict for verdict in check_install(WEBUI) if verdict.path.is_relative_to(install.templates)]
    assert {"Alpaca", "ChatML"} <= {verdict.name for verdict in bundled if not verdict.faults}


def test_without_a_model(client: Client) -> None:
    client.unload_model()
    with pytest.raises(NoModelError):
        client.generate("La ley")
    with pytest.raises(NoModelError):
        list(client.stream_generate("La ley"))
    with pytest.raises(NoModelError):
        client.logits("La ley")


@pytest.mark.parametrize(("base", "template"), FAMILIES.items())
def test_from_the_pinned_template_to_a_chat_that_stops_by_itself(client: Client, base: str, template: str) -> None:
    client.load_model(base)
    bos = "" if base == "tiny-falcon" else "<s>"
    asked = [{"role": "user", "content": QUESTION}]
    prompt = client.chat_prompt(asked)
    assert prompt == render(instruction_template(template), asked, bos_token=bos, add_generation_prompt=True)
    before = client.logits(prompt)

    effect = client.load_lora(f"{base}-law")
    assert effect.change > 0.01
    assert client.info().lora_names == (f"{base}-law",)
    assert client.logits(prompt) != before

    whole = client.instruct(QUESTION, **GREEDY)
    assert (whole.text, whole.finish_reason) == (ANSWER, "stop")
    chunks = list(client.stream_instruct(QUESTION, **GREEDY))
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    assert chunks[-1].finish_reason == "stop"

    client.unload_lora()
    assert client.logits(prompt) == before, "the base model is not what it was"


@pytest.mark.parametrize(("base", "template"), FAMILIES.items())
def test_it_stops_at_the_strings_we_compute(client: Client, server: Running, base: str, template: str) -> None:
    client.load_model(base)
    Client(server.settings, allow_empty=True).instruct(QUESTION, template=template, max_tokens=2)
    logged = server.log.read_text().rpartition("STOPPING_STRINGS=")[2]
    eos = "<|endoftext|>" if base == "tiny-falcon" else "</s>"
    listed = ast.literal_eval(logged[: logged.index("]\n") + 1].strip())
    assert sorted(listed) == stop_strings(instruction_template(template), eos_token=eos)


@pytest.mark.parametrize(("base", "template"), FAMILIES.items())
def test_the_tokens_asked_with_are_the_tokens_trained_on(
    client: Client, server: Running, base: str, template: str
) -> None:
    from transformers import AutoTokenizer

    client.load_model(base)
    tokenizer = AutoTokenizer.from_pretrained(server.data / "models" / base)
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    text = instruction_template(template)
    trained = tokenizer.apply_chat_template(messages, chat_template=text, tokenize=True, return_dict=False)
    asked = client.encode(client.chat_prompt(messages[:1]))
    assert asked == trained[: len(asked)]
    if base != "tiny-falcon":
        assert asked.count(tokenizer.bos_token_id) == 1


def test_a_lora_without_effect_and_an_empty_one(mistral: Client) -> None:
    base = mistral.logits("La ley")
    with pytest.raises(LoraError, match="said OK, but the LoRA 'no-effect' changes nothing"):
        mistral.load_lora("no-effect")
    for bad in ("empty", "tiny-falcon-law"):
        mistral.load_lora("tiny-mistral-law")
        with pytest.raises(LoraError, match="does not load"):
            mistral.load_lora(bad)
        assert not mistral.info().lora_names
        assert mistral.logits("La ley") == base


def test_the_state_another_program_broke_is_repaired(mistral: Client, server: Running) -> None:
    base = mistral.logits("La ley")
    headers = server.settings.headers(admin=True)
    for name, status in (("tiny-mistral-law", 200), ("empty", 400)):
        body = {"lora_names": [name]}
        answer = httpx2.post(f"{server.settings.url}/v1/internal/lora/load", json=body, headers=headers, timeout=60)
        assert answer.status_code == status
    unload = httpx2.post(f"{server.settings.url}/v1/internal/lora/unload", headers=headers, timeout=60)
    assert unload.status_code == 500, "this version repairs itself; the client's way round may go"
    assert mistral.load_lora("tiny-mistral-law").change > 0.01
    mistral.unload_lora()
    assert mistral.logits("La ley") == base


def test_a_lora_that_the_server_does_not_report_is_seen(mistral: Client, server: Running) -> None:
    base = mistral.logits("La ley")
    body = {"lora_names": ["tiny-mistral-law", "twin"]}  # two of one rank
    url, headers = f"{server.settings.url}/v1/internal/lora/load", server.settings.headers(admin=True)
    assert httpx2.post(url, json=body, headers=headers, timeout=60).status_code == 400
    assert not mistral.info().lora_names
    assert mistral.logits("La ley") != base, "this version repairs itself; the client's way round may go"
    assert mistral.load_lora("twin").change > 0.01
    with_twin = mistral.logits("La ley")
    mistral.unload_lora()
    assert mistral.logits("La ley") == base
    mistral.load_lora("twin")
    assert mistral.logits("La ley") == with_twin != base


def test_taking_off_finds_a_lora_that_the_server_does_not_report(mistral: Client, server: Running) -> None:
    base = mistral.logits("La ley")
    body = {"lora_names": ["tiny-mistral-law", "twin"]}
    url, headers = f"{server.settings.url}/v1/internal/lora/load", server.settings.headers(admin=True)
    assert httpx2.post(url, json=body, headers=headers, timeout=60).status_code == 400
    assert mistral.unload_lora() == ("tiny-mistral", True, True)
    assert mistral.logits("La ley") == base
    assert mistral.unload_lora() == ("tiny-mistral", False, False)


def test_names_that_the_server_takes_in_silence(mistral: Client) -> None:
    for wrong in ({"preset": "no-such-preset"}, {"template": "no-such-template"}, {"template": "leylora-mistrall"}):
        with pytest.raises(UsageError, match=r"no preset|no instruction template"):
            mistral.instruct(QUESTION, max_tokens=2, **wrong)
    assert mistral.instruct(QUESTION, template="ChatML", server_preset="Creative", max_tokens=4, seed=1)


def test_why_a_generation_failed(mistral: Client) -> None:
    with pytest.raises(EmptyAnswerError, match="more tokens than the context"):
        mistral.generate("La ley", max_tokens=1_000_000)
    with pytest.raises(ServerFailedError, match="1000000 do not fit into the context"):
        mistral.instruct("La ley", max_tokens=1_000_000)
    with pytest.raises(StreamCutError, match="1000000 do not fit into the context"):
        list(mistral.stream_instruct("La ley", max_tokens=1_000_000))
    with pytest.raises(ServerFailedError, match="cannot read a character 'nobody'"):
        mistral.chat([{"role": "user", "content": "a"}], mode="chat", character="nobody", max_tokens=2)


def test_weights_that_are_not_numbers_do_not_stay(mistral: Client) -> None:
    base = mistral.logits("La ley")
    with pytest.raises(LoraError, match="'not-a-number' does not load"):
        mistral.load_lora("not-a-number")
    assert not mistral.info().lora_names
    assert mistral.logits("La ley") == base


def test_a_model_that_its_loader_cannot_load(mistral: Client) -> None:
    with pytest.raises(ServerFailedError, match=r"does not answer; is llama.cpp the right loader|No model is loaded"):
        mistral.load_model("tiny-mistral", {"loader": "llama.cpp"})


def test_failures_that_look_like_success(mistral: Client) -> None:
    with pytest.raises(EmptyAnswerError):
        mistral.generate("La ley", preset="contrastive-search-legacy", max_tokens=5)
    with pytest.raises(StreamCutError):
        list(mistral.stream_generate("La ley", extra={"max_tokens": -1}))
    with pytest.raises(ServerFailedError):
        mistral.chat([{"role": "user", "content": "a"}], mode="chat", character="nobody of that name", max_tokens=2)


def test_the_same_seed_and_the_three_modes(mistral: Client) -> None:
    first = mistral.generate("La ley", seed=3, max_tokens=8).text
    assert mistral.generate("La ley", seed=3, max_tokens=8).text == first
    messages = [{"role": "system", "content": "Eres jueza."}, {"role": "user", "content": "Hola"}]
    chat = mistral.chat_prompt(messages, mode="chat", name1="Ana", name2="Jueza")
    assert "Eres jueza." in chat
    assert chat.endswith("Ana: Hola\nJueza:")
    assert mistral.chat(messages, mode="chat-instruct", max_tokens=4, seed=4).text
    continued = mistral.chat([*messages, {"role": "assistant", "content": "Buenas"}], continue_last=True, max_tokens=4)
    assert continued.text.startswith("Buenas")


def test_the_two_keys(server: Running) -> None:
    with pytest.raises(UnauthorizedError, match="admin key"):
        Client(ServerSettings.from_environment(server.settings.url, API_KEY, "wrong")).loras()
    with pytest.raises(UnauthorizedError, match="API key"):
        Client(ServerSettings.from_environment(server.settings.url, ADMIN_KEY)).info()


def test_free_prompts_are_compared(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBUI_API_KEY", API_KEY)
    monkeypatch.setenv("WEBUI_ADMIN_KEY", ADMIN_KEY)
    prompts = ([{"role": "user", "content": QUESTION}],)
    found = compare(
        ["tiny-mistral", "no-such-model"],
        tmp_path / "out",
        adapters="tiny-mistral-law,tiny-falcon-law",
        suites=["prompts"],
        sources=Sources(prompts=prompts, presets=("deterministic",)),
        settings=CompareSettings(max_new_tokens=30),
        endpoints=[server.settings.url],
    )
    texts = {variant: answer.text for (_, variant, _, _), answer in found.answers.items()}
    assert texts.keys() == {"base", "law"}
    assert texts["law"] == ANSWER
    failed = [one for one in found.scores.findings if one.kind == "not-answered"]
    assert [(one.model, bool(one.variant)) for one in failed] == [("tiny-mistral", True), ("no-such-model", False)]


def test_removal_leaves_what_was_there(server: Running) -> None:
    remove(server.data)
    assert not (server.data / "loras" / "tiny-mistral-law").exists()
    assert not (server.data / "models" / "config-user.yaml").exists()
    assert yaml.safe_load((server.data / "presets" / "Top-P.yaml").read_text()) == {"top_p": 0.95}
    assert sorted(path.name for path in (server.data / "loras").iterdir()) == sorted(FAULTY)
