"""Both files of each task, float32 and int8, run on a device, one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.accuracy import accuracy_of
from metanas.deploy.adapted_network import AdaptedNetwork
from metanas.deploy.int8_trial import FEWEST_TASKS, Int8Trial, Paired, Side
from metanas.deploy.prediction import Prediction
from metanas.deploy.quantisation import quantise
from metanas.devices.device import Device, ModelRun
from metanas.errors import ExportError, MeasurementFailedError, UnsupportedError
from metanas.provenance import provenance
from metanas_agent.timer import TimerSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuantisableTask:
    """A task's exported network, and what to calibrate its int8 file with.

    Args:
        network: its float32 file, query images and their labels.
        support_images: (images, channels, height, width), normalised.
    """

    network: AdaptedNetwork
    support_images: NDArray[np.float32]


class Tried(NamedTuple):
    """The verdict, and the int8 file of the first task."""

    trial: Int8Trial
    model: bytes


def try_int8(
    device: Device,
    tasks: Sequence[QuantisableTask],
    *,
    name: str,
    architecture: str,
    settings: TimerSettings,
    predicted: Prediction | None = None,
    on_tried: Callable[[int], None] = lambda _: None,
) -> Tried:
    """Quantise each task's network and run both files on the device, taking turns who is first.

    Args:
        device: where to run them.
        tasks: one architecture adapted to several tasks.
        name: of the training in the run folder, such as `found`.
        architecture: its text.
        settings: how to time.
        predicted: what an int8 table of the device promises of the int8 file.
        on_tried: called with the number of tasks done so far.

    Raises:
        ExportError: there are too few tasks, or one cannot be quantised.
        MeasurementFailedError: the device cannot load a file, or gave impossible outputs.
        UnsupportedError: its runtime has no int8.
        DeviceError: the device cannot run models, or went away.
    """
    if len(tasks) < FEWEST_TASKS:
        raise ExportError(
            f"{len(tasks)} tasks say too little of int8's accuracy",
            hint=f"give {FEWEST_TASKS} or more; 20 are usual",
        )
    for task in tasks:
        task.network.check()
    check_int8(device)
    float32: list[ModelRun] = []
    int8: list[ModelRun] = []
    first = b""
    for number, task in enumerate(tasks):
        quantised = quantise(task.network.model, task.support_images)
        first = first or quantised
        turns = [(task.network.model, float32), (quantised, int8)]
        for model, runs in turns if number % 2 == 0 else turns[::-1]:
            runs.append(_run(device, model, task.network, settings))
        on_tried(number + 1)
    labels = [task.network.labels for task in tasks]
    same = np.concatenate([_top1(a) == _top1(b) for a, b in zip(float32, int8, strict=True)])
    trial = Int8Trial(
        device=device.name,
        name=name,
        architecture=architecture,
        tasks=len(tasks),
        images=len(same),
        float32=_side(float32, labels, tasks[0].network.model),
        int8=_side(int8, labels, first),
        loss=_loss(float32, int8, labels),
        speed_up=_speed_up(float32, int8),
        top1=float(same.mean()),
        throttled=sum(run.latency.verdict == "throttled" for run in (*float32, *int8)),
        emulated=sum(run.latency.source == "emulated" for run in (*float32, *int8)),
        predicted=predicted,
        provenance=provenance(seed=settings.seed),
    )
    return Tried(trial, first)


def check_int8(device: Device) -> None:
    """Ask a device whether it has int8; one that does not tell which dtypes it has is let pass.

    Raises:
        UnsupportedError: none of its runtimes has int8.
        DeviceError: it cannot be reached.
    """
    dtypes = device.describe().dtypes
    if dtypes and not any("int8" in names.split() for names in dtypes.values()):
        told = "; ".join(f"{name}: {names}" for name, names in sorted(dtypes.items()))
        raise UnsupportedError(
            f"no runtime of {device.name} has int8 ({told})",
            hint="int8 takes onnxruntime on the device",
        )


def _run(
    device: Device, model: bytes, network: AdaptedNetwork, settings: TimerSettings
) -> ModelRun:
    run = device.run_model(model, network.images, settings)
    if run.outputs.shape != network.host_logits.shape or not np.isfinite(run.outputs).all():
        raise MeasurementFailedError(
            f"{device.name} answered no finite logits {list(network.host_logits.shape)}",
            hint="update the runtime on the device, or choose another one",
        )
    return run


def _top1(run: ModelRun) -> NDArray[np.intp]:
    chosen: NDArray[np.intp] = run.outputs.argmax(1)
    return chosen


def _loss(
    float32: Sequence[ModelRun], int8: Sequence[ModelRun], labels: Sequence[NDArray[np.integer]]
) -> Paired:
    """Accuracy of float32 minus that of int8."""
    triples = zip(float32, int8, labels, strict=True)
    return Paired.mean(
        [
            float((_top1(plain) == right).mean() - (_top1(quantised) == right).mean())
            for plain, quantised, right in triples
        ]
    )


def _speed_up(float32: Iterable[ModelRun], int8: Iterable[ModelRun]) -> Paired:
    """Latency of float32 divided by that of int8."""
    return Paired.median(
        [
            plain.latency.median_ms / quantised.latency.median_ms
            for plain, quantised in zip(float32, int8, strict=True)
        ]
    )


def _side(runs: Sequence[ModelRun], labels: Sequence[NDArray[np.integer]], model: bytes) -> Side:
    return Side(
        accuracy=accuracy_of(zip((run.outputs for run in runs), labels, strict=True)),
        latency_ms=statistics.median(run.latency.median_ms for run in runs),
        size_bytes=len(model),
        peak_memory_bytes=max(run.peak_memory_bytes or 0 for run in runs) or None,
    )
