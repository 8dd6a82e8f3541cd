"""Turning an adapter saved as a pickle (``adapter_model.bin``) into safetensors, without running what is in it."""

from pathlib import Path

from leylora.adapters.config import CONFIG_FILE
from leylora.adapters.files import PICKLED_FILE, WEIGHTS_FILE
from leylora.adapters.stream import TensorWriter
from leylora.errors import LeyloraError, UsageError


def convert_pickled(folder: Path) -> Path:
    """Write ``adapter_model.safetensors`` beside ``adapter_model.bin`` and return its path; the old file stays.

    torch's restricted unpickler reads tensors and nothing else, so that a hostile file fails instead of running.

    Raises:
        UsageError: there is nothing to convert, or the safetensors file is already there.
        LeyloraError: the file holds anything but tensors of 16- or 32-bit floats.
    """
    import pickle

    import torch

    source, target = folder / PICKLED_FILE, folder / WEIGHTS_FILE
    if not source.is_file() or not (folder / CONFIG_FILE).is_file():
        raise UsageError(f"{folder} holds no {PICKLED_FILE} with a {CONFIG_FILE}; there is nothing to convert.")
    if target.exists():
        raise UsageError(f"{target} already exists; the adapter needs no conversion.")
    try:
        tensors = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LeyloraError(f"{source} cannot be read safely ({reason}); ask its author for safetensors.") from None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise LeyloraError(f"{source} holds more than named tensors; ask its author for safetensors.")
    partial = target.with_suffix(".partial")
    try:
        with TensorWriter(partial, list(tensors)) as writer:
            for name, tensor in tensors.items():
                writer.write(name, tensor)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target
