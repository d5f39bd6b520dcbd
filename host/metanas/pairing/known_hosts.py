"""Host keys of SSH servers: those known are held to, a new one is shown and asked about."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import paramiko

from metanas.errors import HostKeyChangedError, HostKeyUnknownError
from metanas.pairing.prompts import Prompts

_SYSTEM = Path("/etc/ssh/ssh_known_hosts")


class AskAboutNewKeys(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Asks about a server that no known_hosts file names; remembers it where that is accepted."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002 - paramiko passes it by position
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        """What paramiko calls."""
        shown = f"{key.get_name()} {_fingerprint(key)}"
        if not self._prompts.confirm(f"{hostname} is new: its host key is {shown}. Trust it?"):
            raise HostKeyUnknownError(
                f"{hostname} is not known: its host key is {shown}",
                hint="compare it with what the board says (ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub); if they agree: --accept-new-host-key",
            )
        _remember(f"{hostname} {key.get_name()} {key.get_base64()}\n")


def load_known_hosts(client: paramiko.SSHClient) -> None:
    """Hold the client to the host keys that this user and this system know."""
    if _SYSTEM.exists():
        client.load_system_host_keys(str(_SYSTEM))
    if (own := _own_file()).exists():
        client.load_system_host_keys(str(own))


def changed(error: paramiko.BadHostKeyException) -> HostKeyChangedError:
    """The error for a server that shows another key than it did."""
    return HostKeyChangedError(
        f"the host key of {error.hostname} has changed: {_fingerprint(error.key)} instead of "
        f"{_fingerprint(error.expected_key)}; someone may sit between you and the board",
        hint=f"if you set the board up anew, and only then: ssh-keygen -R '{error.hostname}'",
    )


def _own_file() -> Path:
    return Path("~/.ssh/known_hosts").expanduser()


def _remember(line: str) -> None:
    path = _own_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line if not before or before.endswith("\n") else f"\n{line}")


def _fingerprint(key: paramiko.PKey) -> str:
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest())
    return f"SHA256:{digest.decode().rstrip('=')}"
