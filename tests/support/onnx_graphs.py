"""ONNX files of a few operators, written by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

node = helper.make_node


def onnx_file(
    nodes: Sequence[NodeProto],
    *,
    shape: Sequence[int | str] = (1, 2, 4, 5),
    dtype: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("y",),
    output_dtype: int = TensorProto.FLOAT,
    inputs: Sequence[str] = ("x",),
    constants: Mapping[str, NDArray[np.generic]] | None = None,
) -> bytes:
    """A graph from `inputs`, each of the shape, to `outputs`, of four dimensions."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(name, output_dtype, [None] * 4) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def convolution_file(
    shape: Sequence[int],
    weights: Sequence[int],
    *,
    stride: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> bytes:
    """Convolution, bias and ReLU, with random weights of that shape (OIHW).

    Args:
        shape: (channels, height, width) of the input.
        pads: top, left, bottom, right.
    """
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.standard_normal(weights, np.float32),
        "b": rng.standard_normal(weights[0], np.float32),
    }
    convolution = node(
        "Conv",
        ["x", "w", "b"],
        ["c"],
        strides=stride,
        pads=pads,
        dilations=dilation,
        group=groups,
    )
    return onnx_file(
        [convolution, node("Relu", ["c"], ["y"])], shape=(1, *shape), constants=constants
    )
