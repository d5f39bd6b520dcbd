"""Identity: what a paired board is, and which hosts it answers. Written by pairing, only read here.

identity/device.json, device.pem, device.key; hosts/<SHA-256 of the certificate>.pem
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from metanas_agent.errors import BrokenIdentityError, InsecureKeyError

DEVICE_ID = re.compile(r"[0-9a-f]{16}", re.ASCII)
"""What every board has, made at its first pairing."""

_COMMON_NAME = bytes.fromhex("0603550403")  # DER of the object identifier 2.5.4.3
_LONGEST_SHORT_FORM = 127  # bytes whose DER length is one byte
_REPAIR = "pair again from a host: metanas-profile pair USER@THIS-BOARD"


@dataclass(frozen=True, slots=True)
class Identity:
    """A paired board.

    Paired hosts are looked up on disk whenever they matter, so that one that is paired or
    unpaired while the agent runs is known at once.

    Args:
        folder: the agent's state folder.
        id: 16 hexadecimal digits, made at the first pairing and never changed.
        name: what its owner calls it.
        fingerprint: SHA-256 of the certificate (DER), hexadecimal.
    """

    folder: Path
    id: str
    name: str
    fingerprint: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """Fingerprints of the paired hosts, sorted.

        Raises:
            BrokenIdentityError: a file among theirs is no certificate, or not the one it says.
            InsecureKeyError: others can add hosts.
        """
        return tuple(self._host_certificates())

    def host_name(self, der: bytes) -> str | None:
        """What a host calls itself, if this certificate is a paired host's; else None."""
        if hashlib.sha256(der).hexdigest() not in self._host_certificates():
            return None
        return _common_name(der)

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 with this board's key, for peers with a paired host's certificate and no other.

        Raises:
            BrokenIdentityError: the certificates or the key cannot be used.
            InsecureKeyError: others could read the key or add hosts.
        """
        context = self._context()

        def follow(
            connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext
        ) -> int | None:
            """At every first message of a peer: trust the hosts that are paired by now."""
            try:
                connection.context = self._context()
            except (BrokenIdentityError, InsecureKeyError, OSError):
                return int(ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR)
            return None

        context.sni_callback = follow
        return context

    def _context(self) -> ssl.SSLContext:
        certificate, key = _files(self.folder)
        check_private(key.parent)
        check_private(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # hosts may bear one name
        context.num_tickets = 0  # every connection shows its certificate anew
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, OSError) as error:
            raise BrokenIdentityError(
                f"{key.parent}: the certificate and the key cannot be used: {error}", hint=_REPAIR
            ) from error
        if hosts := self._host_certificates():
            context.load_verify_locations(cadata=b"".join(hosts.values()))
        return context

    def _host_certificates(self) -> dict[str, bytes]:
        """Fingerprint to DER."""
        hosts = self.folder / "hosts"
        if not hosts.is_dir():
            return {}
        check_private(hosts)
        found = {}
        for path in sorted(hosts.glob("*.pem")):
            der = _read_certificate(path)
            if hashlib.sha256(der).hexdigest() != path.stem:
                raise BrokenIdentityError(f"{path}: not the certificate it says", hint=_REPAIR)
            found[path.stem] = der
        return found


def load_identity(folder: Path) -> Identity | None:
    """Read what pairing wrote; None where this board was never paired.

    Args:
        folder: the agent's state folder.

    Raises:
        BrokenIdentityError: a file is missing or makes no sense.
        InsecureKeyError: others could read the key or add hosts.
    """
    certificate, key = _files(folder)
    if not key.parent.exists():
        return None
    try:
        device = json.loads((key.parent / "device.json").read_bytes())
        identifier, name = device["id"], device["name"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BrokenIdentityError(
            f"{key.parent / 'device.json'}: {type(error).__name__}: {error}", hint=_REPAIR
        ) from error
    if not isinstance(identifier, str) or not isinstance(name, str):
        raise BrokenIdentityError(
            f"{key.parent / 'device.json'}: id and name are texts", hint=_REPAIR
        )
    fingerprint = hashlib.sha256(_read_certificate(certificate)).hexdigest()
    identity = Identity(folder, identifier, name, fingerprint)
    identity.server_context()  # says now what would else be said to nobody, at the first connection
    return identity


def check_private(path: Path) -> None:
    """See that only we can read a key file or use a folder of them.

    Raises:
        BrokenIdentityError: it is missing.
        InsecureKeyError: others can.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise BrokenIdentityError(f"{path}: {error.strerror}", hint=_REPAIR) from error
    if found.st_uid not in (os.geteuid(), 0):
        raise InsecureKeyError(
            f"{path} belongs to another user", hint=f"see who wrote it, then: chown {os.geteuid()}"
        )
    if found.st_mode & 0o077:
        raise InsecureKeyError(
            f"others can use {path} (mode {found.st_mode & 0o777:04o})",
            hint=f"chmod {'700' if path.is_dir() else '600'} {path}, and pair again if "
            "others may have read it",
        )


def _files(folder: Path) -> tuple[Path, Path]:
    identity = folder / "identity"
    return identity / "device.pem", identity / "device.key"


def _read_certificate(path: Path) -> bytes:
    try:
        return ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise BrokenIdentityError(f"{path}: no certificate: {error}", hint=_REPAIR) from error


def _common_name(der: bytes) -> str:
    """Of a certificate that is trusted already: pairing writes them with a short name."""
    _, _, text = der.partition(_COMMON_NAME)
    if len(text) < 2 or text[1] > _LONGEST_SHORT_FORM:
        return "a paired host"
    return text[2 : 2 + text[1]].decode(errors="replace")


def _no_password() -> bytes:
    """Keys have none; without this OpenSSL would ask the terminal for one."""
    return b""
