"""SshTarget: whom to call, as the person's own SSH configuration says."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from pathlib import Path

import paramiko

from metanas.address import Address
from metanas.errors import PairingError

_TARGET = re.compile(
    r"(?:(?P<user>[^@:\s]+)@)?"
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^@:\s\[\]]+))"
    r"(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_SSH_PORT = 22
_LARGEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class SshTarget:
    """An SSH server and who we are there.

    Args:
        user: name of the account.
        name: what the person calls the machine.
        host: its name or address in the network.
        port: of the SSH server.
        key_files: private keys to offer first.
        proxy_command: a command whose standard streams are the connection, if not empty.
    """

    user: str
    name: str
    host: str
    port: int
    key_files: tuple[Path, ...] = ()
    proxy_command: str = ""

    @classmethod
    def parse(cls, text: str) -> SshTarget:
        """Read `[USER@]HOST[:PORT]`; ~/.ssh/config supplies what the text leaves open.

        Raises:
            PairingError: it is no target, or the configuration cannot be read or leads there
                through another machine.
        """
        match = _TARGET.fullmatch(text)
        if match is None or not 0 < int(match["port"] or _SSH_PORT) <= _LARGEST_PORT:
            raise PairingError(
                f"{text!r} is no SSH target", hint="write one like pi@raspberrypi.local"
            )
        named = match["ipv6"] or match["host"]
        known = _configured(named)
        if known.get("proxyjump", "none") != "none":
            raise PairingError(
                f"~/.ssh/config leads to {named} through {known['proxyjump']}",
                hint="pair from a machine that reaches the board directly: its agent must be "
                "reached too",
            )
        return cls(
            user=match["user"] or known.get("user") or getpass.getuser(),
            name=named,
            host=known.get("hostname") or named,
            port=int(match["port"] or known.get("port") or _SSH_PORT),
            key_files=tuple(Path(name).expanduser() for name in known.get("identityfile", ())),
            proxy_command=known.get("proxycommand") or "",
        )

    def __str__(self) -> str:
        return f"{self.user}@{Address(self.name, self.port)}"


def _configured(host: str) -> paramiko.SSHConfigDict:
    path = Path("~/.ssh/config").expanduser()
    try:
        with path.open(encoding="utf-8") as stream:
            config = paramiko.SSHConfig()
            config.parse(stream)
        return config.lookup(host)
    except FileNotFoundError:
        return paramiko.SSHConfigDict()
    except (OSError, ValueError, paramiko.SSHException, paramiko.ConfigParseError) as error:
        raise PairingError(f"{path}: {error}", hint="mend the file") from error
