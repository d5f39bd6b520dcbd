"""A layer as it runs inside a network: between neighbours, which are then cut away.

onnxruntime lays maps out in blocks of channels where that is faster, and int8 ones with the
channels last. A layer timed alone pays for the way into that layout and back, and one without a
convolution never takes it; inside a network neither is so. So onnxruntime optimises the layer
between two convolutions, and the nodes that then stand between those are the layer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from metanas_agent.errors import MeasurementFailedError
from metanas_agent.layers import AddLayer, ConvLayer, HeadLayer, LayerSpec, dtypes_of
from metanas_agent.runtimes.onnx_chain import INPUT, OUTPUT
from metanas_agent.runtimes.onnx_graph import network_model

Optimise = Callable[[bytes, str], object]
"""Write a model as onnxruntime would run it to a path."""

_MOST_IMAGE_CHANNELS = 4
"""Grey, or colours with or without opacity: images are not in blocks."""

_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""For files that onnxruntime writes and that are read at once: memory where there is such a folder,
else the usual one."""

_LARGEST_BLOCK = 16
"""Channels; a map of other numbers of them is padded in its blocks, and cannot be cut."""


_CONVOLUTIONS = {"float32": ("Conv", "FusedConv"), "int8": ("QLinearConv",)}
"""What onnxruntime makes of a convolution, by the dtype."""


class _End(NamedTuple):
    """Where a cut goes through: the map's name and how it lies in memory there."""

    name: str
    kind: int
    shape: tuple[int, ...]


def can_be_cut_out(layer: LayerSpec) -> bool:
    """Whether the layer can stand between neighbours; others are timed alone."""
    if dtypes_of([layer]) == {"int8"}:
        return True
    maps = [layer.input_shape[0]] if layer.input_shape[0] > _MOST_IMAGE_CHANNELS else []
    if isinstance(layer, ConvLayer):
        maps.append(layer.out_channels)
    elif not isinstance(layer, HeadLayer):
        return False
    return all(channels % _LARGEST_BLOCK == 0 for channels in maps)


def cut_out(layer: LayerSpec, rng: np.random.Generator, optimise: Optimise) -> bytes:
    """The layer's nodes inside an optimised network, as a model from `INPUT` to `OUTPUT`.

    Float32 maps are blocked at both ends where they are in a network; their shapes are the layer's.
    Int8 maps are uint8, and their shapes are those of their layout. The model is for this machine's
    onnxruntime, and is not to be optimised again.

    Raises:
        MeasurementFailedError: this onnxruntime does not compute in the layer's dtype.
    """
    before = _givers(layer)
    after = [] if isinstance(layer, HeadLayer) else [_taker(layer)]
    with tempfile.NamedTemporaryFile(suffix=".onnx", dir=_FOLDER) as file:
        optimise(network_model([*before, layer, *after], rng).SerializeToString(), file.name)
        model = onnx.load_model(file)
    nodes = list(model.graph.node)
    convolutions = _convolutions(nodes, layer)
    if len(convolutions) < len(before) + len(after) + isinstance(layer, ConvLayer):
        raise MeasurementFailedError(
            f"{layer.key}: this onnxruntime computes it in another dtype",
            hint="update onnxruntime on the device, or measure float32",
        )
    begin = _End(INPUT, TensorProto.FLOAT, layer.input_shape)
    end = _End(OUTPUT, TensorProto.FLOAT, layer.output_shape)
    givers = [nodes[at] for at in convolutions[: len(before)]]
    first, last = 0, len(nodes)
    if givers:
        first = convolutions[len(givers) - 1] + 1
        begin = _end_at(givers[0], begin)
        _rename(nodes, givers[0].output[0], INPUT)
    for other in givers[1:]:  # the second map of a sum
        model.graph.initializer.append(_random_codes(other.output[0], begin, rng))
    if after:
        last = convolutions[-1]
        end = _end_at(nodes[last], end)
        _rename(nodes, nodes[last].input[0], OUTPUT)
    _keep(model.graph, nodes[first:last], begin, end)
    data: bytes = model.SerializeToString()
    return data


def _convolutions(nodes: Sequence[NodeProto], layer: LayerSpec) -> list[int]:
    """Where the convolutions of the layer's dtype are among the nodes."""
    (dtype,) = dtypes_of([layer])
    return [at for at, node in enumerate(nodes) if node.op_type in _CONVOLUTIONS[dtype]]


def _end_at(convolution: NodeProto, plain: _End) -> _End:
    """How the map between a neighbour and the layer lies in memory."""
    if convolution.op_type != "QLinearConv":
        return plain
    channels, height, width = plain.shape
    last = any(part.name == "channels_last" and part.i for part in convolution.attribute)
    shape = (height, width, channels) if last else plain.shape
    return _End(plain.name, TensorProto.UINT8, shape)


def _givers(layer: LayerSpec) -> list[ConvLayer]:
    """Neighbours that give the layer its map, or a sum its two, and cost little to make."""
    channels, height, width = layer.input_shape
    if channels <= _MOST_IMAGE_CHANNELS:
        return []
    giver = _neighbour(layer, (1, height, width), channels)
    return [giver, giver] if isinstance(layer, AddLayer) else [giver]


def _taker(layer: LayerSpec) -> ConvLayer:
    """A neighbour that takes the layer's map, and costs little to make."""
    channels, height, width = layer.output_shape
    return _neighbour(layer, (channels, height, width), _LARGEST_BLOCK)


def _neighbour(layer: LayerSpec, shape: tuple[int, int, int], out_channels: int) -> ConvLayer:
    (dtype,) = dtypes_of([layer])
    return ConvLayer(*shape, out_channels=out_channels, kernel=1, activation="none", dtype=dtype)


def _random_codes(name: str, end: _End, rng: np.random.Generator) -> TensorProto:
    codes = rng.integers(0, 255, (1, *end.shape), np.uint8, endpoint=True)
    return numpy_helper.from_array(codes, name)


def _rename(nodes: list[NodeProto], old: str, new: str) -> None:
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _keep(graph: onnx.GraphProto, nodes: list[NodeProto], begin: _End, end: _End) -> None:
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    for kept, field in (
        (nodes, graph.node),
        (constants, graph.initializer),
        ([], graph.value_info),
        ([_value_info(begin)], graph.input),
        ([_value_info(end)], graph.output),
    ):
        del field[:]
        field.extend(kept)


def _value_info(end: _End) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(end.name, end.kind, (1, *end.shape))
