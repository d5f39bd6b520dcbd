"""A bundle's file, read with distrust: a zip archive of a few plain, uncompressed files."""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metanas_agent.bundles.manifest import MANIFEST, Manifest
from metanas_agent.errors import InvalidBundleError

_MOST_FILES = 64
_MANIFEST_LIMIT_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 18
_ENCRYPTED = 1
# What zipfile lets through of broken archives; OSError is a place before the file's begin.
_BROKEN = (
    *(zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError),
    *(struct.error, OSError),
)
_FETCH_AGAIN = "copy it to this machine again, or make it again with `metanas bundle`"


class BundleArchive:
    """An open bundle, whose list of files is that of its manifest.

    Args:
        path: of the file.
        archive: the same, opened.

    Raises:
        InvalidBundleError: a file is compressed, missing, too many, or has a path for a name.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(names) > _MOST_FILES or len(set(names)) < len(names) or MANIFEST not in names:
            raise self._broken(f"it has {len(names)} files, some twice, or no {MANIFEST}")
        if len({entry.header_offset for entry in entries}) < len(entries):
            raise self._broken("two of its files are the same bytes")  # newer zipfile only warns
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise self._broken("its files are larger than itself")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
                raise self._broken(f"{entry.filename[:80]!r} is compressed or encrypted")
        if archive.getinfo(MANIFEST).file_size > _MANIFEST_LIMIT_BYTES:
            raise self._broken(f"its {MANIFEST} is too long")
        self.manifest_bytes = b"".join(self._chunks(MANIFEST))
        self.manifest = Manifest.from_json(self.manifest_bytes)
        if {MANIFEST, *self.manifest.files} != set(names):
            raise self._broken(f"its files are not those of its {MANIFEST}")

    def check(self) -> None:
        """See that every file is what the manifest says, without writing any.

        Raises:
            InvalidBundleError: one is not.
        """
        for name in self.manifest.files:
            for _ in self._checked_chunks(name):
                pass

    def extract(self, name: str, target: Path) -> None:
        """Write one file of the manifest; what is written is what the manifest says.

        Raises:
            InvalidBundleError: the file is not that.
        """
        with target.open("xb") as stream:
            for chunk in self._checked_chunks(name):
                stream.write(chunk)

    def _checked_chunks(self, name: str) -> Iterator[bytes]:
        """Raises at the end where they were not what the manifest says."""
        record = self.manifest.files[name]
        digest, size_bytes = hashlib.sha256(), 0
        for chunk in self._chunks(name):
            digest.update(chunk)
            size_bytes += len(chunk)
            yield chunk
        if (digest.hexdigest(), size_bytes) != (record.sha256, record.size_bytes):
            raise self._broken(f"{name!r} is not what its checksum says")

    def _chunks(self, name: str) -> Iterator[bytes]:
        try:
            with self._archive.open(name) as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk
        except _BROKEN as error:
            raise self._broken(str(error)) from error

    def _broken(self, reason: str) -> InvalidBundleError:
        return InvalidBundleError(f"{self._path} is no whole bundle: {reason}", hint=_FETCH_AGAIN)


@contextmanager
def open_bundle(path: Path) -> Iterator[BundleArchive]:
    """Open a bundle's file.

    Raises:
        InvalidBundleError: it is truncated, was changed, or is no bundle.
        OSError: it is not there.
    """
    with path.open("rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except _BROKEN as error:
            raise InvalidBundleError(
                f"{path} is no whole bundle: {error}", hint=_FETCH_AGAIN
            ) from error
        with archive:
            yield BundleArchive(path, archive)
