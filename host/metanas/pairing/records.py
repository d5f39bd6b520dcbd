"""Paired boards as this host remembers them: one JSON file a board, named by the board's id."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from metanas.errors import AmbiguousDeviceError, PairingError
from metanas.files import config_folder, write_json
from metanas_agent.identity import DEVICE_ID


@dataclass(frozen=True, slots=True)
class PairedDevice:
    """A board that this host paired with. Nothing of it is secret.

    Args:
        id: the board's own, 16 hexadecimal digits.
        name: what its owner calls it.
        address: `HOST:PORT` where its agent was last seen.
        fingerprint: SHA-256 of the board's certificate (DER), hexadecimal.
        certificate: PEM.
        profile: name of the board's device profile, which gives runtime and target; empty where
            none fits, and the agent's onnxruntime shall do the work.
        ssh: `USER@HOST:PORT` that it was paired through.
        agent_sha256: of the agent's file on the board.
    """

    id: str
    name: str
    address: str
    fingerprint: str
    certificate: str
    profile: str
    ssh: str
    agent_sha256: str


def paired_devices() -> tuple[PairedDevice, ...]:
    """All paired boards, sorted by name and id.

    Raises:
        PairingError: a record cannot be read.
    """
    found = [_read(path) for path in sorted(_folder().glob("*.json"))]
    return tuple(sorted(found, key=lambda device: (device.name, device.id)))


def find_paired(name: str) -> PairedDevice | None:
    """The paired board that `name` means, None if there is none.

    Args:
        name: a board's name, its id, or `NAME@START-OF-ID`.

    Raises:
        AmbiguousDeviceError: several boards bear the name.
        PairingError: a record cannot be read.
    """
    devices = paired_devices()
    wanted, _, start = name.partition("@")
    found = [device for device in devices if device.id == name] or [
        device for device in devices if device.name == wanted and device.id.startswith(start)
    ]
    if len(found) > 1:
        raise AmbiguousDeviceError(
            f"{len(found)} paired boards are named {wanted!r}: "
            + ", ".join(device.id for device in found),
            hint=f"say which, as in {wanted}@{found[0].id[:6]}, or give one another name: "
            f"metanas-profile pair {found[0].ssh} --name NAME",
        )
    return found[0] if found else None


def save(device: PairedDevice) -> None:
    """Write or replace a board's record."""
    write_json(_path(device.id), asdict(device))


def remove(device: PairedDevice) -> None:
    """Forget a board; no error if it is forgotten already."""
    _path(device.id).unlink(missing_ok=True)


def _folder() -> Path:
    return config_folder() / "paired"


def _path(identifier: str) -> Path:
    if not DEVICE_ID.fullmatch(identifier):
        raise PairingError(
            f"the board says its id is {identifier[:40]!r}, which is none",
            hint="remove metanas-agent/identity from the board's data folder and pair again",
        )
    return _folder() / f"{identifier}.json"


def _read(path: Path) -> PairedDevice:
    names = {field.name for field in fields(PairedDevice)}
    try:
        values = json.loads(path.read_bytes())
        whole = isinstance(values, dict) and values.keys() == names
        if not whole or not all(isinstance(value, str) for value in values.values()):
            raise ValueError("not the fields of a paired board")  # noqa: TRY301
    except (OSError, ValueError) as error:
        raise PairingError(
            f"{path}: {error}", hint="remove the file and pair with the board again"
        ) from error
    return PairedDevice(**values)
