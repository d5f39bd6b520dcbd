"""Int8 in a run folder: is the quantised network worth it on a device?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from metanas.deploy import (
    AdaptedNetwork,
    Int8Trial,
    Prediction,
    QuantisableTask,
    check_int8,
    try_int8,
    write_trial,
)
from metanas.devices import Device
from metanas.files import write_bytes
from metanas.profiling import read_table, table_dtype
from metanas.runs.deployment import export
from metanas.runs.folder import RunFolder
from metanas.runs.opset import readable_opset
from metanas.runs.training import FOUND, trained_architecture
from metanas.runs.verifying import predict
from metanas_agent.timer import TimerSettings


def quantise_on(
    device: Device,
    folder: RunFolder,
    timer: TimerSettings,
    *,
    name: str = FOUND,
    tasks: int = 20,
    observer: Callable[[int], None] = lambda _: None,
) -> Int8Trial:
    """Quantise a trained network's adaptations and try them; writes `quantisation.json`.

    Each task's network is calibrated on that task's support images. If int8 is kept, the first
    task's file becomes `model.int8.onnx`; if it is rejected, there is no such file.

    Args:
        device: where to run both.
        folder: with a trained network of that name.
        timer: how to time.
        name: `found`, or another training's.
        tasks: number of test tasks.
        observer: called with the number of tasks done so far.

    Raises:
        CheckpointError: no network of that name was trained.
        ExportError: there are too few tasks, or a network cannot be exported or quantised.
        MeasurementFailedError: the device cannot load a file, or gave impossible outputs.
        UnsupportedError: its runtime has no int8.
        DeviceError: the device cannot run models, or went away.
    """
    architecture = trained_architecture(folder, name)
    check_int8(device)  # exporting takes long
    predicted = _promised(folder, device.name, architecture)
    networks = export(folder, name, tasks=tasks, opset=readable_opset(device))
    trial, model = try_int8(
        device,
        _with_support_images(folder, networks),
        name=name,
        architecture=architecture,
        settings=timer,
        predicted=predicted,
        on_tried=observer,
    )
    if trial.kept:
        write_bytes(folder.int8_model, model)
    else:
        folder.int8_model.unlink(missing_ok=True)
    write_trial(folder.quantisation, trial)
    return trial


def _with_support_images(
    folder: RunFolder, networks: Sequence[AdaptedNetwork]
) -> list[QuantisableTask]:
    """What each network was adapted to: a sampler draws the same tasks again."""
    sampler = folder.settings.sampler(folder.settings.load_data(), "test")
    tasks = []
    for number, network in enumerate(networks):
        images = sampler.batch(number, 1).support_images[0].numpy()
        tasks.append(QuantisableTask(network=network, support_images=images))
    return tasks


def _promised(folder: RunFolder, device: str, architecture: str) -> Prediction | None:
    """Where the run was searched with the device's int8 table."""
    path = folder.tables.get(device)
    if path is None or table_dtype(path) != "int8":
        return None
    return predict(folder.priced_space(folder.settings.load_data()), architecture, read_table(path))
