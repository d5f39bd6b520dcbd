"""Manifest: what is in a bundle."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from metanas_agent.errors import InvalidBundleError

FORMAT = 1
"""Of bundles; a bundle of another format is refused."""

MANIFEST = "manifest.json"
"""The manifest's own name in a bundle."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # a plain name in any file system
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAKE_AGAIN = "make it again with `metanas bundle`"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file of a bundle.

    Args:
        sha256: of its bytes, hexadecimal.
        size_bytes: how many these are.
    """

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Which files a bundle has, and what they are.

    Args:
        name: of the bundle; letters, digits, dots, dashes and underscores, as for the rest.
        version: of the bundle; two bundles of one name and version are the same bundle.
        files: name of each file but the manifest to what it must be. There are no folders.
        card: what the model is, for which device, what was promised and measured: plain values.

    Raises:
        InvalidBundleError: a name cannot be the name of a file.
    """

    name: str
    version: str
    files: Mapping[str, FileRecord]
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in (self.name, self.version, *self.files):
            check_name(text)
        if MANIFEST in self.files or not self.files:
            raise InvalidBundleError("a bundle without files, or with two manifests")

    def to_json(self) -> bytes:
        """The file `manifest.json`; the same manifest gives the same bytes."""
        files = {
            name: {"sha256": record.sha256, "size_bytes": record.size_bytes}
            for name, record in sorted(self.files.items())
        }
        values = {
            "format": FORMAT,
            "name": self.name,
            "version": self.version,
            "files": files,
            "card": self.card,
        }
        return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidBundleError: it is no manifest, or one of another format.
        """
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidBundleError(f"{MANIFEST} is no JSON", hint=_MAKE_AGAIN) from error
        if not isinstance(values, dict) or "format" not in values:
            raise InvalidBundleError(f"{MANIFEST} is none of a bundle", hint=_MAKE_AGAIN)
        if values["format"] != FORMAT:
            raise InvalidBundleError(
                f"the bundle has format {values['format']!r}, this agent reads {FORMAT}",
                hint="bring the agent up to date: metanas-profile pair",
            )
        name, version, files, card = (
            values.get(key) for key in ("name", "version", "files", "card")
        )
        if not (
            isinstance(name, str)
            and isinstance(version, str)
            and isinstance(files, dict)
            and isinstance(card, dict)
        ):
            raise InvalidBundleError(f"{MANIFEST} lacks a field", hint=_MAKE_AGAIN)
        records = {file: _record(file, record) for file, record in files.items()}
        return cls(name=name, version=version, files=records, card=card)


def check_name(text: str) -> None:
    """Refuse what is no plain file name, such as a path.

    Raises:
        InvalidBundleError: it is not.
    """
    if not _NAME.fullmatch(text):
        raise InvalidBundleError(
            f"{text[:80]!r} is no name for a bundle, a version or a file in it",
            hint="use up to 64 letters, digits, dots, dashes and underscores",
        )


def _record(name: str, values: object) -> FileRecord:
    if isinstance(values, dict):
        sha256, size_bytes = values.get("sha256"), values.get("size_bytes")
        if (
            isinstance(sha256, str)
            and _SHA256.fullmatch(sha256)
            and type(size_bytes) is int
            and size_bytes >= 0
        ):
            return FileRecord(sha256, size_bytes)
    raise InvalidBundleError(
        f"{MANIFEST} does not say what {name[:80]!r} must be", hint=_MAKE_AGAIN
    )
