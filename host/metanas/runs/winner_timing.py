"""What the closed loop does on a device: time a winner, and mend the table that was wrong of it."""

from __future__ import annotations

from collections.abc import Callable

from metanas.deploy import Network, Verification, adapted_from_file, verify
from metanas.devices import Device
from metanas.profiling import calibrate_table, network_model, read_table, slowdown
from metanas.profiling.table import timer_of
from metanas.runs.folder import RunFolder
from metanas.runs.verifying import predict
from metanas_agent.timer import TimerSettings

_TIMINGS = 3
"""The middle one counts."""


def measure_winner(
    device: Device,
    folder: RunFolder,
    architecture: str,
    timer: TimerSettings,
    *,
    latency_tolerance: float,
) -> Verification:
    """Time an architecture, before it is trained, with random weights: they change no latency.

    Raises:
        DeviceError: the device cannot run models, or went away.
        MissingRowsError: the device's table lacks one of its layers.
    """
    table = read_table(folder.table(device.name))
    space = folder.priced_space(folder.settings.load_data())
    model = network_model(space, space.parse(architecture), seed=folder.settings.seed)
    adapted = adapted_from_file(model, count=1)
    settings = timer_of(table, timer)
    return verify(
        device,
        [adapted] * _TIMINGS,
        network=Network(name="winner", architecture=architecture),
        predicted=predict(space, architecture, table),
        settings=settings,
        latency_tolerance=latency_tolerance,
        pace=lambda: slowdown(device, table, settings),
    )


def calibrate_own_table(
    device: Device,
    folder: RunFolder,
    *,
    number: int,
    networks: int = 20,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Calibrate the run's copy of a device's table with other random networks each time.

    Raises:
        CalibrationError: too few networks could be timed.
        TableMismatchError: the device has changed since its table was made.
        DeviceError: the device cannot run models, or went away.
    """
    path = folder.table(device.name)
    folder.replace_table(device.name, read_table(path))  # the one that was given is kept
    seed = folder.settings.seed + number
    calibrate_table(device, path, networks=networks, seed=seed, on_progress=on_progress)
