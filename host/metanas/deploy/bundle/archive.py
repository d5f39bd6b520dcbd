"""Bundle files: zip archives whose bytes depend on their contents alone."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metanas.files import replacing
from metanas_agent.bundles import MANIFEST, FileRecord, Manifest

_EPOCH = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_UNIX = 3
_VERSION_DIGITS = 12


def write_bundle(
    path: Path,
    files: Mapping[str, bytes],
    *,
    name: str,
    version: str = "",
    card: Mapping[str, Any] | None = None,
) -> Manifest:
    """Replace a bundle as a whole; the same arguments give the same bytes.

    Nothing in it is compressed: weights hardly can be, and a file that unpacks to no more than its
    own size can fill nobody's disk.

    Args:
        path: of the bundle.
        files: name to bytes; the manifest is added.
        name: of the bundle.
        version: of the bundle; see `default_version` for the empty one.
        card: plain values for the manifest.

    Raises:
        InvalidBundleError: a name is no plain file name.
    """
    manifest = Manifest(
        name=name,
        version=version or default_version(files),
        files={
            file: FileRecord(hashlib.sha256(data).hexdigest(), len(data))
            for file, data in files.items()
        },
        card=card or {},
    )
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for file, data in sorted({**files, MANIFEST: manifest.to_json()}.items()):
            entry = zipfile.ZipInfo(file, _EPOCH)
            entry.external_attr = _MODE
            entry.create_system = _UNIX  # whatever this machine is
            archive.writestr(entry, data, zipfile.ZIP_STORED)
    return manifest


def default_version(files: Mapping[str, bytes]) -> str:
    """Twelve hexadecimal digits that other files do not give."""
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\0".encode())
    return digest.hexdigest()[:_VERSION_DIGITS]
