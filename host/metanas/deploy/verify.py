"""Run exported networks on a device and compare with what the host and the table say."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from metanas.deploy.accuracy import EpisodeAccuracy, accuracy_of
from metanas.deploy.adapted_network import AdaptedNetwork, shape_text
from metanas.deploy.agreement import Logits, compare
from metanas.deploy.export import load_model
from metanas.deploy.memory import PeakMemory, runtime_memory
from metanas.deploy.prediction import Prediction
from metanas.deploy.tolerance import depth_of, dtype_of, tolerance_of
from metanas.deploy.verification import LATENCY_TOLERANCE, Network, Verification
from metanas.devices.device import Device, ModelRun
from metanas.errors import ExportError, MeasurementFailedError
from metanas.provenance import provenance
from metanas_agent.measurement import VERDICTS as _VERDICTS
from metanas_agent.timer import TimerSettings

TIMED = 20
"""More make the latency no surer, and half of the time goes into it."""


def verify(
    device: Device,
    networks: Sequence[AdaptedNetwork],
    *,
    network: Network,
    predicted: Prediction | None,
    settings: TimerSettings,
    tolerance: float | None = None,
    latency_tolerance: float = LATENCY_TOLERANCE,
    timed: int = TIMED,
    pace: Callable[[], float | None] = lambda: None,
    on_verified: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Run each network on the device, one image a call, and compare.

    The networks are one architecture adapted to several tasks, so their latencies are one
    latency measured several times: the middle measurement stands for them, with its evidence.

    Args:
        device: where to run them.
        networks: at least one.
        network: which architecture they are.
        predicted: latency and memory that were promised of it, None if nothing was.
        settings: how to time.
        tolerance: largest difference of logits, as a share of their range; by default what the
            file's dtype and depth allow.
        latency_tolerance: largest share that the measured latency may be off.
        timed: networks that are timed; of the others only the outputs are looked at.
        pace: tells how much slower the device is at this instant than when its table was made;
            asked between the runs, as machines change their pace within seconds.
        on_verified: called with the number of networks done so far.

    Raises:
        ExportError: a network is broken or its arrays do not fit it.
        MeasurementFailedError: the device cannot load a network, or gave impossible outputs.
        DeviceError: the device cannot run models, or went away.
    """
    if not networks:
        raise ExportError("no network to verify", hint="give at least one adapted network")
    for adapted in networks:
        adapted.check()
    runs = _run_all(device, networks, settings, timed, pace, on_verified)
    model = load_model(networks[0].model)
    pairs = [(n.host_logits, run.outputs) for n, run in zip(networks, runs.runs, strict=True)]
    allowed = tolerance_of(model) if tolerance is None else tolerance
    agreement = compare(pairs, tolerance=allowed)
    clocked = runs.runs[: len(runs.slowdowns)]
    notes = []
    if agreement.within and agreement.disagreements:
        notes.append(
            f"on {agreement.disagreements} images two classes tie within the tolerance, "
            "and device and host choose differently"
        )
    if throttled := sum(run.latency.verdict == "throttled" for run in clocked):
        notes.append(f"{throttled} of {len(clocked)} latencies were measured while throttled")
    middle = _middle(clocked, runs.slowdowns)
    return Verification(
        device=device.name,
        network=replace(network, dtype=dtype_of(model), depth=depth_of(model)),
        agreement=agreement,
        device_accuracy=_accuracy(networks, [run.outputs for run in runs.runs]),
        host_accuracy=_accuracy(networks, [adapted.host_logits for adapted in networks]),
        predicted=predicted,
        measured=clocked[middle].latency,
        medians_ms=tuple(run.latency.median_ms for run in clocked),
        memory=_memory(device, networks[0], clocked, settings),
        slowdown=runs.slowdowns[middle],
        notes=tuple(notes),
        latency_tolerance=latency_tolerance,
        provenance=provenance(seed=settings.seed),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """All runs, and how slow the device was during those that were timed, which come first."""

    runs: list[ModelRun]
    slowdowns: list[float | None]


def _run_all(
    device: Device,
    networks: Sequence[AdaptedNetwork],
    settings: TimerSettings,
    timed: int,
    pace: Callable[[], float | None],
    on_verified: Callable[[int], None],
) -> _Runs:
    untimed = replace(settings, budget_ms=1, min_samples=1)
    runs: list[ModelRun] = []
    paces = [pace()]
    for number, adapted in enumerate(networks):
        is_timed = number < timed
        run = device.run_model(adapted.model, adapted.images, settings if is_timed else untimed)
        _check_outputs(run.outputs, adapted.host_logits, device.name)
        runs.append(run)
        if is_timed:
            paces.append(pace())
        on_verified(number + 1)
    return _Runs(runs, [_mean(around) for around in pairwise(paces)])


def _memory(
    device: Device, adapted: AdaptedNetwork, runs: Sequence[ModelRun], settings: TimerSettings
) -> PeakMemory | None:
    process_bytes = max(run.peak_memory_bytes or 0 for run in runs)
    if not process_bytes:
        return None
    untimed = replace(settings, budget_ms=1, min_samples=1)
    runtime_bytes = runtime_memory(device, adapted.images, untimed)
    return PeakMemory(process_bytes=process_bytes, runtime_bytes=runtime_bytes)


def _check_outputs(outputs: Logits, host_logits: Logits, device: str) -> None:
    if outputs.shape != host_logits.shape:
        raise MeasurementFailedError(
            f"{device} answered outputs of {shape_text(outputs.shape)}, the host has "
            f"{shape_text(host_logits.shape)}",
            hint="verify the model that these logits were computed with",
        )
    if not np.isfinite(outputs).all():
        raise MeasurementFailedError(
            f"{device} answered logits that are not finite numbers",
            hint="update the runtime on the device, or choose another one",
        )


def _mean(paces: tuple[float | None, float | None]) -> float | None:
    before, after = paces
    return None if before is None or after is None else (before + after) / 2


def _middle(runs: Sequence[ModelRun], slowdowns: Sequence[float | None]) -> int:
    """The run with the median latency, at equal pace, among those with the best verdict."""
    best = min(_VERDICTS.index(run.latency.verdict) for run in runs)
    own_ms = {
        number: run.latency.median_ms / (slowdown or 1)
        for number, (run, slowdown) in enumerate(zip(runs, slowdowns, strict=True))
        if run.latency.verdict == _VERDICTS[best]
    }
    median_ms = statistics.median_low(own_ms.values())
    return next(number for number, ms in own_ms.items() if ms == median_ms)


def _accuracy(
    networks: Sequence[AdaptedNetwork], logits: Sequence[Logits]
) -> EpisodeAccuracy | None:
    answers = [
        (given, adapted.labels)
        for given, adapted in zip(logits, networks, strict=True)
        if (adapted.labels >= 0).all()
    ]
    return accuracy_of(answers) if answers else None
