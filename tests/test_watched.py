"""The main commands, watched: what they contact, and whether a secret reaches a file or the terminal."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leylora.files import write_text
from leylora.project import ROOT

SECRETS = {
    "HF_TOKEN": "hf_PlantedPlantedPlanted01",
    "HUGGING_FACE_HUB_TOKEN": "hf_PlantedPlantedPlanted02",
    "WEBUI_API_KEY": "planted-webui-key-03",
    "WEBUI_ADMIN_KEY": "planted-admin-key-04",
    "LEYLORA_API_KEY": "planted-writer-key-05",
    "LEYLORA_JUDGE_KEY": "planted-judge-key-06",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret07",
    "OPENAI_API_KEY": "sk-planted-openai-key-08",
    "GITHUB_TOKEN": "ghp_plantedplantedplanted09",
    "WANDB_API_KEY": "planted-wandb-key-10",
    "option": "hf_PlantedOnTheCommandLine11",
    "password": "planted-password-12",
}
# Runs each command in turn in one process, in which connections and name look-ups are counted and fail.
WATCHED = """
import json, runpy, socket, sys
from pathlib import Path
contacted = []
def refused(what):
    def call(*args, **more):
        address = args[1] if what == "connect" and len(args) > 1 else args[0] if args else None
        if what == "connect" and args[0].family not in (socket.AF_INET, socket.AF_INET6):
            return real(*args, **more)
        contacted.append(f"{what} {address}")
        raise OSError(f"no network in this test: {what} {address}")
    return call
real = socket.socket.connect
socket.socket.connect = refused("connect")
socket.getaddrinfo = refused("getaddrinfo")
socket.gethostbyname = refused("gethostbyname")
told = {}
for name, (script, words, stdin) in json.loads(sys.argv[1]).items():
    print(f"== {name}", flush=True)
    sys.argv = [script, *words]
    if stdin is not None:
        import io
        sys.stdin = io.StringIO(stdin)
    before = len(contacted)
    try:
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    told[name] = [code, contacted[before:]]
Path("told.json").write_text(json.dumps(told))
"""


@pytest.fixture(scope="module", name="watched")
def _watched(
    tiny_base: Callable[[str], Path], lora: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, dict[str, tuple[int, list[str]]]]:
    """The folder the commands wrote to, what they printed, and for each its exit code and what it contacted."""
    home = tmp_path_factory.mktemp("watched")
    base, secret = str(tiny_base("tiny-mistral")), SECRETS["password"]
    (home / "text-generation-webui" / "user_data").mkdir(parents=True)
    (home / "text-generation-webui" / "server.py").touch()
    writer = f"{{base_url: 'http://ana:{secret}@127.0.0.1:9/v1', model: x, replies: replies.jsonl}}"
    write_text(home / "leaky.yaml", f"name: leaky\nlaws:\n  writer: {writer}\n")
    write_text(home / "theft.yaml", "name: theft\nlaws: {writer: {base_url: 'http://127.0.0.1:9/v1', model: x, "
                                    "replies: r.jsonl, api_key_env: AWS_SECRET_ACCESS_KEY}}\n")  # fmt: skip
    law, mixtures = str(ROOT / "data" / "samples" / "ley-de-muestra.pdf"), ROOT / "data" / "mixtures"
    short = [
        "--max_steps",
        "2",
        "--save_steps",
        "2",
        "--max_length",
        "96",
        "--sample_every",
        "0",
        "--eval_strategy",
        "no",
    ]
    train = [
        "--model",
        "tiny-mistral",
        "--adapter",
        "instructions",
        "--model_name_or_path",
        base,
        "--dataset_name",
        "set",
    ]
    build = ["--laws", "laws", "--out", "o"]
    adapters = [str(lora / "tiny-mistral-instructions"), str(lora / "tiny-mistral-law")]
    commands: dict[str, tuple[str, list[str], str | None]] = {
        "parse": ("scripts/parse_law.py", [law, "--out", "laws"], None),
        "search": ("scripts/search_laws.py", ["plazo para apelar", "--laws", "laws"], None),
        "diff": ("scripts/diff_law.py", [law, law, "--summary"], None),
        "benchmark": ("scripts/check_benchmark.py", ["--laws", "laws"], None),
        "build": (
            "scripts/build_dataset.py",
            ["--mixture", str(mixtures / "tiny-instructions.yaml"), "--out", "set", "--offline"],
            None,
        ),
        "train": ("train/sft.py", [*train, *short, "--output_dir", "LORA/x"], None),
        "merge": ("scripts/merge_adapters.py", [*adapters, "--out", "LORA/merged"], None),
        "export": ("scripts/export_webui.py", ["merged", "--webui", "text-generation-webui"], None),
        "chat": (
            "scripts/chat.py",
            ["--model", base, "--lora", str(lora), "--laws", "laws", "--max-new-tokens", "4"],
            "hola\n/save talk.jsonl\n/quit\n",
        ),
        "token on the command line": ("train/sft.py", [*train, f"--hub_token={SECRETS['option']}"], None),
        "password in a mixture": ("scripts/build_dataset.py", ["--mixture", "leaky.yaml", *build], None),
        "another variable": ("scripts/build_dataset.py", ["--mixture", "theft.yaml", *build], None),
        "password in an address": ("scripts/webui.py", ["--url", f"http://ana:{secret}@127.0.0.1:9", "info"], None),
        "a server that is down": ("scripts/webui.py", ["--url", "http://127.0.0.1:9", "info"], None),
    }  # fmt: skip
    resolved = {name: (str(ROOT / script), words, stdin) for name, (script, words, stdin) in commands.items()}
    environment = os.environ | {key: value for key, value in SECRETS.items() if key.isupper()}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(resolved)],
        cwd=home, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (home / "told.json").is_file(), done.stdout + done.stderr
    return home, done.stdout + done.stderr, json.loads((home / "told.json").read_text())


def test_what_works_here_contacts_nobody(watched: tuple[Path, str, dict[str, tuple[int, list[str]]]]) -> None:
    _, printed, told = watched
    for name in ("parse", "search", "diff", "build", "train", "merge", "export", "chat"):
        assert told[name] == [0, []], printed
    assert told["benchmark"][1] == []
    assert told["a server that is down"][0] == 1
    assert told["a server that is down"][1], "and it is the given address alone that is contacted"
    assert all("127.0.0.1" in one for one in told["a server that is down"][1])


def test_secrets_reach_no_file_and_no_terminal(watched: tuple[Path, str, dict[str, tuple[int, list[str]]]]) -> None:
    home, printed, told = watched
    for name in ("token on the command line", "password in a mixture", "another variable", "password in an address"):
        assert told[name] == [2, []], printed
    planted = (home / "leaky.yaml", home / "theft.yaml")
    written = [path for path in home.rglob("*") if path.is_file() and path not in planted]
    assert {"run.json", "README.md", "talk.jsonl", "law.json"} <= {path.name for path in written}
    for secret in SECRETS.values():
        assert secret not in printed
        assert [path for path in written if secret.encode() in path.read_bytes()] == []
