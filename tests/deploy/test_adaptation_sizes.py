"""The shapes that the adaptation graphs name follow from the numbers of images."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from metanas.deploy.adaptation_graph import export_adaptation_graphs
from metanas.deploy.adaptation_graph.free_sizes import name_free_sizes
from support.learning_networks import learning_network
from support.random_networks import make_card

SHAPE = (3, 14, 14)
TEXT = "k3c16relu-k5c16elu-k1c16selu"
CELLS = (
    "skip@0+conv3x3@1,maxpool3x3@0+sepconv3x3@2,avgpool3x3@1+dilconv3x3@3:"
    "sepconv3x3@0+skip@1,avgpool3x3@0+conv1x5-5x1@2,maxpool3x3@1+dilconv3x3@3"
)


def sizes(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    """Name of each tensor in between to its sizes."""
    return {
        info.name: [size.dim_param or size.dim_value for size in info.type.tensor_type.shape.dim]
        for info in model.graph.value_info
    }


def reshaping(*shape: int) -> onnx.ModelProto:
    """Images, (images, 6), in another shape."""
    nodes = [
        helper.make_node("Reshape", ["images", "shape"], ["reshaped"]),
        helper.make_node("Relu", ["reshaped"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "reshaping",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))],
        [numpy_helper.from_array(np.array(shape), "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    ("shape", "named"),
    [((-1, 2), ["3*n", 2]), ((-1, 3, 2), ["n", 3, 2]), ((1, 6, -1), [1, 6, "n"])],
)
def test_a_size_is_a_multiple_of_the_number_of_images(shape, named):
    model = reshaping(*shape)
    name_free_sizes(model, "n")
    assert sizes(model) == {"reshaped": named}


def test_sizes_that_follow_from_another_name_stay_unnamed():
    model = reshaping(-1, 2)
    name_free_sizes(model, "m")
    assert not sizes(model)


@pytest.mark.parametrize(
    ("space", "text", "settings"),
    [
        ("vgg9", TEXT, {"downsampling": "pooled"}),
        ("vgg9", TEXT, {"downsampling": "strided"}),
        ("cells", CELLS, {"channels": 4, "cells": 2}),
    ],
)
@pytest.mark.parametrize("opset", [14, 18])
def test_a_runtime_can_infer_every_size(space, text, settings, opset):
    network, parameters = learning_network(
        space, text, input_shape=SHAPE, settings=settings, steps=2
    )
    card = make_card(text, channels=SHAPE[0])
    graphs = export_adaptation_graphs(
        network, parameters, input_shape=SHAPE, metadata=card, opset=opset
    )
    inferred = sizes(shape_inference.infer_shapes(onnx.load_from_string(graphs.adaptation)))
    made = {o for node in onnx.load_from_string(graphs.adaptation).graph.node for o in node.output}
    assert len(inferred) > 0.9 * len(made)
    named = {size for shape in inferred.values() for size in shape if isinstance(size, str)}
    assert {re.sub(r"^\d+\*", "", name) for name in named} == {"images"}
    assert not [name for name, shape in inferred.items() if 0 in shape]
