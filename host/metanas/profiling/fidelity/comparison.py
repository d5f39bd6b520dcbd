"""Fidelity: does a table's sum agree with the whole network on the device? Measure some and see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas.devices.device import DeviceDescription
from metanas.errors import CalibrationError, TableMismatchError
from metanas.profiling.fidelity.additivity import Times
from metanas.profiling.fidelity.network_timings import NetworkTiming
from metanas.profiling.table import LatencyTable, Scalar
from metanas.spaces import Genes, SearchSpace
from metanas_agent.measurement import Measurement


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Networks that were measured, beside what a table says of them.

    Args:
        timings: of whole networks.
        genes: (networks, genes).
        predicted_ms: the table's plain sums, (networks,).
        measured_ms: their latency at the pace of the table, (networks,).
    """

    timings: tuple[NetworkTiming, ...]
    genes: Genes
    predicted_ms: Times
    measured_ms: Times


def compare_networks(
    table: LatencyTable, space: SearchSpace[Any], timings: Sequence[NetworkTiming]
) -> Compared:
    """What a table's plain sums say of networks that were measured.

    Machines change their pace. So a network's latency is divided by how much slower the sentinel
    was around it than in the table's sweep. What was timed while throttled is left out.

    Raises:
        MissingRowsError: the table lacks layers of a network.
        CalibrationError: every timing was throttled.
    """
    usable = tuple(timing for timing in timings if timing.is_usable)
    if not usable:
        raise CalibrationError(
            f"{len(timings)} networks were timed, all of them while the device was throttled",
            hint="let it cool, and see what doctor says of it",
        )
    sentinel = table.header.sentinel
    genes = space.encode([space.parse(timing.architecture) for timing in usable])
    measured_ms = np.array([timing.latency.median_ms for timing in usable])
    if sentinel and sentinel.median_ms:
        measured_ms *= [sentinel.median_ms / timing.sentinel_ms for timing in usable]
    return Compared(usable, genes, table.uncalibrated.latency_ms(space, genes), measured_ms)


def check_same_device(table: LatencyTable, device: DeviceDescription) -> None:
    """Refuse to compare a table with another device or runtime than it is of.

    Raises:
        TableMismatchError: names what differs.
    """
    ours = table.header.device
    runtime = str(table.shared("runtime"))
    pairs = {
        "processor": (ours.processor, device.processor),
        "machine": (ours.machine, device.machine),
        "source": (table.shared("source"), device.source),
        f"version of {runtime}": (
            ours.runtimes.get(runtime, "none"),
            device.runtimes.get(runtime, "none"),
        ),
    }
    _check_same(pairs, device.name)


def check_same_rows(table: LatencyTable, timing: Measurement, device: str) -> None:
    """Refuse to compare a table's rows with what was timed by another runtime, or otherwise.

    Cold caches are part of a row's version, so they are compared here, not by `check_same_device`.

    Args:
        table: with the rows.
        timing: of a whole network.
        device: its name.

    Raises:
        TableMismatchError: names what differs.
    """
    pairs = {
        "runtime of rows and of networks": (table.shared("runtime"), timing.runtime),
        f"version of {timing.runtime} of rows and of networks": (
            table.shared("runtime_version"),
            timing.runtime_version,
        ),
    }
    _check_same(pairs, device)


def _check_same(pairs: Mapping[str, tuple[Scalar | None, Scalar]], device: str) -> None:
    for what, (theirs, here) in pairs.items():
        if theirs != here:
            raise TableMismatchError(
                f"{what}: the table says {theirs}, {device} says {here}",
                hint="give the table of this device, or profile it again",
            )
