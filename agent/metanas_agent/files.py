"""Files that a kill at any instant leaves whole: atomic replacement."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metanas_agent.errors import InvalidSettingsError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a disk, or a share of one, that is full."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path that takes the place of `path` when the block ends well.

    If the block fails (a full disk, say), `path` stays as it was. A link stays, and the file that
    it leads to is replaced. Into a pipe or a terminal, such as `/dev/stdout`, what the block has
    written is copied.

    Raises:
        IsADirectoryError: `path` is a folder.
        NotADirectoryError: what should be its folder is a file.
        OSError: it cannot be written; `path` is named, not the temporary path.
        InvalidSettingsError: `path` is a disk or a socket.
    """
    is_stream = _is_stream(path)
    target = path.resolve() if path.is_symlink() else path
    temporary = _new_file(path, None if is_stream else target.parent)
    try:
        yield temporary
        if is_stream:
            _copy(temporary, path)
        else:
            temporary.chmod(0o666 & ~_umask())
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.replace(target)
    except OSError as error:
        if str(error.filename) == str(temporary) or (
            error.filename is None and error.errno in (*DISK_FULL, errno.EPIPE)
        ):
            raise _named(error, path) from error
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a binary file as a whole."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _is_stream(path: Path) -> bool:
    """Whether it is something to write into, and no file to replace."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        file = next(parent for parent in path.parents if parent.exists())
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder", str(file)) from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _own_descriptor(path) is not None or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return True
    if not stat.S_ISREG(mode):
        raise InvalidSettingsError(
            f"{path} is a disk or a socket, and no file", hint="give the name of a file"
        )
    return False


def _new_file(path: Path, folder: Path | None) -> Path:
    """An empty file with a name like that of `path`; None takes the system's temporary folder."""
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    except OSError as error:
        raise _named(error, path) from error
    os.close(handle)
    return Path(name)


def _copy(source: Path, stream: Path) -> None:
    own = _own_descriptor(stream)
    handle = os.open(stream, os.O_WRONLY) if own is None else os.dup(own)
    with source.open("rb") as written, os.fdopen(handle, "wb") as opened:
        shutil.copyfileobj(written, opened)


def _own_descriptor(path: Path) -> int | None:
    """Of `/dev/stdout` and the like: opened anew, a file would be written from its start."""
    own = Path("/proc/self/fd").resolve()
    while path.is_symlink():
        if path.parent.resolve() == own:
            return int(path.name)
        path = path.parent / path.readlink()
    return None


def _named(error: OSError, path: Path) -> OSError:
    """The same error, of the path that the user knows."""
    return OSError(error.errno, error.strerror, str(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
