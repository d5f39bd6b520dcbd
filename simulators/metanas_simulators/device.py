"""A simulated accelerator as a `Device`: profiling cannot tell it from a board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from metanas.devices.device import DeviceDescription, ModelRun
from metanas.errors import UnsupportedError
from metanas_agent import __version__
from metanas_agent.finding import Finding
from metanas_agent.layers import LayerSpec, dtypes_of
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from metanas_simulators.convolution import convolution_of
from metanas_simulators.simulation import Simulator

NOT_MODELLED = "without activation, pooling, batch-norm, sums"


class SimulatedDevice:
    """A simulator that answers as a board does; every row says that it is simulated.

    Args:
        name: the name that the host knows it by.
        runtime: what rows name as what ran them: the backend.
        simulator: what counts the cycles.
    """

    def __init__(self, name: str, runtime: str, simulator: Simulator) -> None:
        self.simulator = simulator
        self._name = name
        self._runtime = runtime

    @property
    def name(self) -> str:
        """The name that the host knows it by."""
        return self._name

    def describe(self) -> DeviceDescription:
        """The array, its dataflow and clock, the simulator, and what that leaves out."""
        accelerator, origin = self.simulator.accelerator, self.simulator.origin
        return DeviceDescription(
            name=self.name,
            machine=f"accelerator of {accelerator.rows}x{accelerator.columns} processing elements",
            processor=f"{origin.dataflow} at {origin.clock_mhz:g} MHz",
            cores=1,
            system=f"{origin.simulator}, version {origin.version}; {origin.memory}; {NOT_MODELLED}",
            runtimes={self._runtime: origin.version},
            source=origin.source,
            agent_version=__version__,
            dtypes={self._runtime: "float32"},
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
        self, layers: Sequence[LayerSpec], settings: TimerSettings
    ) -> Iterator[Measurement]:
        """Compute each layer's latency, in the order given; what is not modelled takes 0 ms.

        Raises:
            UnsupportedError: the settings ask for what is not modelled, or a layer is of no kind
                that is.
            MeasurementFailedError: a layer could not be simulated.
        """
        self._refuse_other_ways_of_calling(settings)
        if others := dtypes_of(layers) - {"float32"}:
            raise UnsupportedError(
                f"{self.name} is simulated: it does not tell {others.pop()} from float32",
                hint="its cycles are the same; leave out --dtype",
            )
        convolutions = [convolution_of(layer) for layer in layers]
        cycles = self.simulator.cycles([each for each in convolutions if each])
        for layer, convolution in zip(layers, convolutions, strict=True):
            yield self._row(layer, next(cycles) if convolution else 0)

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
            f"{self.name} is simulated and cannot run a model",
            hint="name a device that runs them, such as local",
        )

    def close(self) -> None:
        """Nothing is held."""

    def _row(self, layer: LayerSpec, cycles: int) -> Measurement:
        origin = self.simulator.origin
        latency_ms = origin.latency_ms(cycles)
        return Measurement(
            key=layer.key,
            median_ms=latency_ms,
            low_ms=latency_ms,
            high_ms=latency_ms,
            p10_ms=latency_ms,
            p90_ms=latency_ms,
            samples=1,
            repeats=1,
            source=origin.source,
            runtime=self._runtime,
            runtime_version=origin.version,
            clock_mhz_before=origin.clock_mhz,
            clock_mhz_after=origin.clock_mhz,
        )

    def _refuse_other_ways_of_calling(self, settings: TimerSettings) -> None:
        asked = {
            f"{settings.batch} images a call": settings.batch != 1,
            f"a {settings.cache} cache": settings.cache != "warm",
            f"{settings.threads} threads": settings.threads != 1,
            "the energy of a call": settings.energy,
        }
        for what, other in asked.items():
            if other:
                raise UnsupportedError(
                    f"{self.name} is simulated: it does not model {what}",
                    hint="leave that out",
                )
