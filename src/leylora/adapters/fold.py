"""Fold an adapter into the full 16-bit weights of its base, tensor by tensor, for GGUF, Ollama or plain serving.

Never into 4-bit weights: rounding W + delta to 4 bits again can erase a small delta. The adapter was trained on
the 4-bit base, so the folded 16-bit model is a slightly different one: `measure_drift` says by how much.
"""

import gc
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

from leylora.adapters.check import Comparison, compare_logits, encode, logits_of
from leylora.adapters.files import PREFIX, Adapter, TensorWriter, is_finite, open_adapter
from leylora.adapters.merge import TOKENIZER_FILES
from leylora.errors import LeyloraError
from leylora.files import read_json, staged_folder
from leylora.models.load import load_base, load_config

SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


@dataclass(frozen=True)
class Drift:
    """How far the folded model is from the live one (4-bit base + adapter), and how far the bases are by themselves."""

    folded: Comparison
    bases: Comparison


def fold_into_base(
    folder: Path, out: Path, base: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write base + adapter as a full model, in the base's own type and shards; return how many weights changed.

    One tensor is in memory at a time. Tokenizer and chat template are the adapter's where it brings them.

    Args:
        folder: the adapter.
        out: the folder to make.
        base: the base model's folder or Hub name; by default the one the adapter names.
        progress: called with the tensors written and their number in all.

    Raises:
        UsageError: ``out`` exists.
        LeyloraError: the base cannot be read, is quantised, or lacks a module of the adapter.
    """
    adapter = open_adapter(folder)
    source = base_folder(adapter, base)
    if "quantization_config" in read_json(source / "config.json"):
        raise LeyloraError(f"{source} is quantised; fold into the 16-bit model it was made from.")
    shards = {shard: _tensor_names(source / shard) for shard in _shards(source)}
    changes = _changes(adapter)
    _check_targets(adapter, source, changes, {name for names in shards.values() for name in names})
    done, total = 0, sum(map(len, shards.values()))
    with staged_folder(out) as staging:
        for shard, names in shards.items():
            for _ in _fold_shard(source / shard, staging / shard, names, adapter, changes):
                done += 1
                if progress is not None:
                    progress(done, total)
        _copy_rest(source, adapter, staging)
    return len(changes)


def base_folder(adapter: Adapter, base: str | None) -> Path:
    """The folder of the base model's files, from the Hub's cache when it is a Hub name.

    Raises:
        LeyloraError: no base is known, or its files cannot be had.
    """
    name = base or adapter.config.base_model_name_or_path
    if name is None:
        raise LeyloraError(f"{adapter.folder} does not name its base model; give it with --base.")
    if Path(name).is_dir():
        return Path(name)
    load_config(name, adapter.config.revision)  # says clearly what is wrong with a name or a path
    try:
        return Path(snapshot_download(name, revision=adapter.config.revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LeyloraError(f"The base model {name} cannot be had ({reason}); check its name or the network.") from None


def measure_drift(folder: Path, folded: Path, base: str | None = None) -> Drift:
    """Compare the live model (4-bit base + adapter) with the folded one; models are loaded one after the other."""
    adapter = open_adapter(folder)
    name, revision = base or str(adapter.config.base_model_name_or_path), adapter.config.revision
    encoded = encode(name, revision)
    stored = load_config(name, revision).dtype
    dtype = stored if stored in (torch.float16, torch.bfloat16) else torch.float32

    live = load_base(name, revision=revision, compute_dtype=dtype)
    bare_4bit = logits_of(live, encoded)
    wanted = logits_of(PeftModel.from_pretrained(live, folder), encoded)
    del live
    gc.collect()
    full = load_base(name, revision=revision, load="16bit", compute_dtype=dtype)
    bare = logits_of(full, encoded)
    del full
    gc.collect()
    found = logits_of(load_base(str(folded), load="16bit", compute_dtype=dtype), encoded)
    return Drift(folded=compare_logits(wanted, found, bare_4bit), bases=compare_logits(bare_4bit, bare))


def _shards(source: Path) -> list[str]:
    """The names of the base's weight files."""
    if (source / INDEX_FILE).is_file():
        return sorted(set(read_json(source / INDEX_FILE)["weight_map"].values()))
    if (source / SINGLE_FILE).is_file():
        return [SINGLE_FILE]
    raise LeyloraError(f"{source} holds no {SINGLE_FILE} and no {INDEX_FILE}; only safetensors weights are read.")


def _tensor_names(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as shard:
            return list(shard.keys())
    except (SafetensorError, OSError) as error:
        raise LeyloraError(f"{path} is missing or damaged ({error}); download the base model again.") from None


@dataclass(frozen=True)
class _Change:
    """What happens to one tensor of the base: ``key`` of the adapter replaces it, then ``module``'s delta is added."""

    module: str | None = None
    key: str | None = None


def _changes(adapter: Adapter) -> dict[str, _Change]:
    """The base's tensors that the adapter changes, by name."""
    changes = {f"{module}.weight": _Change(module) for module in adapter.modules}
    for key in adapter.full_tensors:
        name = key.removeprefix(PREFIX).replace(".base_layer.", ".")
        changes[name] = _Change(changes[name].module if name in changes else None, key)
    return changes


def _check_targets(adapter: Adapter, source: Path, changes: Mapping[str, _Change], held: set[str]) -> None:
    if missing := [name for name in changes if name not in held]:
        raise LeyloraError(
            f"{source} has no tensor {missing[0]}, which {adapter.folder} adapts; it is not its base model."
        )
    if any(module.embedding for module in adapter.modules.values()) and "lm_head.weight" not in held:
        raise LeyloraError(
            f"{source} uses its embedding as output head too, and {adapter.folder} adapts only the embedding; one "
            "matrix cannot be both, so keep the adapter apart."
        )


def _fold_shard(
    source: Path, target: Path, names: list[str], adapter: Adapter, changes: Mapping[str, _Change]
) -> Iterator[str]:
    """Write one weight file with the changes made, a tensor at a time; yield each name when it is written."""
    with safe_open(source, framework="pt") as shard, TensorWriter(target, names) as writer:
        for name in names:
            weight = shard.get_tensor(name)
            writer.write(name, _changed(weight, name, adapter, changes[name]) if name in changes else weight)
            yield name


def _changed(weight: Tensor, name: str, adapter: Adapter, change: _Change) -> Tensor:
    """W + scaling * B @ A in float32, rounded once to W's type; W may be replaced by a trained one first."""
    new = weight if change.key is None else adapter.tensor(change.key)
    delta = None
    if change.module is not None:
        module = adapter.modules[change.module]
        a, b = adapter.factors(change.module)
        delta = module.scaling * (b.float() @ a.float())
        if module.embedding or adapter.config.fan_in_fan_out:  # the base stores it as (d_in, d_out)
            delta = delta.T
    for found in (new, delta):
        if found is not None and found.shape != weight.shape:
            shapes = f"{tuple(weight.shape)} in the base, {tuple(found.shape)} in {adapter.folder}"
            raise LeyloraError(f"{name} is {shapes}; it is not the adapter's base model.")
    folded = (new if delta is None else new.float() + delta).to(weight.dtype)
    if not is_finite(folded):
        raise LeyloraError(f"{name} overflows {weight.dtype} with {adapter.folder} folded in.")
    return folded


def _copy_rest(source: Path, adapter: Adapter, target: Path) -> None:
    """Config, index and tokenizer; weights in any other format would be the unchanged base's and stay behind."""
    own = [name for name in TOKENIZER_FILES if (adapter.folder / name).is_file()]
    for path in sorted(source.iterdir()):
        wanted = path.suffix in (".json", ".txt", ".jinja", ".model") and not path.name.endswith(".bin.index.json")
        if wanted and not (own and path.name in TOKENIZER_FILES):
            shutil.copyfile(path, target / path.name)
    for name in own:
        shutil.copyfile(adapter.folder / name, target / name)
