"""Pairing with a board over SSH, as the command does, and asking its agent for signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from metanas.devices import Address, AgentDevice, DeviceDescription, TlsEndpoint
from metanas.errors import AgentUnreachableError
from metanas.pairing import PairedDevice, client_context
from metanas.pairing.pair import Wishes, pair, unpair
from metanas.pairing.prompts import Prompts
from support.ssh_board import SshBoard

_PATIENCE_S = 60.0


def connect(device: PairedDevice) -> AgentDevice:
    """The paired board's agent; the caller closes it."""
    address = Address.parse(device.address)
    assert address
    endpoint = TlsEndpoint(address.host, address.port, client_context(device), device.fingerprint)
    return AgentDevice(device.name, endpoint)


def describe(device: PairedDevice) -> DeviceDescription:
    with connect(device) as agent:
        return agent.describe()


def reach(device: PairedDevice) -> None:
    describe(device)


def wait_until_back(device: PairedDevice) -> None:
    """Return once the agent, which was killed, answers again."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            reach(device)
        except AgentUnreachableError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def install(
    board: SshBoard,
    *,
    said: list[str] | None = None,
    reach: Callable[[PairedDevice], None] = reach,
    name: str = "",
    python: str = "",
    port: int | None = None,
) -> PairedDevice:
    """Pair with the board, as the command does; the agent listens on its port or on that one."""
    return pair(
        board.target,
        Wishes(name=name, port=port or board.agent_port, python=python, key_file=board.key),
        prompts=Prompts(),
        say=(said if said is not None else []).append,
        profile_for=lambda _: "",
        serve_options=lambda _: (),
        reach=reach,
    )


def leave(board: SshBoard, device: PairedDevice) -> bool:
    """Unpair, as the command does; whether the agent was removed too."""
    return unpair(device, prompts=Prompts(), key_file=board.key)


def words(process: int) -> list[bytes]:
    """Of the command line of a process."""
    return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
