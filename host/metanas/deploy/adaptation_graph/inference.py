"""The folded network as an ordinary graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from metanas.deploy.adaptation_graph.activations import activate
from metanas.deploy.adaptation_graph.pooling import pair
from metanas.deploy.adaptation_graph.structure import IMAGES, Node, kernel_and_stride
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


def infer(
    writer: GraphWriter, nodes: Sequence[Node], folded: Mapping[str, Value], images: Value
) -> Value:
    """Logits, (images, ways), of images, (images, channels, height, width).

    Args:
        writer: gets the operations.
        nodes: the network.
        folded: its weights and biases, under the folded network's names.
        images: the images.
    """
    values = {IMAGES: images}
    for node in nodes:
        inputs = [values[name] for name in node.inputs]
        parts = ("weight", "bias") if node.parameters else ()
        weights = [folded[f"{node.weights}.{part}"] for part in parts]
        values[node.name] = _layer(writer, node, [*inputs, *weights])
    return values[nodes[-1].name]


def _layer(writer: GraphWriter, node: Node, inputs: Sequence[Value]) -> Value:
    match node.layer:
        case nn.Conv2d():
            kernel, stride = kernel_and_stride(node)
            return writer.add(
                "Conv",
                *inputs,
                kernel_shape=(kernel, kernel),
                strides=(stride, stride),
                pads=(kernel // 2,) * 4,
            )
        case nn.Linear():
            return writer.add("Gemm", *inputs, transB=1)
        case nn.MaxPool2d() as pool:
            return writer.add("MaxPool", *inputs, **_window(pool), ceil_mode=1)
        case nn.AvgPool2d() as pool:
            return writer.add("AveragePool", *inputs, **_window(pool))
        case nn.Flatten():
            return writer.add("Flatten", *inputs)
        case None:
            return writer.add("Add", *inputs)
        case activation:
            return activate(writer, activation, *inputs)


def _window(pool: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, tuple[int, int]]:
    return {"kernel_shape": pair(pool.kernel_size), "strides": pair(pool.stride)}
