"""Native programs in the cache: built once, whole or not there, and what they were built from."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from metanas.errors import NativeError, NativeUnavailableError
from metanas.native import cache
from metanas.native.cache import MANIFEST, PROGRAM, build_cached

SETTINGS = {"kind": "layers", "target": "armv6", "flags": ["-O3"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METANAS_CACHE", str(tmp_path))
    return tmp_path / "native"


class Builder:
    """Writes a program, and counts how often it was asked to."""

    def __init__(self, content: bytes = b"program", seconds: float = 0) -> None:
        self.count = 0
        self._content = content
        self._seconds = seconds

    def __call__(self, path: Path) -> None:
        self.count += 1
        (path.parent / "kernels.c").write_bytes(b"beside it")
        time.sleep(self._seconds)
        path.write_bytes(self._content)


def test_a_program_is_built_once() -> None:
    build = Builder()
    first = build_cached(SETTINGS, build)
    second = build_cached(dict(reversed(SETTINGS.items())), build)
    assert build.count == 1
    assert second.path == first.path
    assert second.sha256 == first.sha256
    assert first.path.read_bytes() == b"program"
    assert first.path.stat().st_mode & 0o111
    assert (first.size_bytes, first.target) == (7, "armv6")


@pytest.mark.parametrize(
    "change", [{"target": "armv7"}, {"flags": ["-O2"]}, {"kind": "network"}, {"harness": "abc"}]
)
def test_another_configuration_is_another_program(change: dict[str, str]) -> None:
    build = Builder()
    first = build_cached(SETTINGS, build)
    other = build_cached({**SETTINGS, **change}, build)
    assert build.count == 2
    assert other.path != first.path


def test_the_manifest_says_what_a_program_is() -> None:
    artifact = build_cached(SETTINGS, Builder())
    manifest = json.loads(artifact.path.with_name(MANIFEST).read_text())
    assert manifest["configuration"] == SETTINGS
    assert manifest["sha256"] == artifact.sha256
    assert manifest["size_bytes"] == 7
    assert manifest["provenance"]["version"]
    assert build_cached(SETTINGS, Builder()).manifest == manifest


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("name", [PROGRAM, MANIFEST])
@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("[]"),
    ],
    ids=["truncated", "missing", "empty", "other"],
)
def test_what_is_damaged_is_built_again(name: str, damage: Callable[[Path], None]) -> None:
    damage(build_cached(SETTINGS, Builder()).path.with_name(name))
    build = Builder()
    assert build_cached(SETTINGS, build).path.read_bytes() == b"program"
    assert build.count == 1
    build_cached(SETTINGS, build)
    assert build.count == 1


def test_a_program_of_another_key_is_not_taken(folder: Path) -> None:
    first = build_cached(SETTINGS, Builder())
    other = build_cached({**SETTINGS, "target": "armv7"}, Builder(b"another"))
    for name in (PROGRAM, MANIFEST):
        other.path.with_name(name).write_bytes(first.path.with_name(name).read_bytes())
    again = build_cached({**SETTINGS, "target": "armv7"}, Builder(b"another"))
    assert again.path.read_bytes() == b"another"


def test_builders_at_the_same_time_build_once() -> None:
    build = Builder(seconds=0.2)
    together = threading.Barrier(8)

    def one(_: int) -> str:
        together.wait()
        return build_cached(SETTINGS, build).sha256

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(one, range(8)))) == 1
    assert build.count == 1


def test_a_build_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise NativeError("no")

    with pytest.raises(NativeError, match=r"^no$"):
        build_cached(SETTINGS, fail)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    build = Builder()
    build_cached(SETTINGS, build)
    assert build.count == 1


def test_a_full_disk_is_one_line(full_disk: Callable[[], AbstractContextManager[None]]) -> None:
    with full_disk(), pytest.raises(NativeError, match=r"cannot keep a native program in .*free"):
        build_cached(SETTINGS, Builder(b"x" * 1000))
    build_cached(SETTINGS, Builder(b"x" * 1000))


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("METANAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(NativeError, match="METANAS_CACHE"):
        build_cached(SETTINGS, Builder())


def test_a_change_of_the_harness_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.harness_digest()
    assert cache.harness_digest() == before
    for source in cache.harness_folder().iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(cache, "harness_folder", lambda: tmp_path)
    assert cache.harness_digest() == before
    (tmp_path / "harness.c").write_bytes(b"int other;\n")
    assert cache.harness_digest() != before


def test_without_tvm_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise cache.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(cache.metadata, "version", missing)
    with pytest.raises(NativeUnavailableError, match=r"pip install 'metanas\[native\]'"):
        cache.tvm_version()
