"""How the pixels of a map are stored, and which of them meet which place of a kernel.

A map is (images, pixels, channels). Its pixels stand in four parts: those of even row and even
column, of even row and odd column, and so on, and each part is ordered like a map itself. So what
a stride of 2 or a pooling of 2 takes from one place of each of its windows is one part, in the
order of the smaller map, and no pixel need be moved.

Tables hold positions in a stored map; the position behind the last pixel means padding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Sides = Sequence[int]
"""Height and width."""

Table = NDArray[np.integer]


def stored_order(sides: Sides) -> Table:
    """Pixels, counted row by row, in the order that they are stored."""
    return _ordered(np.arange(np.prod(sides)).reshape(*sides))


def _ordered(pixels: Table) -> Table:
    if pixels.size < 2:
        return pixels.ravel()
    return np.concatenate([_ordered(pixels[row::2, column::2]) for row, column in _corners(2)])


def patches(sides: Sides, output_sides: Sides, kernel: int, stride: int) -> Table:
    """What each place of a kernel meets, (output pixels, places); padding is half the kernel."""
    y, x = np.divmod(stored_order(output_sides)[:, None], output_sides[1])
    row, column = np.divmod(np.arange(kernel**2), kernel)
    return _positions(sides, stride * y + row - kernel // 2, stride * x + column - kernel // 2)


def row_by_row(table: Table, sides: Sides) -> Table:
    """The same table for a map whose pixels are stored row by row."""
    return np.append(stored_order(sides), np.prod(sides))[table]


class Part(NamedTuple):
    """Pixels of an input that meet the same places of a strided kernel.

    Args:
        pixels: where they are stored.
        places: of the kernel, counted row by row.
        outputs: the output that each meets each place for, (pixels, places).
    """

    pixels: Table
    places: NDArray[np.intp]
    outputs: Table


def parts(sides: Sides, output_sides: Sides, kernel: int, stride: int) -> Iterator[Part]:
    """The convolution backwards: a stride of s makes s² ordinary convolutions of it."""
    stored = _stored(sides)
    place = np.arange(kernel)
    for corner in _corners(stride):
        y, x = (np.arange(start, side, stride) for start, side in zip(corner, sides, strict=True))
        rows, columns = (place[(start + kernel // 2 - place) % stride == 0] for start in corner)
        places = (kernel * rows[:, None] + columns).ravel()
        output_y, output_x = (
            (pixel[:, None] + kernel // 2 - met) // stride
            for pixel, met in ((y, rows), (x, columns))
        )
        outputs = _positions(output_sides, output_y[:, None, :, None], output_x[None, :, None, :])
        pixels = stored[np.ix_(y, x)].ravel()
        order = np.argsort(pixels)
        yield Part(pixels[order], places, outputs.reshape(len(pixels), len(places))[order])


def windows(sides: Sides, output_sides: Sides, window: int) -> Table:
    """Each place of a pooling window, (places, output pixels); beyond the map, its first again."""
    y, x = (window * at for at in np.divmod(stored_order(output_sides), output_sides[1]))
    stored = _stored(sides)
    table = []
    for row, column in _corners(window):
        inside = (y + row < sides[0]) & (x + column < sides[1])
        table.append(stored[np.where(inside, y + row, y), np.where(inside, x + column, x)])
    return np.stack(table)


def first_positions(table: Table, pixels: int) -> Table:
    """Where each of a map's pixels stands first in a table, (pixels,); behind it if nowhere."""
    found, first = np.unique(table, return_index=True)
    positions = np.full(pixels, len(table))
    positions[found] = first
    return positions


def _corners(window: int) -> Iterator[tuple[int, int]]:
    return product(range(window), range(window))


def _stored(sides: Sides) -> Table:
    """Where each pixel is stored, (height, width)."""
    return np.argsort(stored_order(sides)).reshape(*sides)


def _positions(sides: Sides, y: NDArray[np.integer], x: NDArray[np.integer]) -> Table:
    rows, columns = sides
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    stored = _stored(sides)[np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
    return np.where(inside, stored, rows * columns)
