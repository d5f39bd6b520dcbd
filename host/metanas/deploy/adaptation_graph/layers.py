"""Layers without weights, and how gradients pass them, as ONNX operations.

Maps are (images, channels, height, width). Each function writes a layer's forward part, and gives
its output and what writes the backward part: from the gradient at the output, those at its inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metanas.deploy.adaptation_graph.activations import activate, derivative, is_activation
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.errors import ExportError

_TO_THE_END = np.iinfo(np.int64).max

Backward = Callable[[Value], tuple[Value, ...]]


class Taped(NamedTuple):
    """A layer's output, and what writes its backward part."""

    output: Value
    backward: Backward


def taped_activation(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """An activation."""
    assert node.layer is not None
    layer = node.layer
    y = activate(writer, layer, x)
    return Taped(y, lambda gradient: (derivative(layer)(writer, y, gradient),))


def taped_max_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Max-pooling by windows that do not overlap; the gradient goes to the first largest pixel."""
    assert isinstance(node.layer, nn.MaxPool2d)
    window, _ = _pair(node.layer.kernel_size)
    sides, pooled = node.input_shape[1:], node.output_shape[1:]
    # What the last windows reach beyond the map.
    beyond = [count * window - side for count, side in zip(pooled, sides, strict=True)]
    shape = {"kernel_shape": (window, window), "strides": (window, window)}
    y = writer.add("MaxPool", x, ceil_mode=1, **shape)

    def backward(gradient: Value) -> tuple[Value]:
        largest = _first_largest(writer, node, x, y, window, beyond)
        return (writer.add("MaxUnpool", gradient, largest, pads=(0, 0, *beyond), **shape),)

    return Taped(y, backward)


def _first_largest(
    writer: GraphWriter, node: Node, x: Value, y: Value, window: int, beyond: Sequence[int]
) -> Value:
    """Where in the map, counted through all images and channels, each window's maximum is.

    A runtime's own max-pooling finds this too, but then takes some ten times as long.
    """
    channels, rows, columns = node.input_shape
    if any(beyond):
        pads = writer.ints(*[0] * 6, *beyond)
        x = writer.add("Pad", x, pads, writer.constant(-np.inf))
    ends, axes, steps = (
        writer.ints(*pair) for pair in ((_TO_THE_END,) * 2, (2, 3), (window, window))
    )
    inside = writer.constant(0, np.int64)  # a place that exists, whatever the numbers are
    for row, column in reversed(list(product(range(window), repeat=2))):
        part = writer.add("Slice", x, writer.ints(row, column), ends, axes, steps)
        place = writer.constant(row * columns + column, np.int64)
        inside = writer.add("Where", writer.add("Equal", part, y), place, inside)
    firsts = np.add.outer(np.arange(0, rows, window) * columns, np.arange(0, columns, window))
    pixels = writer.ints(math.prod(node.input_shape))
    end = writer.add("Mul", writer.image_count(x), pixels)
    planes = writer.add(
        "Range",
        writer.constant(0, np.int64),
        writer.add("Squeeze", end),
        writer.constant(rows * columns, np.int64),
    )
    planes = writer.add("Reshape", planes, writer.ints(-1, channels, 1, 1))
    return writer.add("Add", inside, writer.add("Add", planes, writer.constant(firsts, np.int64)))


def taped_average_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Average-pooling, of which the windows may overlap."""
    assert isinstance(node.layer, nn.AvgPool2d)
    window, stride = _pair(node.layer.kernel_size), _pair(node.layer.stride)
    y = writer.add("AveragePool", x, kernel_shape=window, strides=stride)
    share = np.kron(*map(_shares, node.input_shape[1:], node.output_shape[1:], window, stride))

    def backward(gradient: Value) -> tuple[Value]:
        channels = node.input_shape[0]
        rows = writer.add("Reshape", gradient, writer.ints(-1, channels, share.shape[0]))
        pixels = writer.add("MatMul", rows, writer.constant(share))
        return (writer.add("Reshape", pixels, writer.ints(-1, *node.input_shape)),)

    return Taped(y, backward)


def _shares(pixels: int, windows: int, window: int, stride: int) -> NDArray[np.float64]:
    """How much of each pixel of a side is in each of its windows, (windows, pixels)."""
    starts = np.arange(windows)[:, None] * stride
    pixel = np.arange(pixels)
    return ((pixel >= starts) & (pixel < starts + window)) / window


def _pair(sizes: int | tuple[int, ...]) -> tuple[int, int]:
    """Height and width; torch takes one number for both."""
    height, width = (sizes, sizes) if isinstance(sizes, int) else sizes
    return height, width


def taped_flatten(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """A map as one row an image."""
    shape = writer.ints(-1, *node.input_shape)
    y = writer.add("Flatten", x)
    return Taped(y, lambda gradient: (writer.add("Reshape", gradient, shape),))


def taped_sum(writer: GraphWriter, first: Value, second: Value) -> Taped:
    """Two maps added."""
    return Taped(writer.add("Add", first, second), lambda gradient: (gradient, gradient))


def tape(writer: GraphWriter, node: Node, inputs: Sequence[Value]) -> Taped:
    """A layer without weights.

    Raises:
        ExportError: it is of a kind that no gradient is known of.
    """
    match node.layer:
        case nn.MaxPool2d():
            return taped_max_pool(writer, node, *inputs)
        case nn.AvgPool2d():
            return taped_average_pool(writer, node, *inputs)
        case nn.Flatten():
            return taped_flatten(writer, node, *inputs)
        case None:
            return taped_sum(writer, *inputs)
        case layer if is_activation(layer):
            return taped_activation(writer, node, *inputs)
    raise ExportError(
        f"no gradient is known of a {type(node.layer).__name__}",
        hint="export without an adaptation graph",
    )
