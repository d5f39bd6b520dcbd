"""A simulated accelerator as a `Device`: profiling cannot tell it from a board."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas.devices.device import Device, DeviceDescription, ModelRun
from metanas.errors import DeviceProfileError, UnsupportedError
from metanas_agent import __version__
from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from metanas_simulators.systolic import DATAFLOWS, SystolicArray


class SystolicDevice:
    """A systolic array that answers as a board does; every row says that it is simulated."""

    def __init__(self, name: str, array: SystolicArray) -> None:
        self.array = array
        self._name = name

    @property
    def name(self) -> str:
        """The name that the host knows it by."""
        return self._name

    def describe(self) -> DeviceDescription:
        """The array, its dataflow and clock, and what the model leaves out."""
        array = self.array
        return DeviceDescription(
            name=self.name,
            machine=f"systolic array {array.rows}x{array.columns}",
            processor=f"{DATAFLOWS[array.dataflow]} at {array.clock_mhz:g} MHz",
            cores=1,
            system="closed form; without activation, pooling, batch-norm, sums and memory stalls",
            runtimes={"systolic": __version__},
            source="simulated",
            agent_version=__version__,
            unavailable={"onnx": "a simulator computes cycles, it does not run models"},
        )

    def examine(self) -> tuple[Finding, ...]:
        """Refuse: nothing disturbs what is computed.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"{self.name} is simulated, so nothing can disturb its measurements",
            hint="examine a real device",
        )

    def measure(
        self,
        layers: Sequence[LayerSpec],
        settings: TimerSettings,  # noqa: ARG002 - a computed latency needs no timer
    ) -> Iterator[Measurement]:
        """Compute each layer's latency, in the order given.

        Raises:
            UnsupportedError: the array computes no such layer.
        """
        for layer in layers:
            latency_ms = self.array.latency_ms(layer)
            yield Measurement(
                key=layer.key,
                median_ms=latency_ms,
                low_ms=latency_ms,
                high_ms=latency_ms,
                p10_ms=latency_ms,
                p90_ms=latency_ms,
                samples=1,
                repeats=1,
                source="simulated",
                runtime="systolic",
                runtime_version=__version__,
                clock_mhz_before=self.array.clock_mhz,
                clock_mhz_after=self.array.clock_mhz,
            )

    def run_model(
        self,
        model: bytes,  # noqa: ARG002
        inputs: NDArray[np.float32],  # noqa: ARG002
        settings: TimerSettings,  # noqa: ARG002
    ) -> ModelRun:
        """Refuse: cycles are computed, no value is.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"{self.name} is simulated and cannot run a model", hint="verify on a real device"
        )

    def close(self) -> None:
        """Nothing is held."""


def _systolic(name: str, settings: dict[str, Any]) -> Device:
    return SystolicDevice(name, SystolicArray.from_settings(settings))


BACKENDS: dict[str, Callable[[str, dict[str, Any]], Device]] = {"systolic": _systolic}
"""Ways to compute a latency, by the `backend` of a device file."""


def make_simulator(name: str, settings: Mapping[str, Any]) -> Device:
    """Make the simulated device that a device file describes.

    Args:
        name: what the device is called.
        settings: `backend`, and the fields of that backend.

    Raises:
        DeviceProfileError: the backend or one of its fields is wrong; the message names it.
    """
    own = dict(settings)
    backend = own.pop("backend", None)
    if backend not in tuple(BACKENDS):
        raise DeviceProfileError(
            f"device {name}: backend is {backend!r}", hint=f"use one of {', '.join(BACKENDS)}"
        )
    try:
        return BACKENDS[backend](name, own)
    except DeviceProfileError as error:
        raise DeviceProfileError(f"device {name}: {error.what}", hint=error.hint) from error
