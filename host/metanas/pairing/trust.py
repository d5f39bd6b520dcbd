"""This host's own key pair, and TLS towards one paired board."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import ssl
import tempfile
from pathlib import Path

from metanas.errors import BrokenIdentityError, PairingError
from metanas.files import config_folder
from metanas.pairing.records import PairedDevice
from metanas_agent.identity import check_private

_PRIVATE_FILE = 0o600


def client_context(device: PairedDevice) -> ssl.SSLContext:
    """TLS 1.3 with this host's key, for the one board whose certificate was pinned.

    Raises:
        BrokenIdentityError: this host's key pair is missing or makes no sense.
        InsecureKeyError: others can read this host's key.
        PairingError: the board's certificate in its record makes no sense.
    """
    certificate, key = _files()
    _check(certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False  # the certificate itself is pinned; addresses come and go
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise _broken(f"{certificate.parent}: {error}") from error
    try:
        context.load_verify_locations(cadata=device.certificate)
    except (ssl.SSLError, ValueError) as error:
        raise PairingError(
            f"the record of {device.name} holds no certificate",
            hint=f"pair again: metanas-profile pair {device.ssh}",
        ) from error
    return context


def host_certificate() -> str:
    """This host's certificate (PEM); the first call makes the key pair.

    Raises:
        BrokenIdentityError: the key pair is missing in part.
        InsecureKeyError: others can read the key.
    """
    certificate, key = _files()
    if not certificate.parent.exists():
        _make(certificate, key)
    _check(certificate, key)
    return certificate.read_text(encoding="ascii")


def _files() -> tuple[Path, Path]:
    folder = config_folder() / "identity"
    return folder / "host.pem", folder / "host.key"


def _check(certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        if not path.is_file():
            raise _broken(f"{path} is missing")
    check_private(key.parent)
    check_private(key)


def _make(certificate: Path, key: Path) -> None:
    """Both files or none: they are written aside, and the folder is moved into its place."""
    from metanas.pairing.certificates import make_key_pair  # noqa: PLC0415 - slow to import

    folder = certificate.parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    pair = make_key_pair(platform.node())
    aside = Path(tempfile.mkdtemp(prefix=".identity.", dir=folder.parent))  # of mode 0700
    try:
        for path, text in ((key, pair.key), (certificate, pair.certificate)):
            handle = os.open(aside / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(text)
        _move(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(aside: Path, folder: Path) -> None:
    """Or leave the place to another program that made a key pair at the same time."""
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def _broken(what: str) -> BrokenIdentityError:
    return BrokenIdentityError(
        what, hint=f"move {config_folder() / 'identity'} away, then pair every board again"
    )


def _no_password() -> bytes:
    """Our key has none; without this OpenSSL would ask the terminal for one."""
    return b""
