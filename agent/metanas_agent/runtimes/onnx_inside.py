"""A layer as it runs inside a network: between neighbours, which are then cut away.

onnxruntime lays maps out in blocks of channels where that is faster. A layer timed alone pays for
the way into that layout and back, and one without a convolution never takes it; inside a network
neither is so. So onnxruntime optimises the layer between two convolutions, and the nodes that
then stand between those are the layer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from metanas_agent.layers import ConvLayer, HeadLayer, LayerSpec
from metanas_agent.runtimes.onnx_graph import INPUT, OUTPUT, network_model

Optimise = Callable[[bytes, str], object]
"""Write a model as onnxruntime would run it to a path."""

_MOST_IMAGE_CHANNELS = 4
"""Grey, or colours with or without opacity: images are not in blocks."""

_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""For files that onnxruntime writes and that are read at once: memory where there is such a folder,
else the usual one."""

_LARGEST_BLOCK = 16
"""Channels; a map of other numbers of them is padded in its blocks, and cannot be cut."""


def can_be_cut_out(layer: LayerSpec) -> bool:
    """Whether the layer can stand between neighbours; others are timed alone."""
    maps = [layer.input_shape[0]] if layer.input_shape[0] > _MOST_IMAGE_CHANNELS else []
    if isinstance(layer, ConvLayer):
        maps.append(layer.out_channels)
    elif not isinstance(layer, HeadLayer):
        return False
    return all(channels % _LARGEST_BLOCK == 0 for channels in maps)


def cut_out(layer: LayerSpec, rng: np.random.Generator, optimise: Optimise) -> bytes:
    """The layer's nodes inside an optimised network, as a model from `INPUT` to `OUTPUT`.

    Maps are blocked at both ends where they are in a network; their shapes are the layer's. The
    model is for this machine's onnxruntime, and is not to be optimised again.
    """
    before = [] if layer.input_shape[0] <= _MOST_IMAGE_CHANNELS else [_giver(layer)]
    after = [] if isinstance(layer, HeadLayer) else [_taker(layer)]
    network = network_model([*before, layer, *after], rng)
    with tempfile.NamedTemporaryFile(suffix=".onnx", dir=_FOLDER) as file:
        optimise(network.SerializeToString(), file.name)
        model = onnx.load_model(file)
    nodes = list(model.graph.node)
    convolutions = [at for at, node in enumerate(nodes) if node.op_type in ("Conv", "FusedConv")]
    begin = convolutions[0] + 1 if before else 0
    end = convolutions[-1] if after else len(nodes)
    if begin:
        _rename(nodes, nodes[begin - 1].output[0], INPUT)
    if end < len(nodes):
        _rename(nodes, nodes[end].input[0], OUTPUT)
    _keep(model.graph, nodes[begin:end], layer)
    data: bytes = model.SerializeToString()
    return data


def _giver(layer: LayerSpec) -> ConvLayer:
    """A neighbour that gives the layer its map, and costs little to make."""
    channels, height, width = layer.input_shape
    return ConvLayer(1, height, width, out_channels=channels, kernel=1, activation="none")


def _taker(layer: LayerSpec) -> ConvLayer:
    """A neighbour that takes the layer's map, and costs little to make."""
    channels, height, width = layer.output_shape
    return ConvLayer(
        channels, height, width, out_channels=_LARGEST_BLOCK, kernel=1, activation="none"
    )


def _rename(nodes: list[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _keep(graph: onnx.GraphProto, nodes: list[NodeProto], layer: LayerSpec) -> None:
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    ends = (
        (graph.input, INPUT, layer.input_shape),
        (graph.output, OUTPUT, layer.output_shape),
    )
    for kept, field in (
        (nodes, graph.node),
        (constants, graph.initializer),
        ([], graph.value_info),
    ):
        del field[:]
        field.extend(kept)
    for field, name, shape in ends:
        del field[:]
        field.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape)))
