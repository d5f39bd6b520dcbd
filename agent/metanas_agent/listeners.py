"""Listeners: where an agent can be reached, and who may come in there.

| listener | who can connect | trusted |
|---|---|---|
| `LoopbackListener` | any user of this machine | no |
| `UnixListener` | the agent's own user, and root | yes |
| `TlsListener` | hosts that are paired with this device | yes |
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metanas_agent.errors import PortInUseError, UnsafeAddressError, UntrustedError
from metanas_agent.identity import Identity

_BACKLOG = 32
_CREDENTIALS = struct.Struct("3i")  # process, user, group
_UNUSABLE = (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL, errno.EPERM)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is at the other end of a connection.

    Args:
        trusted: whether it may bring programs and have them run.
        name: what we know it by; empty for any user of this machine.
    """

    trusted: bool
    name: str = ""


class Listener(Protocol):
    """One address."""

    @property
    def context(self) -> ssl.SSLContext | None:
        """How connections are secured, None where they are plain."""

    def open(self) -> tuple[socket.socket, str]:
        """A listening socket, and its address for people.

        Raises:
            PortInUseError: it cannot be used, most likely because another process does.
            UnsafeAddressError: others could reach it.
        """

    def visitor(self, transport: asyncio.BaseTransport) -> Visitor:
        """Who has connected.

        Raises:
            UntrustedError: someone who may not.
        """


@dataclass(frozen=True, slots=True)
class LoopbackListener:
    """Plain TCP for programs of this machine, such as an SSH server that forwards a port.

    Args:
        host: a loopback address.
        port: 0 takes any that is free.
    """

    host: str
    port: int
    context: None = None

    def open(self) -> tuple[socket.socket, str]:
        """See `Listener`."""
        return _open_tcp(loopback_address(self.host), self.port)

    def visitor(self, transport: asyncio.BaseTransport) -> Visitor:  # noqa: ARG002
        """See `Listener`."""
        return Visitor(trusted=False)


@dataclass(frozen=True, slots=True)
class TlsListener:
    """TCP for paired hosts, each known by its certificate.

    Args:
        identity: this device's.
        host: any address, None for all.
        port: 0 takes any that is free.
    """

    identity: Identity
    host: str | None
    port: int

    @property
    def context(self) -> ssl.SSLContext:
        """See `Listener`."""
        return self.identity.server_context()

    def open(self) -> tuple[socket.socket, str]:
        """See `Listener`."""
        return _open_tcp(self.host, self.port)

    def visitor(self, transport: asyncio.BaseTransport) -> Visitor:
        """See `Listener`."""
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured else None
        name = self.identity.host_name(certificate) if certificate else None
        if name is None:
            raise UntrustedError(
                "this host is not paired with this device", hint="metanas-profile pair"
            )
        return Visitor(trusted=True, name=name)


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A socket in the file system, for programs of the same user.

    Args:
        path: of the socket; its folder must be closed to others.
    """

    path: Path
    context: None = None

    def open(self) -> tuple[socket.socket, str]:
        """See `Listener`."""
        folder = self.path.parent
        try:
            if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o077:
                raise UnsafeAddressError(
                    f"will not listen in {folder}: others could reach it",
                    hint=f"use a folder of your own and close it: chmod 700 {folder}",
                )
            self._remove_dead()
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listening.bind(str(self.path))
                self.path.chmod(0o600)
                listening.listen(_BACKLOG)
            except BaseException:
                listening.close()
                raise
        except OSError as error:
            raise PortInUseError(
                f"cannot listen on {self.path}: {error.strerror or error}",
                hint="choose another --unix; is an agent running already?",
            ) from error
        return listening, str(self.path)

    def visitor(self, transport: asyncio.BaseTransport) -> Visitor:
        """See `Listener`."""
        if hasattr(socket, "SO_PEERCRED"):  # elsewhere the folder's mode must do
            peer = transport.get_extra_info("socket")
            data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, user, _ = _CREDENTIALS.unpack(data)
            if user not in (os.geteuid(), 0):
                raise UntrustedError("this agent serves another user")
        return Visitor(trusted=True, name="a program on the device itself")

    def _remove_dead(self) -> None:
        """Remove the socket of an agent that was killed; one that answers stays."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                self.path.unlink()
            except FileNotFoundError:
                pass
            else:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def loopback_address(host: str) -> str:
    """The address, if only this machine can reach it.

    Raises:
        UnsafeAddressError: others could.
    """
    address = "127.0.0.1" if host == "localhost" else host
    with suppress(ValueError):
        if ipaddress.ip_address(address).is_loopback:
            return address
    raise UnsafeAddressError(
        f"will not listen on {host!r}: others could reach it, and no host is paired",
        hint="pair one with: metanas-profile pair USER@THIS-BOARD, or use 127.0.0.1 and forward "
        "the port, as in: ssh -L 7431:127.0.0.1:7431 board",
    )


def _open_tcp(host: str | None, port: int) -> tuple[socket.socket, str]:
    every = host is None
    dual = every and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in (host or "") else socket.AF_INET
    try:
        listening = socket.create_server(
            (host or "", port), family=family, backlog=_BACKLOG, dualstack_ipv6=dual
        )
    except OSError as error:
        if error.errno not in _UNUSABLE and not isinstance(error, socket.gaierror):
            raise
        raise PortInUseError(
            f"cannot listen on {host or 'any address'}:{port}: {_reason(error)}",
            hint="choose another --port, or 0 for any; is an agent running already?",
        ) from error
    address, port = listening.getsockname()[:2]
    return listening, f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _reason(error: OSError) -> str | None:
    return error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
