"""The agent as one file: this installation's agent and its libraries, without compiled parts."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from importlib.metadata import distribution
from importlib.resources.abc import Traversable

_PACKAGES = ("ifaddr", "metanas_agent", "msgpack", "zeroconf")
_LICENSED = ("ifaddr", "msgpack", "zeroconf")  # others' work goes with its terms
_SHEBANG = b"#!/usr/bin/env python3\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same inputs give the same bytes, hence the same name
_MODE = 0o644 << 16
_MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("metanas-agent needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2])

from metanas_agent.entry import main

main()
"""


@dataclass(frozen=True, slots=True)
class AgentFile:
    """A zipapp that any Python >= 3.11 runs, with nothing installed."""

    data: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Of the file, hexadecimal; its name on a board."""
        return hashlib.sha256(self.data).hexdigest()


def build_agent_pyz() -> AgentFile:
    """Pack the agent that is installed here."""
    stream = io.BytesIO(_SHEBANG)
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(_contents()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _MODE
            entry.create_system = 3  # Unix, whatever this machine is
            archive.writestr(entry, content)
    return AgentFile(stream.getvalue())


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "__main__.py", _MAIN.encode()
    for package in _PACKAGES:
        yield from _sources(resources.files(package), package)
    for name in _LICENSED:
        yield from _licenses(name)


def _sources(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{name}/{entry.name}")
        elif entry.name.endswith(".py") and not entry.name.startswith("test_"):
            yield f"{name}/{entry.name}", entry.read_bytes()


def _licenses(name: str) -> Iterator[tuple[str, bytes]]:
    for path in distribution(name).files or ():
        if path.name.upper().startswith(("COPYING", "LICENSE")):
            yield f"licenses/{name}/{path.name}", path.read_binary()
