"""One change of a bundle at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until nobody else changes the bundle of that folder. A kill gives the lock back."""
    with (folder / _LOCK).open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
