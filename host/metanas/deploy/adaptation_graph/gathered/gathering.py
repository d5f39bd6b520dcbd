"""Gathering the pixels of maps (images, pixels, channels)."""

from __future__ import annotations

import numpy as np

from metanas.deploy.adaptation_graph.gathered.pixels import Table
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


def take(writer: GraphWriter, x: Value, positions: Table, count: int, *, axis: int = 1) -> Value:
    """Some of the `count` pixels of a map; the position `count` stands for a zero."""
    if np.array_equal(positions, np.arange(count)):
        return x
    if positions.max() == count:
        x = writer.add("Pad", x, writer.ints(0, 0, 0, 0, 1, 0))
    return writer.add("Gather", x, writer.constant(positions, np.int32), axis=axis)


def take_beside(writer: GraphWriter, x: Value, table: Table, count: int, channels: int) -> Value:
    """The pixels of each row of a table side by side, (images * rows, columns * channels).

    Args:
        writer: gets the operations.
        x: (images, count, channels).
        table: positions, (rows, columns); `count` stands for a zero.
        count: pixels of x.
        channels: of x.
    """
    taken = take(writer, x, table.ravel(), count)
    return writer.add("Reshape", taken, writer.ints(-1, table.shape[1] * channels))


def as_channels(writer: GraphWriter, x: Value, channels: int) -> Value:
    """A map, or its pixels as rows, as (1, channels, images * pixels)."""
    rows = writer.add("Reshape", x, writer.ints(1, -1, channels))
    turned = writer.add("Transpose", rows, perm=(0, 2, 1))
    # Without a shape of its own a runtime turns what is made of it instead, and gains nothing.
    return writer.add("Reshape", turned, writer.ints(1, channels, -1))


def as_map(writer: GraphWriter, x: Value, count: int, channels: int) -> Value:
    """(1, channels, images * pixels) as a map of `count` pixels."""
    rows = writer.add("Transpose", x, perm=(0, 2, 1))
    return writer.add("Reshape", rows, writer.ints(-1, count, channels))
