"""Pooling of maps (images, channels, height, width), by windows that may overlap."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto
from torch import nn

from metanas.deploy.adaptation_graph.plain.patches import Patches
from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.tape import Taped
from metanas.deploy.adaptation_graph.windows import window
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


def taped_max_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Max-pooling; the gradient goes to the first of the largest pixels, row by row."""
    assert isinstance(node.layer, nn.MaxPool2d)
    y = writer.add("MaxPool", x, **window(node.layer))
    patches = Patches(writer, node)

    def backward(gradient: Value) -> tuple[Value]:
        level = writer.add("Equal", patches.cut(x), patches.one_each(y))
        inside = writer.constant(patches.inside(), np.bool_)
        largest = writer.add("Cast", writer.add("And", level, inside), to=TensorProto.FLOAT)
        before = writer.add("CumSum", largest, writer.constant(1, np.int64), exclusive=1)
        first = writer.add("Cast", writer.add("Greater", largest, before), to=TensorProto.FLOAT)
        return (patches.add_up(writer.add("Mul", first, patches.one_each(gradient))),)

    return Taped(y, backward)


def taped_average_pool(writer: GraphWriter, node: Node, x: Value) -> Taped:
    """Average-pooling; a mean leaves the padding out."""
    assert isinstance(node.layer, nn.AvgPool2d)
    y = writer.add("AveragePool", x, **window(node.layer))
    patches = Patches(writer, node)

    def backward(gradient: Value) -> tuple[Value]:
        share = writer.constant(1 / patches.inside().sum(0))
        return (patches.spread(writer.add("Mul", patches.one_each(gradient), share)),)

    return Taped(y, backward)
