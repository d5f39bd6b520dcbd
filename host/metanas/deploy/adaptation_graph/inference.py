"""The folded network as an ordinary graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from metanas.deploy.adaptation_graph.activations import activate
from metanas.deploy.adaptation_graph.plain import cropped
from metanas.deploy.adaptation_graph.structure import IMAGES, Concat, Crop, Node, Sum
from metanas.deploy.adaptation_graph.windows import window
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
        names = (f"{node.weights}.{part}" for part in ("weight", "bias"))
        weights = [folded[name] for name in names if name in folded]
        values[node.name] = _layer(writer, node, [*inputs, *weights])
    return values[nodes[-1].name]


def _layer(writer: GraphWriter, node: Node, inputs: Sequence[Value]) -> Value:
    match node.layer:
        case nn.Conv2d():
            return writer.add("Conv", *inputs, **window(node.layer), group=node.layer.groups)
        case nn.Linear():
            return writer.add("Gemm", *inputs, transB=1)
        case nn.MaxPool2d() as pool:
            ceil = int(pool.ceil_mode)
            return writer.add("MaxPool", *inputs, **window(pool), ceil_mode=ceil)
        case nn.AvgPool2d() as pool:
            return writer.add("AveragePool", *inputs, **window(pool))
        case nn.Flatten():
            return writer.add("Flatten", *inputs)
        case Sum():
            return writer.add("Add", *inputs)
        case Concat():
            return writer.add("Concat", *inputs, axis=1)
        case Crop() as crop:
            return cropped(writer, crop, *inputs)
        case nn.Module() as activation:
            return activate(writer, activation, *inputs)
