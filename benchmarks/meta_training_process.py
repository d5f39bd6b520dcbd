"""The other projects in a process of their own, which nothing that metanas sets can reach."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch.multiprocessing import get_context

from meta_training_peers import Learn2Learn, MamlPytorch, Peer
from meta_training_work import Work
from metanas.allocator import keep_freed_memory
from metanas.closing import Closing
from metanas.meta import MetaParameters

PEERS: dict[str, Callable[[Path, Work, MetaParameters], Peer]] = {
    "learn2learn": Learn2Learn,
    "MAMLPytorch": MamlPytorch,
}

Step = Callable[[int], float]
"""Makes the outer step of that number and gives the seconds that it took."""


def make_peers(folders: Mapping[str, Path], work: Work, start: MetaParameters) -> dict[str, Peer]:
    """Each project, by name, ready to train from `start`."""
    warnings.simplefilter("ignore")  # what the others' sources do was right in the PyTorch of then
    return {name: PEERS[name](folder, work, start) for name, folder in folders.items()}


class PeerProcess(Closing):
    """A process in which each project trains.

    Args:
        folders: each project's checkout.
        work: what is trained.
        memory_kept: give it metanas's setting of the C library's allocator.
        processor_time: count the processor's seconds, not the clock's.
    """

    def __init__(
        self, folders: Mapping[str, Path], work: Work, *, memory_kept: bool, processor_time: bool
    ) -> None:
        context = get_context("spawn")
        self._connection, there = context.Pipe()
        arguments = (there, folders, work, memory_kept, processor_time)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()

    def step(self, name: str, threads: int) -> Step:
        """The outer step of that project with so many threads."""
        return partial(self._step, name, threads)

    def _step(self, name: str, threads: int, number: int) -> float:
        self._connection.send((name, threads, number))
        seconds: float = self._connection.recv()
        return seconds

    def close(self) -> None:
        """End it."""
        self._connection.close()
        self._process.join()


def _serve(
    connection: Connection,
    folders: Mapping[str, Path],
    work: Work,
    memory_kept: bool,
    processor_time: bool,
) -> None:
    if memory_kept:
        keep_freed_memory()
    clock = time.process_time if processor_time else time.perf_counter
    plan = work.plan()
    peers = make_peers(folders, work, plan.initialise())
    while True:
        try:
            name, threads, number = connection.recv()
        except EOFError:
            return
        torch.set_num_threads(threads)
        begin = clock()
        peers[name].train(plan.sampler.batch(number, work.tasks))
        connection.send(clock() - begin)
