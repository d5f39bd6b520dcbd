"""TrainingPass: a network forwards and backwards, batch-norm by the images' own statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnx import TensorProto
from torch import nn

from metanas.deploy.adaptation_graph.convolution import convolve, input_gradient, weight_gradient
from metanas.deploy.adaptation_graph.layers import Taped, tape
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.spaces.batch_norm import NORM_EPSILON

PER_FILTER = (-1, 1, 1, 1)
"""Shape of one factor for each filter of a convolution."""

_OVER_PIXELS = (0, 2, 3)

Tensors = dict[str, Value]
"""Name, such as `conv0.weight` in the meta-parameters, to the tensor."""


class Moments(NamedTuple):
    """Mean and variance of each channel of a map, (channels,)."""

    mean: Value
    variance: Value


class TrainingPass:
    """One pass of images through a network, written into a graph.

    What is written and then not needed, as the backward part is where only the statistics are,
    the writer leaves out.

    Args:
        writer: gets the operations.
        nodes: the network.
        weights: its adapted tensors, and batch-norm's scales and shifts.
        images: (images, channels, height, width).
    """

    def __init__(
        self, writer: GraphWriter, nodes: Sequence[Node], weights: Tensors, images: Value
    ) -> None:
        self.moments: dict[str, Moments] = {}
        self._writer = writer
        self._weights = weights
        self._gradients: Tensors = {}
        self._tape: list[tuple[Node, Taped]] = []
        values = {"images": images}
        for node in nodes:
            taped = self._tape_of(node, [values[name] for name in node.inputs])
            values[node.name] = taped.output
            self._tape.append((node, taped))
        self.logits = values[nodes[-1].name]

    def gradients(self, at_logits: Value) -> Tensors:
        """The gradient of each tensor, from that of the logits.

        A convolution's bias has none: batch-norm takes it off again.
        """
        last, _ = self._tape[-1]
        reached = {last.name: at_logits}
        for node, taped in reversed(self._tape):
            for name, gradient in zip(node.inputs, taped.backward(reached[node.name]), strict=True):
                both = [reached[name], gradient] if name in reached else []
                reached[name] = self._writer.add("Add", *both) if both else gradient
        return self._gradients

    def _tape_of(self, node: Node, inputs: Sequence[Value]) -> Taped:
        match node.layer:
            case nn.Conv2d():
                return self._convolution(node, *inputs)
            case nn.Linear():
                return self._linear(node, *inputs)
        return tape(self._writer, node, inputs)

    def _convolution(self, node: Node, x: Value) -> Taped:
        """Without its bias, and with the batch-norm behind it."""
        writer, name = self._writer, node.parameters
        weight, scale, shift = (
            self._weights[f"{name}.{part}"] for part in ("weight", "scale", "shift")
        )
        z = convolve(writer, node, x, weight)
        mean = writer.add("ReduceMean", z, axes=_OVER_PIXELS, keepdims=1)
        centred = writer.add("Sub", z, mean)
        variance = self._mean(writer.add("Mul", centred, centred))
        moments = Moments(writer.add("Reshape", mean, writer.ints(-1)), variance)
        self.moments[name] = moments

        def backward(gradient: Value) -> tuple[Value]:
            # dz = gain * (dy - mean(dy) - centred * mean(dy * centred) / variance). The gain goes
            # to the weights, which are fewer; the two means go off in one batch-norm.
            deviation = deviation_of(writer, variance)
            offset = self._mean(gradient)
            product = self._mean(writer.add("Mul", gradient, centred))
            slope = writer.add("Div", product, deviation)
            rest = writer.add("Sub", gradient, _batch_norm(writer, z, slope, offset, moments))
            gain = writer.add(
                "Reshape", writer.add("Div", scale, deviation), writer.ints(*PER_FILTER)
            )
            found = {
                "weight": writer.add("Mul", gain, weight_gradient(writer, node, x, rest)),
                "scale": self._sum(node, slope, gradient),
                "shift": self._sum(node, offset, gradient),
            }
            self._gradients |= {f"{name}.{part}": value for part, value in found.items()}
            return (input_gradient(writer, node, writer.add("Mul", gain, weight), rest),)

        return Taped(_batch_norm(writer, z, scale, shift, moments), backward)

    def _linear(self, node: Node, x: Value) -> Taped:
        writer, name = self._writer, node.parameters
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

        def backward(gradient: Value) -> tuple[Value]:
            self._gradients[f"{name}.weight"] = writer.add("Gemm", gradient, x, transA=1)
            self._gradients[f"{name}.bias"] = writer.add(
                "ReduceSum", gradient, writer.ints(0), keepdims=0
            )
            return (writer.add("MatMul", gradient, weight),)

        return Taped(writer.add("Gemm", x, weight, bias, transB=1), backward)

    def _mean(self, x: Value) -> Value:
        """Over images and pixels, (channels,)."""
        return self._writer.add("ReduceMean", x, axes=_OVER_PIXELS, keepdims=0)

    def _sum(self, node: Node, mean: Value, batch: Value) -> Value:
        """What `_mean` of a node's output was the mean of, summed."""
        _, rows, columns = node.output_shape
        pixels = self._writer.constant(rows * columns)
        count = self._writer.add("Mul", images_in(self._writer, batch), pixels)
        return self._writer.add("Mul", mean, count)


def images_in(writer: GraphWriter, batch: Value) -> Value:
    """The number of images, as a float."""
    return writer.add("Cast", writer.image_count(batch), to=TensorProto.FLOAT)


def deviation_of(writer: GraphWriter, variance: Value) -> Value:
    """What batch-norm divides by."""
    return writer.add("Sqrt", writer.add("Add", variance, writer.constant(NORM_EPSILON)))


def _batch_norm(
    writer: GraphWriter, x: Value, scale: Value, shift: Value, moments: Moments
) -> Value:
    return writer.add("BatchNormalization", x, scale, shift, *moments, epsilon=NORM_EPSILON)
