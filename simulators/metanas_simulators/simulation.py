"""What a simulator says of a layer, and where that comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from metanas_simulators.accelerator import DATAFLOWS, Accelerator
from metanas_simulators.convolution import Convolution

NEVER_STALLS = "DRAM is never waited for"
"""What all simulators here assume: latency is that of the array alone."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a simulated figure comes from.

    Args:
        simulator: what computed it.
        version: of that.
        dataflow: in words, such as `weight-stationary`.
        clock_mhz: what cycles are turned to time with.
        memory: what is assumed of SRAM and DRAM.
    """

    simulator: str
    version: str
    dataflow: str
    clock_mhz: float
    memory: str

    source: ClassVar[str] = "simulated"

    @classmethod
    def of(cls, accelerator: Accelerator, *, simulator: str, version: str) -> Origin:
        """Of figures that this simulator computes of this accelerator."""
        memory = f"{accelerator.sram}; {NEVER_STALLS}" if accelerator.sram else NEVER_STALLS
        dataflow = DATAFLOWS[accelerator.dataflow]
        return cls(simulator, version, dataflow, accelerator.clock_mhz, memory)

    def latency_ms(self, cycles: int) -> float:
        """The time that so many cycles take."""
        return cycles / (self.clock_mhz * 1e3)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Words that cross the edge of a memory."""

    ifmap_reads: int
    filter_reads: int
    ofmap_writes: int


@dataclass(frozen=True, slots=True)
class LayerSimulation:
    """One layer on one accelerator.

    Args:
        layer: its name.
        origin: where all of this comes from.
        cycles: from the first operand to the last output.
        utilisation: multiply-accumulates a cycle and processing element, 0 to 1.
        mapping_efficiency: share of the processing elements that get work, mean over the folds.
        sram: words that the array reads and writes there.
        dram: words between SRAM and DRAM, None where that was not simulated.
    """

    layer: str
    origin: Origin
    cycles: int
    utilisation: float
    mapping_efficiency: float
    sram: Traffic
    dram: Traffic | None = None

    @property
    def latency_ms(self) -> float:
        """The time that `cycles` take at the accelerator's clock."""
        return self.origin.latency_ms(self.cycles)


class Simulator(Protocol):
    """Anything that counts an accelerator's cycles."""

    @property
    def accelerator(self) -> Accelerator:
        """What is simulated."""

    @property
    def origin(self) -> Origin:
        """Where its figures come from."""

    def cycles(self, convolutions: Iterable[Convolution]) -> Iterator[int]:
        """Cycles of each convolution, in the order given, each as soon as it is known.

        Raises:
            MeasurementFailedError: a convolution could not be simulated; the message names it.
        """
