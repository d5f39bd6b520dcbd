"""Pooling of maps (images, pixels, channels), forwards and backwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from metanas.deploy.adaptation_graph.gathered import pixels
from metanas.deploy.adaptation_graph.gathered.gathering import take
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.windows import pair
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


def taped_max_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Max-pooling by windows that do not overlap; the gradient goes to the first largest pixel."""
    assert isinstance(node.layer, nn.MaxPool2d)
    window, _ = pair(node.layer.kernel_size)
    sides, output_sides = node.input_shape[1:], node.output_shape[1:]
    count = int(np.prod(sides))
    table = pixels.windows(sides, output_sides, window)
    places, pooled = table.shape
    corners = writer.split(
        "Split",
        places,
        take(writer, x, table.ravel(), count),
        writer.ints(*[pooled] * places),
        axis=1,
    )
    y = writer.add("Max", *corners)

    def backward(gradient: Value) -> tuple[Value]:
        found = []
        for corner in corners[:-1]:
            largest = writer.add("Cast", writer.add("Equal", corner, y), to=TensorProto.FLOAT)
            found.append(writer.add("Mul", gradient, largest))
            gradient = writer.add("Sub", gradient, found[-1])  # what is left to the places behind
        together = writer.add("Concat", *found, gradient, axis=1)
        back = pixels.first_positions(table.ravel(), count)
        return (take(writer, together, back, places * pooled),)

    return Taped(y, backward)


def taped_average_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Average-pooling, of which the windows may overlap."""
    assert isinstance(node.layer, nn.AvgPool2d)
    window, stride = pair(node.layer.kernel_size), pair(node.layer.stride)
    sides, output_sides = node.input_shape[1:], node.output_shape[1:]
    share = np.kron(*map(_shares, sides, output_sides, window, stride))
    stored = share[np.ix_(pixels.stored_order(output_sides), pixels.stored_order(sides))]
    y = writer.add("MatMul", writer.constant(stored), x)

    def backward(gradient: Value) -> tuple[Value]:
        return (writer.add("MatMul", writer.constant(stored.T), gradient),)

    return Taped(y, backward)


def _shares(pixels: int, windows: int, window: int, stride: int) -> NDArray[np.float64]:
    """How much of each pixel of a side is in each of its windows, (windows, pixels)."""
    starts = np.arange(windows)[:, None] * stride
    pixel = np.arange(pixels)
    return ((pixel >= starts) & (pixel < starts + window)) / window
