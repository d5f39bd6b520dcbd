"""In which opset a device reads an exported network."""

from __future__ import annotations

from metanas.deploy import choose_opset
from metanas.devices import Device


def readable_opset(device: Device, wanted: int | None = None) -> int | None:
    """What the device's ONNX Runtime reads, None where it does not say that it has one.

    Args:
        device: to ask.
        wanted: an opset that it must read; None for what suits it.

    Raises:
        ExportError: its ONNX Runtime is too old for it, or for every opset of exported networks.
        DeviceError: it cannot be reached.
    """
    version = device.describe().runtimes.get("onnx")
    return choose_opset(wanted, runtime_version=version, device=device.name) if version else None
