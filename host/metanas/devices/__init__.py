"""Find and reach a device."""

from metanas.devices.client import AgentDevice
from metanas.devices.device import Device, DeviceDescription, ModelRun
from metanas.devices.local import LocalAgent
from metanas.devices.profile import (
    Address,
    AgentProfile,
    DeviceProfile,
    LocalProfile,
    SimulatorProfile,
    read_profile,
)
from metanas.devices.registry import (
    device_names,
    device_profile,
    open_device,
    profiles_folder,
    user_devices_folder,
)

__all__ = [
    "Address",
    "AgentDevice",
    "AgentProfile",
    "Device",
    "DeviceDescription",
    "DeviceProfile",
    "LocalAgent",
    "LocalProfile",
    "ModelRun",
    "SimulatorProfile",
    "device_names",
    "device_profile",
    "open_device",
    "profiles_folder",
    "read_profile",
    "user_devices_folder",
]
