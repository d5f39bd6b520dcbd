"""Workers: the same function on several processes, spread by torch.distributed.

Every worker runs the same program on its own tasks and the results are averaged or gathered, so
each holds the same state. The first worker is the calling process itself.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing import get_context

from metanas.accelerator import Accelerator, open_accelerator
from metanas.allocator import keep_freed_memory
from metanas.errors import MetanasError, WorkerError

P = ParamSpec("P")
R = TypeVar("R")

_CPU = torch.device("cpu")
_LOOPBACK = "127.0.0.1"
_PATIENCE = timedelta(minutes=10)
_LAST_BREATH_S = 5
"""How long a process that has gone silent may take to end, on a busy machine."""

_LOST = (RuntimeError, EOFError, ConnectionError)
"""What a process meets when another one goes away."""


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


class Workers:
    """A context in which functions run on `size` processes, each with one thread.

    There can be but one at a time in a process, as torch.distributed has it.

    Args:
        size: number of workers; with 1 everything runs in the calling process.
        accelerator: what each computes on. A GPU is driven by one worker, whatever `size` is: it
            is filled by tasks, not by processes.

    Raises:
        AcceleratorError: PyTorch finds no such accelerator.
    """

    def __init__(self, size: int, accelerator: Accelerator = "cpu") -> None:
        device = open_accelerator(accelerator)
        self.group = Group(0, size if device.type == "cpu" else 1, device)
        self._helpers: list[tuple[BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        """Start the helpers and wait for them.

        Raises:
            WorkerError: a worker died.
        """
        _settle()
        if self.group.size > 1:
            try:
                with self._blaming():
                    self._gather()
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for _, connection in self._helpers:
            connection.close()
        if kind is not None:
            self._terminate()
        for process, _ in self._helpers:
            process.join(timeout=10)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self._helpers.clear()
        if dist.is_initialized():
            dist.destroy_process_group()

    def run(
        self, function: Callable[Concatenate[Group, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run `function(group, ...)` on every worker and return this process's result.

        Arguments must be picklable; a keyword argument named `observer` stays in this process.

        After an error the helpers are gone, and the context is of no more use.

        Raises:
            WorkerError: a worker died or failed.
        """
        shared = {name: value for name, value in kwargs.items() if name != "observer"}
        with self._blaming():
            for _, connection in self._helpers:
                connection.send((function, args, shared))
            result = function(self.group, *args, **kwargs)
            failures = [connection.recv() for _, connection in self._helpers]
        for rank, failure in enumerate(failures, 1):
            if failure:
                raise _failed(rank, failure)
        return result

    def _gather(self) -> None:
        """Start the helpers, and join them when all are ready.

        They take seconds to import. Waiting for them in `_join` would bear neither Ctrl-C nor the
        death of one of them.
        """
        context = get_context("spawn")
        with _interrupts_held():
            for rank in range(1, self.group.size):
                here, there = context.Pipe()
                process = context.Process(
                    target=_serve, args=(there, rank, self.group.size), daemon=True
                )
                process.start()
                there.close()
                self._helpers.append((process, here))
        for _, connection in self._helpers:
            connection.recv()
        port = _free_port()
        for _, connection in self._helpers:
            connection.send(port)
        _join(0, self.group.size, port)

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """What breaks the common work ends the helpers, and names the one that broke it."""
        try:
            yield
        except BaseException as error:
            cause = self._cause() if isinstance(error, _LOST) else None
            self._terminate()  # they may be waiting for this process in the middle of their work
            if cause is None:
                raise
            raise cause from error

    def _cause(self) -> WorkerError | None:
        """What became of the helper whose silence broke this process's work."""
        for rank, (_, connection) in enumerate(self._helpers, 1):
            with suppress(EOFError, OSError):
                if connection.poll() and (failure := connection.recv()):
                    return _failed(rank, failure)
        dead = [rank for rank, (process, _) in enumerate(self._helpers, 1) if _died(process)]
        if not dead:
            return None
        return WorkerError(
            f"worker {', '.join(map(str, dead))} died",
            hint="run the same command again; it goes on from the last checkpoint",
        )

    def _terminate(self) -> None:
        for process, _ in self._helpers:
            process.terminate()


def _failed(rank: int, failure: str) -> WorkerError:
    return WorkerError(f"worker {rank} failed: {failure}")


def _died(process: BaseProcess) -> bool:
    process.join(timeout=_LAST_BREATH_S)
    return not process.is_alive()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block ends; to processes that start in it, it never comes.

    A mask, unlike a handler, outlives `exec`: it holds while a helper still imports.
    """
    resource_tracker.ensure_running()  # its start would end the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, rank: int, size: int) -> None:
    """A helper's whole life: join, then run what arrives until the pipe closes.

    A failure ends it, so that nobody waits for its part in what they were doing together. So does
    the end of the calling process, which alone decides when to stop.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _settle()
    try:
        connection.send(None)
        _join(rank, size, connection.recv())
        while True:
            function, args, kwargs = connection.recv()
            failure = _failure_of(function, Group(rank, size), args, kwargs)
            connection.send(failure)
            if failure:
                return
    except (EOFError, ConnectionError):
        return
    except RuntimeError:
        if not _parent_ended(_LAST_BREATH_S):  # which breaks the connections to it first
            raise


def _end_with_parent() -> None:
    """Not even the work in hand is of use to anybody then."""
    _parent_ended(None)
    os._exit(1)


def _parent_ended(timeout_s: float | None) -> bool:
    """Wait for the end of the calling process; whether it came."""
    parent = parent_process()
    assert parent, "only helpers ask"
    parent.join(timeout_s)
    return not parent.is_alive()


def _failure_of(
    function: Callable[..., object], group: Group, args: Any, kwargs: Any
) -> str | None:
    try:
        function(group, *args, **kwargs)
    except MetanasError as error:
        return str(error)
    return None


def _settle() -> None:
    """A worker is one thread, and its memory stays with it."""
    torch.set_num_threads(1)
    keep_freed_memory()


def _join(rank: int, size: int, port: int) -> None:
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{_LOOPBACK}:{port}",
        rank=rank,
        world_size=size,
        timeout=_PATIENCE,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
