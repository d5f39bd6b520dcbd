"""SCALE-Sim itself, one layer at a time: in memory, no files, nothing printed.

It takes some 100 us and 2 KB a simulated cycle. The closed form (`SystolicArray`) gives the same
cycles and SRAM traffic at once; what only this one knows is the traffic to DRAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from metanas.errors import DeviceProfileError, MeasurementFailedError
from metanas_simulators.accelerator import Accelerator
from metanas_simulators.convolution import Convolution
from metanas_simulators.scale_sim_package import VERSION, ScaleSimPackage, load_scale_sim
from metanas_simulators.simulation import LayerSimulation, Origin, Traffic
from metanas_simulators.systolic import SystolicArray, check_systolic

MEMORY_LIMIT_BYTES = 8 * 2**30
"""Layers whose traces would take more memory than this are not begun."""

_BYTES_PER_PORT_AND_CYCLE = 48  # measured: 1.9 KB a cycle with 12 rows and twice 14 columns

_CRASHES = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, MemoryError)
"""What its code raises on configurations that it does not foresee, such as tiny buffers."""


class ScaleSim:
    """Simulates layers on an accelerator by SCALE-Sim, in the mode in which DRAM never stalls.

    Two of its counts are corrected: it reports one cycle too few, since it counts from 0, and
    counts rows + columns writes too many of each fold that is output-stationary.

    Args:
        accelerator: of a dataflow that SCALE-Sim knows, with its SRAM.
        memory_limit_bytes: the most memory that a layer may take.

    Raises:
        DeviceProfileError: the dataflow is another, or the SRAM is not given.
        ExtraMissingError: the package scalesim is not there.
    """

    def __init__(
        self, accelerator: Accelerator, *, memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    ) -> None:
        check_systolic(accelerator)
        if accelerator.sram is None:
            raise DeviceProfileError(
                "the accelerator lacks sram, which SCALE-Sim needs",
                hint="write a section [sram], or use the backend systolic",
            )
        self.accelerator = accelerator
        self.origin = Origin.of(accelerator, simulator="SCALE-Sim", version=VERSION)
        self._memory_limit_bytes = memory_limit_bytes
        self._package = load_scale_sim()
        self._known: dict[Convolution, int] = {}

    def cycles(self, convolutions: Iterable[Convolution]) -> Iterator[int]:
        """Cycles of each convolution; those of one work are simulated once.

        Raises:
            MeasurementFailedError: one could not be simulated.
        """
        for convolution in convolutions:
            if convolution not in self._known:
                self._known[convolution] = self.simulate(convolution).cycles
            yield self._known[convolution]

    def simulate(self, convolution: Convolution) -> LayerSimulation:
        """Simulate one convolution.

        Raises:
            MeasurementFailedError: it would take too much memory, or SCALE-Sim crashed.
        """
        (expected,) = SystolicArray(self.accelerator).simulate([convolution])
        ports = self.accelerator.rows + 2 * self.accelerator.columns
        memory_bytes = expected.cycles * ports * _BYTES_PER_PORT_AND_CYCLE
        if memory_bytes > self._memory_limit_bytes:
            raise MeasurementFailedError(
                f"{convolution.name}: SCALE-Sim would need some {memory_bytes / 2**30:.1f} GiB "
                f"for {expected.cycles} cycles",
                hint="use the backend systolic: the same cycles",
            )
        layer = self._package.layer()
        try:
            layer.set_params(
                layer_id=0,
                config_obj=_configuration(self._package, self.accelerator),
                topology_obj=_topology(self._package, convolution),
                layout_obj=self._package.layouts(),
                verbose=False,
            )
            layer.run()
            layer.calc_report_data()
        except _CRASHES as error:
            raise MeasurementFailedError(
                f"{convolution.name}: SCALE-Sim failed: {type(error).__name__}: {error}"[:300],
                hint="does its sram suit the array? The backend systolic needs none",
            ) from error
        return self._read(layer, convolution)

    def _read(self, layer: Any, convolution: Convolution) -> LayerSimulation:
        rows, columns = self.accelerator.rows, self.accelerator.columns
        cycles = int(layer.total_cycles) + 1
        ofmap_writes = int(layer.ofmap_sram_writes)
        if self.accelerator.dataflow == "os":
            folds = len(layer.compute_system.mapping_efficiency_per_fold)
            ofmap_writes -= folds * (rows + columns)
        return LayerSimulation(
            layer=convolution.name,
            origin=self.origin,
            cycles=cycles,
            utilisation=layer.num_compute / (cycles * rows * columns),
            mapping_efficiency=float(layer.mapping_eff) / 100,
            sram=Traffic(int(layer.ifmap_sram_reads), int(layer.filter_sram_reads), ofmap_writes),
            dram=Traffic(
                int(layer.ifmap_dram_reads),
                int(layer.filter_dram_reads),
                int(layer.ofmap_dram_writes),
            ),
        )


def _configuration(package: ScaleSimPackage, accelerator: Accelerator) -> Any:
    """Without the file that its own reader wants. Its words have one byte: buffers hold as many."""
    configuration = package.configuration()
    configuration.array_rows, configuration.array_cols = accelerator.rows, accelerator.columns
    configuration.df = accelerator.dataflow
    if sram := accelerator.sram:
        configuration.ifmap_sz_kb = sram.ifmap_kib / sram.word_bytes
        configuration.filter_sz_kb = sram.filter_kib / sram.word_bytes
        configuration.ofmap_sz_kb = sram.ofmap_kib / sram.word_bytes
    configuration.use_user_bandwidth = False  # DRAM never stalls
    configuration.force_valid()
    return configuration


def _topology(package: ScaleSimPackage, convolution: Convolution) -> Any:
    """One layer. Its output sizes are rounded up, so what gives no output is cut off the input.

    The name is ours: one with `DP` in it would be split into channels.
    """
    topology = package.topologies()
    height = (convolution.out_height - 1) * convolution.stride + convolution.kernel_height
    width = (convolution.out_width - 1) * convolution.stride + convolution.kernel_width
    sizes = [
        *(height, width, convolution.kernel_height, convolution.kernel_width),
        *(convolution.in_channels, convolution.out_channels),
        *(convolution.stride, convolution.stride),
    ]
    topology.load_layer_params_from_list("layer", ["layer", *sizes, 1, 1])  # 1:1 is not sparse
    return topology
