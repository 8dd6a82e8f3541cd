"""Mutated files against every reader of strangers' files: `make fuzz MINUTES=10`, or `python tests/fuzz/fuzz.py 10`.

Each group takes sound files, damages them in a seeded way and gives them to the code that a command would call. It must
end with a result or with a `LeyloraError`; a traceback, a hang over the group's limit, memory above the limit or an
empty result is written to tests/fuzz/cases/GROUP, where `make test` tries it again from then on.
"""

import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import pebble
from safetensors.numpy import save_file

from leylora.adapters.files import open_adapter
from leylora.children import PROCESSES
from leylora.data.gate import clean
from leylora.data.mixture import Mixture, WriterSettings
from leylora.data.model_written import _ask, read_pairs
from leylora.data.readers import convert, read_records
from leylora.errors import LeyloraError
from leylora.grounding.index import build_index
from leylora.grounding.search import LawIndex
from leylora.laws.law import Law
from leylora.laws.parse import parse_files
from leylora.models.templates import check_stranger, faults_of_stranger, instruction_template, served_template
from leylora.project import ROOT
from leylora.training.recipe import compose, recipe_of
from leylora.webui.check import check_adapter

CASES = Path(__file__).with_name("cases")
MEMORY = 1_500 << 20
"""Bytes a group may need, beyond what its process holds when it starts."""

HOSTILE = (
    *("[" * 100_000, '{"a":' * 50_000, "9" * 5_000, "-1", "0", "1e999", "NaN", "null", "true", '""', "[]", "{}"),
    *('"\\ud800"', '"\\u0000"', '"' + "x" * 100_000 + '"', "2026-13-45", "2026-02-31", "!!int foo", "!!bool x", "*a"),
    *("&a [*a]", "!!python/name:os.system", "../../etc/passwd", "/dev/zero", "10000000000000", "-0.0", "[[[]]]", "?"),
)


