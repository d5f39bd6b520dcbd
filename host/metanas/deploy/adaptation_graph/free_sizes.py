"""Names for the sizes of tensors that follow from the number of images.

Where a runtime knows no size, it takes each tensor for a new one and, to plan its memory, compares
it with all before: loading then takes as long as the square of the number of tensors.
"""

from __future__ import annotations

import onnx
from onnx import shape_inference

_IMAGES = 1_000_003
"""A prime that is no size of a network: what it divides follows from the number of images."""


def name_free_sizes(model: onnx.ModelProto, images: str) -> None:
    """Write down the shapes that a runtime cannot infer.

    Args:
        model: its tensors get shapes, in which only reshaped ones need any: from there on, and from
            the inputs, every runtime infers them.
        images: name of the number of images in the shapes of the inputs.
    """
    del model.graph.value_info[:]
    counted = onnx.ModelProto()
    counted.CopyFrom(model)
    for tensor in counted.graph.input:
        for size in tensor.type.tensor_type.shape.dim:
            if size.dim_param == images:
                size.dim_value = _IMAGES
    reshaped = {node.output[0] for node in model.graph.node if node.op_type == "Reshape"}
    for info in shape_inference.infer_shapes(counted, data_prop=True).graph.value_info:
        sizes = info.type.tensor_type.shape.dim
        if info.name not in reshaped or any(size.dim_param for size in sizes):
            continue
        for size in sizes:
            times, rest = divmod(size.dim_value, _IMAGES)
            if times and not rest:
                size.dim_param = images if times == 1 else f"{times}*{images}"
        model.graph.value_info.append(info)
