"""Adapter folders on disk, without their base model: ``adapter_config.json`` and ``adapter_model.safetensors``.

Tensors are read when they are asked for and written one at a time.
"""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from leylora.adapters.config import CONFIG_FILE, AdapterConfig, check_plain_lora, read_config
from leylora.errors import LeyloraError, UsageError, first_line
from leylora.files import sha256_file, umask

if TYPE_CHECKING:  # light: adapters are found without torch
    import torch

WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_FILE = "adapter_model.bin"
PREFIX = "base_model.model."  # what PEFT puts before a module's path in the base model

# The format's types that torch has, by the name torch gives them.
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
TORCH_DTYPES = dict(zip(("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"), _TYPES, strict=True))

_FACTOR = re.compile(r"(?P<module>.+)\.(?:lora_(?P<linear>[AB])\.weight|lora_embedding_(?P<embedding>[AB]))")


class Module(NamedTuple):
    """One adapted module of the base model: its delta is ``scaling * B @ A``, of shape (d_out, d_in).

    For an embedding, d_in is the vocabulary and A is stored (r, vocabulary), as for a linear module.
    """

    name: str
    d_out: int
    d_in: int
    rank: int
    scaling: float
    key_a: str
    key_b: str
    embedding: bool


@dataclass(frozen=True)
class Adapter:
    """An adapter folder, opened: the config, the modules in the file's order, and tensors that are not LoRA's."""

    folder: Path
    config: AdapterConfig
    modules: dict[str, Module]
    full_tensors: tuple[str, ...]
    dtype: str
    _file: Any = field(repr=False)

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    def base(self, given: str | None = None) -> str:
        """The name or folder of the base model: the one ``given``, else the config's.

        Raises:
            LeyloraError: neither names one.
        """
        name = given or self.config.base_model_name_or_path
        if name is None:
            raise LeyloraError(f"{self.folder} does not name its base model; give it with --base.")
        return name

    def factors(self, module: str) -> "tuple[torch.Tensor, torch.Tensor]":
        """The module's A, (r, d_in), and B, (d_out, r), in their stored type, unscaled."""
        entry = self.modules[module]
        return self.tensor(entry.key_a), self.tensor(entry.key_b)

    def tensor(self, key: str) -> "torch.Tensor":
        """A tensor by its name in the file. Raises LeyloraError when a value is not finite."""
        tensor = self._file.get_tensor(key)
        if not is_finite(tensor):
            raise LeyloraError(
                f"{self.folder / WEIGHTS_FILE}: {key} holds NaN or infinity; the training diverged, use an "
                "earlier checkpoint."
            )
        return tensor


