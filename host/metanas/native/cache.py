"""Cache: native programs by the content of what they were built from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from metanas.errors import NativeError, NativeUnavailableError
from metanas.files import cache_folder, write_json
from metanas.provenance import provenance

PROGRAM = "program"
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A static program that speaks harness protocol 1.

    Args:
        path: where it is.
        sha256: of its bytes, in hex.
        size_bytes: of the file.
        target: name of the target that it runs on.
        manifest: what it was built from, by what, and when.
    """

    path: Path
    sha256: str
    size_bytes: int
    target: str
    manifest: Mapping[str, Any]


def build_cached(configuration: Mapping[str, Any], build: Callable[[Path], None]) -> Artifact:
    """The program of a configuration: from the cache, else built into it.

    A second process that wants the same program waits for the first. A program that is not what
    its manifest says is built again.

    Args:
        configuration: JSON-like; everything that the program depends on. It must hold `target`.
        build: writes the program to the path it is given; it may use the folder around it.

    Raises:
        NativeError: the cache cannot be written, or what `build` raises.
    """
    key = _key(configuration)
    folder = cache_folder() / "native" / key
    if (found := _read(folder, key)) is not None:
        return found
    try:
        with _lock(folder.with_name(f"{key}.lock")):
            return _read(folder, key) or _build(folder, key, configuration, build)
    except OSError as error:
        raise NativeError(
            f"cannot keep a native program in {folder.parent}: {error.strerror or error}",
            hint="free some space, or set METANAS_CACHE to another folder",
        ) from error


def harness_folder() -> Path:
    """Where the C sources of the harness are."""
    return Path(str(resources.files("metanas.native"))) / "harness"


def harness_digest() -> str:
    """SHA-256 over the harness's sources: a program is built again when they change."""
    digest = hashlib.sha256()
    for source in sorted(harness_folder().iterdir()):
        digest.update(f"{source.name}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def tvm_version() -> str:
    """The version of TVM that is installed, found without importing it, which takes seconds.

    Raises:
        NativeUnavailableError: it is not installed.
    """
    try:
        return metadata.version("apache-tvm")
    except metadata.PackageNotFoundError as error:
        raise NativeUnavailableError(
            "native programs need TVM, which is not installed",
            hint="pip install 'metanas[native]'",
        ) from error


def _key(configuration: Mapping[str, Any]) -> str:
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(folder: Path, key: str) -> Artifact | None:
    """What is in the cache; None if it is absent, damaged or something else."""
    path = folder / PROGRAM
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        digest, size = _digest(path)
        if (manifest["key"], manifest["sha256"]) != (key, digest):
            return None
        return Artifact(path, digest, size, manifest["configuration"]["target"], manifest)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _build(
    folder: Path, key: str, configuration: Mapping[str, Any], build: Callable[[Path], None]
) -> Artifact:
    with tempfile.TemporaryDirectory(prefix=f".{key[:8]}.", dir=folder.parent) as workplace:
        program = Path(workplace) / PROGRAM
        build(program)
        program.chmod(0o755)
        digest, size = _digest(program)
        whole = Path(workplace) / "whole"
        whole.mkdir()
        program.rename(whole / PROGRAM)
        manifest = {
            "key": key,
            "sha256": digest,
            "size_bytes": size,
            "configuration": dict(configuration),
            "provenance": provenance(),
        }
        write_json(whole / MANIFEST, manifest)
        if folder.exists():
            shutil.rmtree(folder)
        whole.rename(folder)
    return Artifact(folder / PROGRAM, digest, size, str(configuration["target"]), manifest)


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    return digest.hexdigest(), path.stat().st_size


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time; a killed one lets go by itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
