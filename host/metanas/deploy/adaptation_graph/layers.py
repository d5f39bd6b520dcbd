"""Layers without weights, forwards and backwards, on maps (images, pixels, channels)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from metanas.deploy.adaptation_graph import pixels
from metanas.deploy.adaptation_graph.activations import activate, derivative, is_activation
from metanas.deploy.adaptation_graph.gathering import take
from metanas.deploy.adaptation_graph.pooling import taped_average_pool, taped_max_pool
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.errors import ExportError


def stored_images(writer: GraphWriter, images: Value, shape: tuple[int, ...]) -> Value:
    """Images, (images, channels, height, width), as a map."""
    channels, *sides = shape
    flat = writer.add("Reshape", images, writer.ints(-1, channels, int(np.prod(sides))))
    last = writer.add("Transpose", flat, perm=(0, 2, 1))
    return take(writer, last, pixels.stored_order(sides), int(np.prod(sides)))


def taped_activation(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """An activation."""
    assert node.layer is not None
    layer = node.layer
    y = activate(writer, layer, x)
    return Taped(y, lambda gradient: (derivative(layer)(writer, y, gradient),))


def taped_flatten(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """A map as one row an image: the pixels of a channel, row by row, then the next channel."""
    channels, *sides = node.input_shape
    order = pixels.stored_order(sides)
    count = len(order)
    by_row = take(writer, x, np.argsort(order), count)
    y = writer.add("Flatten", writer.add("Transpose", by_row, perm=(0, 2, 1)))

    def backward(gradient: Value) -> tuple[Value]:
        by_channel = writer.add("Reshape", gradient, writer.ints(-1, channels, count))
        back = writer.add("Transpose", by_channel, perm=(0, 2, 1))
        return (take(writer, back, order, count),)

    return Taped(y, backward)


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
