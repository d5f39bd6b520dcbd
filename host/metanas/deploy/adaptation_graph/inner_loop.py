"""The inner loop, unrolled into one ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metanas.deploy.adaptation_graph.batch_norm import Moments, deviation
from metanas.deploy.adaptation_graph.gathered import GatheredLayers
from metanas.deploy.adaptation_graph.layers import Layers
from metanas.deploy.adaptation_graph.learner import Tensors
from metanas.deploy.adaptation_graph.plain import PlainLayers
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.training_pass import TrainingPass
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.meta import MetaParameters, norms_at

PER_FILTER = (-1, 1, 1, 1)
"""Shape of one factor for each filter of a convolution."""

_PARTS = ("weight", "bias", "scale", "shift")


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

    Raises:
        ExportError: the network has a layer that no gradient is known of.
    """
    layers = layers_for(writer, nodes)
    weights = _constants(writer, nodes, layers, parameters.adapted)
    for step in range(parameters.steps):
        norms = _constants(writer, nodes, layers, norms_at(parameters, step))
        run = TrainingPass(writer, nodes, layers, weights | norms, images)
        wrong = writer.add("Sub", writer.add("Softmax", run.logits, axis=-1), labels)
        mean = writer.add("Div", wrong, writer.rows(labels))
        rates = {
            f"{node.weights}.{part}": float(rate[step])
            for node, part, rate in _parts(nodes, parameters.rates)
        }
        weights |= run.descend(mean, rates)
    weights |= _constants(writer, nodes, layers, norms_at(parameters, parameters.steps - 1))
    moments = TrainingPass(writer, nodes, layers, weights, images).moments
    return _fold(writer, nodes, layers, weights, moments)


def layers_for(writer: GraphWriter, nodes: Sequence[Node]) -> Layers:
    """Gathered layers if they know all of a network, which then learns faster; else plain ones."""
    gathers = all(GatheredLayers.know(node) for node in nodes)
    return GatheredLayers(writer) if gathers else PlainLayers(writer)


def _parts(
    nodes: Sequence[Node], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[Node, str, Tensor]]:
    """Those of the nodes that are among some meta-parameters."""
    for node in nodes:
        for part in _PARTS if node.parameters else ():
            name = f"{node.parameters}.{part}"
            if name in tensors:
                yield node, part, tensors[name]


def _constants(
    writer: GraphWriter, nodes: Sequence[Node], layers: Layers, tensors: Mapping[str, Tensor]
) -> Tensors:
    constants = Tensors()
    for node, part, tensor in _parts(nodes, tensors):
        values: NDArray[np.float32] = tensor.detach()[node.filters].numpy()
        if part == "weight" and isinstance(node.layer, nn.Conv2d):
            values = layers.lay_out(node, values)
        elif part == "weight":
            values = values.reshape(len(values), -1)
        constants[f"{node.weights}.{part}"] = writer.constant(values)
    return constants


def _fold(
    writer: GraphWriter,
    nodes: Sequence[Node],
    layers: Layers,
    tensors: Tensors,
    moments: Mapping[str, Moments],
) -> Tensors:
    folded = Tensors()
    for node in nodes:
        name = node.weights
        if not node.parameters:
            continue
        weight = tensors[f"{name}.weight"]
        if isinstance(node.layer, nn.Conv2d):
            weight = layers.restore(node, weight)
        if name in moments:
            mean, variance = moments[name]
            scale, shift = tensors[f"{name}.scale"], tensors[f"{name}.shift"]
            gain = writer.add("Div", scale, deviation(writer, variance))
            factor = writer.add("Reshape", gain, writer.ints(*PER_FILTER))
            weight = writer.add("Mul", weight, factor)
            # The convolution's own bias is in the mean too, and so goes off.
            folded[f"{name}.bias"] = writer.add("Sub", shift, writer.add("Mul", mean, gain))
        elif f"{name}.bias" in tensors:
            folded[f"{name}.bias"] = tensors[f"{name}.bias"]
        folded[f"{name}.weight"] = weight
    return folded
