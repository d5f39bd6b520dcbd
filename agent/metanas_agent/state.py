"""StateFolder: where an agent keeps what outlives it. Only its own user may look inside."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from metanas_agent.errors import InsecureKeyError

_PRIVATE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The folders of an agent's state; nothing is made before it is needed.

    Args:
        root: the folder that holds them all.
    """

    root: Path

    @classmethod
    def default(cls) -> StateFolder:
        """`$XDG_DATA_HOME/metanas-agent`, else `~/.local/share/metanas-agent`."""
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls(Path(data).expanduser() / "metanas-agent")

    @property
    def agent(self) -> Path:
        """The agent's own file, named by its hash."""
        return self.root / "agent"

    @property
    def identity(self) -> Path:
        """`device.json`, `device.pem` and `device.key`, written by pairing."""
        return self.root / "identity"

    @property
    def hosts(self) -> Path:
        """Certificates of paired hosts."""
        return self.root / "hosts"

    @property
    def artifacts(self) -> Path:
        """Uploaded files, named by their hashes."""
        return self.root / "artifacts"

    @property
    def bundles(self) -> Path:
        """Installed bundles, a folder each."""
        return self.root / "bundles"

    def make(self, folder: Path) -> Path:
        """Make one of the folders, closed to other users; one that is there stays as it is.

        Raises:
            InsecureKeyError: others can write into one that is there.
            OSError: it cannot be made.
        """
        for path in (self.root, folder):
            try:
                path.mkdir(mode=_PRIVATE, parents=True)
            except FileExistsError:
                _check_ours(path)
        return folder


def _check_ours(folder: Path) -> None:
    """What others put here would be trusted: programs would be run, hosts would be let in."""
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a folder", str(folder))
    if found.st_uid not in (os.geteuid(), 0):
        raise InsecureKeyError(
            f"{folder} belongs to another user, who could change what is kept there",
            hint="give a folder of your own, or one that is not there yet",
        )
    if found.st_mode & _OTHERS_WRITE:
        raise InsecureKeyError(
            f"others can write into {folder} (mode {stat.S_IMODE(found.st_mode):04o})",
            hint="give one that only you can write into, or one that is not there yet",
        )
