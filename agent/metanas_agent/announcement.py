"""Announcement: what an agent says of itself to a whole network, as the TXT record of a service.

Anyone can say the same of themselves: an announcement is a hint where to look for a board, and
only the board's certificate proves that it was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from metanas_agent.identity import DEVICE_ID, Identity
from metanas_agent.messages import Description
from metanas_agent.protocol import VERSION
from metanas_agent.wire import Version

SERVICE = "_metanas._tcp.local."

LONGEST_NAME = 60
"""Characters; so many of four bytes fit into one string of a TXT record."""

_MOST_RUNTIMES = 16

_FINGERPRINT = re.compile(r"[0-9a-f]{64}", re.ASCII)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9._+-]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an agent says of itself to the whole network.

    Args:
        device_id: 16 hexadecimal digits.
        name: what its owner calls it.
        fingerprint: SHA-256 of its certificate, hexadecimal.
        protocol: the newest version of the protocol that it speaks.
        agent_version: of the agent.
        machine: architecture, such as `armv6l`.
        runtimes: names of what can run a layer there.
    """

    device_id: str
    name: str
    fingerprint: str
    protocol: Version
    agent_version: str
    machine: str
    runtimes: tuple[str, ...]

    @classmethod
    def of(cls, identity: Identity, description: Description) -> Self:
        """What a paired board says."""
        return cls(
            device_id=identity.id,
            name=identity.name,
            fingerprint=identity.fingerprint,
            protocol=VERSION,
            agent_version=description.agent_version,
            machine=description.abi or description.machine,
            runtimes=tuple(description.runtimes),
        )

    def to_txt(self) -> dict[str, str]:
        """The key-value pairs of a TXT record."""
        major, minor = self.protocol
        return {
            "id": self.device_id,
            "name": self.name[:LONGEST_NAME],
            "fp": self.fingerprint,
            "protocol": f"{major}.{minor}",
            "version": self.agent_version,
            "arch": self.machine,
            "runtimes": ",".join(self.runtimes),
        }

    @classmethod
    def from_txt(cls, pairs: Mapping[bytes, bytes | None]) -> Self | None:
        """Read a stranger's TXT record; None where it is not what `to_txt` writes.

        What comes through is short and printable: no bytes that a terminal would obey.
        """
        try:
            texts = {key.decode("ascii"): (value or b"").decode() for key, value in pairs.items()}
            runtimes = tuple(filter(None, texts["runtimes"].split(",")))
            version = _VERSION.fullmatch(texts["protocol"])
            sensible = (
                DEVICE_ID.fullmatch(texts["id"])
                and _FINGERPRINT.fullmatch(texts["fp"])
                and is_name(texts["name"])
                and len(runtimes) <= _MOST_RUNTIMES
                and all(map(_WORD.fullmatch, (texts["version"], texts["arch"], *runtimes)))
            )
        except (UnicodeDecodeError, KeyError):
            return None
        if not sensible or version is None:
            return None
        return cls(
            device_id=texts["id"],
            name=texts["name"],
            fingerprint=texts["fp"],
            protocol=(int(version[1]), int(version[2])),
            agent_version=texts["version"],
            machine=texts["arch"],
            runtimes=runtimes,
        )


def is_name(text: str) -> bool:
    """Whether a text can be a board's name: short, printable, without blanks at its ends."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()
