"""A network as the graph is made of it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from metanas.deploy.adaptation_graph.structure import Node, trace
from metanas.spaces.network import Moments, Network, Shapes, Statistics, Weights


class TracedNetwork(NamedTuple):
    """Its layers, in the order that they run, and the shapes of its folded weights and biases."""

    nodes: list[Node]
    shapes: Shapes


def trace_network(network: Network, input_shape: tuple[int, int, int]) -> TracedNetwork:
    """Fold a network, whatever its values are, and look what it is made of.

    Raises:
        ExportError: it does something else than calling layers, adding and joining maps.
    """
    module = network.folded(*_zeros(network))
    filters = {
        name.removesuffix(".weight"): shape[0]
        for name, shape in network.adapted_shapes.items()
        if name.endswith(".weight")
    }
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    return TracedNetwork(trace(module, filters, input_shape), shapes)


def _zeros(network: Network) -> tuple[Weights, Weights, Statistics]:
    """Tensors of the right shapes."""
    adapted = {name: torch.zeros(shape) for name, shape in network.adapted_shapes.items()}
    norms = {name: torch.zeros(shape) for name, shape in network.norm_shapes.items()}
    statistics = {
        name.removesuffix(".scale"): Moments(zeros, zeros)
        for name, zeros in norms.items()
        if name.endswith(".scale")
    }
    return adapted, norms, statistics
