"""ArtifactStore: files that paired hosts uploaded, each named by the SHA-256 of what is in it.

A file grows as `<sha256>.part`, is checked against its name when it is whole, and only then gets
it. So a lost connection costs no byte that has arrived, and nothing unchecked is ever run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from metanas_agent.errors import ArtifactError, StorageFullError
from metanas_agent.files import DISK_FULL
from metanas_agent.state import StateFolder

LIMIT_BYTES = 1024**3

_RUNNABLE = 0o500
_PART = ".part"


class ArtifactStore:
    """The `artifacts` folder of an agent. Where room is short, what was used longest ago goes.

    Args:
        state: the agent's folder.
        limit_bytes: largest size of all files together.
    """

    def __init__(self, state: StateFolder, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._state = state
        self._limit_bytes = limit_bytes
        self._offered: dict[str, int] = {}

    def offer(self, sha256: str, size_bytes: int) -> int:
        """Make ready for a file; how many bytes of it are here already.

        Raises:
            ArtifactError: nothing can be stored here, or nothing was offered.
            InsecureKeyError: others can write into the agent's folder.
            StorageFullError: it is larger than what may be stored, or than the free disk.
        """
        if not sha256 or not size_bytes:
            raise ArtifactError("a file without a hash or without content was offered")
        path = self._path(sha256)
        if _is(path, sha256):
            os.utime(path)
            return path.stat().st_size
        try:
            folder = self._state.make(self._state.artifacts)
            path.unlink(missing_ok=True)  # damaged since it was stored
            received = _size(self._part(sha256))
            if received >= size_bytes:  # the agent was killed before it could look at it
                self._part(sha256).unlink()
                received = 0
            self._make_room(folder, sha256, size_bytes - received)
        except OSError as error:
            raise _storage_error(error, sha256, size_bytes) from error
        self._offered[sha256] = size_bytes
        return received

    def add(self, sha256: str, offset: int, data: bytes) -> int:
        """Write the next bytes of an offered file; how many bytes of it are here now.

        Bytes that do not continue what is here are passed over: the answer tells where to go on.

        Raises:
            ArtifactError: it was not offered, or is not what its hash says; its bytes are gone.
            StorageFullError: the disk is full; its bytes are gone.
        """
        path, part = self._path(sha256), self._part(sha256)
        if path.exists():
            return path.stat().st_size
        size_bytes = self._offered.get(sha256)
        if size_bytes is None:
            raise ArtifactError(f"bytes of {sha256[:16]} came, which was not offered")
        received = _size(part)
        if offset != received:
            return received
        try:
            with part.open("ab") as stream:
                stream.write(data)
            if received + len(data) < size_bytes:
                return received + len(data)
            whole = _is(part, sha256)
            if whole:
                _make_permanent(part, path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _storage_error(error, sha256, size_bytes) from error
        if not whole:
            part.unlink()
            raise ArtifactError(
                f"{sha256[:16]} arrived as something else than its hash says", hint="send it again"
            )
        del self._offered[sha256]
        return size_bytes

    def path(self, sha256: str) -> Path:
        """Path of a stored file, which is marked as used.

        Raises:
            ArtifactError: it is not here.
        """
        path = self._path(sha256)
        try:
            os.utime(path)
        except OSError as error:
            raise ArtifactError(
                f"the program {sha256[:16]} is not on this device", hint="upload it first"
            ) from error
        return path

    def _path(self, sha256: str) -> Path:
        return self._state.artifacts / sha256

    def _part(self, sha256: str) -> Path:
        return self._state.artifacts / f"{sha256}{_PART}"

    def _make_room(self, folder: Path, sha256: str, needed_bytes: int) -> None:
        """Remove old files until this one fits."""
        others = [path for path in folder.iterdir() if path.stem != sha256]
        others.sort(key=lambda path: path.stat().st_mtime)
        kept_bytes = _size(self._part(sha256)) + sum(map(_size, others))
        for path in others:
            if kept_bytes + needed_bytes <= self._limit_bytes:
                break
            kept_bytes -= _size(path)
            path.unlink()
        room_bytes = min(shutil.disk_usage(folder).free, self._limit_bytes - kept_bytes)
        if needed_bytes > room_bytes:
            raise StorageFullError(
                f"no room for {needed_bytes:,} bytes: {room_bytes:,} are free for programs",
                hint=f"free some space on the device; programs lie in {folder}",
            )


def _make_permanent(part: Path, path: Path) -> None:
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.chmod(_RUNNABLE)
    part.replace(path)


def _is(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _storage_error(
    error: OSError, sha256: str, size_bytes: int
) -> ArtifactError | StorageFullError:
    if error.errno in DISK_FULL:
        return StorageFullError(
            f"the disk is full: no room for {size_bytes:,} bytes",
            hint="free some space on the device",
        )
    return ArtifactError(
        f"cannot store {sha256[:16]}: {error.strerror}", hint="look at the device's disk"
    )
