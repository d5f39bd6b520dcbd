"""Address: where an agent, or another server, listens."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):(\d{1,5})", re.ASCII)
_LARGEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A host's name or address, and a port; prints as `HOST:PORT` or `[IPV6]:PORT`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address | None:
        """Read `HOST:PORT` or `[IPV6]:PORT`; None where the text is neither."""
        match = _ADDRESS.fullmatch(text)
        if match is None or not 0 < int(match[3]) <= _LARGEST_PORT:
            return None
        return cls(match[1] or match[2], int(match[3]))
