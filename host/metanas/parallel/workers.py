"""Workers: the same function on several processes, spread by torch.distributed.

Every worker runs the same program on its own tasks and the results are averaged or gathered, so
each holds the same state. The first worker is the calling process itself.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import torch.distributed as dist
from torch.multiprocessing import get_context

from metanas.accelerator import Accelerator, open_accelerator
from metanas.errors import WorkerError
from metanas.parallel.group import LOOPBACK, Group, join, settle
from metanas.parallel.helper import LAST_BREATH_S, interrupts_held, serve

P = ParamSpec("P")
R = TypeVar("R")

_LOST = (RuntimeError, EOFError, ConnectionError)
"""What a process meets when another one goes away."""


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
        settle()
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

        They take seconds to import. Waiting for them in `join` would bear neither Ctrl-C nor the
        death of one of them.
        """
        context = get_context("spawn")
        with interrupts_held():
            for rank in range(1, self.group.size):
                here, there = context.Pipe()
                process = context.Process(
                    target=serve, args=(there, rank, self.group.size), daemon=True
                )
                process.start()
                there.close()
                self._helpers.append((process, here))
        for _, connection in self._helpers:
            connection.recv()
        port = _free_port()
        for _, connection in self._helpers:
            connection.send(port)
        join(0, self.group.size, port)

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
    process.join(timeout=LAST_BREATH_S)
    return not process.is_alive()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
