"""A helper: a process that runs what the calling process sends, and ends with it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from metanas.errors import MetanasError
from metanas.parallel.group import Group, join, settle

LAST_BREATH_S = 5
"""How long a process that has gone silent may take to end, on a busy machine."""


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block ends; to processes that start in it, it never comes.

    A mask, unlike a handler, outlives `exec`: it holds while a helper still imports.
    """
    resource_tracker.ensure_running()  # its start would end the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(connection: Connection, rank: int, size: int) -> None:
    """A helper's whole life: join, then run what arrives until the pipe closes.

    A failure ends it, so that nobody waits for its part in what they were doing together. So does
    the end of the calling process, which alone decides when to stop.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settle()
    try:
        connection.send(None)
        join(rank, size, connection.recv())
        while True:
            function, args, kwargs = connection.recv()
            failure = _failure_of(function, Group(rank, size), args, kwargs)
            connection.send(failure)
            if failure:
                return
    except (EOFError, ConnectionError):
        return
    except RuntimeError:
        if not _parent_ended(LAST_BREATH_S):  # which breaks the connections to it first
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
