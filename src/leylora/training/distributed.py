"""A run in several processes: who prints, what is checked before it starts, how sharded weights are gathered.

The distribution itself is accelerate's and torch's; the launchers' configurations are in train/accelerate.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from leylora import console
from leylora.errors import LeyloraError, UsageError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

    from leylora.training.config import Arguments


@contextmanager
def rank_zero_output() -> Iterator[None]:
    """While the block runs only rank 0 prints; of processes that fail, only the first to fail says why.

    Raises:
        LeyloraError: another process of the run was killed, which this one noticed first.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    _silence(os.environ.get("RANK") != "0")
    try:
        yield
    except Exception as error:
        if not _first_to_fail():
            sys.exit(1)
        _silence(False)
        if _connection_lost(error):
            raise LeyloraError(
                "Another process of this run was killed, probably out of memory; the launcher says below which one and "
                "by what signal."
            ) from None
        raise
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _silence(quiet: bool) -> None:
    console.out.quiet = console.err.quiet = quiet


def _first_to_fail() -> bool:
    """Whether no other process of the run has failed before; True when that cannot be found out.

    Asked of the key-value store that torch's launcher keeps for its processes, which outlives each of them.
    """
    from datetime import timedelta

    from torch.distributed import TCPStore

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=5))
        return bool(store.add(f"leylora/failures/{attempt}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True


def _connection_lost(error: Exception) -> bool:
    import torch.distributed

    lost = ("Connection closed by peer", "Connection reset by peer")  # gloo raises bare RuntimeErrors
    return isinstance(error, torch.distributed.DistError) or any(words in str(error) for words in lost)


def check_processes(arguments: "Arguments") -> None:
    """Check the recipe for the way the run is distributed, before any weight is loaded.

    FSDP and ZeRO-3 flatten, split and cast whatever they hold. 4-bit weights survive that only inside a tensor of the
    dtype that the layers compute in; in bytes (the default) FSDP would leave them whole on every GPU.

    Raises:
        UsageError: a setting that sharded training cannot work with, and the option that mends it.
    """
    fsdp = _flag("ACCELERATE_USE_FSDP")
    zero3 = uses_zero3()
    if not (fsdp or zero3):
        return
    training, model = arguments.training, arguments.model
    name = "FSDP" if fsdp else "DeepSpeed ZeRO-3"
    needed = "bfloat16" if training.bf16 else "float16" if training.fp16 else "float32"
    stored = model.bnb_4bit_quant_storage or "uint8"
    if model.load_in_4bit and stored != needed:
        raise UsageError(
            f"{name} can only split 4-bit weights that are stored in the dtype they are multiplied in, {needed}, and "
            f"bnb_4bit_quant_storage is {stored}; add --bnb_4bit_quant_storage {needed}."
        )
    if fsdp and os.environ.get("FSDP_VERSION") != "2":
        raise UsageError("FSDP version 1 is not supported; use train/accelerate/fsdp-qlora.yaml (fsdp_version: 2).")
    optimizer = str(getattr(training.optim, "value", training.optim))
    if fsdp and ("8bit" in optimizer or "paged" in optimizer or "bnb" in optimizer):
        raise UsageError(
            f"bitsandbytes' optimizers cannot work on weights that FSDP has split, and optim is {optimizer}; add "
            "--optim adamw_torch (the split optimizer state of an adapter is small)."
        )
    selective = training.gradient_checkpointing and (training.gradient_checkpointing_kwargs or {}).get("selective")
    if zero3 and selective:
        raise UsageError(
            "Selective checkpointing does not work with DeepSpeed ZeRO-3; add "
            "--gradient_checkpointing_kwargs '{\"use_reentrant\":true}'."
        )


def uses_zero3() -> bool:
    """Whether DeepSpeed splits the weights themselves."""
    if not _flag("ACCELERATE_USE_DEEPSPEED"):
        return False
    from transformers.integrations import is_deepspeed_zero3_enabled

    return bool(is_deepspeed_zero3_enabled())


def whole_weights(model: "PeftModel", adapter: str) -> dict[str, "torch.Tensor"]:
    """The weights of one adapter of ``model`` by parameter name, on the CPU, put together if they are split.

    Every process of the run must call this, for the parts come from all of them.
    """
    import torch
    from torch.distributed.tensor import DTensor

    named = {name: weight for name, weight in model.named_parameters() if f".{adapter}." in name}
    if uses_zero3():
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(named.values())):
            return {name: weight.detach().cpu().clone() for name, weight in named.items()}
    whole: dict[str, torch.Tensor] = {}
    for name, weight in named.items():
        whole[name] = (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().cpu()
    return whole


def _flag(name: str) -> bool:
    return os.environ.get(name, "").lower() == "true"
