"""What torchrun starts in test_distributed.py: one FSDP run, then a fault on rank 1 alone.

accelerate turns FSDP on only where there are accelerators, though torch's FSDP2 computes on CPUs as well. `split` does
on CPUs what `AcceleratorState.__init__` does there; everything after it is accelerate's, torch's and ours.
"""

import os
import sys
import time
from typing import Any

import torch.distributed
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from leylora import console
from leylora.errors import LeyloraError
from leylora.models.load import silence_libraries
from leylora.training.config import parse
from leylora.training.distributed import rank_zero_output
from leylora.training.sft import run

plain = AcceleratorState.__init__


def split(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **options: Any) -> None:
    plain(self, *args, fsdp_plugin=fsdp_plugin, **options)
    if fsdp_plugin is not None:
        self.fsdp_plugin = fsdp_plugin
        self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


@rank_zero_output()
def main() -> None:
    AcceleratorState.__init__ = split
    silence_libraries()
    run(parse(sys.argv[1:]), sys.argv[1:])
    torch.distributed.barrier()  # until rank 0 has saved
    console.note("The run is over.")
    if os.environ["RANK"] == "1":
        raise LeyloraError("Only rank 1 failed.")
    time.sleep(30)  # until the launcher ends it


if __name__ == "__main__":
    console.run(main)
