"""Pace: is the device as fast now as it was when its table was made?"""

from __future__ import annotations

from metanas.devices.device import Device
from metanas.profiling.table import LatencyTable
from metanas_agent.layers import parse_layer
from metanas_agent.timer import TimerSettings


def slowdown(device: Device, table: LatencyTable, settings: TimerSettings) -> float | None:
    """The sentinel's latency now, divided by its median during the sweep.

    1 means that the device is as fast as then; None that its sweep had no sentinel.

    Raises:
        DeviceError: the device cannot be reached or is busy.
        MeasurementFailedError: the sentinel could not be timed.
    """
    sentinel = table.header.sentinel
    if sentinel is None or not sentinel.median_ms:
        return None
    (row,) = device.measure([parse_layer(sentinel.key)], settings)
    return row.median_ms / sentinel.median_ms
