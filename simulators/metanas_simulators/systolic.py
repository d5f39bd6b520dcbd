"""Cycles of a systolic array in closed form: SCALE-Sim's stall-free count, without simulating.

A layer is a matrix product of P output pixels, K values a pixel reads and M filters. A dataflow
names the operand that stays in the array of R rows and C columns, and thereby which dimension lies
along the rows (Sr), which along the columns (Sc), and which one streams through in time (T):

| dataflow              | Sr | Sc | T |
|-----------------------|----|----|---|
| weight-stationary     | K  | M  | P |
| output-stationary     | P  | M  | K |
| input-stationary      | K  | P  | M |

The product is cut into ceil(Sr/R) * ceil(Sc/C) folds that run one after the other. In a fold, the
row r starts r cycles late and the column c c cycles late, since operands move one element a cycle;
so the last of T operands leaves the farthest corner after T + (R - 1) + (C - 1) cycles. Weight-
and input-stationary folds first load their operand, one row a cycle: R more. Output-stationary
folds start from empty sums, and SCALE-Sim lets finished sums leave beside the next fold. Hence

    cycles = ceil(Sr/R) * ceil(Sc/C) * (T + R + C - 2 + (R unless output-stationary))

Not modelled: activation, pooling, batch-norm, sums (which end residual blocks), and stalls on
SRAM or DRAM.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

from metanas.errors import DeviceProfileError, UnsupportedError
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec

DATAFLOWS = {"ws": "weight-stationary", "os": "output-stationary", "is": "input-stationary"}


class MatrixProduct(NamedTuple):
    """The work of a layer: (pixels, taps) times (taps, filters)."""

    pixels: int
    taps: int
    filters: int


@dataclass(frozen=True, slots=True)
class SystolicArray:
    """An array of processing elements, and how it is used.

    Args:
        rows: of processing elements.
        columns: of processing elements.
        dataflow: one of `DATAFLOWS`.
        clock_mhz: cycles a microsecond.

    Raises:
        DeviceProfileError: a value is impossible; the message names it.
    """

    rows: int
    columns: int
    dataflow: str
    clock_mhz: float

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise DeviceProfileError(
                    f"systolic array: {name} is {value!r}", hint="use an integer of 1 or more"
                )
        if type(self.clock_mhz) not in (int, float) or not 0 < self.clock_mhz < float("inf"):
            raise DeviceProfileError(
                f"systolic array: clock_mhz is {self.clock_mhz!r}", hint="use a number above 0"
            )
        if self.dataflow not in tuple(DATAFLOWS):
            raise DeviceProfileError(
                f"systolic array: dataflow is {self.dataflow!r}",
                hint=f"use one of {', '.join(DATAFLOWS)}",
            )

    def cycles(self, work: MatrixProduct) -> int:
        """Cycles of one matrix product; the module's docstring derives the formula."""
        pixels, taps, filters = work
        along_rows, along_columns, streamed = {
            "ws": (taps, filters, pixels),
            "os": (pixels, filters, taps),
            "is": (taps, pixels, filters),
        }[self.dataflow]
        folds = -(-along_rows // self.rows) * -(-along_columns // self.columns)
        loading = 0 if self.dataflow == "os" else self.rows
        return folds * (streamed + self.rows + self.columns - 2 + loading)

    def latency_ms(self, layer: LayerSpec) -> float:
        """Milliseconds of one layer; 0 for an empty graph or a sum, which the array does not do."""
        if isinstance(layer, EmptyLayer | AddLayer):
            return 0.0
        return self.cycles(matrix_product(layer)) / (self.clock_mhz * 1e3)

    @classmethod
    def from_settings(cls, settings: dict[str, object]) -> SystolicArray:
        """Make the array that a device file describes.

        Raises:
            DeviceProfileError: a field is missing, unknown or impossible; the message names it.
        """
        names = [field.name for field in fields(cls)]
        for what, odd in (
            ("lacks", [name for name in names if name not in settings]),
            ("does not know", sorted(settings.keys() - set(names))),
        ):
            if odd:
                raise DeviceProfileError(
                    f"systolic array {what} {', '.join(odd)}",
                    hint=f"its fields are {', '.join(names)}",
                )
        return cls(**settings)  # type: ignore[arg-type]


def matrix_product(layer: LayerSpec) -> MatrixProduct:
    """The work of a convolution, or of a head's classifier, for one image.

    Raises:
        UnsupportedError: the array computes no such layer.
    """
    if isinstance(layer, ConvLayer):
        channels, height, width = layer.conv_shape
        return MatrixProduct(height * width, layer.in_channels * layer.kernel**2, channels)
    if isinstance(layer, HeadLayer):
        return MatrixProduct(1, layer.features, layer.ways)
    raise UnsupportedError(
        f"a systolic array does not compute {layer.key}", hint="give convolutions and heads"
    )
