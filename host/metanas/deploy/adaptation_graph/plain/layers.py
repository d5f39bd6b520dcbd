"""PlainLayers: layers on maps (images, channels, height, width), by a runtime's convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metanas.deploy.adaptation_graph import layers
from metanas.deploy.adaptation_graph.learner import Learner
from metanas.deploy.adaptation_graph.plain.convolution import PlainConvolution
from metanas.deploy.adaptation_graph.plain.pooling import taped_average_pool, taped_max_pool
from metanas.deploy.adaptation_graph.structure import Concat, Crop, Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

_PIXELS = (0, 2, 3)
"""Dimensions of a map but for the channels."""


class PlainLayers:
    """See `Layers`."""

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer

    def tape(self, node: Node, inputs: Sequence[Value], learner: Learner) -> Taped:
        """See `Layers`."""
        writer = self._writer
        match node.layer:
            case nn.Conv2d():
                return self._convolution(node, learner, *inputs)
            case nn.MaxPool2d():
                return taped_max_pool(writer, node, *inputs)
            case nn.AvgPool2d():
                return taped_average_pool(writer, node, *inputs)
            case nn.Flatten():
                return _taped_flatten(writer, node, *inputs)
            case Concat(channels):
                return _taped_concat(writer, inputs, channels)
            case Crop() as crop:
                return _taped_crop(writer, crop, *inputs)
        return layers.tape(writer, node, inputs, learner)

    def lay_out(
        self,
        node: Node,  # noqa: ARG002 - all weights stay as they are
        weight: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """See `Layers`."""
        return weight

    def restore(self, node: Node, weight: Value) -> Value:  # noqa: ARG002
        """See `Layers`."""
        return weight

    def _convolution(self, node: Node, learner: Learner, x: Value) -> Taped:
        """With the batch-norm behind it, where there is one."""
        weight = learner.tensor(node, "weight")
        layer = PlainConvolution(self._writer, node)
        z = layer.forward(x, weight)
        norm = learner.taped_norm(node, z, over=_PIXELS) if learner.has(node, "scale") else None

        def backward(gradient: Value) -> tuple[Value]:
            (at_z,) = norm.backward(gradient) if norm else (gradient,)
            learner.descend(node, "weight", layer.weight_gradient(x, at_z))
            return (layer.input_gradient(weight, at_z),)

        return Taped(norm.output if norm else z, backward)


def _taped_flatten(writer: GraphWriter, node: Node, x: Value) -> Taped:
    shape = writer.ints(-1, *node.input_shape)
    return Taped(writer.add("Flatten", x), lambda g: (writer.add("Reshape", g, shape),))


def _taped_concat(writer: GraphWriter, maps: Sequence[Value], channels: Sequence[int]) -> Taped:
    joined, sizes = writer.add("Concat", *maps, axis=1), writer.ints(*channels)
    return Taped(joined, lambda g: writer.split("Split", len(maps), g, sizes, axis=1))


def _taped_crop(writer: GraphWriter, crop: Crop, x: Value) -> Taped:
    pads = writer.ints(0, 0, crop.rows, crop.columns, 0, 0, 0, 0)
    return Taped(cropped(writer, crop, x), lambda g: (writer.add("Pad", g, pads),))


def cropped(writer: GraphWriter, crop: Crop, x: Value) -> Value:
    """A map (images, channels, height, width) without its first rows and columns."""
    starts, ends = writer.ints(crop.rows, crop.columns), writer.ints(_END, _END)
    return writer.add("Slice", x, starts, ends, writer.ints(2, 3))


_END = np.iinfo(np.int32).max
"""As ONNX writes the end of a dimension."""
