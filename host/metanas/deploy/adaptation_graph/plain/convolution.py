"""A convolution of any kind and its two gradients, by the runtime's own convolutions."""

from __future__ import annotations

from math import prod

from torch import nn

from metanas.deploy.adaptation_graph.plain.patches import Patches
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.windows import backward_window, window
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class PlainConvolution:
    """The weight is (filters, channels of a group, height, width)."""

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        assert isinstance(node.layer, nn.Conv2d)
        self._writer, self._node = writer, node
        self._window, self._backward_window = window(node.layer), backward_window(node)
        self._groups, self._shape = node.layer.groups, node.layer.weight.shape

    def forward(self, x: Value, weight: Value) -> Value:
        """The output."""
        return self._writer.add("Conv", x, weight, **self._window, group=self._groups)

    def input_gradient(self, weight: Value, gradient: Value) -> Value:
        """From the gradient at the output, that at the input."""
        return self._writer.add(
            "ConvTranspose", gradient, weight, **self._backward_window, group=self._groups
        )

    def weight_gradient(self, x: Value, gradient: Value) -> Value:
        """Of each group, the product of what its filters meet with the gradients there.

        A runtime's convolution with the gradient for a kernel takes twice as long.
        """
        writer, groups, pixels = self._writer, self._groups, prod(self._node.output_shape[1:])
        met = writer.add("Reshape", self._met(x), writer.ints(-1, groups, self._size, pixels))
        filters = writer.ints(-1, groups, self._shape[0] // groups, pixels)
        at_filters = writer.add("Reshape", gradient, filters)
        turned = writer.add("Transpose", at_filters, perm=(0, 1, 3, 2))
        products = writer.add("MatMul", met, turned)
        total = writer.add("ReduceSum", products, writer.ints(0), keepdims=0)
        by_filter = writer.add("Transpose", total, perm=(0, 2, 1))
        return writer.add("Reshape", by_filter, writer.ints(*self._shape))

    @property
    def _size(self) -> int:
        """Weights of a filter."""
        return prod(self._shape[1:])

    def _met(self, x: Value) -> Value:
        node = self._node
        if self._shape[2:] == (1, 1) and node.input_shape[1:] == node.output_shape[1:]:
            return x
        return Patches(self._writer, node).cut(x)
