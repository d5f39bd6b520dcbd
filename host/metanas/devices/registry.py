"""Devices by name: those that metanas brings, then the user's own, which may replace them."""

from __future__ import annotations

import os
from pathlib import Path

import metanas
from metanas.devices.client import AgentDevice
from metanas.devices.device import Device
from metanas.devices.local import LocalAgent
from metanas.devices.profile import (
    Address,
    AgentProfile,
    DeviceProfile,
    LocalProfile,
    SimulatorProfile,
    read_profile,
)
from metanas.errors import UnknownDeviceError


def profiles_folder() -> Path:
    """The folder of profiles that metanas brings: beside the package, or in the source tree."""
    package = Path(metanas.__file__).parent
    installed = package / "_profiles"
    return installed if installed.is_dir() else package.parents[1] / "profiles"


def user_devices_folder() -> Path:
    """Where a user keeps devices of their own, as `NAME.toml`."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "metanas" / "devices"


def device_names() -> tuple[str, ...]:
    """Names of all known devices, sorted."""
    return tuple(sorted(_files()))


def device_profile(name: str) -> DeviceProfile:
    """What is known of a device; `HOST:PORT` is a device too.

    Raises:
        UnknownDeviceError: no device has that name.
        DeviceProfileError: its file makes no sense.
    """
    if path := _files().get(name):
        return read_profile(path)
    if address := Address.parse(name):
        return AgentProfile(description="", address=address)
    raise UnknownDeviceError(
        f"unknown device {name!r}",
        hint=f"choose from {', '.join(device_names())}, give HOST:PORT of a running agent, "
        f"or describe it in {user_devices_folder() / 'NAME.toml'}",
    )


def open_device(name: str) -> Device:
    """Reach a device; close it after use.

    Args:
        name: one of `device_names()`, or `HOST:PORT`.

    Raises:
        UnknownDeviceError: no device has that name.
        DeviceProfileError: its file makes no sense.
        AgentUnreachableError: its agent does not answer.
        VersionMismatchError: its agent speaks another major version of the protocol.
    """
    match device_profile(name):
        case LocalProfile(runtime=runtime):
            return LocalAgent(name, runtime=runtime)
        case AgentProfile(address=address, runtime=runtime):
            return AgentDevice(name, address.host, address.port, runtime=runtime)
        case SimulatorProfile(settings=settings):
            from metanas_simulators import make_simulator  # noqa: PLC0415 - only when asked for

            return make_simulator(name, settings)


def _files() -> dict[str, Path]:
    folders = (profiles_folder() / "devices", user_devices_folder())
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
