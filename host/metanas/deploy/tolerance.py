"""How far two runtimes' logits may be apart, from what the file itself says."""

from __future__ import annotations

import math

import onnx

_PER_LAYER = {"float32": 2e-5, "int8": 2e-2}
"""Largest difference behind one layer with weights, as a share of the logits' range.

float32: a relative step is 6e-8; a sum of some 3,600 products in another order is off by the root
of that many steps, 4e-6. int8: a step is a 255th of a map's range. Five times that leaves room for
the largest of thousands of logits; a wrong weight or padding makes a hundred times more.
"""

_WEIGHTED = {"Conv", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger"}
_QUANTISED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"}


def dtype_of(model: onnx.ModelProto) -> str:
    """`int8` if any part of the model is quantised, else `float32`."""
    quantised = any(node.op_type in _QUANTISED for node in model.graph.node)
    return "int8" if quantised else "float32"


def depth_of(model: onnx.ModelProto) -> int:
    """Layers with weights on the longest way from input to output; the nodes are in order."""
    depths: dict[str, int] = {}
    for node in model.graph.node:
        depth = max((depths.get(name, 0) for name in node.input), default=0)
        depths |= dict.fromkeys(node.output, depth + (node.op_type in _WEIGHTED))
    return depths.get(model.graph.output[0].name, 0)


def tolerance_of(model: onnx.ModelProto) -> float:
    """Largest difference of two logits that rounding explains, as a share of their range.

    Roundings of the layers are independent, so they add up as the root of the number of layers.
    """
    return _PER_LAYER[dtype_of(model)] * math.sqrt(max(depth_of(model), 1))
