"""Group: a process's place among the workers, and what they do together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from metanas.allocator import keep_freed_memory

LOOPBACK = "127.0.0.1"

_CPU = torch.device("cpu")
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Group:
    """A process's place among the workers.

    Args:
        rank: 0 is the process that a user started; it alone writes files.
        size: number of workers.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = _CPU

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the workers."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the workers, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def share(self, count: int) -> range:
        """Which of `count` items are this worker's."""
        return range(self.rank, count, self.size)


def settle() -> None:
    """A worker is one thread, and its memory stays with it."""
    torch.set_num_threads(1)
    keep_freed_memory()


def join(rank: int, size: int, port: int) -> None:
    """Meet the other processes; rank 0 listens on the port, of this machine only."""
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{LOOPBACK}:{port}",
        rank=rank,
        world_size=size,
        timeout=_PATIENCE,
    )
