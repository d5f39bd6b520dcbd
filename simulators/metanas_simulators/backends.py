"""Backends: ways to compute latencies, and the devices that files describe with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metanas.errors import DeviceProfileError
from metanas_simulators.accelerator import Accelerator
from metanas_simulators.device import SimulatedDevice
from metanas_simulators.row_stationary import RowStationaryArray
from metanas_simulators.scale_sim import ScaleSim
from metanas_simulators.simulation import Simulator
from metanas_simulators.systolic import SystolicArray

BACKENDS: dict[str, Callable[[Accelerator], Simulator]] = {
    "row-stationary": RowStationaryArray,
    "scale-sim": ScaleSim,
    "systolic": SystolicArray,
}
"""What simulates an accelerator, by the `backend` of a device file."""


def make_simulator(name: str, settings: Mapping[str, Any]) -> SimulatedDevice:
    """Make the simulated device that a device file describes.

    Args:
        name: what the device is called.
        settings: `backend`, and the fields of an `Accelerator`.

    Raises:
        DeviceProfileError: the backend or a field is wrong; the message names it.
        ExtraMissingError: the backend needs a package that is not there.
    """
    fields = dict(settings)
    backend = fields.pop("backend", None)
    if backend not in tuple(BACKENDS):
        raise DeviceProfileError(
            f"device {name}: backend is {backend!r}", hint=f"use one of {', '.join(BACKENDS)}"
        )
    try:
        simulator = BACKENDS[backend](Accelerator.from_settings(fields))
    except DeviceProfileError as error:
        raise DeviceProfileError(f"device {name}: {error.what}", hint=error.hint) from error
    return SimulatedDevice(name, backend, simulator)
