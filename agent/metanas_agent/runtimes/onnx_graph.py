"""A layer, or a whole network of layers, as an ONNX graph with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import numpy as np
from onnx import ModelProto, TensorProto, helper

from metanas_agent.layers import (
    AddLayer,
    ConcatLayer,
    ConvLayer,
    EmptyLayer,
    HeadLayer,
    LayerSpec,
    OperationLayer,
    Stage,
    dtypes_of,
)
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


def network_model(
    layers: Sequence[LayerSpec],
    rng: np.random.Generator,
    reads: Sequence[Sequence[int]] | None = None,
) -> ModelProto:
    """The layers one behind the other as a model from `INPUT` to `OUTPUT`, for one image.

    Where it is not said what they read, a convolution right in front of an `AddLayer` is a
    shortcut: it reads what the block's first layer reads, and the sum is of its output and that of
    the layer before it. A block begins at the image or behind a sum. Layers of int8 make a graph as
    quantisation does (QDQ), from float32 images to float32 outputs.

    Args:
        layers: in order of execution.
        rng: of the weights.
        reads: numbers of the maps that each layer reads: 0 is the image, n the output of layer
            n - 1.
    """
    (dtype,) = dtypes_of(layers) or {"float32"}
    chain = _CHAINS[dtype](rng)
    if reads is None:
        _build_blocks(layers, chain)
    else:
        _build_graph(layers, reads, chain)
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


def _build_blocks(layers: Sequence[LayerSpec], chain: Chain) -> None:
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        if isinstance(following, AddLayer):
            chain.begin_shortcut()
        _build(layer, chain)


def _build_graph(layers: Sequence[LayerSpec], reads: Sequence[Sequence[int]], chain: Chain) -> None:
    maps = [chain.end]
    for layer, numbers in zip(layers, reads, strict=True):
        chain.end, *chain.others = [maps[number] for number in numbers]
        _build(layer, chain)
        maps.append(chain.end)


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
    if second is None:
        (second,) = _others(chain, layer, 1)
    chain.add("Add", second)
    chain.finish(layer)
    chain.block = chain.end


@_build.register
def _(layer: HeadLayer, chain: Chain) -> None:
    if layer.pool_window != (1, 1):
        chain.add("AveragePool", kernel_shape=layer.pool_window, strides=layer.pool_stride)
    chain.classify(layer)


@_build.register
def _(layer: ConcatLayer, chain: Chain) -> None:
    chain.add("Concat", *_others(chain, layer, layer.maps - 1), axis=1)


@_build.register
def _(layer: OperationLayer, chain: Chain) -> None:
    for stage in layer.stages:
        if stage.relu:
            chain.once("Relu")
        if stage.kind == "halves":
            _build_halves(stage, chain)
        elif stage.kind == "conv":
            _convolve(stage, chain, stage.output_shape[0])
        else:
            operator = {"maxpool": "MaxPool", "avgpool": "AveragePool"}[stage.kind]
            chain.once(operator, **_window(stage))


@_build.register
def _(_layer: EmptyLayer, chain: Chain) -> None:
    chain.add("Identity")


def _build_halves(stage: Stage, chain: Chain) -> None:
    """Two convolutions side by side, the second of which reads the pixels further on."""
    entering, channels = chain.end, stage.output_shape[0]
    _convolve(stage, chain, channels // 2)
    first, chain.end = chain.end, entering
    for axis, start in enumerate(stage.shift, 2):
        if start:
            chain.once("Slice", start, stage.input_shape[axis - 1], axis)
    _convolve(stage, chain, channels - channels // 2)
    chain.end = chain.node("Concat", first, chain.end, axis=1)


def _convolve(stage: Stage, chain: Chain, out_channels: int) -> None:
    weights = [chain.weights(out_channels, stage.input_shape[0] // stage.groups, *stage.kernel)]
    bias = [chain.bias(out_channels)] if stage.norm else []
    dilations = [stage.dilation] * 2
    chain.add("Conv", *weights, *bias, **_window(stage), dilations=dilations, group=stage.groups)


def _window(stage: Stage) -> dict[str, Sequence[int]]:
    return {
        "kernel_shape": stage.kernel,
        "pads": stage.padding * 2,
        "strides": [stage.stride] * 2,
    }


def _others(chain: Chain, layer: LayerSpec, count: int) -> Sequence[str]:
    """The maps that a layer reads beside the end.

    Timed alone it has none: reading a constant costs the same as reading a map.
    """
    return chain.others or [chain.random_map(layer.input_shape) for _ in range(count)]
