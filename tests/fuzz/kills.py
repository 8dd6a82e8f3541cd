"""Commands killed at random moments: `python tests/fuzz/kills.py 40` kills each of five commands forty times.

After every kill the folder of results must be the old one, the new one, or (where there was none) not there; a file of
the user's in it must be there still. After the last, one run to the end must succeed and leave nothing beside it. Then
small trainings are killed and resumed, and must end with the very bytes of one that was left alone.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from leylora.files import read_json_object
from leylora.models.tiny import make_tiny_base
from leylora.project import ROOT

LAW = ROOT / "data" / "samples" / "ley-de-muestra.pdf"
NOTES = "mis-notas.txt"
TIMED = ("run.json", "README.md", "merge_report.json", "training.png", "training.svg")  # of an adapter: hold times
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Job(NamedTuple):
    """A command, the folder it writes, and options for a second kind of result that is there before."""

    words: list[str]
    out: str
    before: list[str]


def run(words: list[str], home: Path, seconds: float | None = None) -> int | None:
    """The exit code; None when it was killed after ``seconds``."""
    child = subprocess.Popen(
        [sys.executable, *words], cwd=home, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return None


def state(folder: Path) -> str:
    """ "" where there is nothing, else a hash over names and contents; of a record of a run only whose it is."""
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NOTES):
        if file.name in TIMED and folder.parent.name == "LORA":
            continue
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def kill_often(name: str, job: Job, home: Path, times: int, rng: random.Random) -> tuple[int, int]:
    """How many kills hit a running command, and how many of them left something that must not be."""
    out = home / job.out
    sweep: Callable[[], None] = lambda: shutil.rmtree(out, ignore_errors=True)  # noqa: E731
    start = time.monotonic()
    assert run(job.words, home) == 0, name
    whole = time.monotonic() - start
    new = state(out)
    sweep()
    assert run([*job.words, *job.before], home) == 0, name
    old = state(out)
    assert new != old
    kept = home / f"{name}.old"
    out.rename(kept)
    hits = bad = 0
    for number in range(times):
        sweep()
        replacing = number % 2 == 0
        if replacing:
            shutil.copytree(kept, out)
            (out / NOTES).write_text("mine")
        # half of them near the end, where the folder is published
        moment = whole * (rng.uniform(0.7, 1.05) if number % 4 < 2 else rng.uniform(0.05, 1.0))
        words = [*job.words, "--overwrite"] if name not in ("parse", "export", "train") else job.words
        words = [*words, "--overwrite", "true"] if name == "train" else words
        if run(words, home, moment) is None:
            hits += 1
            found = state(out)
            if found not in ((old, new) if replacing else ("", new)) or (replacing and not (out / NOTES).is_file()):
                # what was moved aside is put back by the next run, even one that stops at once
                run(words, home)
                if state(out) != new or (replacing and not (out / NOTES).is_file()):
                    bad += 1
                    print(f"  {name}, kill {number} after {moment:.2f} s left something else", flush=True)
    sweep()
    assert run(job.words, home) == 0, name
    left = [path.name for path in out.parent.iterdir() if path.name.endswith((".partial", ".previous"))]
    if left or state(out) != new:
        bad += 1
        print(f"  {name}: left at the end: {left}", flush=True)
    return hits, bad


def main(times: int) -> int:
    rng = random.Random(0)
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        text = (ROOT / "data" / "samples" / "ley-de-muestra.yaml").read_text("utf-8")
        make_tiny_base("tiny-mistral", text.split("\n\n"), home / "base", steps=2)
        (home / "text-generation-webui" / "user_data").mkdir(parents=True)
        (home / "text-generation-webui" / "server.py").touch()
        scripts = ROOT / "scripts"
        build = [
            str(scripts / "build_dataset.py"),
            "--mixture",
            str(ROOT / "data" / "mixtures" / "tiny-instructions.yaml"),
        ]
        assert run([*build, "--out", "set"], home) == 0
        train = [str(ROOT / "train" / "sft.py"), "--model", "tiny-mistral", "--adapter", "instructions"]
        train += ["--model_name_or_path", "base", "--dataset_name", "set", "--max_steps", "6", "--save_steps", "2"]
        train += ["--max_length", "96", "--sample_every", "0", "--eval_strategy", "no", "--use_cpu", "true"]
        for name, seed in (("one", "1"), ("two", "2")):
            assert run([*train, "--seed", seed, "--output_dir", f"LORA/{name}"], home) == 0
        merge = [str(scripts / "merge_adapters.py"), "LORA/one", "LORA/two", "--out", "LORA/merged"]
        export = [str(scripts / "export_webui.py"), "one", "--webui", "text-generation-webui", "--overwrite"]
        smaller = home / "smaller.yaml"
        smaller.write_text(
            Path(build[2]).read_text("utf-8").replace("seed: 42", "seed: 7").replace("../", f"{ROOT}/data/")
        )
        parse = [str(scripts / "parse_law.py"), str(LAW), "--out", "laws", "--law-id", "ley"]
        (home / "other.txt").write_text("Art. 1.- Las salas abren los lunes.\nArt. 2.- Los martes no abren nunca.\n")
        jobs = {
            "parse": Job(parse, "laws/ley", []),
            "build": Job([*build, "--out", "built"], "built", ["--mixture", str(smaller)]),
            "merge": Job(merge, "LORA/merged", ["--method", "svd", "--rank", "4"]),
            "train": Job([*train, "--output_dir", "LORA/run"], "LORA/run", ["--max_steps", "2"]),
        }
        for name, job in jobs.items():
            if name == "parse":  # its second kind of result comes from another file
                first, second = job.words, [parse[0], "other.txt", *parse[2:]]
                hits, bad = kill_parse(first, second, home, times, rng)
            else:
                hits, bad = kill_often(name, job, home, times, rng)
            failures += bad
            print(f"{name:6} {times:4} kills, {hits} in the middle; half-written or lost: {bad}", flush=True)
        hits, bad = kill_export(export, home, times, rng)
        failures += bad
        print(f"export {times:4} kills, {hits} in the middle; half-written or lost: {bad}", flush=True)
        equal = resumed(train, home, 10, rng)
        failures += 10 - equal
        print(f"resume   10 trainings killed once or twice and resumed: {equal} equal bit for bit", flush=True)
    return 1 if failures else 0


def kill_parse(first: list[str], second: list[str], home: Path, times: int, rng: random.Random) -> tuple[int, int]:
    """As `kill_often`; a law replaces only an earlier parse of the same edition, here the undated one."""
    out = home / "laws" / "ley"
    assert run(second, home) == 0
    new = state(out)
    start = time.monotonic()
    run(second, home)
    whole = time.monotonic() - start
    hits = bad = 0
    for number in range(times):
        if number % 2:
            shutil.rmtree(out, ignore_errors=True)
        else:
            (out / "articles.jsonl").write_text("old")
            (out / NOTES).write_text("mine")
        old = state(out)
        if run(second, home, whole * rng.uniform(0.5, 1.02)) is None:
            hits += 1
            if state(out) not in (old, new) or (number % 2 == 0 and not (out / NOTES).is_file()):
                run(second, home)
                if state(out) != new:
                    bad += 1
        assert run(second, home) == 0
    shutil.rmtree(out, ignore_errors=True)
    assert run(first, home) == 0
    left = [path.name for path in out.parent.iterdir() if path.name.startswith(".")]
    return hits, bad + len(left)


def kill_export(words: list[str], home: Path, times: int, rng: random.Random) -> tuple[int, int]:
    """What an export leaves can be exported again and removed, and brings the install back to what it was."""
    webui = home / "text-generation-webui"
    before = state(webui)
    start = time.monotonic()
    assert run(words, home) == 0
    whole = time.monotonic() - start
    remove = [words[0], "--remove", "--webui", str(webui)]
    assert run(remove, home) == 0
    assert state(webui) == before
    hits = bad = 0
    for _ in range(times):
        if run(words, home, whole * rng.uniform(0.5, 1.02)) is None:
            hits += 1
        if run(words, home) != 0 or run(remove, home) != 0 or state(webui) != before:
            bad += 1
            print(
                f"  export: left {sorted(str(p.relative_to(webui)) for p in webui.rglob('*') if p.is_file())}",
                flush=True,
            )
            shutil.rmtree(webui / "user_data")
            (webui / "user_data").mkdir()
    return hits, bad


def resumed(train: list[str], home: Path, times: int, rng: random.Random) -> int:
    """How many of ``times`` killed and resumed trainings have the weights of one that was left alone."""
    assert run([*train, "--output_dir", "LORA/whole"], home) == 0
    wanted = str(read_json_object(home / "LORA/whole/run.json")["adapter_sha256"])
    start = time.monotonic()
    assert run([*train, "--output_dir", "LORA/timed"], home) == 0
    whole = time.monotonic() - start
    equal = 0
    for number in range(times):
        out = f"LORA/resumed-{number}"
        words = [*train, "--output_dir", out]
        for _ in range(rng.randint(1, 2)):
            run([*words, "--resume_from_checkpoint", "true"], home, whole * rng.uniform(0.6, 0.98))
        run([*words, "--resume_from_checkpoint", "true", "--overwrite", "true"], home)
        record = home / out / "run.json"
        equal += record.is_file() and read_json_object(record)["adapter_sha256"] == wanted
    return equal


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 40))
