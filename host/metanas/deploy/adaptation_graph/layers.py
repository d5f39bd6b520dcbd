"""Layers that are the same however maps lie: forwards and backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metanas.deploy.adaptation_graph.activations import activate, derivative, is_activation
from metanas.deploy.adaptation_graph.learner import Learner
from metanas.deploy.adaptation_graph.structure import Node, Sum
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.errors import ExportError


class Layers(Protocol):
    """How maps and convolutions' weights lie in the graph, and what computes with them."""

    def tape(self, node: Node, inputs: Sequence[Value], learner: Learner) -> Taped:
        """A layer, with the batch-norm behind it.

        Raises:
            ExportError: it is of a kind that no gradient is known of.
        """

    def lay_out(self, node: Node, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """A convolution's weight, from (filters, channels, height, width)."""

    def restore(self, node: Node, weight: Value) -> Value:
        """To that again."""


def tape(writer: GraphWriter, node: Node, inputs: Sequence[Value], learner: Learner) -> Taped:
    """A layer to which it is all the same where a pixel lies.

    Raises:
        ExportError: it is of a kind that no gradient is known of.
    """
    match node.layer:
        case nn.Linear():
            return _taped_linear(writer, node, learner, *inputs)
        case Sum():
            return Taped(writer.add("Add", *inputs), lambda gradient: (gradient, gradient))
        case nn.Module() as layer if is_activation(layer):
            y = activate(writer, layer, *inputs)
            return Taped(y, lambda gradient: (derivative(layer)(writer, y, gradient),))
    raise ExportError(
        f"no gradient is known of a {type(node.layer).__name__}",
        hint="report this network's architecture",
    )


def _taped_linear(writer: GraphWriter, node: Node, learner: Learner, x: Value) -> Taped:
    weight, bias = learner.tensor(node, "weight"), learner.tensor(node, "bias")

    def backward(gradient: Value) -> tuple[Value]:
        rate = learner.rate(node, "weight")
        learned = writer.add("Gemm", gradient, x, weight, transA=1, alpha=-rate)
        learner.learn(node, "weight", learned)
        total = writer.add("ReduceSum", gradient, writer.ints(0), keepdims=0)
        learner.descend(node, "bias", total)
        return (writer.add("MatMul", gradient, weight),)

    return Taped(writer.add("Gemm", x, weight, bias, transB=1), backward)
