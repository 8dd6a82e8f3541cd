"""What a bug report needs and nothing private: versions, card, last recipe, last error.

The last error is kept in the user's state folder (``$XDG_STATE_HOME``, else ``~/.local/state``) when a command
ends with one. Paths are cut to their last part and option values are left out, the recipe's name excepted.
"""

import json
import os
import platform
import re
import sys
import traceback
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

PACKAGES = ("leylora", "torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate", "datasets", "gradio")
PATH = re.compile(r"(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:'\",;]+)+[/\\]([^\s/\\:'\",;]+)")
SECRET = re.compile(r"\b(?:hf_|sk-)[\w-]+|\b[A-Fa-f0-9]{32,}\b")


def state_file() -> Path:
    """Where the last error is kept."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "leylora" / "last-error.json"


def without_private_parts(text: str) -> str:
    """``text`` with each path cut to its last part, and keys left out."""
    return SECRET.sub("…", PATH.sub(r"…/\1", text))


def remember(error: BaseException) -> None:
    """Keep the error that ends a command; never fail on its account."""
    frames = traceback.extract_tb(error.__traceback__)
    kept = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(sys.argv),
        "error": f"{type(error).__name__}: {without_private_parts(str(error))}"[:2000],
        "where": [f"{Path(f.filename).parent.name}/{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-8:]],
    }
    path = state_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, ensure_ascii=False, indent=1), "utf-8")
    except OSError:
        pass  # a home that cannot be written to, a full disk: the error itself is on the screen


def command_line(argv: list[str]) -> str:
    """The command with the names of its options, without their values; a recipe keeps its last two parts."""
    words = [Path(argv[0]).name]
    for before, word in pairwise(argv):
        name, _, value = word.partition("=")
        if before == "--config":
            words.append("/".join(Path(word).parts[-2:]))
        elif name == "--config" and value:
            words.append(f"{name} {'/'.join(Path(value).parts[-2:])}")
        elif word.startswith("--"):
            words.append(name)
    return " ".join(words)


def report(lora: Path = Path("LORA")) -> str:
    """The whole report, as Markdown to paste into an issue."""
    lines = [
        f"- system: {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores",
        f"- card: {_card()}",
        "- packages: " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        f"- last run: {_last_run(lora)}",
    ]
    try:
        last = json.loads(state_file().read_text("utf-8"))
        lines.append(f"- last error: {last['when']}, `{last['command']}`")
        lines += ["", "```", *last["where"], last["error"], "```"]
    except (OSError, ValueError, KeyError):
        lines.append("- last error: none kept")
    return "\n".join(lines)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _card() -> str:
    from leylora.models.cards import find_card

    try:
        card = find_card()
    except (ImportError, OSError, RuntimeError) as error:  # a broken CUDA set-up is just what a report is for
        return f"torch cannot tell ({type(error).__name__})"
    return "none" if card is None else f"{card.name}, {card.memory_gib:.1f} GiB, bf16 {'yes' if card.bf16 else 'no'}"


def _last_run(lora: Path) -> str:
    """Recipe, steps and losses of the newest ``run.json``."""
    runs = sorted(lora.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
    if not runs:
        return "none"
    try:
        run = json.loads(runs[-1].read_text("utf-8"))
        recipe = "/".join(Path(run["recipe"]).parts[-2:])
        return f"{recipe}, {run['steps']} steps, loss {run['train_loss']:.3f}, on {run['device']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "its run.json cannot be read"
