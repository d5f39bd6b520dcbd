"""Learner: the tensors of a pass, and what a step down the gradient makes of them."""

from __future__ import annotations

from collections.abc import Mapping

from metanas.deploy.adaptation_graph.batch_norm import Moments, batch_norm
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

Tensors = dict[str, Value]
"""Name of a folded network's layer and part, such as `0.through.1.scale`, to the tensor."""


class Learner:
    """What the layers of a network with weights have in common.

    Args:
        writer: gets the operations.
        tensors: the adapted ones, as the layers lay them out, and batch-norm's scales and shifts.
    """

    def __init__(self, writer: GraphWriter, tensors: Tensors) -> None:
        self.rates: Mapping[str, float] = {}
        """Of the tensors that learn; known when the backward parts are written."""
        self.learned = Tensors()
        self.moments: dict[str, Moments] = {}
        """Name of a layer to its batch-norm's."""
        self._writer = writer
        self._tensors = tensors

    def has(self, node: Node, part: str) -> bool:
        """Whether a layer has a tensor."""
        return f"{node.weights}.{part}" in self._tensors

    def tensor(self, node: Node, part: str) -> Value:
        """A layer's tensor in this step."""
        return self._tensors[f"{node.weights}.{part}"]

    def rate(self, node: Node, part: str) -> float:
        """That of a tensor which learns."""
        return self.rates[f"{node.weights}.{part}"]

    def learn(self, node: Node, part: str, learned: Value) -> None:
        """Take what a tensor became."""
        self.learned[f"{node.weights}.{part}"] = learned

    def descend(self, node: Node, part: str, gradient: Value) -> None:
        """The tensor less rate * gradient, if it learns."""
        if f"{node.weights}.{part}" in self.rates:
            rate = self._writer.constant(self.rate(node, part))
            step = self._writer.add("Mul", gradient, rate)
            self.learn(node, part, self._writer.add("Sub", self.tensor(node, part), step))

    def taped_norm(self, node: Node, x: Value, *, over: tuple[int, ...]) -> Taped:
        """The batch-norm behind a layer.

        Args:
            node: the layer.
            x: its output, whose second dimension are the channels.
            over: the other dimensions.
        """
        scale, shift = self.tensor(node, "scale"), self.tensor(node, "shift")
        channels = node.output_shape[0]
        norm = batch_norm(self._writer, x, scale, shift, channels=channels, over=over)
        self.moments[node.weights] = norm.moments

        def backward(gradient: Value) -> tuple[Value]:
            at_x, at_scale, at_shift = norm.backward(gradient)
            self.descend(node, "scale", at_scale)
            self.descend(node, "shift", at_shift)
            return (at_x,)

        return Taped(norm.output, backward)
