"""What a folded network is made of, and in which order its layers run."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from metanas.deploy.adaptation_graph.activations import is_activation
from metanas.errors import ExportError

IMAGES = "images"
"""The name of what the network takes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A layer of a network, at its place.

    Args:
        name: of its output.
        inputs: names of what it takes: an earlier node's, or `IMAGES`.
        layer: the module; None is the sum of the inputs.
        weights: name of the layer in the folded network, such as `0.through.1`.
        parameters: name of the layer in the meta-parameters, such as `block0.conv1`; empty where
            the layer has none.
        input_shape: of its first input, without the batch.
        output_shape: alike.
    """

    name: str
    inputs: tuple[str, ...]
    layer: nn.Module | None
    weights: str
    parameters: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def trace(
    module: nn.Module, parameters: Sequence[str], input_shape: tuple[int, int, int]
) -> list[Node]:
    """The layers of a network, in the order that they run.

    An activation in front of a max-pooling changes places with it, as in the network that is
    trained: the same, as activations never fall, on fewer pixels.

    Args:
        module: as `Network.folded` gives it.
        parameters: names of its layers that have weights, in the order of its own.
        input_shape: (channels, height, width).

    Raises:
        ExportError: the network does something else than calling layers and adding maps.
    """
    own = [name for name, layer in module.named_modules() if hasattr(layer, "weight")]
    names = dict(zip(own, parameters, strict=True))
    traced = fx.symbolic_trace(module)
    ShapeProp(traced).propagate(torch.zeros(2, *input_shape))
    nodes = [
        _node(node, traced, names)
        for node in traced.graph.nodes
        if node.op not in {"placeholder", "output"}
    ]
    return _pool_first(nodes)


def _node(node: fx.Node, traced: fx.GraphModule, names: dict[str, str]) -> Node:
    is_sum = node.op == "call_function" and node.target is operator.add
    if not (is_sum or node.op == "call_module"):
        raise ExportError(
            f"no gradient is known of {node.target} in this network",
            hint="export without an adaptation graph",
        )
    target = str(node.target)
    return Node(
        name=node.name,
        inputs=tuple(_name(source) for source in node.all_input_nodes),
        layer=None if is_sum else traced.get_submodule(target),
        weights=target,
        parameters="" if is_sum else names.get(target, ""),
        input_shape=_shape(node.all_input_nodes[0]),
        output_shape=_shape(node),
    )


def _name(node: fx.Node) -> str:
    return IMAGES if node.op == "placeholder" else node.name


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape[1:])


def _pool_first(nodes: Sequence[Node]) -> list[Node]:
    ordered = list(nodes)
    for i in range(1, len(ordered)):
        first, second = ordered[i - 1 : i + 1]
        pools = isinstance(second.layer, nn.MaxPool2d) and second.inputs == (first.name,)
        if pools and is_activation(first.layer):
            ordered[i - 1] = replace(
                first, layer=second.layer, weights=second.weights, output_shape=second.output_shape
            )
            ordered[i] = replace(
                second, layer=first.layer, weights=first.weights, input_shape=second.output_shape
            )
    return ordered


def kernel_and_stride(node: Node) -> tuple[int, int]:
    """Of a convolution; its kernel is odd and its padding half of that."""
    assert isinstance(node.layer, nn.Conv2d)
    return int(node.layer.kernel_size[0]), int(node.layer.stride[0])
