"""TrainingPass: a network forwards and backwards, batch-norm by the images' own statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from metanas.deploy.adaptation_graph.batch_norm import Moments, batch_norm
from metanas.deploy.adaptation_graph.convolution import convolution
from metanas.deploy.adaptation_graph.gathering import as_channels, as_map
from metanas.deploy.adaptation_graph.image_convolution import ImageConvolution
from metanas.deploy.adaptation_graph.layers import stored_images, tape
from metanas.deploy.adaptation_graph.structure import IMAGES, Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

Tensors = dict[str, Value]
"""Name, such as `conv0.weight` in the meta-parameters, to the tensor."""


class TrainingPass:
    """One pass of images through a network, written into a graph.

    What is written and then not needed, as the backward part is where only the statistics are,
    the writer leaves out. Between layers, maps are (images, pixels, channels).

    Args:
        writer: gets the operations.
        nodes: the network.
        weights: its adapted tensors, laid out as `laid_out` has it, and batch-norm's scales and
            shifts.
        images: (images, channels, height, width).
    """

    def __init__(
        self, writer: GraphWriter, nodes: Sequence[Node], weights: Tensors, images: Value
    ) -> None:
        self.moments: dict[str, Moments] = {}
        self._writer = writer
        self._weights = weights
        self._images = images
        self._tape: list[tuple[Node, Taped]] = []
        values = {IMAGES: stored_images(writer, images, nodes[0].input_shape)}
        for node in nodes:
            taped = self._tape_of(node, [values[name] for name in node.inputs])
            values[node.name] = taped.output
            self._tape.append((node, taped))
        self.logits = values[nodes[-1].name]

    def descend(self, at_logits: Value, rates: Mapping[str, float]) -> Tensors:
        """A step down the gradient: the tensors that have a rate, each less rate * gradient.

        A convolution's bias has no gradient: batch-norm takes it off again.

        Args:
            at_logits: the gradient there.
            rates: of the tensors that learn.
        """
        self._rates, self._learned = rates, Tensors()
        last, _ = self._tape[-1]
        reached = {last.name: at_logits}
        for node, taped in reversed(self._tape):
            for name, gradient in zip(node.inputs, taped.backward(reached[node.name]), strict=True):
                both = [reached[name], gradient] if name in reached else []
                reached[name] = self._writer.add("Add", *both) if both else gradient
        return self._learned

    def _tape_of(self, node: Node, inputs: Sequence[Value]) -> Taped:
        match node.layer:
            case nn.Conv2d() if node.inputs == (IMAGES,):
                return self._image_convolution(node, *inputs)
            case nn.Conv2d():
                return self._convolution(node, *inputs)
            case nn.Linear():
                return self._linear(node, *inputs)
        return tape(self._writer, node, inputs)

    def _image_convolution(self, node: Node, x: Value) -> Taped:
        name = node.parameters
        layer = ImageConvolution(self._writer, node).forward(self._images, *self._of(name))
        self.moments[name] = layer.moments

        def backward(gradient: Value) -> tuple[Value]:
            for part, value in layer.backward(gradient)._asdict().items():
                self._learn(f"{name}.{'weight' if part == 'x' else part}", value)
            return (x,)  # nobody asks for the images' gradient

        return Taped(layer.output, backward)

    def _convolution(self, node: Node, x: Value) -> Taped:
        """Without its bias, and with the batch-norm behind it."""
        writer, name = self._writer, node.parameters
        weight, scale, shift = self._of(name)
        filters, *sides = node.output_shape
        layer = convolution(writer, node)
        z = as_channels(writer, layer.forward(x, weight), filters)
        norm = batch_norm(writer, z, scale, shift, channels=filters)
        self.moments[name] = norm.moments

        def backward(gradient: Value) -> tuple[Value]:
            by_channel = as_channels(writer, gradient, filters)
            at_z, at_scale, at_shift = norm.backward(by_channel)
            rate = self._rates[f"{name}.weight"]
            learned, at_x = layer.backward(x, weight, at_z, rate)
            self._learned[f"{name}.weight"] = learned
            self._learn(f"{name}.scale", at_scale)
            self._learn(f"{name}.shift", at_shift)
            return (at_x,)

        return Taped(as_map(writer, norm.output, int(np.prod(sides)), filters), backward)

    def _linear(self, node: Node, x: Value) -> Taped:
        writer, name = self._writer, node.parameters
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

        def backward(gradient: Value) -> tuple[Value]:
            rate = self._rates[f"{name}.weight"]
            self._learned[f"{name}.weight"] = writer.add(
                "Gemm", gradient, x, weight, transA=1, alpha=-rate
            )
            total = writer.add("ReduceSum", gradient, writer.ints(0), keepdims=0)
            self._learn(f"{name}.bias", total)
            return (writer.add("MatMul", gradient, weight),)

        return Taped(writer.add("Gemm", x, weight, bias, transB=1), backward)

    def _of(self, name: str) -> tuple[Value, Value, Value]:
        weight, scale, shift = (
            self._weights[f"{name}.{part}"] for part in ("weight", "scale", "shift")
        )
        return weight, scale, shift

    def _learn(self, name: str, gradient: Value) -> None:
        if name in self._rates:
            step = self._writer.add("Mul", gradient, self._writer.constant(self._rates[name]))
            self._learned[name] = self._writer.add("Sub", self._weights[name], step)
