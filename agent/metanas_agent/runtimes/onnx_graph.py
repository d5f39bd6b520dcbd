"""A layer, or a whole network of layers, as an ONNX graph with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec

OPSET = 18
IR_VERSION = 9
"""Both are read by every onnxruntime since 1.18."""

INPUT = "image"
OUTPUT = "output"

Array = NDArray[np.float32]

_ACTIVATION_OPERATORS = {
    "relu": "Relu",
    "elu": "Elu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "relu6": "Clip",
    "leakyrelu": "LeakyRelu",
}


def layer_model(layer: LayerSpec, rng: np.random.Generator) -> ModelProto:
    """The layer as a model from `INPUT` (1, channels, height, width) to `OUTPUT`."""
    return network_model((layer,), rng)


def network_model(layers: Sequence[LayerSpec], rng: np.random.Generator) -> ModelProto:
    """The layers one behind the other as a model from `INPUT` to `OUTPUT`, for one image.

    A convolution right in front of an `AddLayer` is a shortcut: it reads what the block's first
    layer reads, and the sum is of its output and that of the layer before it. A block begins at
    the image or behind a sum.
    """
    chain = _Chain(rng)
    for layer, following in zip(layers, (*layers[1:], None), strict=True):
        if isinstance(following, AddLayer):
            chain.begin_shortcut()
        _build(layer, chain)
    chain.nodes[-1].output[0] = OUTPUT
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
    return _uniform(rng, (1, *layer.input_shape), 1.0)


@dataclass
class _Chain:
    """Nodes one behind the other.

    Args:
        rng: of the weights.
        end: name of the map that the next node reads.
        block: name of the map that the block's first node reads.
        through: name of the map that a shortcut is added to, none outside of shortcuts.
    """

    rng: np.random.Generator
    end: str = INPUT
    block: str = INPUT
    through: str | None = None
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def add(self, operator: str, *constants: str, **attributes: object) -> None:
        target = f"value{len(self.nodes)}"
        node = helper.make_node(operator, [self.end, *constants], [target], **attributes)  # type: ignore[arg-type]
        self.nodes.append(node)
        self.end = target

    def begin_shortcut(self) -> None:
        """What comes next reads what the block reads."""
        self.through, self.end = self.end, self.block

    def end_shortcut(self) -> str | None:
        """Go on where the shortcut began; the name of its map, none where there is none."""
        if self.through is None:
            return None
        shortcut, self.end, self.through = self.end, self.through, None
        return shortcut

    def finish(self, layer: ConvLayer | AddLayer) -> None:
        """The layer's activation and max-pooling."""
        if layer.activation == "relu6":
            bounds = (self.constant(np.array(bound, np.float32)) for bound in (0, 6))
            self.add("Clip", *bounds)
        elif layer.activation != "none":
            self.add(_ACTIVATION_OPERATORS[layer.activation])
        if layer.pool > 1:
            side = [layer.pool] * 2
            self.add("MaxPool", kernel_shape=side, strides=side, ceil_mode=1)

    def weights(self, *shape: int) -> str:
        """Kaiming's uniform weights, which keep the magnitude of what flows through."""
        return self.constant(_uniform(self.rng, shape, (6 / prod(shape[1:])) ** 0.5))

    def bias(self, length: int) -> str:
        return self.constant(_uniform(self.rng, (length,), 0.1))

    def constant(self, values: Array) -> str:
        name = f"constant{len(self.constants)}"
        tensor = helper.make_tensor(
            name, TensorProto.FLOAT, values.shape, values.tobytes(), raw=True
        )
        self.constants.append(tensor)
        return name


@singledispatch
def _build(layer: LayerSpec, _chain: _Chain) -> None:
    raise TypeError(f"no ONNX graph for a {layer.op} layer")


@_build.register
def _(layer: ConvLayer, chain: _Chain) -> None:
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
def _(layer: AddLayer, chain: _Chain) -> None:
    second = chain.end_shortcut()
    if second is None:  # timed alone: reading a constant costs the same as reading a map
        second = chain.constant(_uniform(chain.rng, (1, *layer.input_shape), 1.0))
    chain.add("Add", second)
    chain.finish(layer)
    chain.block = chain.end


@_build.register
def _(layer: HeadLayer, chain: _Chain) -> None:
    if layer.pool_window != (1, 1):
        chain.add("AveragePool", kernel_shape=layer.pool_window, strides=layer.pool_stride)
    chain.add("Flatten")
    chain.add("Gemm", chain.weights(layer.ways, layer.features), chain.bias(layer.ways), transB=1)


@_build.register
def _(_layer: EmptyLayer, chain: _Chain) -> None:
    chain.add("Identity")


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    values = rng.random(shape, dtype=np.float32)
    values -= 0.5
    values *= 2 * bound
    return values
