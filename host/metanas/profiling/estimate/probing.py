"""Probing: measure the few layers of a new device that its table is estimated from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from metanas.devices.device import Device
from metanas.errors import EmulatedTableError
from metanas.profiling.estimate.table import Estimator, measured_rows
from metanas.profiling.sweep import SweepProgress, profile
from metanas.profiling.table import CALL, LatencyTable, space_of, table_name
from metanas_agent.layers import LayerSpec
from metanas_agent.timer import TimerSettings


def measure_rows(
    device: Device, table: LatencyTable, layers: Sequence[LayerSpec], folder: Path
) -> LatencyTable:
    """Measure layers as the measured rows of a table were, into the device's measured table.

    Args:
        device: that the table is of.
        table: has estimated rows of these layers.
        layers: to measure; what is measured already is only looked up.
        folder: where the measured table lies, or will lie.

    Raises:
        TableMismatchError: the device, its runtime or its processor is another one by now.
        TableError: see `profile`.
        DeviceError: see `profile`.
        MeasurementFailedError: see `profile`.
    """
    space, source = space_of(table), device.describe().source
    settings = replace(TimerSettings(core=None), **table.header.timer)  # type: ignore[arg-type]
    out = folder / table_name(
        table.header.device.name,
        space,
        source,
        cache=settings.cache,
        threads=settings.threads,
    )
    return profile(device, space, settings, out, seed=settings.seed, only=(CALL, *layers))


def measure_probes(
    device: Device,
    estimator: Estimator,
    settings: TimerSettings,
    out: Path,
    *,
    probes: int,
    rounds: int = 2,
    seed: int = 0,
    on_progress: Callable[[SweepProgress], None] = lambda _: None,
) -> LatencyTable:
    """Measure the call and `probes` layers; the table of them is one that a sweep goes on from.

    Half of them are chosen by what other devices say, the rest by what the first half says too.
    What `out` holds already counts as measured.

    Args:
        device: the new one.
        estimator: of its table.
        settings: of the timer.
        out: path of the measured table.
        probes: how many layers.
        rounds: how often each is timed.
        seed: of their order.
        on_progress: as of `profile`.

    Raises:
        EmulatedTableError: the device is emulated, so its times are nobody's.
        MissingRowsError: the call of the runtime could not be timed.
        TableError: see `profile`.
        DeviceError: see `profile`.
        MeasurementFailedError: see `profile`.
    """
    if device.describe().source == "emulated":
        raise EmulatedTableError(
            f"{device.name} is emulated: its times tell nothing of a board",
            hint="probe the board itself",
        )
    first = (CALL, *estimator.choose_probes(probes // 2))

    def measure(layers: tuple[LayerSpec, ...]) -> LatencyTable:
        return profile(
            device,
            estimator.space,
            settings,
            out,
            rounds=rounds,
            seed=seed,
            only=layers,
            on_progress=on_progress,
        )

    table = measure(first)
    lacking = probes - len(measured_rows(table))
    return measure(estimator.choose_probes(lacking, table)) if lacking > 0 else table
