"""The classifier as a convolution over the pooled map, which int8 runs faster.

onnxruntime keeps int8 maps with their channels last from one convolution to the next. In front of
a matrix product it goes back to channels first, as early as behind the last convolution, and
max-pools there many times as slowly. A convolution at the end keeps all maps as they are.
"""

from __future__ import annotations

from math import prod

import onnx
from onnx import helper, numpy_helper, shape_inference

_PLAIN_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
"""Attributes, where a node does not have them."""


def with_convolutional_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its flattening and `Gemm` as `Conv` and `Flatten`: the same products and sums.

    A model that does not end in those two, or whose map's shape is not known, stays as it is.
    """
    if not _ends_in_a_classifier(model):
        return model
    flatten, gemm = model.graph.node[-2:]
    shape = _map_shape(model, flatten.input[0])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    matrix = stored.get(gemm.input[1])
    if shape is None or matrix is None or matrix.shape[1] != prod(shape):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = [t for t in graph.initializer if t.name not in (gemm.input[1], *flatten.input[1:])]
    weights = numpy_helper.from_array(matrix.reshape(-1, *shape), gemm.input[1])
    del graph.value_info[:]  # they say what shape the weights had
    del graph.initializer[:]
    graph.initializer.extend([*constants, weights])
    logits_map = f"{gemm.output[0]}_map"
    inputs = [flatten.input[0], *gemm.input[1:]]
    del graph.node[-2:]
    graph.node.extend(
        [
            helper.make_node("Conv", inputs, [logits_map], gemm.name, kernel_shape=shape[1:]),
            helper.make_node("Flatten", [logits_map], gemm.output, flatten.name),
        ]
    )
    return result


def _ends_in_a_classifier(model: onnx.ModelProto) -> bool:
    """Whether the last nodes flatten a map and multiply it by weights, and add a bias."""
    nodes = model.graph.node[-2:]
    if [node.op_type for node in nodes] not in (["Flatten", "Gemm"], ["Reshape", "Gemm"]):
        return False
    flatten, gemm = nodes
    given = {part.name: helper.get_attribute_value(part) for part in gemm.attribute}
    return (
        gemm.input[0] == flatten.output[0]
        and len(gemm.input) == 3
        and _PLAIN_GEMM | given == {**_PLAIN_GEMM, "transB": 1}
    )


def _map_shape(model: onnx.ModelProto, name: str) -> tuple[int, int, int] | None:
    """(channels, height, width) of a map, None where one is free."""
    for value in shape_inference.infer_shapes(model).graph.value_info:
        if value.name == name:
            sizes = [side.dim_value for side in value.type.tensor_type.shape.dim][1:]
            return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 and all(sizes) else None
    return None
