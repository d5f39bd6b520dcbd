"""Bring a program to a device, by the hash of its content; what is there is not sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from metanas.devices.connection import Connection
from metanas.errors import ArtifactError, ProtocolError
from metanas_agent.messages import Chunk, Offer, Stored

CHUNK_BYTES = 256 * 1024


class ArtifactSource(Protocol):
    """Makes the programs that a device without a runtime of its own needs."""

    def for_layers(self) -> tuple[str, Path]:
        """SHA-256 and path of the program that times any layer."""

    def for_model(self, model: bytes) -> tuple[str, Path]:
        """SHA-256 and path of the program that runs an ONNX model."""


def upload(connection: Connection, sha256: str, path: Path) -> None:
    """Send a file, or the part of it that an earlier, cut upload has left out.

    Raises:
        ArtifactError: it cannot be read, or arrived as something else.
        DeviceBusyError: another host is at work there; what was sent so far is kept.
        StorageFullError: there is no room for it.
        UntrustedError: the device is not paired with this host.
        ProtocolError: the agent answers nonsense, or is too old.
        AgentUnreachableError: the connection is lost; what was sent so far is kept.
    """
    try:
        with path.open("rb") as stream:
            size_bytes = path.stat().st_size
            connection.send(Offer(sha256=sha256, size_bytes=size_bytes))
            received = connection.receive(Stored).received_bytes
            while received < size_bytes:
                stream.seek(received)
                data = stream.read(CHUNK_BYTES)
                connection.send(Chunk(sha256=sha256, offset=received, data=data))
                before, received = received, connection.receive(Stored).received_bytes
                if received <= before:
                    raise ProtocolError(f"the agent at {connection.where} takes no bytes")
    except OSError as error:
        raise ArtifactError(
            f"cannot read the program {path}: {error.strerror}", hint="build it again"
        ) from error
