"""Calibrating a table's file: measure whole networks of its space, and write what they say.

hold the table, as a sweep does, and the journal of its networks
time random networks and such as a search would choose, compare them with the table's sums, fit
write the correction into the table, unless the table has changed meanwhile; remove the journal
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from metanas.devices.device import Device
from metanas.errors import CalibrationError, TableMismatchError, UnsupportedError
from metanas.profiling.fidelity.calibration import FEWEST_NETWORKS, CalibrationReport, calibrate
from metanas.profiling.fidelity.choice import as_searched
from metanas.profiling.fidelity.comparison import (
    check_same_device,
    check_same_rows,
    compare_networks,
)
from metanas.profiling.fidelity.network_timings import NetworkTiming
from metanas.profiling.fidelity.whole_networks import measure_networks
from metanas.profiling.table import LatencyTable, read_table, space_of, timer_of, write_table
from metanas.profiling.timings import exclusive, journal_path
from metanas.provenance import provenance
from metanas.spaces import SearchSpace
from metanas_agent.layers import parse_layer

ROUNDS = 3
"""Timings of each network: of fewer, none is the middle one."""


def calibrate_table(
    device: Device,
    path: Path,
    *,
    networks: int = 20,
    seed: int = 0,
    fresh: bool = False,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> CalibrationReport:
    """Measure networks of a table's space, and write a correction into the table.

    Half of them are random, half what a search would choose by this table: it may prefer what the
    table underestimates, and goes to the smallest and the largest networks, where random ones are
    rare. Each is timed three times, and the middle timing counts, as it does when a winner is
    verified. The rows stay as they are. A killed run goes on from its journal beside the table.

    Args:
        device: that the table is of.
        path: of the table; it has the rows of the networks.
        networks: how many to measure.
        seed: of their choice, weights and order.
        fresh: start over, whatever the journal holds; a killed fresh run goes on.
        on_progress: called with the timings done and to do.

    Raises:
        TableBusyError: a sweep or another calibration is at work on the table.
        TableError: the table or the journal is broken.
        TableMismatchError: the table is of another device, runtime or kind of timing, or of no
            single space; or it changed meanwhile, and stays as it is.
        MissingRowsError: the table lacks layers of a network.
        CalibrationError: too few networks could be timed; the journal is removed.
        UnsupportedError: the device is simulated, and runs no networks.
        DeviceError: the device went away, or cannot run models.
        MeasurementFailedError: a network could not be timed.
    """
    journal = networks_journal(path)
    with exclusive(journal_path(path)), exclusive(journal):
        table = read_table(path)
        space, description, sentinel = space_of(table), device.describe(), table.header.sentinel
        if description.source == "simulated":
            raise UnsupportedError(
                f"{device.name} is simulated: it runs no networks to calibrate {path} with",
                hint="calibrate a table of a device that runs them, such as local",
            )
        check_same_device(table, description)
        rng = np.random.default_rng(seed)
        random = space.sample(networks - networks // 2, rng)
        table.latency_ms(space, random)  # missing rows are found before anything is timed
        chosen = as_searched(table.uncalibrated, space, networks // 2, rng)
        kinds = [*["random"] * len(random), *["chosen"] * len(chosen)]
        timings = measure_networks(
            device,
            space,
            np.concatenate([random, chosen]),
            timer_of(table),
            journal,
            rounds=ROUNDS,
            seed=seed,
            sentinel=parse_layer(sentinel.key) if sentinel else None,
            fresh=fresh,
            locked=True,
            check=lambda timing: check_same_rows(table, timing, description.name),
            on_progress=on_progress,
        )
        try:
            report = _report(table, space, timings, kinds)
        except CalibrationError:  # with these timings, it would end so again
            journal.unlink(missing_ok=True)
            raise
        line = replace(report.calibration, made=provenance(seed=seed))
        if read_table(path) != table:
            raise TableMismatchError(
                f"{path} was written by another command while its networks were timed",
                hint="calibrate it again; what was timed is kept",
            )
        write_table(LatencyTable(replace(table.header, calibration=line), table.rows), path)
        journal.unlink(missing_ok=True)
    return replace(report, calibration=line)


def networks_journal(table: Path) -> Path:
    """Where the timings of whole networks lie, of a calibration that has not ended."""
    return table.with_name(f"{table.name}.networks.jsonl")


def _report(
    table: LatencyTable,
    space: SearchSpace[Any],
    timings: tuple[NetworkTiming, ...],
    kinds: Sequence[str],
) -> CalibrationReport:
    compared = compare_networks(table, space, timings)
    throttled = len(timings) - len(compared.timings)
    if throttled and len(compared.timings) < FEWEST_NETWORKS:
        raise CalibrationError(
            f"{len(timings)} networks were timed, {throttled} of them while the device was "
            f"throttled; a line takes at least {FEWEST_NETWORKS} others",
            hint="let it cool, and see what doctor says of it",
        )
    report = calibrate(
        compared.predicted_ms,
        compared.measured_ms,
        size_bytes=space.size_bytes(compared.genes),
        kinds=[kind for kind, timing in zip(kinds, timings, strict=True) if timing.is_usable],
        cheapest_ms=_cheapest_ms(table.uncalibrated, space),
    )
    return replace(report, throttled=throttled)


def _cheapest_ms(table: LatencyTable, space: SearchSpace[Any]) -> float:
    """The table's least sum, over the architectures that it has the rows of."""
    missing = set(table.missing(space.all_layers))
    costs_ms = [
        math.inf if layer.key in missing else table.layer_ms(layer) for layer in space.all_layers
    ]
    cheapest = space.encode([space.cheapest(np.array(costs_ms))])
    return float(table.latency_ms(space, cheapest)[0])
