"""Devices by name: those that metanas brings, the user's own, which may replace them, and boards.

A board's profile says what all boards of its kind have in common; a name reaches a board once this
host is paired with one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import metanas
from metanas.address import Address
from metanas.devices.client import AgentDevice
from metanas.devices.device import Device
from metanas.devices.endpoint import Endpoint, TcpEndpoint
from metanas.devices.local import LocalAgent
from metanas.devices.paired import PairedEndpoint
from metanas.devices.profile import (
    AgentProfile,
    BoardProfile,
    DeviceProfile,
    LocalProfile,
    SimulatorProfile,
    read_profile,
)
from metanas.devices.reconnecting import ReconnectingDevice
from metanas.devices.upload import ArtifactSource
from metanas.errors import DeviceProfileError, UnknownDeviceError, UnsupportedError
from metanas.files import config_folder
from metanas.pairing.records import PairedDevice, find_paired, paired_devices


def profiles_folder() -> Path:
    """The folder of profiles that metanas brings: beside the package, or in the source tree."""
    package = Path(metanas.__file__).parent
    installed = package / "_profiles"
    return installed if installed.is_dir() else package.parents[1] / "profiles"


def user_devices_folder() -> Path:
    """Where a user keeps devices of their own, as `NAME.toml`."""
    return config_folder() / "devices"


def device_names() -> tuple[str, ...]:
    """Names of all profiles, sorted."""
    return tuple(sorted(_files()))


def replacement(name: str) -> Path | None:
    """The user's file that takes the place of one that metanas brings, if there is one."""
    own = user_devices_folder() / f"{name}.toml"
    brought = profiles_folder() / "devices" / own.name
    return own if own.exists() and brought.exists() else None


def device_profile(name: str) -> DeviceProfile:
    """What is known of a device or a kind of board; `HOST:PORT` is a device too.

    Raises:
        UnknownDeviceError: none has that name.
        DeviceProfileError: its file makes no sense.
    """
    if path := _files().get(name):
        return read_profile(path)
    if address := Address.parse(name):
        return AgentProfile(description="", address=address)
    raise UnknownDeviceError(
        f"unknown device {name!r}",
        hint=f"choose from {', '.join(_reachable_names())}, give HOST:PORT of a running agent, "
        f"pair with a board, or describe it in {user_devices_folder() / 'NAME.toml'}",
    )


def open_device(name: str, *, on_wait: Callable[[str], None] = lambda _: None) -> Device:
    """Reach a device; close it after use.

    Args:
        name: of a device or of a paired board, a board's id, `NAME@START-OF-ID`, or `HOST:PORT`.
        on_wait: told in words, whenever the device is lost and will be tried again.

    Raises:
        UnknownDeviceError: no device has that name.
        AmbiguousDeviceError: several paired boards have it.
        DeviceProfileError: its file makes no sense.
        AgentUnreachableError: its agent does not answer.
        UntrustedError: somebody else answers in its place.
        VersionMismatchError: its agent speaks another major version of the protocol.
    """
    if name not in _files() and (board := find_paired(name)):
        return open_board(board, on_wait=on_wait)
    match device_profile(name):
        case LocalProfile() as profile:
            return ReconnectingDevice(_starter_of(name, profile), on_wait=on_wait)
        case AgentProfile(address=address, runtime=runtime):
            endpoint = TcpEndpoint(address.host, address.port)
            return ReconnectingDevice(_connector_to(name, endpoint, runtime), on_wait=on_wait)
        case SimulatorProfile(settings=settings):
            from metanas_simulators import make_simulator  # noqa: PLC0415 - only when asked for

            return make_simulator(name, settings)
        case BoardProfile():
            if board := find_paired(name):
                return open_board(board, on_wait=on_wait)
            raise UnknownDeviceError(
                f"no {name} is paired",
                hint=f"pair with one first: metanas-profile pair USER@HOST --name {name}",
            )


def canonical_name(name: str) -> str:
    """The one name of what `name` means, so that a board is not opened twice under two names.

    Raises:
        AmbiguousDeviceError: several paired boards bear the name.
    """
    if name in _files() and not _is_board(name):
        return name
    board = find_paired(name)
    return name_of(board) if board else name


