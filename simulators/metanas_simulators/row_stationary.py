"""Row-stationary dataflow in closed form: Eyeriss's own mapping (ISCA 2016, JSSC 2017).

A processing element holds a row of a filter and slides it along a row of the input, which gives a
row of partial sums after kw * Wo cycles. kh by Ho elements make a set, which convolves one channel
with one filter. The array holds several sets; docs/eyeriss.md tells how they are laid out:

    cycles = row folds * kw * Wo * strip rounds * ceil(Cin / channels) * ceil(M / filters)

for `channels` times `filters` sets at work at once, chosen for the fewest cycles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from metanas.errors import DeviceProfileError
from metanas_agent import __version__
from metanas_simulators.accelerator import Accelerator
from metanas_simulators.convolution import Convolution, Counts, Sizes, ceil_div, sizes
from metanas_simulators.simulation import Origin


class _Sets(NamedTuple):
    """How the sets of many convolutions lie in the array."""

    row_folds: Counts
    """Rounds that a kernel of more rows than the array takes."""
    strip_rounds: Counts
    """Rounds for the strips into which an output of more rows than columns is cut."""
    stacked: Counts
    """Sets above each other, for several channels or filters."""
    beside: Counts
    """Sets beside each other, for several filters."""


class RowStationaryArray:
    """Cycles of an accelerator as the chip Eyeriss maps layers; kernels and outputs of any size.

    Args:
        accelerator: of dataflow `rs`; its SRAM does not matter.

    Raises:
        DeviceProfileError: the accelerator has another dataflow.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        if accelerator.dataflow != "rs":
            raise DeviceProfileError(
                f"dataflow is {accelerator.dataflow!r}, not row-stationary",
                hint="use rs, or another backend",
            )
        self.accelerator = accelerator
        self.origin = Origin.of(
            accelerator, simulator="closed form of row-stationary mapping", version=__version__
        )

    def cycles(self, convolutions: Iterable[Convolution]) -> Iterator[int]:
        """Cycles of each convolution."""
        size = sizes(convolutions)
        sets = self._lay_out(size)
        one_pass = sets.row_folds * size.kernel_width * size.out_width
        return iter((one_pass * sets.strip_rounds * self._passes(size, sets)).tolist())

    def _lay_out(self, size: Sizes) -> _Sets:
        rows, columns = self.accelerator.rows, self.accelerator.columns
        row_folds = ceil_div(size.kernel_height, rows)
        stacked = np.maximum(rows // size.kernel_height, 1)
        strips = ceil_div(size.out_height, columns)
        strips_at_once = np.minimum(stacked, strips)
        return _Sets(
            row_folds=row_folds,
            strip_rounds=ceil_div(strips, strips_at_once),
            stacked=stacked // strips_at_once,
            beside=np.maximum(columns // size.out_height, 1),
        )

    def _passes(self, size: Sizes, sets: _Sets) -> Counts:
        """Rounds over all channels and filters, with the best use of the stacked sets."""
        fewest = np.full(size.out_height.shape, np.iinfo(np.int64).max)
        for channels in range(1, int(sets.stacked.max(initial=0)) + 1):
            filters = np.maximum(sets.stacked // channels * sets.beside, 1)
            rounds = ceil_div(size.in_channels, channels) * ceil_div(size.out_channels, filters)
            possible = sets.stacked % channels == 0
            fewest = np.where(possible, np.minimum(fewest, rounds), fewest)
        return fewest