def open_adapter(folder: Path) -> Adapter:
    """Open an adapter folder: read its config and the header of its weights, check that they fit each other.

    Raises:
        LeyloraError: the folder is not one adapter, it is more than plain LoRA (DoRA, trained biases, PiSSA, ...),
            the weights are pickled, the header is damaged, a tensor is neither a LoRA factor nor part of a fully
            trained module, factors do not pair up, or a rank is not the config's.
    """
    from safetensors import SafetensorError, safe_open

    check_single_adapter(folder)
    config = read_config(folder)
    check_plain_lora(config, folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise LeyloraError(f"{path} is damaged or not a safetensors file ({error}); save the adapter again.") from None
    slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    modules, others = _pair_factors({key: list(part.get_shape()) for key, part in slices.items()}, config, path)
    kinds = {str(slices[key].get_dtype()) for module in modules.values() for key in (module.key_a, module.key_b)}
    if unusable := kinds - {"F32", "F16", "BF16"}:
        raise LeyloraError(f"{path}: tensors of type {', '.join(sorted(unusable))}; save the adapter as 16- or 32-bit.")
    return Adapter(
        folder=folder,
        config=config,
        modules=modules,
        full_tensors=tuple(others),
        dtype=TORCH_DTYPES[kinds.pop()] if len(kinds) == 1 else "float32",
        _file=file,
    )


def _pair_factors(
    shapes: Mapping[str, list[int]], config: AdapterConfig, path: Path
) -> tuple[dict[str, Module], list[str]]:
    """Group the file's tensors into modules; what is left are tensors of fully trained modules."""
    pairs: dict[str, dict[str, str]] = {}
    others = []
    for key in shapes:
        match = _FACTOR.fullmatch(key.removeprefix(PREFIX))
        if match:
            pairs.setdefault(match["module"], {})[match["linear"] or match["embedding"]] = key
        else:
            others.append(key)
    # whole weights: of a module in ``modules_to_save``, or of an embedding PEFT saved along
    trained = [*(config.modules_to_save or []), "embed_tokens", "word_embeddings", "lm_head"]
    owners = [f".{key.removeprefix(PREFIX).rpartition('.')[0].removesuffix('.base_layer')}" for key in others]
    ends = tuple(f".{name}" for name in trained)
    if unknown := [k for k, owner in zip(others, owners, strict=True) if "lora_" in k or not owner.endswith(ends)]:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise LeyloraError(
            f"{path}: {unknown[0]} is neither a LoRA factor nor part of a module in modules_to_save{more}; only plain "
            "LoRA can be read."
        )
    if not pairs:
        raise LeyloraError(f"{path} holds no LoRA factors; it is empty or of another kind.")
    modules = {}
    for name, pair in pairs.items():
        if missing := {"A", "B"} - pair.keys():
            raise LeyloraError(
                f"{path}: {name} has no lora_{missing.pop()}; the file is incomplete, save the adapter again."
            )
        a, b = shapes[pair["A"]], shapes[pair["B"]]
        if len(a) != 2 or len(b) != 2 or a[0] != b[1]:
            raise LeyloraError(f"{path}: {name} has A of shape {a} and B of shape {b}, which are not LoRA factors.")
        if a[0] != config.rank(name):
            raise LeyloraError(
                f"{path}: {name} has rank {a[0]}, but {CONFIG_FILE} says {config.rank(name)}, so its scaling is not "
                "known; restore the config that was saved with these weights."
            )
        embedding = "lora_embedding_" in pair["A"]
        modules[name] = Module(name, b[0], a[1], a[0], config.scaling(name), pair["A"], pair["B"], embedding)
    return modules, others


def check_single_adapter(folder: Path) -> None:
    """Raise LeyloraError unless ``folder`` is one adapter with weights in safetensors.

    Trainer checkpoints inside the folder of a finished adapter do not count.
    """
    if not folder.is_dir():
        raise LeyloraError(f"{folder} is not a folder; name an adapter folder (it holds {CONFIG_FILE}).")
    inside = sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))
    if not (folder / CONFIG_FILE).is_file():
        remedy = f"one of the adapters inside it: {', '.join(inside)}" if inside else "the folder that a training wrote"
        raise LeyloraError(f"{folder} holds no {CONFIG_FILE}, so it is not an adapter; name {remedy}.")
    if others := [name for name in inside if not name.startswith("checkpoint-")]:
        raise LeyloraError(
            f"{folder} holds more than one adapter: its own and {', '.join(others)}; move the others out of it."
        )
    if not (folder / WEIGHTS_FILE).is_file():
        if (folder / PICKLED_FILE).is_file():
            raise LeyloraError(
                f"{folder / PICKLED_FILE} is a pickle, which can run code when it is read; convert it once with: "
                f"python scripts/merge_adapters.py --convert {folder}"
            )
        raise LeyloraError(f"{folder} holds no {WEIGHTS_FILE}; the adapter was not saved completely.")


def adapter_sha256(folder: Path) -> str:
    """What identifies an adapter: SHA-256 over the SHA-256 of its config and of its weights, in hexadecimal."""
    digests = (sha256_file(folder / CONFIG_FILE), sha256_file(folder / WEIGHTS_FILE))
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


