"""StateFolder: where an agent keeps what outlives it. Only its own user may look inside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PRIVATE = 0o700


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
        """Make one of the folders, closed to other users."""
        for path in (self.root, folder):
            path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            path.chmod(_PRIVATE)
        return folder
