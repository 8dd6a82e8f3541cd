"""A running text-generation-webui for tests: WEBUI_DIR names it; models, adapters and all it writes are temporary.

``WEBUI_PYTHON`` names its interpreter where it is not the one of its own installer. What the server needs for
``--cpu --api --nowebui`` are the PyPI packages of its requirements; gradio is not among them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leylora.webui.client import ServerSettings

API_KEY, ADMIN_KEY = "key-of-all", "key-of-the-admin"
FAMILIES = {"tiny-mistral": "leylora-mistral", "tiny-llama-2": "leylora-llama-2", "tiny-falcon": "leylora-falcon"}
QUESTION, ANSWER = "¿Qué es una ley?", "Una norma de todos."
STARTS_WITHIN = 120  # seconds


@dataclass(frozen=True)
class Running:
    """A server and the user_data folder it was started on."""

    settings: ServerSettings
    data: Path
    log: Path


def fresh_user_data(webui: Path, target: Path, bases: dict[str, Path]) -> Path:
    """The bundled part of an installation's user_data, with small base models and no LoRA."""
    leave = shutil.ignore_patterns("models", "loras", "cache", "logs", "config-user.yaml")
    shutil.copytree(webui / "user_data", target, ignore=leave)
    (target / "loras").mkdir()
    for name, folder in bases.items():
        shutil.copytree(folder, target / "models" / name)
    return target


@contextmanager
def running(webui: Path, data: Path, extensions: tuple[str, ...] = ()) -> Iterator[Running]:
    """Start the server on a free port of this machine and wait until it answers; end it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [_python(webui), "server.py", "--cpu", "--api", "--nowebui", "--verbose", "--api-port", str(port)]
    command += ["--user-data-dir", str(data), "--api-key", API_KEY, "--admin-key", ADMIN_KEY]
    command += ["--extensions", *extensions] if extensions else []
    log = data.parent / "server.log"
    settings = ServerSettings.from_environment(f"127.0.0.1:{port}", API_KEY, ADMIN_KEY)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        server = subprocess.Popen(command, cwd=webui, stdout=output, stderr=output, env=environment)
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the webui did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield Running(settings, data, log)
    finally:
        server.terminate()
        server.wait(30)


def train_adapter(base: Path, template: str, out: Path) -> Path:
    """A LoRA that has learned one answer, and to end it, by heart: a dozen steps on a CPU."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from leylora.models.families import family_of
    from leylora.models.templates import instruction_template, training_template

    tokenizer = AutoTokenizer.from_pretrained(base)
    targets = list(family_of(AutoConfig.from_pretrained(base)).linear_layers)
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    encoded = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}],
        chat_template=training_template(instruction_template(template)),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    tokens = torch.tensor([encoded["input_ids"]])
    labels = torch.where(torch.tensor([encoded["assistant_masks"]]) == 1, tokens, -100)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    for _ in range(200):
        loss = model(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss.item() < 0.01:
            break
    else:
        raise RuntimeError(f"{base.name} did not learn the answer")
    model.save_pretrained(out)
    return out


def with_strong_head(base: Path) -> None:
    """Make a barely trained base certain of its words, so that a LoRA of rank 8 can turn it to others."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    model.get_output_embeddings().weight.data.mul_(20)
    model.save_pretrained(base)


def _python(webui: Path) -> str:
    own = webui / "installer_files" / "env" / "bin" / "python"
    return os.environ.get("WEBUI_PYTHON") or (str(own) if own.is_file() else sys.executable)


def _answers(port: int) -> bool:
    """Whether something listens; the client's own retries would only slow this down."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
