"""TrainingPass: a network forwards and backwards, batch-norm by the images' own statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metanas.deploy.adaptation_graph.layers import Layers
from metanas.deploy.adaptation_graph.learner import Learner, Tensors
from metanas.deploy.adaptation_graph.structure import IMAGES, Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class TrainingPass:
    """One pass of images through a network, written into a graph.

    What is written and then not needed, as the backward part is where only the statistics are,
    the writer leaves out.

    Args:
        writer: gets the operations.
        nodes: the network.
        layers: that it is written with.
        tensors: of the network; see `Learner`.
        images: (images, channels, height, width).
    """

    def __init__(
        self,
        writer: GraphWriter,
        nodes: Sequence[Node],
        layers: Layers,
        tensors: Tensors,
        images: Value,
    ) -> None:
        self._writer = writer
        self._learner = Learner(writer, tensors)
        self._tape: list[tuple[Node, Taped]] = []
        values = {IMAGES: images}
        for node in nodes:
            taped = layers.tape(node, [values[name] for name in node.inputs], self._learner)
            values[node.name] = taped.output
            self._tape.append((node, taped))
        self.logits = values[nodes[-1].name]
        self.moments = self._learner.moments

    def descend(self, at_logits: Value, rates: Mapping[str, float]) -> Tensors:
        """A step down the gradient: the tensors that have a rate, each less rate * gradient.

        A convolution's bias has no gradient: batch-norm takes it off again.

        Args:
            at_logits: the gradient there.
            rates: of the tensors that learn.
        """
        self._learner.rates = rates
        last, _ = self._tape[-1]
        reached = {last.name: at_logits}
        for node, taped in reversed(self._tape):
            for name, gradient in zip(node.inputs, taped.backward(reached[node.name]), strict=True):
                both = [reached[name], gradient] if name in reached else []
                reached[name] = self._writer.add("Add", *both) if both else gradient
        return self._learner.learned
