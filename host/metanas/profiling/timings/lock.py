"""Lock: one command a journal. The system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from metanas.errors import TableBusyError


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file while the block runs; it is made if missing, and removed if still empty then.

    The block may remove or rename the file, which ends its use as a lock: do that last.

    Raises:
        TableBusyError: another process or thread holds it.
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _hold(path) as held:
        try:
            yield
        finally:
            if _is_at(held, path) and not os.fstat(held.fileno()).st_size:
                path.unlink()


def _hold(path: Path) -> BinaryIO:
    while True:
        stream = path.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise TableBusyError(
                f"another command is at work on {path}",
                hint="wait until it ends; a sweep can also write to another --out",
            ) from error
        except BaseException:
            stream.close()
            raise
        if _is_at(stream, path):
            return stream
        stream.close()  # its holder removed it between our opening and our locking


def _is_at(stream: BinaryIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    return False