def runtime_of(name: str) -> tuple[str, str]:
    """The runtime that does a device's work, and what its programs are built for, else empty.

    Nobody is asked, so the name of a kind of board is enough.

    Raises:
        UnknownDeviceError: no device has that name.
        AmbiguousDeviceError: several paired boards have it.
        DeviceProfileError: its file makes no sense.
        UnsupportedError: it is simulated.
    """
    if name not in _files() and (board := find_paired(name)):
        return _runtime_of_board(board)
    match device_profile(name):
        case AgentProfile(runtime=runtime):
            return runtime, ""
        case LocalProfile(runtime=runtime, target=target):
            return runtime, target
        case BoardProfile(runtime=runtime, target=target):
            return runtime, target
        case SimulatorProfile():
            raise UnsupportedError(
                f"{name} is simulated: its layers are computed, it runs no networks",
                hint="name a device that runs them, such as local",
            )


def open_board(board: PairedDevice, *, on_wait: Callable[[str], None] = lambda _: None) -> Device:
    """Reach a paired board, with the runtime that its profile says.

    Raises:
        DeviceProfileError: its profile is none of a board, or makes no sense.
        AgentUnreachableError: its agent does not answer.
        UntrustedError: somebody else answers in its place.
        VersionMismatchError: its agent speaks another major version of the protocol.
    """
    runtime, artifacts = _work_of(board)
    connect = _connector_to(name_of(board), PairedEndpoint(board), runtime, artifacts)
    return ReconnectingDevice(connect, on_wait=on_wait)


def name_of(board: PairedDevice) -> str:
    """What to call a paired board: its name, with the start of its id where another bears it."""
    namesakes = [device for device in paired_devices() if device.name == board.name]
    return board.name if len(namesakes) == 1 else f"{board.name}@{board.id[:8]}"


def _connector_to(
    name: str, endpoint: Endpoint, runtime: str, artifacts: ArtifactSource | None = None
) -> Callable[[str], Device]:
    def connect(session: str) -> Device:
        return AgentDevice(name, endpoint, runtime=runtime, artifacts=artifacts, session=session)

    return connect


def _starter_of(name: str, profile: LocalProfile) -> Callable[[str], Device]:
    """Starts an agent of our own, anew if that was killed; it knows no earlier session."""
    artifacts = _artifacts_for(profile.runtime, profile.target)

    def start(_session: str) -> Device:
        return LocalAgent(
            name, runtime=profile.runtime, accelerator=profile.accelerator, artifacts=artifacts
        )

    return start


def _work_of(board: PairedDevice) -> tuple[str, ArtifactSource | None]:
    """The runtime of a board, and what makes the programs that it needs."""
    runtime, target = _runtime_of_board(board)
    return runtime, _artifacts_for(runtime, target)


def _runtime_of_board(board: PairedDevice) -> tuple[str, str]:
    if not board.profile:
        return "onnx", ""
    profile = device_profile(board.profile)
    if not isinstance(profile, BoardProfile):
        raise DeviceProfileError(
            f"{board.name} was paired as a {board.profile}, which is no kind of board",
            hint=f"pair again: metanas-profile pair {board.ssh} --profile PROFILE",
        )
    return profile.runtime, profile.target


def _artifacts_for(runtime: str, target: str) -> ArtifactSource | None:
    """What makes the programs that a runtime needs, None where it needs none."""
    if runtime != "native":
        return None
    from metanas.native import NativeArtifacts  # noqa: PLC0415 - slow, and needs an extra

    return NativeArtifacts(target)


def _files() -> dict[str, Path]:
    folders = (profiles_folder() / "devices", user_devices_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _reachable_names() -> list[str]:
    """Names that `open_device` could reach: not those of kinds of boards, or broken files."""
    boards = [name_of(board) for board in paired_devices()]
    return [*(name for name in device_names() if not _is_board(name)), *boards]


def _is_board(name: str) -> bool:
    try:
        return isinstance(device_profile(name), BoardProfile)
    except DeviceProfileError:
        return False