class TensorWriter:
    """A ``.safetensors`` file in the making; use it as a context manager, then call `write` once a tensor.

    The ``safetensors`` library writes a file from tensors that are all in memory. Here the header's room is reserved
    first (for every name that may come), the tensors follow as they are made, and the header is filled in at the end,
    padded with spaces as the format allows (https://huggingface.co/docs/safetensors/index#format).
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._names = set(names)
        # an entry has its name, and in 160 bytes its type, four dimensions, two offsets and punctuation
        size = sum(len(json.dumps(name)) + 160 for name in self._names) + 64
        self._room = -(-size // 8) * 8
        self._header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._offset = 0
        self._file = path.open("wb")
        self._file.seek(8 + self._room)

    def write(self, name: str, tensor: "torch.Tensor") -> None:
        """Append a CPU tensor."""
        import torch

        if name not in self._names or name in self._header:
            raise ValueError(f"tensor {name} was not announced or is written twice")
        code = next((code for code, kind in TORCH_DTYPES.items() if str(tensor.dtype) == f"torch.{kind}"), None)
        if code is None:
            raise LeyloraError(f"Tensor {name} has type {tensor.dtype}, which cannot be written; convert it first.")
        data = memoryview(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy())
        self._header[name] = {
            "dtype": code,
            "shape": list(tensor.shape),
            "data_offsets": [self._offset, self._offset + data.nbytes],
        }
        self._offset += data.nbytes
        self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._file:
            if kind is None:
                header = json.dumps(self._header, separators=(",", ":")).encode()
                self._file.seek(0)
                self._file.write(self._room.to_bytes(8, "little") + header.ljust(self._room))


def convert_pickled(folder: Path) -> Path:
    """Write ``adapter_model.safetensors`` from ``adapter_model.bin`` and return its path; the old file stays.

    torch's restricted unpickler reads tensors and nothing else, so that a hostile file fails instead of running.

    Raises:
        UsageError: there is nothing to convert, or the safetensors file is already there.
        LeyloraError: the file holds anything but tensors.
    """
    import torch

    source, target = folder / PICKLED_FILE, folder / WEIGHTS_FILE
    if not source.is_file() or not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{folder} holds no {PICKLED_FILE} with a {CONFIG_FILE}; there is nothing to convert.")
    if os.path.lexists(target):
        raise UsageError(f"{target} already exists; the adapter needs no conversion.")
    try:
        tensors = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # of a stranger's file anything: an empty, cut or flipped archive
        raise LeyloraError(f"{source} cannot be read safely ({first_line(error)}); ask for safetensors.") from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in tensors.items()
    ):
        raise LeyloraError(f"{source} holds more than named tensors; ask its author for safetensors.")
    if odd := next((name for name, value in tensors.items() if value.is_sparse or value.is_meta), None):
        raise LeyloraError(f"{source}: the tensor {odd} is sparse or empty, as none of a LoRA is; ask for safetensors.")
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{WEIGHTS_FILE}.", suffix=".partial")
    os.close(handle)  # a new file of ours: a link that lies in a stranger's folder is not written through
    try:
        with TensorWriter(Path(partial), list(tensors)) as writer:
            for name, tensor in tensors.items():
                writer.write(name, tensor)
        Path(partial).chmod(0o666 & ~umask())
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)
    return target


def is_finite(tensor: "torch.Tensor") -> bool:
    """Whether no value is NaN or infinite: their sum then is finite too (and takes a tenth of the time of isfinite)."""
    import torch

    return math.isfinite(float(tensor.sum(dtype=torch.float32)))


def tensor_names(module: str, *, embedding: bool = False) -> tuple[str, str]:
    """The names PEFT gives to a module's A and B in an adapter file."""
    before, after = ("lora_embedding_", "") if embedding else ("lora_", ".weight")
    return f"{PREFIX}{module}.{before}A{after}", f"{PREFIX}{module}.{before}B{after}"