class Group(NamedTuple):
    """``make`` writes sound files into a folder and names the one to damage; ``read`` gives what it found."""

    make: Callable[[Path, random.Random], Path]
    read: Callable[[Path], Any]
    seconds: float
    own_child: bool = False  # the code under test has a child with limits of its own


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage in one to four places: bytes flipped, cut, doubled or overwritten, or a hostile value put in."""
    mutant = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(mutant) or 1)
        size = rng.choice((1, 8, 64, 512))
        piece = mutant[start : start + size]
        match rng.randrange(6):
            case 0:
                del mutant[start + 1 :]
            case 1:
                mutant[start : start + size] = bytes(byte ^ 1 << rng.randrange(8) for byte in piece)
            case 2:
                mutant[start:start] = piece * rng.choice((1, 1, 50))
            case 3:
                mutant[start : start + size] = rng.randbytes(len(piece))
            case _:
                text = mutant.decode("utf-8", "surrogateescape")
                ends = [at for at, letter in enumerate(text) if letter in ":=,[{ \n"] or [0]
                at = rng.choice(ends) + 1
                until = min((place for sign in ",}\n]" if (place := text.find(sign, at)) > 0), default=len(text))
                mutant = bytearray((text[:at] + rng.choice(HOSTILE) + text[until:]).encode("utf-8", "surrogateescape"))
    return bytes(mutant)


SAMPLE = ROOT / "data" / "samples" / "ley-de-muestra.pdf"


def _law_text() -> str:
    return "\n\n".join(
        f"Art. {number}.- Regla {number}.- Las salas abren los lunes y la multa será de {number} dólares."
        for number in range(1, 30)
    )


def _make_law(folder: Path, rng: random.Random) -> Path:
    kind = rng.choice(("pdf", "txt", "md", "html"))
    file = folder / f"ley.{kind}"
    if kind == "pdf":
        shutil.copyfile(SAMPLE, file)
    else:
        text = _law_text()
        file.write_text(f"<html><body><p>{text}</p></body></html>" if kind == "html" else text, "utf-8")
    return file


def _read_law(file: Path) -> int:
    ((_, law),) = parse_files([file], workers=1)
    if isinstance(law, LeyloraError):
        raise law
    return len(law)


def _make_parsed(folder: Path, rng: random.Random) -> Path:
    ((_, law),) = parse_files([SAMPLE], workers=1)
    assert isinstance(law, Law)
    law.save(folder / "ley")
    return folder / "ley" / rng.choice(("law.json", "articles.jsonl", "audit.json"))


def _read_parsed(file: Path) -> Any:
    folder = file.parent.parent
    law = Law.load(file.parent)
    index = LawIndex(build_index(folder, (), folder / "index.sqlite"))
    index.search("plazo del préstamo")
    return law.name and (len(law) or len(law.provisions))


def _make_adapter(folder: Path, rng: random.Random) -> Path:
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "a/b", "r": 4, "lora_alpha": 8}
    config |= {"target_modules": ["q_proj"], "rank_pattern": {"q_proj": 4}, "alpha_pattern": {}}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    draw = np.random.default_rng(0)
    names = [
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{side}.weight"
        for layer in (0, 1)
        for side in "AB"
    ]
    tensors = {name: draw.normal(size=(4, 8) if "_A" in name else (8, 4)).astype(np.float32) for name in names}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder / rng.choice(("adapter_config.json", "adapter_model.safetensors"))


def _read_adapter(file: Path) -> Any:
    assert check_adapter(file.parent, None) is not None
    adapter = open_adapter(file.parent)
    for module in adapter.modules:
        adapter.factors(module)
    return adapter.modules


def _make_template(folder: Path, rng: random.Random) -> Path:
    name = rng.choice(("leylora-mistral", "leylora-llama-2", "leylora-falcon"))
    (folder / "template.jinja").write_text(served_template(instruction_template(name)))
    return folder / "template.jinja"


def _read_template(file: Path) -> Any:
    text = file.read_text("utf-8", errors="replace")
    check_stranger(text, file)
    return faults_of_stranger(text, ".jinja", file)


def _make_mixture(folder: Path, rng: random.Random) -> Path:
    source = rng.choice(sorted((ROOT / "data" / "mixtures").glob("*.yaml")))
    return Path(shutil.copyfile(source, folder / "mixture.yaml"))


def _make_recipe(folder: Path, rng: random.Random) -> Path:
    composed = compose(rng.choice(("tiny-mistral", "mistral-7b")), "law")
    (folder / "recipe.yaml").write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in composed.items()))
    return folder / "recipe.yaml"


def _make_rows(folder: Path, rng: random.Random) -> Path:
    source = rng.choice(sorted((ROOT / "data" / "samples" / "instructions").iterdir()))
    file = folder / source.name
    file.write_bytes(b"\n".join(source.read_bytes().split(b"\n")[:40]))
    return file


def _read_rows(file: Path) -> Any:
    rows = list(convert(read_records(file)))
    clean(rows, source="fuzz", license="cc0-1.0")
    return rows or None


def _make_base(folder: Path, rng: random.Random) -> Path:
    from leylora.models.tiny import make_tiny_base

    kept = Path(tempfile.gettempdir()) / "leylora-fuzz-base"
    if not (kept / "config.json").is_file():
        make_tiny_base("tiny-mistral", SAMPLE.with_suffix(".yaml").read_text("utf-8").split("\n\n"), kept, steps=1)
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return folder / rng.choice(("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"))


def _read_base(file: Path) -> Any:
    from leylora.models.load import load_base, load_tokenizer

    return load_tokenizer(str(file.parent)), load_base(str(file.parent), "16bit")


def _make_reply(folder: Path, rng: random.Random) -> Path:
    pairs = json.dumps([{"pregunta": "¿Cuándo abren?", "respuesta": "Los lunes."}], ensure_ascii=False)
    reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    reply["choices"] = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": pairs}}]
    (folder / "reply.json").write_text(json.dumps(reply))
    return folder / "reply.json"


def _read_reply(file: Path) -> Any:
    settings = WriterSettings(base_url="http://127.0.0.1:9/v1", model="m", replies=file.with_suffix(".jsonl"))
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, content=file.read_bytes()))
    read_pairs(_ask("¿?", settings, answer))
    return True


GROUPS = {
    "laws": Group(_make_law, _read_law, 40, own_child=True),
    "parsed": Group(_make_parsed, _read_parsed, 10),
    "adapters": Group(_make_adapter, _read_adapter, 10),
    "templates": Group(_make_template, _read_template, 30, own_child=True),
    "mixtures": Group(_make_mixture, Mixture.load, 5),
    "recipes": Group(_make_recipe, lambda file: recipe_of(["--config", str(file)]), 5),
    "rows": Group(_make_rows, _read_rows, 10),
    "bases": Group(_make_base, _read_base, 60),
    "replies": Group(_make_reply, _read_reply, 10),
}


def attempt(name: str, file: Path) -> str:
    """ "read", "refused", or what went wrong."""
    try:
        found = GROUPS[name].read(file)
    except LeyloraError as error:
        return "refused" if "\n" not in str(error) else f"an error of several lines: {error}"
    except MemoryError:
        return "memory above the limit"
    except Exception:
        return f"traceback: {traceback.format_exc()[-1500:]}"
    return "read" if found is not None and found != 0 else "a silent empty result"


def _limited() -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def judge(name: str, file: Path, pool: pebble.ProcessPool) -> str:
    """`attempt` within the group's limits."""
    group = GROUPS[name]
    start = time.monotonic()
    if group.own_child:
        told = attempt(name, file)
        return told if time.monotonic() - start < group.seconds else f"{group.seconds} s were not enough"
    try:
        return str(pool.schedule(attempt, (name, file), timeout=group.seconds).result())
    except TimeoutError:
        return f"{group.seconds} s were not enough"
    except Exception as error:
        return f"the process ended: {error!r}"


