"""In which opset a device reads an exported network."""

from __future__ import annotations

from metanas.deploy import choose_opset
from metanas.devices import Device


def readable_opset(device: Device) -> int | None:
    """What the device's ONNX Runtime reads, None where it does not say that it has one.

    Raises:
        ExportError: its ONNX Runtime is too old for every opset that networks are exported in.
        DeviceError: it cannot be reached.
    """
    version = device.describe().runtimes.get("onnx")
    return choose_opset(None, runtime_version=version, device=device.name) if version else None
