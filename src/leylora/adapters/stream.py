"""Writing a ``.safetensors`` file one tensor at a time.

The ``safetensors`` library writes a file from tensors that are all in memory. Here the header's room is
reserved first, the tensors follow as they are made, and the header is filled in at the end, padded with
spaces as the format allows. Only one tensor is ever in memory.

Format: https://huggingface.co/docs/safetensors/index#format
"""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from leylora.errors import LeyloraError

if TYPE_CHECKING:
    import torch

#: The format's types that torch has, by the name torch gives them.
TORCH_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {f"torch.{name}": code for code, name in TORCH_DTYPES.items()}
_ENTRY_ROOM = 160  # bytes of one header entry beside its name: dtype, four dimensions, two offsets, punctuation


class TensorWriter:
    """A ``.safetensors`` file in the making; use it as a context manager, then call `write` once a tensor.

    Args:
        path: the file to make; the folder exists.
        names: every tensor name that may be written (it bounds the size of the header).
    """

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._room = _round_up(sum(len(json.dumps(name)) + _ENTRY_ROOM for name in names) + 64)
        self._names = set(names)
        self._header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._offset = 0
        self._file = path.open("wb")
        self._file.seek(8 + self._room)

    def write(self, name: str, tensor: "torch.Tensor") -> None:
        """Append a CPU tensor."""
        import torch

        if name not in self._names or name in self._header:
            raise ValueError(f"tensor {name} was not announced or is written twice")
        if str(tensor.dtype) not in _CODES:
            raise LeyloraError(f"Tensor {name} has type {tensor.dtype}, which cannot be written; convert it first.")
        data = memoryview(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy())
        self._header[name] = {
            "dtype": _CODES[str(tensor.dtype)],
            "shape": list(tensor.shape),
            "data_offsets": [self._offset, self._offset + data.nbytes],
        }
        self._offset += data.nbytes
        self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                header = json.dumps(self._header, separators=(",", ":")).encode()
                self._file.seek(0)
                self._file.write(self._room.to_bytes(8, "little") + header.ljust(self._room))


def _round_up(size: int) -> int:
    return -(-size // 8) * 8