def inputs(name: str, seed: int, folder: Path) -> Iterator[Path]:
    """Damaged files of a group, without end; each is overwritten by the next."""
    rng = random.Random(f"{name} {seed}")
    while True:
        work = Path(tempfile.mkdtemp(dir=folder))
        file = GROUPS[name].make(work, rng)
        file.write_bytes(mutate(file.read_bytes(), rng))
        yield file
        shutil.rmtree(work, ignore_errors=True)


def keep(name: str, file: Path, told: str) -> Path:
    """Copy a failing input to the cases, with what went wrong beside it."""
    home = file.parents[1] if name == "parsed" else file.parent
    for count in range(1000):
        kept = CASES / name / f"{count:03}"
        if not kept.exists():
            shutil.copytree(home, kept)
            (kept / "damaged.txt").write_text(f"{file.relative_to(home)}\n{told}\n")
            return kept
    raise LeyloraError(f"{CASES / name} is full; mend what it shows first.")


def main(minutes: float, only: list[str], seed: int) -> int:
    failures = 0
    names = only or list(GROUPS)
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            counts: Counter[str] = Counter()
            slowest, until = 0.0, time.monotonic() + 60 * minutes / len(names)
            with pebble.ProcessPool(1, initializer=_limited, context=PROCESSES) as pool:
                for file in inputs(name, seed, Path(scratch)):
                    start = time.monotonic()
                    told = judge(name, file, pool)
                    slowest = max(slowest, time.monotonic() - start)
                    counts[told if told in ("read", "refused") else "failed"] += 1
                    if told not in ("read", "refused"):
                        failures += 1
                        print(f"{name}: {told}\n  kept in {keep(name, file, told)}", flush=True)
                        if failures >= 20:
                            return 1
                    if time.monotonic() > until:
                        break
            print(f"{name:10} {counts.total():6} inputs: {dict(counts)}; slowest {slowest:.1f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(float(words[0]) if words else 10.0, words[2:], int(words[1]) if len(words) > 1 else 0))
