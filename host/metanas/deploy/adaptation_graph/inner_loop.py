"""The inner loop, unrolled into one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from metanas.deploy.adaptation_graph.convolution import convolve
from metanas.deploy.adaptation_graph.layers import tape
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.training_pass import (
    PER_FILTER,
    Moments,
    Tensors,
    TrainingPass,
    deviation_of,
    images_in,
)
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value
from metanas.meta import MetaParameters, norms_at


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
    weights = {
        name: writer.constant(_as_folded(name, tensor.detach()).numpy())
        for name, tensor in parameters.adapted.items()
    }
    for step in range(parameters.steps):
        norms = _norms(writer, parameters, step)
        run = TrainingPass(writer, nodes, weights | norms, images)
        wrong = writer.add("Sub", writer.add("Softmax", run.logits, axis=-1), labels)
        mean = writer.add("Div", wrong, images_in(writer, labels))
        gradients = run.gradients(mean)
        for name, gradient in gradients.items():
            if name in weights:  # not so a scale or shift that the outer loop alone learns
                rate = writer.constant(float(parameters.rates[name][step]))
                descent = writer.add("Mul", gradient, rate)
                weights[name] = writer.add("Sub", weights[name], descent)
    weights |= _norms(writer, parameters, parameters.steps - 1)
    return _fold(writer, nodes, weights, TrainingPass(writer, nodes, weights, images).moments)


def classify(writer: GraphWriter, nodes: Sequence[Node], folded: Tensors, images: Value) -> Value:
    """Logits of the folded network, (images, ways)."""
    values = {"images": images}
    for node in nodes:
        inputs = [values[name] for name in node.inputs]
        weights = [folded[f"{node.weights}.{part}"] for part in _parts(node)]
        match node.layer:
            case nn.Conv2d():
                y = convolve(writer, node, *inputs, *weights)
            case nn.Linear():
                y = writer.add("Gemm", *inputs, *weights, transB=1)
            case _:
                y = tape(writer, node, inputs).output
        values[node.name] = y
    return values[nodes[-1].name]


def _norms(writer: GraphWriter, parameters: MetaParameters, step: int) -> Tensors:
    norms = norms_at(parameters, step)
    return {name: writer.constant(tensor.detach().numpy()) for name, tensor in norms.items()}


def _as_folded(name: str, tensor: Tensor) -> Tensor:
    """The classifier's weight is (ways, features) in the folded network."""
    return tensor.flatten(1) if name.startswith("head") and tensor.dim() > 1 else tensor


def _parts(node: Node) -> tuple[str, ...]:
    return ("weight", "bias") if node.parameters else ()


def _fold(
    writer: GraphWriter, nodes: Sequence[Node], weights: Tensors, moments: dict[str, Moments]
) -> Tensors:
    folded: Tensors = {}
    for node in nodes:
        for part in _parts(node):
            folded[f"{node.weights}.{part}"] = weights[f"{node.parameters}.{part}"]
        if node.parameters in moments:
            mean, variance = moments[node.parameters]
            scale, shift, weight = (
                weights[f"{node.parameters}.{part}"] for part in ("scale", "shift", "weight")
            )
            gain = writer.add("Div", scale, deviation_of(writer, variance))
            # The convolution's own bias is in the mean too, and so goes off.
            bias = writer.add("Sub", shift, writer.add("Mul", mean, gain))
            factor = writer.add("Reshape", gain, writer.ints(*PER_FILTER))
            folded[f"{node.weights}.weight"] = writer.add("Mul", weight, factor)
            folded[f"{node.weights}.bias"] = bias
    return folded
