"""What is installed: `bundles/NAME/0001-VERSION/`, and a link `current` to one of them.

Versions are numbered as they came. The link alone says which one is used, and it is replaced in one
step: so there is no moment at which a bundle is half one version and half another.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from metanas_agent.bundles.lock import locked
from metanas_agent.bundles.manifest import MANIFEST, FileRecord, Manifest, check_name
from metanas_agent.errors import BundleNotFoundError, InvalidBundleError
from metanas_agent.state import StateFolder

CURRENT = "current"
_NEW_LINK = ".current"


@dataclass(frozen=True, slots=True)
class InstalledVersion:
    """One version of a bundle.

    Args:
        folder: where its files are.
    """

    folder: Path

    @property
    def number(self) -> int:
        """Larger than that of each version which came before."""
        return int(self.folder.name.partition("-")[0])

    @property
    def version(self) -> str:
        """As its manifest has it."""
        return self.folder.name.partition("-")[2]

    @property
    def manifest(self) -> Manifest:
        """What it is.

        Raises:
            InvalidBundleError: somebody changed it.
            OSError: somebody removed it.
        """
        return Manifest.from_json((self.folder / MANIFEST).read_bytes())


@dataclass(frozen=True, slots=True)
class InstalledBundle:
    """A bundle with its versions, oldest first.

    Args:
        name: of the bundle.
        versions: all that are here, at least one.
        current: the one that is used.
    """

    name: str
    versions: tuple[InstalledVersion, ...]
    current: InstalledVersion


def installed(state: StateFolder) -> list[InstalledBundle]:
    """All bundles, by name."""
    folders = sorted(state.bundles.iterdir()) if state.bundles.is_dir() else []
    found = [_look_at(folder) for folder in folders]
    return [bundle for bundle in found if bundle]


def current(state: StateFolder, name: str) -> Path:
    """Folder of the version that is used. It stays the same folder while a newer one is installed.

    Raises:
        BundleNotFoundError: no such bundle is installed.
        InvalidBundleError: this can be no bundle's name.
    """
    return _find(state, name).current.folder


def roll_back(state: StateFolder, name: str) -> InstalledVersion:
    """Use the version that was installed before the current one; the newer ones stay here.

    Raises:
        BundleNotFoundError: no such bundle is installed, or no older version.
        InvalidBundleError: this can be no bundle's name.
    """
    _find(state, name)
    with locked(state.bundles / name):
        bundle = _find(state, name)
        older = [each for each in bundle.versions if each.number < bundle.current.number]
        if not older:
            raise BundleNotFoundError(
                f"{name} {bundle.current.version} is the oldest version here",
                hint="install the version that you want",
            )
        switch(older[-1])
    return older[-1]


def switch(version: InstalledVersion) -> None:
    """Make a version the current one, in one step. The caller holds the bundle's lock."""
    folder = version.folder.parent
    new = folder / _NEW_LINK
    new.unlink(missing_ok=True)  # of an earlier switch that was killed
    new.symlink_to(version.folder.name)
    new.replace(folder / CURRENT)
    sync_folder(folder)


def versions_in(folder: Path) -> tuple[InstalledVersion, ...]:
    """The whole versions in a bundle's folder, oldest first."""
    found = [
        InstalledVersion(path)
        for path in folder.iterdir()
        if path.name.partition("-")[0].isdecimal() and path.is_dir()
    ]
    return tuple(sorted(found, key=lambda version: version.number))


def is_intact(version: InstalledVersion) -> bool:
    """Whether every file is still what the manifest says."""
    try:
        return all(
            _record_of(version.folder / name) == record
            for name, record in version.manifest.files.items()
        )
    except (InvalidBundleError, OSError):
        return False


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _find(state: StateFolder, name: str) -> InstalledBundle:
    check_name(name)
    bundle = _look_at(state.bundles / name)
    if bundle is None:
        others = ", ".join(bundle.name for bundle in installed(state))
        choose = "name one of these, or " if others else ""
        raise BundleNotFoundError(
            f"no bundle {name!r} is installed; there is: {others or 'none'}",
            hint=f"{choose}install it: metanas-agent install FILE.metanas",
        )
    return bundle


def _record_of(file: Path) -> FileRecord:
    with file.open("rb") as stream:
        return FileRecord(hashlib.file_digest(stream, "sha256").hexdigest(), file.stat().st_size)


def _look_at(folder: Path) -> InstalledBundle | None:
    """None where no version was ever installed as a whole."""
    link = folder / CURRENT
    if not link.is_dir():
        return None
    versions = versions_in(folder)
    return InstalledBundle(folder.name, versions, InstalledVersion(link.resolve()))
