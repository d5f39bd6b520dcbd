"""A convolution of the images themselves, with its batch-norm.

The images stay the same from step to step, and so do the patches that the kernel meets. With their
mean taken off and their covariance known, a filter's output has mean zero, and its variance needs
no pass over the map: it is filter · covariance · filter. Batch-norm becomes a factor of the
weight. Backwards, what it takes off a filter's gradient is the part along covariance · filter. The
maps of this layer are the largest of all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from metanas.deploy.adaptation_graph.batch_norm import (
    Gradients,
    Moments,
    deviation,
    padded_variance,
)
from metanas.deploy.adaptation_graph.gathered import pixels
from metanas.deploy.adaptation_graph.gathered.gathering import as_channels, take_beside
from metanas.deploy.adaptation_graph.structure import Node, kernel_and_stride
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class Patches(NamedTuple):
    """All that a kernel meets in the images.

    Args:
        centred: (images * pixels, size of a patch), less the mean.
        turned: (size, images * pixels), the same.
        mean: (1, size).
        covariance: (size, size), float64: a filter that sees edges alone has a variance that is
            small beside that of the patches, and float32 would lose it.
    """

    centred: Value
    turned: Value
    mean: Value
    covariance: Value


class Normalised(NamedTuple):
    """The output, (images, pixels, filters), and the way back, on which `x` is the weight."""

    output: Value
    moments: Moments
    backward: Callable[[Value], Gradients]


class ImageConvolution:
    """The weight is (size of a patch, filters), a patch being (places of the kernel, channels)."""

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        self._writer = writer
        self._kernel, self._stride = kernel_and_stride(node)
        self._channels, *self._sides = node.input_shape
        self._filters, *self._output_sides = node.output_shape

    def lay_out(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Layout`."""
        return weight.transpose(2, 3, 1, 0).reshape(-1, self._filters)

    def restore(self, weight: Value) -> Value:
        """See `Layout`."""
        kernel = self._kernel
        shape = self._writer.ints(kernel, kernel, self._channels, self._filters)
        return self._writer.add(
            "Transpose", self._writer.add("Reshape", weight, shape), perm=(3, 2, 0, 1)
        )

    def forward(self, images: Value, weight: Value, scale: Value, shift: Value) -> Normalised:
        """Of images, (images, channels, height, width)."""
        writer = self._writer
        centred, turned, mean, covariance = self._patches(images)
        exact = self._cast(weight, TensorProto.DOUBLE)
        seen = writer.add("MatMul", covariance, exact)
        squares = self._sum(writer.add("Mul", seen, exact))
        variance = self._cast(squares, TensorProto.FLOAT)
        gain = writer.add("Div", scale, deviation(writer, variance))
        output = writer.add("Gemm", centred, writer.add("Mul", weight, gain), shift)

        def backward(gradient: Value) -> Gradients:
            flat = writer.add("Reshape", gradient, writer.ints(-1, self._filters))
            product = writer.add("MatMul", turned, flat)
            dot = self._sum(writer.add("Mul", weight, product))
            share = writer.add("Div", dot, padded_variance(writer, variance))
            along = writer.add("Mul", self._cast(seen, TensorProto.FLOAT), share)
            return Gradients(
                writer.add("Mul", gain, writer.add("Sub", product, along)),
                writer.add("Div", dot, deviation(writer, variance)),
                self._sum(flat),
            )

        means = writer.add("Reshape", writer.add("MatMul", mean, weight), writer.ints(-1))
        shape = writer.ints(-1, int(np.prod(self._output_sides)), self._filters)
        output = writer.add("Reshape", output, shape)
        return Normalised(output, Moments(means, variance), backward)

    def _patches(self, images: Value) -> Patches:
        writer, count = self._writer, int(np.prod(self._sides))
        table = pixels.patches(self._sides, self._output_sides, self._kernel, self._stride)
        size = table.shape[1] * self._channels
        flat = writer.add("Reshape", images, writer.ints(-1, self._channels, count))
        rows = writer.add("Transpose", flat, perm=(0, 2, 1))
        table = pixels.row_by_row(table, self._sides)
        found = take_beside(writer, rows, table, count, self._channels)
        columns = writer.add("Reshape", as_channels(writer, found, size), writer.ints(size, -1))
        exact = self._cast(columns, TensorProto.DOUBLE)
        mean = writer.add("ReduceMean", exact, axes=(1,), keepdims=1)
        centred = writer.add("Sub", exact, mean)
        scatter = writer.add("Gemm", centred, centred, transB=1)  # older runtimes fuse no doubles
        patches = self._cast(writer.rows(found), TensorProto.DOUBLE)
        turned = self._cast(centred, TensorProto.FLOAT)
        # The shape in between keeps runtimes from turning it in each product anew.
        whole = writer.add("Reshape", turned, writer.ints(1, size, -1))
        last = writer.add("Transpose", whole, perm=(0, 2, 1))
        return Patches(
            centred=writer.add("Reshape", last, writer.ints(-1, size)),
            turned=turned,
            mean=self._cast(writer.add("Reshape", mean, writer.ints(1, size)), TensorProto.FLOAT),
            covariance=writer.add("Div", scatter, patches),
        )

    def _sum(self, x: Value) -> Value:
        return self._writer.add("ReduceSum", x, self._writer.ints(0), keepdims=0)

    def _cast(self, x: Value, dtype: int) -> Value:
        return self._writer.add("Cast", x, to=dtype)
