"""A run in several processes: which one prints, and what is printed when one fails.

The distribution itself is accelerate's and torch's; the launchers' configurations are in train/accelerate. train/sft.py
imports this file before torch may be, so torch is imported inside the functions.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leylora import console
from leylora.errors import LeyloraError


def use_all_cores(parent: Path | None = None) -> None:
    """Let torch use every core where nobody chose: `accelerate launch` sets one thread for a process without a card,
    which trains a small model at 84 instead of 143 tokens a second on two cores.

    Whether a person chose shows in the launcher's own environment (Linux); elsewhere its choice stays.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1" or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return
    if "ACCELERATE_MIXED_PRECISION" not in os.environ:  # which `accelerate launch` sets
        return
    try:
        given = (parent or Path(f"/proc/{os.getppid()}/environ")).read_bytes().split(b"\0")
    except OSError:
        return
    if not any(one.startswith(b"OMP_NUM_THREADS=") for one in given):
        os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))


@contextmanager
def rank_zero_output() -> Iterator[None]:
    """While the block runs only rank 0 prints; of processes that fail, only the first to fail says why.

    Raises:
        LeyloraError: another process of the run was killed, which this one noticed first.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    console.out.quiet = console.err.quiet = os.environ.get("RANK") != "0"
    try:
        yield
    except Exception as error:
        if not _first_to_fail():
            sys.exit(1)
        import torch.distributed

        console.out.quiet = console.err.quiet = False
        lost = ("Connection closed by peer", "Connection reset by peer")  # gloo raises bare RuntimeErrors
        if isinstance(error, torch.distributed.DistError) or any(words in str(error) for words in lost):
            raise LeyloraError(
                "Another process of this run was killed, probably out of memory; the launcher says below which one and "
                "by what signal."
            ) from None
        raise
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


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


def uses_zero3() -> bool:
    """Whether DeepSpeed splits the weights themselves."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() != "true":
        return False
    from transformers.integrations import is_deepspeed_zero3_enabled

    return bool(is_deepspeed_zero3_enabled())
