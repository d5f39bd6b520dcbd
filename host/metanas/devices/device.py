"""Device: what profiling and verification ask of a board, a simulator or this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """What a device says of itself.

    Args:
        name: the name that the host knows it by.
        machine: architecture, such as `x86_64`, `aarch64`, or an accelerator's array.
        processor: the processor's own name.
        cores: usable cores.
        system: operating system and release, or the simulator and its version.
        runtimes: name to version of what can run a layer there.
        source: `measured` or `simulated`.
        agent_version: version of the agent or simulator package.
        unavailable: name to reason of what cannot run a layer there.
        memory_bytes: memory of the whole machine, None if unknown.
        dtypes: name of a runtime to what it can compute layers in, such as `float32 int8`; empty
            where the device does not tell.
    """

    name: str
    machine: str
    processor: str
    cores: int
    system: str
    runtimes: dict[str, str]
    source: str
    agent_version: str
    unavailable: dict[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None
    dtypes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What running a model on a device gave.

    Args:
        outputs: the first output, one row an input image.
        latency: of one call with one image.
        peak_memory_bytes: peak resident memory of the process that ran it, None if unknown.
    """

    outputs: NDArray[np.float32]
    latency: Measurement
    peak_memory_bytes: int | None


class Device(Protocol):
    """Anything that can time layers. An agent and a simulator are the same thing to profiling."""

    @property
    def name(self) -> str:
        """The name that the host knows it by."""

    def describe(self) -> DeviceDescription:
        """What it is and what it can run."""

    def examine(self) -> tuple[Finding, ...]:
        """What on it could spoil measurements, and what mends that; one finding a check.

        Raises:
            UnsupportedError: it is computed, so nothing can.
            DeviceError: it cannot be reached, is busy, or went away.
        """

    def measure(
        self, layers: Sequence[LayerSpec], settings: TimerSettings
    ) -> Iterator[Measurement]:
        """Time each layer, in the order given, yielding each as it is done.

        Raises:
            MeasurementFailedError: a layer could not be timed.
            DeviceError: the device cannot be reached, is busy, or went away.
        """

    def run_model(
        self, model: bytes, inputs: NDArray[np.float32], settings: TimerSettings
    ) -> ModelRun:
        """Run an ONNX model on `inputs` (images, channels, height, width), one image a call.

        Raises:
            MeasurementFailedError: the model cannot be loaded or crashed.
            DeviceError: the device cannot run models, or went away.
        """

    def close(self) -> None:
        """Let go of the device."""
