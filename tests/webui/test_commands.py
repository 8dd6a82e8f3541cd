"""The two scripts as a user meets them: results on standard output, one sentence for each mistake."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leylora.errors import LeyloraError
from leylora.project import ROOT
from leylora.webui.commands import app

from .stand_in import ADMIN_KEY, API_KEY, TEXT, StandIn, State


@pytest.fixture(autouse=True)
def _environment(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBUI_URL", server.url)
    monkeypatch.setenv("WEBUI_API_KEY", API_KEY)
    monkeypatch.setenv("WEBUI_ADMIN_KEY", ADMIN_KEY)


def run(*arguments: str, stdin: str = "") -> str:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["generate", "La", "--raw"], TEXT),
        (["generate", "La", "--raw", "--no-stream"], TEXT),
        (["generate", "Saluda.", "--preset", "mistral-7b-law", "--temperature", "0.3"], TEXT),
        (["generate", "Saluda.", "--no-stream", "--system", "Sé breve.", "--template", "leylora-falcon"], TEXT),
        (["models"], "tiny-mistral\ntiny-falcon"),
        (["info"], "tiny-mistral (Transformers), LoRA: none"),
        (["load", "tiny-falcon", "--load", "4bit", "--arg", "compute-dtype=bfloat16"], "tiny-falcon is loaded"),
        (["loras"], "good\nother"),
        (["lora", "load", "good"], "good is applied and acts"),
        (["lora", "unload"], "tiny-mistral, no LoRA"),
        (["logits", "La", "--top", "3"], "0.500000\t'▁de'"),
        (["stop"], ""),
        (["unload"], ""),
    ],
)
def test_each_command(arguments: list[str], shown: str) -> None:
    assert shown in run(*arguments)


def test_arguments_reach_the_server(state: State) -> None:
    run("load", "tiny-falcon", "--load", "8bit", "--arg", "compute-dtype=bfloat16")
    (body,) = state.bodies("/v1/internal/model/load")
    assert body["args"] == {"load_in_4bit": False, "load_in_8bit": True, "compute_dtype": "bfloat16"}
    run("generate", "-", "--raw", "--stop", "x", "--stop", "y", "--set", "top_k=3", "--seed", "4", stdin="La ley")
    (body,) = state.bodies("/v1/completions")
    assert (body["prompt"], body["stop"], body["top_k"], body["seed"]) == ("La ley", ["x", "y"], 3, 4)


def test_a_chat_remembers(state: State) -> None:
    assert TEXT in run("chat", "--system", "Sé breve.", stdin="Hola\n¿Y luego?\n\n")
    roles = [message["role"] for message in state.bodies("/v1/chat/completions")[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["generate", "a", "--set", "top_k"], "write it as KEY=VALUE"),
        (["generate", "a", "--set", "temprature=1"], "did you mean temperature"),
        (["generate", "a", "--server-preset", "Creative", "--temperature", "1"], "would overwrite temperature"),
        (["generate", "a", "--preset", "no-such-preset"], "no preset 'no-such-preset'"),
        (["generate", "a", "--template", "leylora-mistrall"], "did you mean leylora-mistral"),
        (["lora", "load", "good", "other"], "one LoRA at a time"),
        (["generate", "a", "--raw", "--system", "b"], "without a template"),
        (["lora", "load", "missing"], "no LoRA 'missing'"),
        (["chat", "--mode", "talk"], "no mode 'talk'"),
    ],
)
def test_mistakes(arguments: list[str], reason: str) -> None:
    with pytest.raises(LeyloraError, match=reason):
        run(*arguments, stdin="Hola\n")


def test_what_the_server_does_not_tell_is_said_so(state: State) -> None:
    def told(*arguments: str) -> str:
        return CliRunner().invoke(app, list(arguments)).stderr

    assert "without an NVIDIA card it ignores --load 4bit" in told("load", "tiny-mistral", "--load", "4bit")
    assert "not show that all of its layers are there" in told("lora", "load", "good")
    state.named, state.acting, state.hidden = (), "other", True
    assert "A LoRA acted that the server did not report" in told("lora", "unload")
    assert not told("lora", "unload")


def test_a_mistake_is_one_sentence_and_an_exit_code() -> None:
    down = script("webui.py", "--url", "127.0.0.1:1", "info")
    assert (down.returncode, down.stdout) == (1, "")
    assert down.stderr.startswith("error: Nothing answers")
    assert "Traceback" not in down.stderr


def test_the_export_script(webui: Path, lora_root: Path, tmp_path: Path) -> None:
    base = ("--webui", str(webui), "--lora-root", str(lora_root))
    dry = script("export_webui.py", *base, "--dry-run", "mistral-7b-combined")
    assert dry.returncode == 0, dry.stderr
    assert "nothing was changed" in dry.stdout
    done = script("export_webui.py", *base, "mistral-7b-combined")
    assert "Apply LoRAs" in done.stdout
    checked = script("export_webui.py", "--check", str(webui))
    assert checked.returncode == 0, checked.stdout
    (webui / "user_data" / "loras" / "mistral-7b-combined" / "adapter_model.safetensors").write_bytes(b"")
    faulty = script("export_webui.py", "--check", str(webui))
    assert faulty.returncode == 1
    assert "1 of" in faulty.stderr
    assert script("export_webui.py", "--webui", str(webui), "--remove").returncode == 0
    for wrong in ((), ("--check", "a", "--webui", "b"), ("--remove",), ("--webui", str(tmp_path / "none"))):
        failed = script("export_webui.py", *wrong)
        assert failed.returncode == 2
        assert failed.stderr.startswith("error: ")
        assert "Traceback" not in failed.stderr
