"""Verification: a run's network, or a file, on a device, against what was promised of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metanas.deploy import (
    LATENCY_TOLERANCE,
    Network,
    Prediction,
    Verification,
    adapted_from_file,
    architecture_of,
    verify,
    write_verification,
)
from metanas.devices import Device
from metanas.errors import ExportError, UnsupportedError
from metanas.profiling import LatencyTable, slowdown
from metanas.profiling.fidelity.comparison import check_same_device
from metanas.profiling.table import space_of, timer_of
from metanas.runs.deployment import export
from metanas.runs.folder import RunFolder
from metanas.runs.opset import readable_opset
from metanas.runs.training import FOUND, trained_architecture
from metanas.spaces import SearchSpace
from metanas_agent.timer import TimerSettings


def predict(space: SearchSpace[Any], architecture: str, table: LatencyTable) -> Prediction:
    """The latency that a table promises for an architecture, and the memory that its space does.

    Raises:
        MissingRowsError: the table lacks one of its layers.
    """
    genes = space.encode([space.parse(architecture)])
    low_ms, high_ms = table.interval_ms(space, genes)
    return Prediction(
        latency_ms=float(table.latency_ms(space, genes)[0]),
        low_ms=float(low_ms[0]),
        high_ms=float(high_ms[0]),
        source=str(table.shared("source")),
        memory_bytes=int(space.memory_bytes(genes)[0]),
    )


def verify_on(
    device: Device,
    folder: RunFolder,
    table: LatencyTable | None,
    timer: TimerSettings,
    *,
    name: str = FOUND,
    episodes: int = 5,
    latency_tolerance: float = LATENCY_TOLERANCE,
    observer: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Export, run on the device, compare, and write `verify.json`.

    The table's sentinel is timed between the runs, so that a device that is slower than when its
    table was made is not mistaken for a wrong table.

    Args:
        device: where to run it.
        folder: with a trained network of that name.
        table: of the device; without one, nothing was promised.
        timer: how long and how surely to time; all else is as the table's rows were timed.
        name: `found`, or another training's.
        episodes: test tasks to adapt to.
        latency_tolerance: largest share that the measured latency may be off.
        observer: called with the number of episodes done so far.

    Raises:
        ExportError: a file does not agree with its network.
        DeviceError: the device cannot be reached or cannot run models.
        MissingRowsError: the table lacks one of the architecture's layers.
        UnsupportedError: the table is of int8.
    """
    space = folder.settings.make_space(folder.settings.load_data())
    if table and any(settings.get("dtype") == "int8" for settings in table.header.spaces):
        raise UnsupportedError(
            "the table is of int8, and this would run the float32 network",
            hint="metanas quantise runs both there; or verify with a table of float32",
        )
    architecture = trained_architecture(folder, name)
    predicted = predict(space, architecture, table) if table else None
    networks = export(folder, name, tasks=episodes, opset=readable_opset(device))
    settings = timer_of(table, timer) if table else timer
    verification = verify(
        device,
        networks,
        network=Network(name=name, architecture=architecture),
        predicted=predicted,
        settings=settings,
        latency_tolerance=latency_tolerance,
        pace=lambda: slowdown(device, table, settings) if table else None,
        on_verified=observer,
    )
    write_verification(folder.verification, verification)
    return verification


def verify_file(
    device: Device,
    path: Path,
    timer: TimerSettings,
    *,
    table: LatencyTable | None = None,
    pictures: Path | None = None,
    count: int = 20,
    latency_tolerance: float = LATENCY_TOLERANCE,
) -> Verification:
    """Run an ONNX file on the device, and compare with what the host makes of it.

    Args:
        device: where to run it.
        path: the file.
        timer: how long and how surely to time.
        table: of the device; says what latency to expect of the architecture that the file names.
        pictures: a folder of pictures, or of a folder of pictures for each of the model's labels.
        count: random images, if there are no pictures.
        latency_tolerance: largest share that the measured latency may be off.

    Raises:
        DataError: the pictures are broken, or not what the model knows.
        ExportError: the file is broken, or does not say what is asked of it.
        DeviceError: the device cannot be reached or cannot run models.
        MissingRowsError: the table lacks one of the architecture's layers.
        TableMismatchError: the table is of another device or of several spaces.
    """
    model = path.read_bytes()
    adapted = adapted_from_file(
        model, pictures=pictures, count=count, seed=timer.seed, name=str(path)
    )
    architecture = architecture_of(model)
    predicted = None
    if table:
        check_same_device(table, device.describe())
        if not architecture:
            raise ExportError(
                f"{path} does not say its architecture, so no table can say its latency",
                hint="verify it without a table, or export it with `metanas export`",
            )
        predicted = predict(space_of(table), architecture, table)
    settings = timer_of(table, timer) if table else timer
    return verify(
        device,
        [adapted],
        network=Network(name=path.name, architecture=architecture),
        predicted=predicted,
        settings=settings,
        latency_tolerance=latency_tolerance,
        pace=lambda: slowdown(device, table, settings) if table else None,
    )
