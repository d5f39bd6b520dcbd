"""Endpoints: where an agent listens, and how a host gets a socket to it."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metanas.address import Address
from metanas.errors import UntrustedError

_DATES = {9: "is not valid yet, says this clock", 10: "has expired, says this clock"}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""


class Endpoint(Protocol):
    """One way to reach an agent; its text is what a person knows it by."""

    @property
    def start_hint(self) -> str:
        """What to do where nothing answers."""

    @property
    def upgrade_command(self) -> str:
        """What brings the agent there to the host's version."""

    def connect(self, timeout_s: float) -> socket.socket:
        """A connected socket.

        Raises:
            OSError: nothing answers, or not in time.
            UntrustedError: something else answers than the agent that is meant.
        """


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    """A plain connection: to an agent on loopback, or behind a forwarded port."""

    host: str
    port: int

    def __str__(self) -> str:
        return str(Address(self.host, self.port))

    @property
    def start_hint(self) -> str:
        """See `Endpoint`."""
        return "start one there with: metanas-agent serve"

    @property
    def upgrade_command(self) -> str:
        """See `Endpoint`."""
        return "pip install --upgrade metanas-agent"

    def connect(self, timeout_s: float) -> socket.socket:
        """See `Endpoint`."""
        return _connected(self.host, self.port, timeout_s)


@dataclass(frozen=True, slots=True)
class UnixEndpoint:
    """A socket in the file system of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def start_hint(self) -> str:
        """See `Endpoint`."""
        return f"start one with: metanas-agent serve --unix {self.path}"

    @property
    def upgrade_command(self) -> str:
        """See `Endpoint`."""
        return "pip install --upgrade metanas-agent"

    def connect(self, timeout_s: float) -> socket.socket:
        """See `Endpoint`."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection


@dataclass(frozen=True, slots=True)
class TlsEndpoint:
    """A paired board.

    Args:
        host: name or address.
        port: where it listens.
        context: shows our certificate, and trusts the board's and no other.
        fingerprint: SHA-256 of the board's certificate in DER form, in hex.
    """

    host: str
    port: int
    context: ssl.SSLContext
    fingerprint: str

    def __str__(self) -> str:
        return str(Address(self.host, self.port))

    @property
    def start_hint(self) -> str:
        """See `Endpoint`."""
        return "is it switched on and in this network? `metanas-profile devices` lists who is"

    @property
    def upgrade_command(self) -> str:
        """See `Endpoint`."""
        return f"metanas-profile pair {self.host}"

    def connect(self, timeout_s: float) -> socket.socket:
        """See `Endpoint`."""
        plain = _connected(self.host, self.port, timeout_s)
        try:
            secured = self.context.wrap_socket(plain)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise self._stranger(_DATES.get(error.verify_code, "differs")) from error
        except BaseException:
            plain.close()
            raise
        certificate = secured.getpeercert(binary_form=True) or b""
        if hashlib.sha256(certificate).hexdigest() != self.fingerprint:
            secured.close()
            raise self._stranger("differs")
        return secured

    def _stranger(self, why: str) -> UntrustedError:
        return UntrustedError(
            f"what answers at {self} is not the board that was paired: its certificate {why}",
            hint="if the board was set up anew, pair again with: metanas-profile pair",
        )


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    connection = socket.create_connection((host, port), timeout=timeout_s)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection
