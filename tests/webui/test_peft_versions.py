"""An exported adapter loads, and computes the same, in every PEFT that a webui of the last years has pinned.

Makes an environment for each of them (several GB of downloads), so it runs only when LEYLORA_PEFT_VERSIONS is set:
to a folder the environments are kept in. Its table is in docs/webui.md.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from leylora.webui.check import check_adapter
from leylora.webui.export import adapter_artifact

from .conftest import MakeAdapter

KEPT_IN = os.environ.get("LEYLORA_PEFT_VERSIONS", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not KEPT_IN, reason="LEYLORA_PEFT_VERSIONS names no folder for environments"),
]
#: PEFT, with the transformers and accelerate of its time, which the webui pinned beside it.
VERSIONS = {
    "0.5.0": ("4.34.1", "0.23.0"),
    "0.6.2": ("4.35.2", "0.24.1"),
    "0.12.0": ("4.44.2", "0.33.0"),
    "0.18.1": ("4.57.1", "1.11.0"),
    "0.21.2": ("5.23.0", "1.15.0"),
}


def environment(peft: str) -> Path:
    """The interpreter of an environment with that PEFT, made if it is not there."""
    folder = Path(KEPT_IN) / f"peft-{peft}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        transformers, accelerate = VERSIONS[peft]
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        torch = version("torch")  # the build of this machine, with or without CUDA
        wanted = [f"torch=={torch}", f"peft=={peft}", f"transformers=={transformers}", f"accelerate=={accelerate}"]
        old = transformers.startswith("4.3") or transformers.startswith("4.4")
        wanted += ["numpy<2", "huggingface-hub<0.26"] if old else []
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
        (folder / "complete").touch()
    return python


def probe(python: Path, adapter: Path) -> dict[str, Any]:
    script = Path(__file__).with_name("peft_probe.py")
    done = subprocess.run([str(python), str(script), str(adapter)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("peft", VERSIONS)
def test_exported_and_untrimmed(peft: str, tmp_path: Path, make_adapter: MakeAdapter) -> None:
    untrimmed = make_adapter(tmp_path / "untrimmed", lora_bias=False, alora_invocation_tokens=None, eva_config=None)
    exported = tmp_path / "exported"
    exported.mkdir()
    for name, content in adapter_artifact(untrimmed).files.items():
        data = content.read_bytes() if isinstance(content, Path) else content.encode()
        (exported / name).write_bytes(data)
    python = environment(peft)
    ours, theirs = probe(python, exported), probe(python, untrimmed)
    print(f"\n{ours}\n{theirs}")
    assert ours["peft"] == peft
    assert ours["loads"], ours["why"]
    assert ours["error"] < 1e-5
    number = tuple(map(int, peft.split(".")[:2]))
    assert theirs["loads"] is not bool(check_adapter(untrimmed, number).faults), "the checker says otherwise"
