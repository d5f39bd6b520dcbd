"""Run exported networks on a device and compare with what the host and the table say."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.agreement import TOLERANCE, Logits, compare
from metanas.deploy.export import input_shape_of, load_model
from metanas.deploy.verification import LATENCY_TOLERANCE, Network, Prediction, Verification
from metanas.devices.device import Device, ModelRun
from metanas.errors import ExportError, MeasurementFailedError
from metanas.provenance import provenance
from metanas_agent.measurement import VERDICTS as _VERDICTS
from metanas_agent.timer import TimerSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AdaptedNetwork:
    """One task's exported network and what the host computed with it.

    Args:
        model: the ONNX file.
        images: (images, channels, height, width), float32, normalised as in training.
        labels: (images,), the right class of each.
        host_logits: (images, ways), the host's outputs for `images`.
    """

    model: bytes
    images: NDArray[np.float32]
    labels: NDArray[np.integer]
    host_logits: Logits

    def check(self) -> None:
        """Refuse what cannot be verified, before a device is troubled with it.

        Raises:
            ExportError: the model is broken, or the arrays do not fit it or one another.
        """
        expected = input_shape_of(load_model(self.model))
        given = self.images.shape[1:]
        if len(given) != 3 or any(e not in (0, g) for e, g in zip(expected, given, strict=True)):
            raise ExportError(
                f"the model takes images of {_shape(expected)}, given are {_shape(given)}",
                hint="verify with the data set and input size that it was exported for",
            )
        count = len(self.images)
        if not count or self.labels.shape != (count,) or len(self.host_logits) != count:
            raise ExportError(
                f"{count} images, {len(self.labels)} labels and {len(self.host_logits)} rows "
                "of host logits",
                hint="give at least one image, and a label and a row of logits for each",
            )
        if self.host_logits.ndim != 2 or not np.isfinite(self.host_logits).all():
            raise ExportError(
                "the host's own logits are not finite numbers (images, ways)",
                hint="train the network again",
            )


def verify(
    device: Device,
    networks: Sequence[AdaptedNetwork],
    *,
    network: Network,
    predicted: Prediction,
    settings: TimerSettings,
    tolerance: float = TOLERANCE,
    latency_tolerance: float = LATENCY_TOLERANCE,
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
        predicted: latency of the architecture by the device's table.
        settings: how to time.
        tolerance: largest difference of logits, as a share of their range.
        latency_tolerance: largest share that the measured latency may be off.
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
    runs: list[ModelRun] = []
    paces = [pace()]
    for done, adapted in enumerate(networks, start=1):
        run = device.run_model(adapted.model, adapted.images, settings)
        _check_outputs(run.outputs, adapted.host_logits, device.name)
        runs.append(run)
        paces.append(pace())
        on_verified(done)
    pairs = [(n.host_logits, run.outputs) for n, run in zip(networks, runs, strict=True)]
    agreement = compare(pairs, tolerance=tolerance)
    labels = np.concatenate([adapted.labels for adapted in networks])
    notes = []
    if agreement.within and agreement.disagreements:
        notes.append(
            f"on {agreement.disagreements} images two classes tie within the tolerance, "
            "and device and host choose differently"
        )
    if throttled := sum(run.latency.verdict == "throttled" for run in runs):
        notes.append(f"{throttled} of {len(runs)} latencies were measured while throttled")
    slowdowns = [_mean(around) for around in pairwise(paces)]
    middle = _middle(runs, slowdowns)
    return Verification(
        device=device.name,
        network=network,
        agreement=agreement,
        device_accuracy=_accuracy([device_logits for _, device_logits in pairs], labels),
        host_accuracy=_accuracy([host_logits for host_logits, _ in pairs], labels),
        predicted=predicted,
        measured=runs[middle].latency,
        medians_ms=tuple(run.latency.median_ms for run in runs),
        peak_memory_bytes=max(r.peak_memory_bytes or 0 for r in runs) or None,
        slowdown=slowdowns[middle],
        notes=tuple(notes),
        latency_tolerance=latency_tolerance,
        provenance=provenance(seed=settings.seed),
    )


def _check_outputs(outputs: Logits, host_logits: Logits, device: str) -> None:
    if outputs.shape != host_logits.shape:
        raise MeasurementFailedError(
            f"{device} answered outputs of {_shape(outputs.shape)}, the host has "
            f"{_shape(host_logits.shape)}",
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


def _accuracy(logits: Sequence[Logits], labels: NDArray[np.integer]) -> float:
    return float((np.concatenate(logits).argmax(1) == labels).mean())


def _shape(sizes: Sequence[int]) -> str:
    return "x".join(str(size) if size else "?" for size in sizes)
