"""GatheredLayers: layers on maps (images, pixels, channels), as gathers and matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metanas.deploy.adaptation_graph import layers
from metanas.deploy.adaptation_graph.gathered import pixels
from metanas.deploy.adaptation_graph.gathered.convolution import Layout, convolution
from metanas.deploy.adaptation_graph.gathered.gathering import as_channels, as_map, take
from metanas.deploy.adaptation_graph.gathered.image_convolution import ImageConvolution
from metanas.deploy.adaptation_graph.gathered.pooling import taped_average_pool, taped_max_pool
from metanas.deploy.adaptation_graph.learner import Learner
from metanas.deploy.adaptation_graph.structure import IMAGES, Concat, Crop, Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.windows import window
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class GatheredLayers:
    """See `Layers`."""

    def __init__(self, writer: GraphWriter) -> None:
        self._writer = writer

    @staticmethod
    def know(node: Node) -> bool:
        """Whether a layer is one of those that are written here."""
        match node.layer:
            case nn.Conv2d() as layer:
                kernel = layer.kernel_size[0]
                shape = {"kernel_shape": (kernel,) * 2, "strides": (layer.stride[0],) * 2}
                padded = shape | {"pads": (kernel // 2,) * 4}
                return layer.groups == 1 and kernel % 2 == 1 and window(layer) == padded
            case nn.MaxPool2d() | nn.AvgPool2d() as layer:
                return not any(window(layer)["pads"])
            case Concat() | Crop():
                return False
        return True

    def tape(self, node: Node, inputs: Sequence[Value], learner: Learner) -> Taped:
        """See `Layers`."""
        writer = self._writer
        match node.layer:
            case nn.Conv2d() if node.inputs == (IMAGES,):
                return self._image_convolution(node, learner, *inputs)
            case nn.Conv2d():
                return self._convolution(node, learner, *inputs)
            case nn.MaxPool2d():
                return taped_max_pool(writer, node, *inputs)
            case nn.AvgPool2d():
                return taped_average_pool(writer, node, *inputs)
            case nn.Flatten():
                return _taped_flatten(writer, node, *inputs)
        return layers.tape(writer, node, inputs, learner)

    def lay_out(self, node: Node, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Layers`."""
        return self._layout(node).lay_out(weight)

    def restore(self, node: Node, weight: Value) -> Value:
        """See `Layers`."""
        return self._layout(node).restore(weight)

    def _layout(self, node: Node) -> Layout:
        return (ImageConvolution if node.inputs == (IMAGES,) else convolution)(self._writer, node)

    def _image_convolution(self, node: Node, learner: Learner, images: Value) -> Taped:
        weight, scale, shift = (learner.tensor(node, part) for part in ("weight", "scale", "shift"))
        layer = ImageConvolution(self._writer, node).forward(images, weight, scale, shift)
        learner.moments[node.weights] = layer.moments

        def backward(gradient: Value) -> tuple[Value]:
            for part, value in layer.backward(gradient)._asdict().items():
                learner.descend(node, "weight" if part == "x" else part, value)
            return (images,)  # nobody asks for the images' gradient

        return Taped(layer.output, backward)

    def _convolution(self, node: Node, learner: Learner, x: Value) -> Taped:
        """Without its bias, and with the batch-norm behind it."""
        writer = self._writer
        weight = learner.tensor(node, "weight")
        filters, *sides = node.output_shape
        layer = convolution(writer, node)
        z = as_channels(writer, layer.forward(x, weight), filters)
        norm = learner.taped_norm(node, z, over=(0, 2))

        def backward(gradient: Value) -> tuple[Value]:
            (at_z,) = norm.backward(as_channels(writer, gradient, filters))
            learned, at_x = layer.backward(x, weight, at_z, learner.rate(node, "weight"))
            learner.learn(node, "weight", learned)
            return (at_x,)

        return Taped(as_map(writer, norm.output, int(np.prod(sides)), filters), backward)


def _taped_flatten(writer: GraphWriter, node: Node, x: Value) -> Taped:
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
