"""Activations and their derivatives as ONNX operations."""

from __future__ import annotations

from collections.abc import Callable

from onnx import TensorProto
from torch import nn

from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

_SELU_ALPHA = 1.6732632423543772
_SELU_GAMMA = 1.0507009873554805
_LEAKY_SLOPE = 0.01

Derivative = Callable[[GraphWriter, Value, Value], Value]
"""From the activation's output and the gradient there, the gradient at its input."""


def _relu(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    above = writer.add("Greater", y, writer.constant(0))
    return writer.add("Mul", gradient, writer.add("Cast", above, to=TensorProto.FLOAT))


def _relu6(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    zero, six = writer.constant(0), writer.constant(6)
    inside = writer.add("And", writer.add("Greater", y, zero), writer.add("Less", y, six))
    return writer.add("Where", inside, gradient, zero)


def _leaky_relu(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    slope = writer.add("Mul", gradient, writer.constant(_LEAKY_SLOPE))
    return writer.add("Where", writer.add("Greater", y, writer.constant(0)), gradient, slope)


def _elu(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    """Below zero y = exp(x) - 1, of which the derivative is y + 1; above zero, 1."""
    below = writer.add("Min", y, writer.constant(0))
    return writer.add("Mul", gradient, writer.add("Add", below, writer.constant(1)))


def _selu(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    """As `_elu`, stretched: below zero y + gamma * alpha, above zero gamma."""
    below = writer.add("Add", y, writer.constant(_SELU_GAMMA * _SELU_ALPHA))
    above = writer.add("Greater", y, writer.constant(0))
    return writer.add(
        "Mul", gradient, writer.add("Where", above, writer.constant(_SELU_GAMMA), below)
    )


def _sigmoid(writer: GraphWriter, y: Value, gradient: Value) -> Value:
    rest = writer.add("Sub", writer.constant(1), y)
    return writer.add("Mul", gradient, writer.add("Mul", y, rest))


_DERIVATIVES: dict[type[nn.Module], Derivative] = {
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.SELU: _selu,
    nn.Sigmoid: _sigmoid,
    nn.Identity: lambda _writer, _y, gradient: gradient,
}


def activate(writer: GraphWriter, layer: nn.Module, x: Value) -> Value:
    """The output of an activation, with the constants that torch gives it by default."""
    match layer:
        case nn.ReLU6():
            return writer.add("Clip", x, writer.constant(0), writer.constant(6))
        case nn.ReLU():
            return writer.add("Relu", x)
        case nn.LeakyReLU():
            return writer.add("LeakyRelu", x, alpha=_LEAKY_SLOPE)
        case nn.ELU():
            return writer.add("Elu", x, alpha=1.0)
        case nn.SELU():
            return writer.add("Selu", x, alpha=_SELU_ALPHA, gamma=_SELU_GAMMA)
        case nn.Sigmoid():
            return writer.add("Sigmoid", x)
        case _:
            return x


def is_activation(layer: object) -> bool:
    """Whether a layer is one of those that this file knows."""
    return type(layer) in _DERIVATIVES


def derivative(layer: nn.Module) -> Derivative:
    """How the gradient passes an activation."""
    return _DERIVATIVES[type(layer)]
