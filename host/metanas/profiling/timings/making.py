"""Making: how a sweep or a table is made, so that unlike timings never meet in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metanas.devices.device import DeviceDescription
from metanas.errors import DeviceError, TableMismatchError
from metanas.profiling.table import LatencyTable, Scalar
from metanas_agent.measurement import METHOD_VERSION, Measurement
from metanas_agent.timer import TimerSettings

Making = dict[str, Any]
"""Device, runtimes, method, space and timer, as plain values."""


def making_of(
    device: DeviceDescription, space: Mapping[str, Scalar], settings: TimerSettings
) -> Making:
    """How a sweep is made now.

    Args:
        device: what it says of itself.
        space: settings of the search space.
        settings: of the timer.
    """
    return _making(device, space, plain_settings(settings), METHOD_VERSION)


def making_of_table(table: LatencyTable) -> Making:
    """How a table was made; one of several spaces was merged, and is like no sweep."""
    header = table.header
    space = header.spaces[0] if len(header.spaces) == 1 else {}
    return _making(header.device, space, header.timer, table.shared("method"))


def plain_settings(settings: TimerSettings) -> dict[str, Scalar]:
    """As a table's header holds them: what is None is left out."""
    return {name: value for name, value in settings.to_dict().items() if value is not None}


def check_same_making(path: Path, theirs: Making, ours: Making) -> None:
    """Refuse to go on from a file that was made in another way.

    Raises:
        TableMismatchError: names what differs.
    """
    there, here = dict(_flat(theirs)), dict(_flat(ours))
    differences = [
        f"{name} was {there.get(name, 'not set')}, now {here.get(name, 'not set')}"
        for name in dict.fromkeys((*there, *here))
        if there.get(name) != here.get(name)
    ]
    if differences:
        raise TableMismatchError(
            f"{path} was made in another way: {'; '.join(differences)}",
            hint="use the same settings to go on, --fresh to start over, or another --out",
        )


def check_named_runtime(row: Measurement, device: DeviceDescription) -> None:
    """See that a row's runtime is one of which `making_of` has the version.

    Raises:
        DeviceError: it is not: the process that was asked for it had been killed.
    """
    if row.runtime not in device.runtimes:
        raise DeviceError(
            f"{device.name} measured with {row.runtime}, which it did not name among its runtimes "
            "before",
            hint="something may have killed its test process there; try again",
        )


def _making(
    device: DeviceDescription,
    space: Mapping[str, Scalar],
    timer: Mapping[str, Scalar],
    method: Scalar | None,
) -> Making:
    return {
        "device": {
            "name": device.name,
            "machine": device.machine,
            "processor": device.processor,
            "source": device.source,
            "runtimes": device.runtimes,
        },
        "method": method,
        "space": dict(space),
        "timer": dict(timer),
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
