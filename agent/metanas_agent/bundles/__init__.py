"""Bundles on the board: models with all that belongs to them, versions side by side."""

from metanas_agent.bundles.install import install
from metanas_agent.bundles.installed import (
    InstalledBundle,
    InstalledVersion,
    current,
    installed,
    roll_back,
)
from metanas_agent.bundles.manifest import FORMAT, MANIFEST, FileRecord, Manifest

__all__ = [
    "FORMAT",
    "MANIFEST",
    "FileRecord",
    "InstalledBundle",
    "InstalledVersion",
    "Manifest",
    "current",
    "install",
    "installed",
    "roll_back",
]
