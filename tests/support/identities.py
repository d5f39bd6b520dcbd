"""What pairing leaves on a board, written without a board."""

from __future__ import annotations

import json
from pathlib import Path

from metanas.pairing.certificates import KeyPair, fingerprint, make_key_pair

BOARD_ID = "0123456789abcdef"


def write_identity(
    state: Path, name: str = "pi0", *, pair: KeyPair | None = None, identifier: str = BOARD_ID
) -> KeyPair:
    """Give an agent's state folder an identity; the key pair that it got."""
    pair = pair or make_key_pair(name)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in ("identity", "hosts"):
        (state / folder).mkdir(mode=0o700)
    write_private(state / "identity/device.pem", pair.certificate)
    write_private(state / "identity/device.key", pair.key)
    write_private(state / "identity/device.json", json.dumps({"id": identifier, "name": name}))
    return pair


def let_in(state: Path, certificate: str) -> Path:
    """Pair a host, by its certificate (PEM); the file that says so."""
    path = state / "hosts" / f"{fingerprint(certificate)}.pem"
    write_private(path, certificate)
    return path


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
