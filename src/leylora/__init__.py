"""leylora: QLoRA adapters for Spanish instructions and Ecuadorian law, from the PDF to the chat.

The rooms, in the order the data takes: ``laws``, ``data``, ``models``,
``adapters``, ``training``, ``webui``, ``evaluation``, ``chat``, ``combining``, ``demo``. A room imports
only rooms named before it. Importing ``leylora`` loads nothing heavy: torch, transformers and datasets are imported by
the functions that need them.
"""

import logging
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it notes a missing optional kernel at its first import
# The libraries of the Hub report which of them is used, unasked; read when huggingface_hub is imported.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


class _NothingDownloadedAtImport(MetaPathFinder):
    """Imports bitsandbytes' CPU operations as if the package `kernels` were not installed.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 asks the Hub for native code of no fixed revision while it is imported
    (backends/cpu/ops.py), where `kernels` is there; nobody asked for that.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "bitsandbytes.backends.cpu.ops":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def without_kernels(module: Any) -> None:
                kept = {key: sys.modules[key] for key in sys.modules if key.partition(".")[0] == "kernels"}
                sys.modules["kernels"] = None  # type: ignore[assignment]  # an import of it fails
                try:
                    execute(module)
                finally:
                    del sys.modules["kernels"]
                    sys.modules.update(kept)

            spec.loader.exec_module = without_kernels  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _NothingDownloadedAtImport())

__version__ = "0.1.0"
