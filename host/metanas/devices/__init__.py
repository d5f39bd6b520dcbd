"""Find and reach a device."""

from metanas.address import Address
from metanas.devices.client import AgentDevice
from metanas.devices.device import Device, DeviceDescription, ModelRun
from metanas.devices.discovery import Discovered, discover
from metanas.devices.endpoint import Endpoint, TcpEndpoint, TlsEndpoint, UnixEndpoint
from metanas.devices.inventory import DeviceEntry, Inventory, inventory
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
from metanas.devices.registry import (
    canonical_name,
    device_names,
    device_profile,
    name_of,
    open_board,
    open_device,
    profiles_folder,
    runtime_of,
    user_devices_folder,
)
from metanas.devices.upload import ArtifactSource

__all__ = [
    "Address",
    "AgentDevice",
    "AgentProfile",
    "ArtifactSource",
    "BoardProfile",
    "Device",
    "DeviceDescription",
    "DeviceEntry",
    "DeviceProfile",
    "Discovered",
    "Endpoint",
    "Inventory",
    "LocalAgent",
    "LocalProfile",
    "ModelRun",
    "PairedEndpoint",
    "ReconnectingDevice",
    "SimulatorProfile",
    "TcpEndpoint",
    "TlsEndpoint",
    "UnixEndpoint",
    "canonical_name",
    "device_names",
    "device_profile",
    "discover",
    "inventory",
    "name_of",
    "open_board",
    "open_device",
    "profiles_folder",
    "read_profile",
    "runtime_of",
    "user_devices_folder",
]
