"""The steps of an installation on a board: each can be repeated, and be killed at any instant."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from metanas.errors import DiskFullError, InstallationError
from metanas.pairing.board import Board, Survey
from metanas.pairing.certificates import fingerprint, make_key_pair
from metanas.pairing.zipapp import AgentFile
from metanas_agent.identity import DEVICE_ID

_ROOM_BYTES = 1024 * 1024  # for the keys and the log, beside the agent's file
_ID_BYTES = 8
_LARGEST_PORT = 65_535

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)
"""A board's name: it is part of file names, of command lines and of announcements."""


@dataclass(frozen=True, slots=True)
class BoardIdentity:
    """What a board keeps of itself in `identity/device.json`, and its certificate.

    Args:
        id: 16 hexadecimal digits.
        name: what its owner calls it.
        port: where its agent listens.
        python: path of the interpreter that runs it.
        certificate: PEM.
    """

    id: str
    name: str
    port: int
    python: str
    certificate: str

    @classmethod
    def read(cls, device_json: bytes, certificate: bytes) -> BoardIdentity:
        """The identity in two files that a board gave us, which may say anything.

        Raises:
            ValueError: they make no sense.
            TypeError: likewise.
        """
        identity = cls(**json.loads(device_json), certificate=certificate.decode("ascii"))
        texts = (identity.id, identity.name, identity.python)
        if not all(isinstance(text, str) for text in texts) or type(identity.port) is not int:
            raise TypeError("fields of other types")
        if not (DEVICE_ID.fullmatch(identity.id) and NAME.fullmatch(identity.name)):
            raise ValueError("no id or no name")
        if not 0 < identity.port <= _LARGEST_PORT or not identity.python.startswith("/"):
            raise ValueError("no port or no path")
        fingerprint(identity.certificate)
        return identity

    def device_json(self) -> bytes:
        """The content of `device.json`."""
        values = {name: value for name, value in asdict(self).items() if name != "certificate"}
        return json.dumps(values).encode()


def send_agent(board: Board, survey: Survey, agent: AgentFile) -> PurePosixPath:
    """Bring the agent's file to the board, under the name of its hash; its path there.

    Raises:
        DiskFullError: there is no room for it.
        InstallationError: it did not arrive as it was sent.
    """
    path = survey.state / "agent" / f"{agent.sha256}.pyz"
    if board.call("digest", path=path) == agent.sha256:
        return path
    needed = len(agent.data) + _ROOM_BYTES
    if survey.free_bytes < needed:
        raise DiskFullError(
            f"the board's disk is full: {survey.state} has room for {survey.free_bytes:,} bytes, "
            f"the agent needs {needed:,}",
            hint="free some space there",
        )
    board.call("prepare", state=survey.state, units=survey.units if survey.systemd else "")
    arriving = path.with_suffix(".arriving")
    board.write(arriving, agent.data)
    arrived = board.call("digest", path=arriving)
    if arrived != agent.sha256:
        board.remove(arriving)
        raise InstallationError(
            f"the agent's file was damaged on its way: its hash is {arrived}, not {agent.sha256}",
            hint="pair again; if it happens again, see whether the board's disk is sound",
        )
    board.rename(arriving, path)
    return path


def read_identity(board: Board, survey: Survey) -> BoardIdentity | None:
    """The identity that an earlier pairing gave the board, None if there is none that is whole."""
    folder = survey.state / "identity"
    values, certificate = board.read(folder / "device.json"), board.read(folder / "device.pem")
    if values is None or certificate is None:
        return None
    try:
        return BoardIdentity.read(values, certificate)
    except (ValueError, TypeError, RecursionError):
        return None


def give_identity(board: Board, survey: Survey, *, name: str, port: int) -> BoardIdentity:
    """Make the board's key pair and send it: all of its files are there at once, or none."""
    pair = make_key_pair(name)
    made = BoardIdentity(secrets.token_hex(_ID_BYTES), name, port, board.python, pair.certificate)
    folder, aside = survey.state / "identity", survey.state / "identity.new"
    board.make_folder(aside)
    board.write(aside / "device.key", pair.key.encode())
    board.write(aside / "device.pem", pair.certificate.encode())
    board.write(aside / "device.json", made.device_json())
    board.make_folder(folder)  # empties what is broken
    board.rename(aside, folder)
    return made


def add_host(board: Board, survey: Survey, certificate: str) -> None:
    """Let the board's agent answer the host with this certificate, besides those it knows."""
    path = survey.state / "hosts" / f"{fingerprint(certificate)}.pem"
    if board.read(path) != certificate.encode():
        board.write(path, certificate.encode())
