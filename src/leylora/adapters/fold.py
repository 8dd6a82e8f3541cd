"""Fold an adapter into the full 16-bit weights of its base, tensor by tensor, for GGUF, Ollama or plain serving.

Never into 4-bit weights: rounding W + delta to 4 bits again can erase a small delta. The adapter was trained on
the 4-bit base, so the folded 16-bit model is a slightly different one: `measure_drift` says by how much.
"""

import gc
import shutil
from collections.abc import Callable
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
from leylora.files import read_json_object
from leylora.folders import staged_folder
from leylora.models.load import load_base, load_config

SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def fold_into_base(
    folder: Path, out: Path, base: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write base + adapter as a full model, in the base's own type and shards; return how many weights changed.

    One tensor is in memory at a time. Tokenizer and chat template are the adapter's where it brings them; the base is
    by default the one it names.

    Raises:
        UsageError: ``out`` exists.
        LeyloraError: the base cannot be read, is quantised, or lacks a module of the adapter.
    """
    adapter = open_adapter(folder)
    source = base_folder(adapter, base)
    if "quantization_config" in read_json_object(source / "config.json"):
        raise LeyloraError(f"{source} is quantised; fold into the 16-bit model it was made from.")
    if (source / INDEX_FILE).is_file():
        shards = sorted(set(read_json_object(source / INDEX_FILE)["weight_map"].values()))
    elif (source / SINGLE_FILE).is_file():
        shards = [SINGLE_FILE]
    else:
        raise LeyloraError(f"{source} holds no {SINGLE_FILE} and no {INDEX_FILE}; only safetensors weights are read.")
    names: dict[str, list[str]] = {}
    for path in (source / shard for shard in shards):
        try:
            with safe_open(path, framework="pt") as file:
                names[path.name] = list(file.keys())
        except (SafetensorError, OSError) as error:
            raise LeyloraError(f"{path} is missing or damaged ({error}); download the base model again.") from None
    adapted = {f"{module}.weight": module for module in adapter.modules}
    replaced = {key.removeprefix(PREFIX).replace(".base_layer.", "."): key for key in adapter.full_tensors}
    held = {name for shard in names.values() for name in shard}
    if missing := [name for name in (*adapted, *replaced) if name not in held]:
        raise LeyloraError(f"{source} has no tensor {missing[0]}, which {folder} adapts; it is not its base model.")
    if any(module.embedding for module in adapter.modules.values()) and "lm_head.weight" not in held:
        raise LeyloraError(
            f"{source} uses its embedding as output head too, and {folder} adapts only the embedding; one "
            "matrix cannot be both, so keep the adapter apart."
        )
    done = 0
    with staged_folder(out) as staging:
        for shard, inside in names.items():
            with safe_open(source / shard, framework="pt") as file, TensorWriter(staging / shard, inside) as writer:
                for name in inside:
                    weight = file.get_tensor(name)
                    if name in adapted or name in replaced:
                        weight = _changed(weight, name, adapter, adapted.get(name), replaced.get(name))
                    writer.write(name, weight)
                    done += 1
                    if progress is not None:
                        progress(done, len(held))
        _copy_rest(source, adapter, staging)
    return len({*adapted, *replaced})


def base_folder(adapter: Adapter, base: str | None) -> Path:
    """The folder of the base model's files, downloaded when it is a Hub name."""
    name = adapter.base(base)
    if Path(name).is_dir():
        return Path(name)
    load_config(name, adapter.config.revision)  # says clearly what is wrong with a name or a path
    try:
        return Path(snapshot_download(name, revision=adapter.config.revision, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LeyloraError(f"The base model {name} cannot be had ({reason}); check its name or the network.") from None


def measure_drift(folder: Path, folded: Path, base: str | None = None) -> tuple[Comparison, Comparison]:
    """How far the folded model is from the live one (4-bit base + adapter), and how far the bases alone are apart.

    Models are loaded one after the other.
    """
    config = open_adapter(folder).config
    name, revision = base or str(config.base_model_name_or_path), config.revision
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
    return compare_logits(wanted, found, bare_4bit), compare_logits(bare_4bit, bare)


def _changed(weight: Tensor, name: str, adapter: Adapter, adapted: str | None, replaced: str | None) -> Tensor:
    """W + scaling * B @ A of the module ``adapted`` in float32, rounded once to W's type.

    The adapter's whole tensor ``replaced`` takes W's place first.
    """
    new = weight if replaced is None else adapter.tensor(replaced)
    delta = None
    if adapted is not None:
        module = adapter.modules[adapted]
        a, b = adapter.factors(adapted)
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
    brings_tokenizer = any(
        name != "chat_template.jinja" for name in own
    )  # then none of the base's goes among its files
    for path in sorted(source.iterdir()):
        wanted = path.suffix in (".json", ".txt", ".jinja", ".model") and not path.name.endswith(".bin.index.json")
        if wanted and not (brings_tokenizer and path.name in TOKENIZER_FILES):
            shutil.copyfile(path, target / path.name)
    for name in own:
        shutil.copyfile(adapter.folder / name, target / name)
