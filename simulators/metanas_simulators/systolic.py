"""A systolic array in closed form: SCALE-Sim's stall-free cycles and traffic, without simulating.

A layer is a matrix product of P output pixels, K values a pixel reads and M filters. A dataflow
names the operand that stays in the array of R rows and C columns, and thereby which dimension lies
along the rows (Sr), which along the columns (Sc), and which one streams through in time (T):

| dataflow              | Sr | Sc | T |
|-----------------------|----|----|---|
| weight-stationary     | K  | M  | P |
| output-stationary     | P  | M  | K |
| input-stationary      | K  | P  | M |

    cycles = ceil(Sr/R) * ceil(Sc/C) * (T + R + C - 2 + (R unless output-stationary))

docs/eyeriss.md derives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from metanas.errors import DeviceProfileError
from metanas_agent import __version__
from metanas_simulators.accelerator import Accelerator
from metanas_simulators.convolution import Convolution, Counts, ceil_div, sizes
from metanas_simulators.simulation import LayerSimulation, Origin, Traffic

SYSTOLIC_DATAFLOWS = ("ws", "os", "is")


class MatrixProducts(NamedTuple):
    """The work of many layers: each (pixels, taps) times (taps, filters)."""

    pixels: Counts
    taps: Counts
    filters: Counts


class _Folds(NamedTuple):
    """How products lie in the array."""

    along_rows: Counts
    along_columns: Counts
    streamed: Counts
    row_folds: Counts
    column_folds: Counts


class SystolicArray:
    """Cycles and SRAM traffic of an accelerator under SCALE-Sim's dataflows.

    Args:
        accelerator: one of `SYSTOLIC_DATAFLOWS`; its SRAM does not matter.

    Raises:
        DeviceProfileError: the accelerator has another dataflow.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        check_systolic(accelerator)
        self.accelerator = accelerator
        self.origin = Origin.of(
            accelerator, simulator="closed form of SCALE-Sim 3.0.0", version=__version__
        )

    def cycles(self, convolutions: Iterable[Convolution]) -> Iterator[int]:
        """Cycles of each convolution."""
        products = matrix_products(convolutions)
        return iter(self._cycles(self._fold(products)).tolist())

    def simulate(self, convolutions: Sequence[Convolution]) -> list[LayerSimulation]:
        """All that is known of each convolution; no DRAM traffic, which has no closed form."""
        products = matrix_products(convolutions)
        folds = self._fold(products)
        elements = self.accelerator.rows * self.accelerator.columns
        cycles = self._cycles(folds)
        macs = products.pixels * products.taps * products.filters
        given = folds.row_folds * folds.column_folds * elements
        columns = (
            cycles,
            macs / (cycles * elements),
            folds.along_rows * folds.along_columns / given,
            *self._traffic(products, folds),
        )
        return [
            LayerSimulation(
                convolution.name, self.origin, count, utilisation, mapped, Traffic(*words)
            )
            for convolution, count, utilisation, mapped, *words in zip(
                convolutions, *(column.tolist() for column in columns), strict=True
            )
        ]

    def _fold(self, products: MatrixProducts) -> _Folds:
        pixels, taps, filters = products
        along_rows, along_columns, streamed = {
            "ws": (taps, filters, pixels),
            "os": (pixels, filters, taps),
            "is": (taps, pixels, filters),
        }[self.accelerator.dataflow]
        row_folds = ceil_div(along_rows, self.accelerator.rows)
        column_folds = ceil_div(along_columns, self.accelerator.columns)
        return _Folds(along_rows, along_columns, streamed, row_folds, column_folds)

    def _cycles(self, folds: _Folds) -> Counts:
        rows, columns = self.accelerator.rows, self.accelerator.columns
        loading = 0 if self.accelerator.dataflow == "os" else rows
        one_fold = folds.streamed + rows + columns - 2 + loading
        return folds.row_folds * folds.column_folds * one_fold

    def _traffic(self, products: MatrixProducts, folds: _Folds) -> tuple[Counts, Counts, Counts]:
        """Words that SRAM gives and takes: ifmap, filter, ofmap."""
        pixels, taps, filters = products
        ifmap, weights, ofmap = pixels * taps, taps * filters, pixels * filters
        match self.accelerator.dataflow:
            case "ws":
                return ifmap * folds.column_folds, weights, ofmap * folds.row_folds
            case "os":
                return ifmap * folds.column_folds, weights * folds.row_folds, ofmap
            case _:
                return ifmap, weights * folds.column_folds, ofmap * folds.row_folds


def matrix_products(convolutions: Iterable[Convolution]) -> MatrixProducts:
    """The matrix products that convolutions are."""
    size = sizes(convolutions)
    return MatrixProducts(
        pixels=size.out_height * size.out_width,
        taps=size.kernel_height * size.kernel_width * size.in_channels,
        filters=size.out_channels,
    )


def check_systolic(accelerator: Accelerator) -> None:
    """See that SCALE-Sim knows the dataflow.

    Raises:
        DeviceProfileError: it does not.
    """
    if accelerator.dataflow not in SYSTOLIC_DATAFLOWS:
        raise DeviceProfileError(
            f"dataflow is {accelerator.dataflow!r}, which no systolic array has",
            hint=f"use one of {', '.join(SYSTOLIC_DATAFLOWS)}, or another backend",
        )
