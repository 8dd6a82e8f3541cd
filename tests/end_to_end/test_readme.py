"""The commands of both READMEs, typed for real on a small model."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leylora.demo import BUILD, Demo, fresh_install
from leylora.files import read_json
from leylora.project import ROOT, SAMPLES

READMES = ("README.md", "README.es.md")
LAUNCH = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--quiet"]


def commands(readme: str) -> list[str]:
    blocks = re.findall(r"^ *```bash\n(.*?)^ *```", (ROOT / readme).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def test_both_languages_show_the_same_commands() -> None:
    assert commands(READMES[0]) == commands(READMES[1])
    assert commands(READMES[0])[0] == "pip install ."
    assert commands(READMES[0])[4:6] == ["make demo", "make test"]


@pytest.mark.parametrize("readme", READMES)
def test_it_is_short(readme: str) -> None:
    assert len((ROOT / readme).read_text("utf-8").splitlines()) <= 90


@pytest.mark.parametrize("readme", READMES)
def test_the_first_commands_print_what_is_shown(readme: str, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```text\n(.*?)^```", (ROOT / readme).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    printed = []
    for command in commands(readme)[1:4]:
        words = shlex.split(command.replace("data/samples/", f"{SAMPLES}/"))
        done = subprocess.run(
            [sys.executable, "-m", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env={**os.environ, "COLUMNS": "80"},
        )
        assert done.returncode == ("escrito.txt" in command), done.stderr
        printed += [line.rstrip() for line in done.stdout.splitlines()]
    for line in block.splitlines():
        assert line == "…" or line in printed, f"{readme} shows {line!r}, the command does not"


@pytest.mark.parametrize("command", ["make demo", "make test", "make lint", "make setup"])
def test_make_knows_the_target(command: str) -> None:
    planned = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = {
        "demo": "scripts/demo.py",
        "test": "pytest",
        "lint": "mypy",
        "setup": "",
    }[command.split()[1]]
    assert wanted in planned.stdout


@pytest.mark.parametrize("readme", READMES)
def test_links_and_named_files_exist(readme: str) -> None:
    text = (ROOT / readme).read_text("utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    files = re.findall(r"\b(?:scripts|train|data/mixtures|docs)/[\w./-]+\.(?:py|yaml|md)", text)
    assert len(links) > 5
    assert [name for name in {*links, *files} if not (ROOT / name).exists()] == []


def test_the_table_shows_the_published_figures() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    for cell in read_json(ROOT / "benchmarks" / "demo.json"):
        assert f"| {cell['loss']:.2f} ±{(cell['high'] - cell['low']) / 2:.2f} |" in text
        if cell["kept"] is not None:
            assert f"| {cell['kept']:.0%} ±{(cell['kept_high'] - cell['kept_low']) / 2:.0%} |" in text
            for readme in READMES:
                assert f"{cell['kept']:.0%}".replace("%", " %") in (ROOT / readme).read_text("utf-8")


@pytest.mark.parametrize("page", ["docs/training.md", "docs/training.es.md"])
def test_the_cards_are_those_of_the_recipes(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for recipe in sorted((ROOT / "train" / "recipes").glob("[!t]*-[78]b*.yaml")):
        header = recipe.read_text("utf-8").split("# combined-on-top")[0]
        found = re.findall(r"(T4|RTX 4090) ([\d.]+ GiB) of [\d.]+, ([\d,]+ tokens/s)", header)
        assert [card for card, _, _ in found] == ["T4", "RTX 4090"], recipe
        cells = " | ".join(f"{memory}, {speed}" for _, memory, speed in found)
        assert f"| `{recipe.stem}` | {cells} |" in text


def test_the_machines_of_the_readme_are_those_of_the_table() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    table = (ROOT / "docs" / "training.md").read_text("utf-8")
    shown = re.findall(r"`([\w.-]+)` in ([\d.]+ GiB) at ([\d,]+) and ([\d,]+) tokens/s", text)
    assert len(shown) == 2
    for name, memory, small, large in shown:
        assert f"| `{name}` | {memory}, {small} tokens/s | {memory}, {large} tokens/s |" in table


@pytest.mark.parametrize("readme", READMES)
def test_what_is_said_of_the_search_was_measured(readme: str) -> None:
    text = (ROOT / readme).read_text("utf-8")
    measured = read_json(ROOT / "benchmarks" / "retrieval.json")["test_half"]
    for searcher in ("leylora", "leylora, with embeddings"):
        for kind in ("own words", "everyday"):
            assert f"{measured[searcher][kind]['recall@5']:.0%}".replace("%", " %") in text


@pytest.mark.parametrize("readme", READMES)
def test_what_is_said_of_the_checker_was_measured(readme: str) -> None:
    text = (ROOT / readme).read_text("utf-8")
    for half in ("test", "second hand"):
        measured = read_json(ROOT / "benchmarks" / "claims.json")["halves"][half]["leylora"]
        count = measured["caught"]["n"] + measured["false_alarms"]["n"]
        assert f" {count} " in text
        assert f"{measured['caught']['value']:.0%}".replace("%", " %") in text
        assert f"{measured['false_alarms']['value']:.0%}".replace("%", " %") in text


@pytest.mark.slow
def test_the_three_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step as written, with a small base for the 7B one, the sample's PDF and mixtures, and two steps a run."""
    monkeypatch.chdir(tmp_path)
    Demo("tiny-mistral", quick=True).prepare()
    (tmp_path / "pdfs").mkdir()
    shutil.copy(SAMPLES / "ley-de-muestra.pdf", "pdfs/ley.pdf")
    for dataset in ("tiny-instructions", "tiny-law"):
        shutil.rmtree(BUILD / dataset)
    install = fresh_install(tmp_path / "webui")
    small = {
        "data/samples/": f"{SAMPLES}/",
        "pdfs/*.pdf": "pdfs/ley.pdf",
        "mistral-7b": "tiny-mistral",
        "data/mixtures/": f"{ROOT}/data/mixtures/tiny-",
        "data/build/instructions": "data/build/tiny-instructions",
        "data/build/law ": "data/build/tiny-law ",
        "scripts/": f"{ROOT}/scripts/",
        "~/text-generation-webui": str(install),
        "mistralai/Mistral-7B-v0.1": "data/build/models/tiny-mistral",
    }
    ran = []
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    for command in commands("README.md"):
        if command.startswith(("pip ", "make ")):
            continue
        for readme, here in small.items():
            command = f"{command} ".replace(readme, here).strip()
        words = shlex.split(command)
        if words[:2] == ["accelerate", "launch"]:
            cpu = f"--config_file={ROOT / 'train/accelerate/cpu.yaml'}"
            words = [*LAUNCH, cpu, str(ROOT / words[2]), *words[3:], "--max_steps", "2"]
        elif words[0] == "leylora":
            words = [sys.executable, "-m", *words]
            if "escrito.txt" in command:
                continue  # finds what is wrong there, and says so with its exit code: tested above
        elif words[1].endswith("compare.py"):
            words = [sys.executable, *words[1:], "--limit", "2", "--max-new-tokens", "4"]
        else:
            words[0] = sys.executable
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=one_thread, input="")
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        ran.append(Path(words[1]).name)
    assert len(ran) == 12
    assert {path.name for path in (install / "user_data" / "loras").iterdir()} == {"tiny-mistral-combined"}
    assert (tmp_path / "data/build/laws").is_dir()


@pytest.mark.slow
def test_wrong_input_to_a_launched_run_is_one_sentence(tmp_path: Path) -> None:
    words = ["--model", "tiny-mistral", "--adapter", "law", "--learning_rat", "1"]
    done = subprocess.run(
        [*LAUNCH, f"--config_file={ROOT / 'train/accelerate/cpu.yaml'}", str(ROOT / "train/sft.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "did you mean 'learning_rate'?" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_run_leaves_no_adapter_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Demo("tiny-mistral", quick=True).prepare()
    saving = ["--max_steps", "400", "--save_strategy", "steps", "--save_steps", "2", "--output_dir", "LORA/x"]
    process = subprocess.Popen([sys.executable, str(ROOT / "train/sft.py"), "--model", "tiny-mistral", *saving])
    while process.poll() is None and not list(Path("LORA").glob(".x.run/checkpoint-*")):
        time.sleep(0.1)
    process.kill()
    process.wait()
    assert process.returncode == -9
    assert [path.name for path in Path("LORA").iterdir()] == [".x.run"]
