"""What a folded network is made of, and in which order its layers run."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from metanas.deploy.adaptation_graph.activations import is_activation
from metanas.errors import ExportError

IMAGES = "images"
"""The name of what the network takes."""


class Sum(NamedTuple):
    """Two maps added."""


class Concat(NamedTuple):
    """The channels of maps behind each other, of each so many."""

    channels: tuple[int, ...]


class Crop(NamedTuple):
    """A map without its first rows and columns."""

    rows: int
    columns: int


Layer = nn.Module | Sum | Concat | Crop


@dataclass(frozen=True, slots=True)
class Node:
    """A layer of a network, at its place.

    Args:
        name: of its output.
        inputs: names of what it takes: an earlier node's, or `IMAGES`.
        layer: what it does.
        weights: name of the layer in the folded network, such as `0.through.1`.
        parameters: name of the layer in the meta-parameters, such as `block0.conv1`; empty where
            the layer has none.
        filters: those of that layer that are this one's.
        input_shape: of its first input, without the batch.
        output_shape: alike.
    """

    name: str
    inputs: tuple[str, ...]
    layer: Layer
    weights: str
    parameters: str
    filters: slice
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def trace(
    module: nn.Module, filters: Mapping[str, int], input_shape: tuple[int, int, int]
) -> list[Node]:
    """The layers of a network, in the order that they run.

    An activation in front of a max-pooling changes places with it, as in the network that is
    trained: the same, as activations never fall, on fewer pixels.

    Args:
        module: as `Network.folded` gives it.
        filters: of each layer that has weights, in the order of the module's own; one may be
            several of these, side by side.
        input_shape: (channels, height, width).

    Raises:
        ExportError: the network does something else than calling layers, adding and joining maps.
    """
    parameters = dict(_parameters(module, filters))
    traced = fx.symbolic_trace(module)
    ShapeProp(traced).propagate(torch.zeros(2, *input_shape))
    nodes = [
        _node(node, traced, parameters)
        for node in traced.graph.nodes
        if node.op not in {"placeholder", "output"}
    ]
    return _pool_first(nodes)


_Parameters = tuple[str, slice]
"""Name of a layer in the meta-parameters, and those of its filters that are meant."""


def _parameters(module: nn.Module, filters: Mapping[str, int]) -> Iterator[tuple[str, _Parameters]]:
    own = ((name, len(m.weight)) for name, m in module.named_modules() if hasattr(m, "weight"))
    for layer, count in filters.items():
        end = 0
        while end < count:
            name, more = next(own)
            yield name, (layer, slice(end, end + more))
            end += more


def _node(node: fx.Node, traced: fx.GraphModule, known: Mapping[str, _Parameters]) -> Node:
    target = str(node.target)
    if node.op == "call_module":
        layer: Layer = traced.get_submodule(target)
    elif node.op == "call_function" and node.target in _FUNCTIONS:
        layer = _FUNCTIONS[node.target](node)
    else:
        raise ExportError(
            f"no gradient is known of {node.target} in this network",
            hint="report this network's architecture",
        )
    parameters, filters = known.get(target, ("", slice(0)))
    return Node(
        name=node.name,
        inputs=tuple(_name(source) for source in node.all_input_nodes),
        layer=layer,
        weights=target,
        parameters=parameters,
        filters=filters,
        input_shape=_shape(node.all_input_nodes[0]),
        output_shape=_shape(node),
    )


def _concat(node: fx.Node) -> Concat:
    return Concat(tuple(_shape(source)[0] for source in node.all_input_nodes))


def _crop(node: fx.Node) -> Crop:
    (source,) = node.all_input_nodes
    _, rows, columns = (a - b for a, b in zip(_shape(source), _shape(node), strict=True))
    return Crop(rows, columns)


_FUNCTIONS: dict[Any, Callable[[fx.Node], Layer]] = {
    operator.add: lambda _: Sum(),
    torch.cat: _concat,
    operator.getitem: _crop,
}
"""As the spaces use them: channels are joined, and all of a map is taken but its beginning."""


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
