"""Activations that need an exponential, by tables, on processors with VFP short vectors.

A table has four coefficients for each of 256 cells of equal width: a cubic of the distance from the
cell's place. Four values go through in turns with the loads of the next: their distances by one
instruction each, the cubics one by one. Three multiplications are fewer than an exponential and a
division take, whose 19 cycles nothing else can use.

    sigmoid    the place is the middle of the cell; cells beyond the last are the last
    elu, selu  by their halves: the table is that of the smaller one of the value and 0, and what is
               above 0 is added by its slope

Values must be finite: infinities give NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyfit
from numpy.typing import NDArray

from metanas.native.activations import SELU_ALPHA, SELU_SCALE
from metanas.native.short_vectors import SAVED_BYTES, enter, leave

Array = NDArray[np.floating[Any]]

_CELLS_LOG2 = 8
_CELLS = 1 << _CELLS_LOG2
_ROUNDER = 1.5 * 2**23
"""The sum of this many cells and a value has the number of its cell in its lowest bits."""


@dataclass(frozen=True, slots=True)
class Curve:
    """An activation as its table has it.

    Args:
        name: of the activation.
        function: of float64 values.
        cell: width of a cell, a power of two.
        slope: of what is above 0 and not in the table; None: all is in the table.
    """

    name: str
    function: Callable[[Array], Array]
    cell: float
    slope: float | None = None

    @property
    def is_halved(self) -> bool:
        """Whether the table is of the smaller one of the value and 0."""
        return self.slope is not None

    @property
    def routine(self) -> str:
        """The assembler function that reads the table."""
        return "finish_halves" if self.is_halved else "finish_whole"

    def table(self) -> Array:
        """What `routine` reads: two constants, each four times, then the coefficients."""
        sign = -1 if self.is_halved else 1
        width = 2 * self.cell if self.is_halved else self.cell  # halves come doubled
        constants = (sign * _ROUNDER * width, (self.slope or 0) / 2)
        cells = [self._cubic(number) for number in range(_CELLS)]
        return np.concatenate([np.repeat(constants, 4), np.ravel(cells)])

    def _cubic(self, number: int) -> Array:
        """Least squares at Chebyshev's points, which is close to the smallest largest error."""
        steps = np.cos((np.arange(32) + 0.5) * np.pi / 32) * self.cell / 2
        if not self.is_halved:
            place = (number - _CELLS // 2) * self.cell
            return _fit(steps, self.function(place + steps), 3)
        place = -number * self.cell
        if number == 0:
            steps = (steps - self.cell / 2) / 2  # nothing is above 0
        start = self.function(np.array(place))
        # Through the place, so that what is close to 0 is exact.
        rest = _fit(steps, (self.function(place + steps) - start) / steps, 2)
        cubic: Array = np.array([start, *rest]) / 2.0 ** np.arange(4)
        return cubic


def _fit(x: Array, y: Array, degree: int) -> Array:
    coefficients: Array = polyfit(x, y, degree)
    return coefficients


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


CURVES = (
    Curve("sigmoid", _sigmoid, cell=1 / 4),
    Curve("elu", np.expm1, cell=1 / 16, slope=1),
    Curve("selu", lambda x: SELU_SCALE * SELU_ALPHA * np.expm1(x), cell=1 / 16, slope=SELU_SCALE),
)


def assembly() -> str:
    """The source of the routines; see `finish_routine` in `vectors.h` for their arguments."""
    return "\n".join([*_routine("finish_whole", False), *_routine("finish_halves", True), ""])


def _routine(name: str, is_halved: bool) -> Iterator[str]:
    """r0 sums, r1 r8 r9 r10 the planes, r2 coefficients, r3 pixels, r11 bits of the rounder's first
    cell; s8 values, s12 cells, s16 distances, s20 twice what is above 0, s24 to s31 constants.
    """
    values, cells, distances, above, rounder, slope = 8, 12, 16, 20, 24, 28
    yield from (
        *enter(name),
        f"ldr r4, [sp, #{SAVED_BYTES}]",
        "vldmia r4!, {s24-s31}",
        "add r8, r1, r2",
        "add r9, r8, r2",
        "add r10, r9, r2",
        "mov r2, r4",
        f"vmov r11, s{rounder}",
        *([] if is_halved else [f"sub r11, r11, #{_CELLS // 2}"]),
        "vmrs r12, fpscr",
        "orr r4, r12, #0x30000",
        "vmsr fpscr, r4",
        "1:",
        f"vldmia r0!, {{s{values}-s{values + 3}}}",
    )
    if is_halved:
        yield f"vabs.f32 s{cells}, s{values}"
        yield f"vadd.f32 s{above}, s{values}, s{cells}"
        yield f"vsub.f32 s{values}, s{values}, s{cells}"
    yield f"vadd.f32 s{cells}, s{values}, s{rounder}"
    yield f"vmov r4, r5, s{cells}, s{cells + 1}"
    yield f"vmov r6, r7, s{cells + 2}, s{cells + 3}"
    yield f"vsub.f32 s{distances}, s{cells}, s{rounder}"
    yield f"vsub.f32 s{distances}, s{values}, s{distances}"
    for index in ("r4", "r5", "r6", "r7"):
        yield f"{'sub' if is_halved else 'qsub'} {index}, {index}, r11"
        yield f"usat {index}, #{_CELLS_LOG2}, {index}"
        yield f"add {index}, r2, {index}, lsl #4"
    planes = ("r1", "r8", "r9", "r10")
    for pair in (0, 2):
        places = [(4 * i, pair + i) for i in range(2)]
        for first, lane in places:
            yield f"vldmia r{4 + lane}, {{s{first}-s{first + 3}}}"
        for term in (2, 1, 0):
            for first, lane in places:
                at = first + term
                yield f"vmla.f32 s{at}, s{at + 1}, s{distances + lane}"
        if is_halved:
            for first, lane in places:
                yield f"vmla.f32 s{first}, s{above + lane}, s{slope}"
        for first, lane in places:
            yield f"vstmia {planes[lane]}!, {{s{first}}}"
    yield from (
        "subs r3, r3, #1",
        "bne 1b",
        "vmsr fpscr, r12",
        *leave(name),
    )
