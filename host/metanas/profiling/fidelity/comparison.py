"""Fidelity: does a table's sum agree with the whole network on the device? Measure some and see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metanas.devices.device import Device, DeviceDescription
from metanas.errors import CalibrationError, TableMismatchError
from metanas.profiling.fidelity.calibration import CalibrationReport, Times, calibrate
from metanas.profiling.fidelity.whole_networks import NetworkTiming, measure_networks
from metanas.profiling.table import LatencyTable, space_of, timer_of
from metanas.spaces import SearchSpace


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Networks that were measured, beside what a table says of them.

    Args:
        timings: of whole networks.
        predicted_ms: the table's plain sums, (networks,).
        measured_ms: their latency at the pace of the table, (networks,).
    """

    timings: tuple[NetworkTiming, ...]
    predicted_ms: Times
    measured_ms: Times


def calibrate_table(
    device: Device,
    table: LatencyTable,
    journal_path: Path,
    *,
    networks: int = 20,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[LatencyTable, CalibrationReport]:
    """Measure random networks of a table's space, and give the table a correction.

    Args:
        device: that the table is of.
        table: with all rows of its space.
        journal_path: where timings are written; a killed run goes on from there, and it is
            removed in the end.
        networks: how many to measure.
        seed: of their choice, weights and order.
        on_progress: called with the timings done and to do.

    Returns:
        The table with its calibration, and what was found.

    Raises:
        TableBusyError: another run is at work on the journal.
        TableMismatchError: the table is of another device, runtime or kind of timing, or of no
            single space.
        MissingRowsError: the table lacks layers of a network.
        CalibrationError: too few networks could be timed.
        DeviceError: the device went away, or cannot run models.
        MeasurementFailedError: a network could not be timed.
    """
    space = space_of(table)
    check_same_device(table, device.describe())
    genes = space.sample(networks, np.random.default_rng(seed))
    table.latency_ms(space, genes)  # missing rows are found before anything is timed
    timings = measure_networks(
        device, space, genes, timer_of(table), journal_path, seed=seed, on_progress=on_progress
    )
    compared = compare_networks(table, space, timings)
    report = calibrate(compared.predicted_ms, compared.measured_ms)
    journal_path.unlink(missing_ok=True)
    header = replace(table.header, calibration=report.calibration)
    return LatencyTable(header, table.rows), report


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
    usable = tuple(timing for timing in timings if timing.latency.verdict != "throttled")
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
    return Compared(usable, table.uncalibrated.latency_ms(space, genes), measured_ms)


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
            table.shared("runtime_version"),
            device.runtimes.get(runtime, "none"),
        ),
    }
    for what, (theirs, here) in pairs.items():
        if theirs != here:
            raise TableMismatchError(
                f"{what}: the table says {theirs}, {device.name} says {here}",
                hint="give the table of this device, or profile it again",
            )
