"""A layer, or a whole network of layers, as an ONNX graph with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from onnx import ModelProto, TensorProto, helper

from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec, dtypes_of
from metanas_agent.runtimes.onnx_chain import INPUT, OUTPUT, Array, Chain, uniform
from metanas_agent.runtimes.onnx_int8 import Int8Chain

OPSET = 18
IR_VERSION = 9
"""Both are read by every onnxruntime since 1.18."""

_CHAINS: dict[str, type[Chain]] = {"float32": Chain, "int8": Int8Chain}
"""By the layers' dtype."""


def layer_model(layer: LayerSpec, rng: np.random.Generator) -> ModelProto:
    """The layer as a model from `INPUT` (1, channels, height, width) to `OUTPUT`."""
    return network_model((layer,), rng)


def network_model(layers: Sequence[LayerSpec], rng: np.random.Generator) -> ModelProto:
    """The layers one behind the other as a model from `INPUT` to `OUTPUT`, for one image.

    A convolution right in front of an `AddLayer` is a shortcut: it reads what the block's first
    layer reads, and the sum is of its output and that of the layer before it. A block begins at
    the image or behind a sum. Layers of int8 make a graph as quantisation does (QDQ), from float32
    images to float32 outputs.
    """
    (dtype,) = dtypes_of(layers) or {"float32"}
    chain = _CHAINS[dtype](rng)
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        if isinstance(following, AddLayer):
            chain.begin_shortcut()
        _build(layer, chain)
    chain.close()
    graph = helper.make_graph(
        chain.nodes,
        "layers",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, (1, *layers[0].input_shape))],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (1, *layers[-1].output_shape))],
        chain.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def random_image(layer: LayerSpec, rng: np.random.Generator) -> Array:
    """One image of values in [-1, 1): zeros or denormals would change the time."""
    return uniform(rng, (1, *layer.input_shape), 1.0)


@singledispatch
def _build(layer: LayerSpec, _chain: Chain) -> None:
    raise TypeError(f"no ONNX graph for a {layer.op} layer")


@_build.register
def _(layer: ConvLayer, chain: Chain) -> None:
    chain.add(
        "Conv",
        chain.weights(layer.out_channels, layer.in_channels, layer.kernel, layer.kernel),
        chain.bias(layer.out_channels),
        kernel_shape=[layer.kernel] * 2,
        pads=[layer.kernel // 2] * 4,
        strides=[layer.stride] * 2,
    )
    chain.finish(layer)


@_build.register
def _(layer: AddLayer, chain: Chain) -> None:
    second = chain.end_shortcut()
    if second is None:  # timed alone: reading a constant costs the same as reading a map
        second = chain.random_map(layer.input_shape)
    chain.add("Add", second)
    chain.finish(layer)
    chain.block = chain.end


@_build.register
def _(layer: HeadLayer, chain: Chain) -> None:
    if layer.pool_window != (1, 1):
        chain.add("AveragePool", kernel_shape=layer.pool_window, strides=layer.pool_stride)
    chain.classify(layer)


@_build.register
def _(_layer: EmptyLayer, chain: Chain) -> None:
    chain.add("Identity")
