"""A convolution and its two gradients as gathers and matrix products.

A runtime copies whole pixels at the speed of memory and multiplies matrices at that of the
processor. Its own convolutions do neither where the weights are no constants, least of all those
backwards.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.adaptation_graph.gathered.dense_convolution import DenseConvolution
from metanas.deploy.adaptation_graph.gathered.strided_convolution import StridedConvolution
from metanas.deploy.adaptation_graph.structure import Node, kernel_and_stride
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class Layout(Protocol):
    """How a convolution's weight lies in the graph."""

    def lay_out(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """From (filters, channels, height, width)."""

    def restore(self, weight: Value) -> Value:
        """To that again."""


class Convolution(Layout, Protocol):
    """A convolution of maps (images, pixels, channels), its padding half of its odd kernel."""

    def forward(self, x: Value, weight: Value) -> Value:
        """The output, (images * pixels, filters), or a map with as many numbers."""

    def backward(
        self, x: Value, weight: Value, gradient: Value, rate: float
    ) -> tuple[Value, Value]:
        """The weight less rate * its gradient, and the gradient at the input.

        That at the output is (1, filters, images * pixels).
        """


def convolution(writer: GraphWriter, node: Node) -> Convolution:
    """The convolution of a layer."""
    _, stride = kernel_and_stride(node)
    return (DenseConvolution if stride == 1 else StridedConvolution)(writer, node)
