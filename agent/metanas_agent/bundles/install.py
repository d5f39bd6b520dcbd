"""`install`: a bundle's files are written aside, checked, and shown in one step."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from metanas_agent.bundles.archive import BundleArchive, open_bundle
from metanas_agent.bundles.installed import (
    InstalledVersion,
    is_intact,
    switch,
    sync_folder,
    versions_in,
)
from metanas_agent.bundles.lock import locked
from metanas_agent.bundles.manifest import MANIFEST
from metanas_agent.errors import InvalidBundleError, StorageFullError
from metanas_agent.files import DISK_FULL
from metanas_agent.state import StateFolder

_STAGING = ".staging"


def install(state: StateFolder, path: Path) -> InstalledVersion:
    """Install a bundle and make it the current version; older versions stay.

    Nothing of it can be seen before every checksum was found right. Killed at any instant, it has
    changed nothing, or all; what was written aside is removed by the next install. A version that
    is here already is only made the current one, and mended if its files were damaged.

    Args:
        state: the agent's folder.
        path: the bundle, as `metanas bundle` wrote it.

    Raises:
        InvalidBundleError: it is truncated, was changed, or another bundle of its name and
            version is installed.
        InsecureKeyError: others can write into the agent's folder.
        StorageFullError: there is no room for it.
        OSError: it is not there, or cannot be stored.
    """
    with open_bundle(path) as bundle:
        bundle.check()
        manifest = bundle.manifest
        state.make(state.bundles)
        folder = state.make(state.bundles / manifest.name)
        with locked(folder):
            shutil.rmtree(folder / _STAGING, ignore_errors=True)
            versions = versions_in(folder)
            same = [each for each in versions if each.version == manifest.version]
            if same and is_intact(same[-1]):
                version = same[-1]
                if (version.folder / MANIFEST).read_bytes() != bundle.manifest_bytes:
                    raise InvalidBundleError(
                        f"another {manifest.name} {manifest.version} is installed here",
                        hint="give it a version of its own: metanas bundle --version",
                    )
            else:
                version = _unpack(bundle, folder, versions)
            switch(version)
            for damaged in same:
                if damaged != version:
                    shutil.rmtree(damaged.folder)
    return version


def _unpack(
    bundle: BundleArchive, folder: Path, versions: tuple[InstalledVersion, ...]
) -> InstalledVersion:
    number = versions[-1].number + 1 if versions else 1
    target = folder / f"{number:04d}-{bundle.manifest.version}"
    staging = folder / _STAGING
    try:
        staging.mkdir(mode=0o700)
        for name in bundle.manifest.files:
            bundle.extract(name, staging / name)
        (staging / MANIFEST).write_bytes(bundle.manifest_bytes)
        for file in staging.iterdir():
            _sync(file)
        sync_folder(staging)
        staging.rename(target)
        sync_folder(folder)
    except OSError as error:
        if error.errno in DISK_FULL:
            raise StorageFullError(
                "the disk is full: no room for the bundle", hint="free some space on the device"
            ) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return InstalledVersion(target)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
