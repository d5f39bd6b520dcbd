"""A convolution at a longer stride than 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.adaptation_graph.gathered import pixels
from metanas.deploy.adaptation_graph.gathered.gathering import as_map, take, take_beside
from metanas.deploy.adaptation_graph.structure import Node, kernel_and_stride
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class StridedConvolution:
    """The weight is (filters, places * channels).

    The patches of the input are few here, and are kept for the weight's gradient.
    """

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        self._writer = writer
        self._kernel, self._stride = kernel_and_stride(node)
        self._channels, *self._sides = node.input_shape
        self._filters, *self._output_sides = node.output_shape
        self._pixels, self._outputs = (
            int(np.prod(sides)) for sides in (self._sides, self._output_sides)
        )

    def lay_out(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Layout`."""
        return weight.transpose(0, 2, 3, 1).reshape(self._filters, -1)

    def restore(self, weight: Value) -> Value:
        """See `Layout`."""
        kernel = self._kernel
        shape = self._writer.ints(self._filters, kernel, kernel, self._channels)
        return self._writer.add(
            "Transpose", self._writer.add("Reshape", weight, shape), perm=(0, 3, 1, 2)
        )

    def forward(self, x: Value, weight: Value) -> Value:
        """See `Convolution`."""
        return self._writer.add("Gemm", self._patches(x), weight, transB=1)

    def backward(
        self, x: Value, weight: Value, gradient: Value, rate: float
    ) -> tuple[Value, Value]:
        """See `Convolution`."""
        flat = self._writer.add("Reshape", gradient, self._writer.ints(self._filters, -1))
        learned = self._writer.add("Gemm", flat, self._patches(x), weight, alpha=-rate)
        return learned, self._input_gradient(weight, gradient)

    def _input_gradient(self, weight: Value, gradient: Value) -> Value:
        """The stride makes several ordinary convolutions of it, each of its own places."""
        writer, places = self._writer, self._kernel**2
        at_output = as_map(writer, gradient, self._outputs, self._filters)
        rows = writer.add("Reshape", weight, writer.ints(-1, self._channels))
        products, found = [], []
        for part in pixels.parts(self._sides, self._output_sides, self._kernel, self._stride):
            if part.places.size:
                # Of each place, all filters.
                order = (part.places[:, None] + places * np.arange(self._filters)).ravel()
                kernels = take(writer, rows, order, places * self._filters, axis=0)
                met = take_beside(writer, at_output, part.outputs, self._outputs, self._filters)
                shape = writer.ints(-1, len(part.pixels), self._channels)
                products.append(writer.add("Reshape", writer.add("MatMul", met, kernels), shape))
                found.append(part.pixels)
        together = writer.add("Concat", *products, axis=1) if len(products) > 1 else products[0]
        back = pixels.first_positions(np.concatenate(found), self._pixels)
        return take(writer, together, back, sum(map(len, found)))

    def _patches(self, x: Value) -> Value:
        table = pixels.patches(self._sides, self._output_sides, self._kernel, self._stride)
        return take_beside(self._writer, x, table, self._pixels, self._channels)
