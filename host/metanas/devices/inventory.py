"""Inventory: every device that can be named here, and how it is."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from metanas.devices.client import AgentDevice
from metanas.devices.discovery import LIMIT_S, Discovered, discover
from metanas.devices.endpoint import Endpoint, TcpEndpoint
from metanas.devices.lacking import lacking
from metanas.devices.paired import PairedEndpoint, addresses_of, claims_to_be
from metanas.devices.profile import (
    AgentProfile,
    BoardProfile,
    DeviceProfile,
    LocalProfile,
    SimulatorProfile,
)
from metanas.devices.registry import device_names, device_profile, name_of, replacement
from metanas.errors import (
    AgentUnreachableError,
    DeviceBusyError,
    DeviceProfileError,
    DiscoveryError,
    ExtraMissingError,
    MetanasError,
    UntrustedError,
)
from metanas.pairing.records import PairedDevice, paired_devices
from metanas_agent.messages import StatusReply
from metanas_agent.runtimes import RUNTIMES

_MOST_AT_ONCE = 32

State = Literal["", "free", "busy", "unreachable", "unavailable", "not paired", "broken"]


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """One device.

    Args:
        name: what to call it; of a stranger, what it calls itself.
        kind: `local`, `simulator`, `agent` (an address of the user's own), `board` (paired),
            `stranger` (an agent that this host is not paired with) or `broken` (its file).
        id: of a board.
        where: `HOST:PORT`, if it is reached by network.
        machine: architecture, empty if unknown.
        runtimes: names of what can run a layer there. A paired board was asked; a stranger's are
            what it announces.
        paired: whether this host is paired with it.
        state: whether it could start a job now; `unavailable` where this machine lacks what it
            needs.
        agent_version: of its agent.
        detail: whose job it does, why it cannot be reached or used, or that the user's own file
            takes the place of one that metanas brings.
    """

    name: str
    kind: str
    id: str = ""
    where: str = ""
    machine: str = ""
    runtimes: tuple[str, ...] = ()
    paired: bool = False
    state: State = ""
    agent_version: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is.

    Args:
        entries: this machine and simulators, paired boards, then strangers.
        warning: why boards may be missing, empty if nothing was in the way.
    """

    entries: tuple[DeviceEntry, ...]
    warning: str = ""


def inventory(timeout_s: float = LIMIT_S) -> Inventory:
    """List the profiles, the paired boards and the agents that announce themselves.

    Args:
        timeout_s: how long to listen for announcements.

    Raises:
        PairingError: a record of a paired board cannot be read.
    """
    try:
        found, warning = discover(timeout_s), ""
    except DiscoveryError as error:
        found, warning = (), str(error)
    boards = paired_devices()
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        known = pool.map(_of_profile, device_names())
        paired = pool.map(partial(_of_board, found=found), boards)
        strangers = (
            _of_stranger(agent, boards)
            for agent in found
            if not any(claims_to_be(agent, board) for board in boards)
        )
        return Inventory((*filter(None, known), *paired, *strangers), warning)


def _of_profile(name: str) -> DeviceEntry | None:
    """A line for what can be opened by its profile alone, None for a kind of board."""
    try:
        entry = _of_described(name, device_profile(name))
    except DeviceProfileError as error:
        entry = DeviceEntry(name, "broken", state="broken", detail=error.what)
    if entry and (own := replacement(name)):
        told = f"as {own} says, in place of what metanas brings"
        return replace(entry, detail="; ".join(filter(None, (entry.detail, told))))
    return entry


def _of_described(name: str, profile: DeviceProfile) -> DeviceEntry | None:
    match profile:
        case BoardProfile():
            return None
        case LocalProfile():
            return _of_local(name, profile)
        case SimulatorProfile(settings=settings):
            return _of_simulator(name, settings)
        case AgentProfile(address=address):
            entry = DeviceEntry(name, "agent", where=str(address))
            return _asked(entry, lambda: TcpEndpoint(address.host, address.port))


def _of_local(name: str, profile: LocalProfile) -> DeviceEntry:
    if profile.runtime not in RUNTIMES:
        raise DeviceProfileError(
            f"runtime is {profile.runtime!r}", hint=f"use one of {', '.join(RUNTIMES)}"
        )
    machine = platform.machine() if profile.accelerator == "cpu" else profile.accelerator
    missing = lacking(profile)
    return DeviceEntry(
        name,
        "local",
        machine=machine,
        runtimes=(profile.runtime,),
        state="unavailable" if missing else "free",
        detail=missing,
    )


def _of_simulator(name: str, settings: Mapping[str, Any]) -> DeviceEntry:
    from metanas_simulators import make_simulator  # noqa: PLC0415 - they import this package

    entry = DeviceEntry(name, "simulator", machine="simulated", state="free")
    try:
        make_simulator(name, settings).close()
    except ExtraMissingError as error:
        return replace(entry, state="unavailable", detail=f"{error.what}: {error.hint}")
    return entry


def _of_board(board: PairedDevice, *, found: Iterable[Discovered]) -> DeviceEntry:
    entry = DeviceEntry(name_of(board), "board", id=board.id, where=board.address, paired=True)
    search = partial(addresses_of, board, found)
    return _asked(entry, lambda: PairedEndpoint(board, search=search))


def _asked(entry: DeviceEntry, endpoint_of: Callable[[], Endpoint]) -> DeviceEntry:
    """The line with what the agent says of itself, or why it does not."""
    try:
        endpoint = endpoint_of()
        with AgentDevice(entry.name, endpoint) as agent:
            entry = replace(entry, where=str(endpoint))
            status = agent.status()
            if status.busy:
                return replace(entry, state="busy", detail=_whose(status))
            description = agent.describe()
    except DeviceBusyError as error:  # since a moment
        return replace(entry, state="busy", detail=error.what)
    except (AgentUnreachableError, UntrustedError) as error:
        return replace(entry, state="unreachable", detail=error.what)
    except MetanasError as error:
        return replace(entry, state="broken", detail=error.what)
    return replace(
        entry,
        state="free",
        machine=description.machine,
        runtimes=tuple(description.runtimes),
        agent_version=description.agent_version,
    )


def _whose(status: StatusReply) -> str:
    return f"works for {status.holder or 'somebody'} since {status.running_s:.0f} s"


def _of_stranger(agent: Discovered, boards: Iterable[PairedDevice]) -> DeviceEntry:
    """A line for an agent that this host is not paired with; all of it is hearsay."""
    said = agent.announcement
    ours = [board.name for board in boards if board.id == said.device_id]
    return DeviceEntry(
        said.name,
        "stranger",
        id=said.device_id,
        where=str(agent.addresses[0]),
        machine=said.machine,
        runtimes=said.runtimes,
        state="not paired",
        agent_version=said.agent_version,
        detail=f"not {ours[0]}, though it says so: its certificate differs" if ours else "",
    )
