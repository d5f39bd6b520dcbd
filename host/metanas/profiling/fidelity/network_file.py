"""A whole network of a space as an ONNX file, without training one."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from metanas.spaces import Architecture, SearchSpace

A = TypeVar("A", bound=Architecture)


def network_model(space: SearchSpace[A], architecture: A, *, seed: int) -> bytes:
    """The whole network with random weights as ONNX, for one image.

    It has the operators of the file that `metanas.deploy` writes of that architecture, in the same
    order, and takes milliseconds to make.

    Args:
        space: that holds the architecture.
        architecture: which network.
        seed: of the weights.
    """
    from metanas_agent.runtimes import onnx_graph  # noqa: PLC0415 - onnx is slow

    model = onnx_graph.network_model(
        space.layers(architecture), np.random.default_rng(seed), space.reads(architecture)
    )
    data: bytes = model.SerializeToString()
    return data
