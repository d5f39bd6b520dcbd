"""The inner loop, unrolled into one ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from metanas.deploy.adaptation_graph.batch_norm import Moments, deviation
from metanas.deploy.adaptation_graph.layout import laid_out, restored
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.training_pass import Tensors, TrainingPass
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.meta import MetaParameters, norms_at

PER_FILTER = (-1, 1, 1, 1)
"""Shape of one factor for each filter of a convolution."""


def adapt(
    writer: GraphWriter,
    nodes: Sequence[Node],
    parameters: MetaParameters,
    images: Value,
    labels: Value,
) -> Tensors:
    """The steps of `metanas.meta.inner_loop`, then batch-norm folded into the convolutions.

    Args:
        writer: gets the operations.
        nodes: the network.
        parameters: of exactly this network, on the CPU.
        images: (images, channels, height, width).
        labels: (images, ways), one-hot.

    Returns:
        Weights and biases of the folded network, under its own names.
    """
    layers = {node.parameters: node for node in nodes if node.parameters}
    weights = _constants(writer, layers, parameters.adapted)
    for step in range(parameters.steps):
        norms = _constants(writer, layers, norms_at(parameters, step))
        run = TrainingPass(writer, nodes, weights | norms, images)
        wrong = writer.add("Sub", writer.add("Softmax", run.logits, axis=-1), labels)
        mean = writer.add("Div", wrong, writer.rows(labels))
        rates = {name: float(rate[step]) for name, rate in parameters.rates.items()}
        weights |= run.descend(mean, rates)
    weights |= _constants(writer, layers, norms_at(parameters, parameters.steps - 1))
    return _fold(writer, layers, weights, TrainingPass(writer, nodes, weights, images).moments)


def _constants(
    writer: GraphWriter, layers: Mapping[str, Node], tensors: Mapping[str, Tensor]
) -> Tensors:
    constants = Tensors()
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        constants[name] = writer.constant(laid_out(writer, layers[layer], part, tensor))
    return constants


def _fold(
    writer: GraphWriter,
    layers: Mapping[str, Node],
    weights: Tensors,
    moments: Mapping[str, Moments],
) -> Tensors:
    folded = Tensors()
    for name, node in layers.items():
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        if name in moments:
            mean, variance = moments[name]
            scale, shift = weights[f"{name}.scale"], weights[f"{name}.shift"]
            gain = writer.add("Div", scale, deviation(writer, variance))
            factor = writer.add("Reshape", gain, writer.ints(*PER_FILTER))
            weight = writer.add("Mul", restored(writer, node, weight), factor)
            # The convolution's own bias is in the mean too, and so goes off.
            bias = writer.add("Sub", shift, writer.add("Mul", mean, gain))
        folded[f"{node.weights}.weight"], folded[f"{node.weights}.bias"] = weight, bias
    return folded
