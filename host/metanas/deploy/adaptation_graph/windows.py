"""The windows of a convolution or a pooling, as ONNX's operators take them."""

from __future__ import annotations

from torch import nn

from metanas.deploy.adaptation_graph.structure import Node

Windowed = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
"""Layers that move a window over a map."""

Window = dict[str, tuple[int, ...]]
"""An operator's attributes."""


def window(layer: Windowed) -> Window:
    """Its sides, strides, padding and, where there is any, dilation."""
    assert not isinstance(layer.padding, str)
    attributes: Window = {
        "kernel_shape": pair(layer.kernel_size),
        "strides": pair(layer.stride),
        "pads": pair(layer.padding) * 2,
    }
    dilations = (1, 1) if isinstance(layer, nn.AvgPool2d) else pair(layer.dilation)
    return attributes if dilations == (1, 1) else attributes | {"dilations": dilations}


def backward_window(node: Node) -> Window:
    """Of the transposed convolution from such a layer's output to its input."""
    assert isinstance(node.layer, Windowed)
    attributes = window(node.layer)
    dilations = attributes.get("dilations", (1, 1))
    # What the last window ends in front of, where the stride leaves a rest.
    rest = tuple(
        node.input_shape[1 + side]
        + 2 * attributes["pads"][side]
        - attributes["strides"][side] * (node.output_shape[1 + side] - 1)
        - dilations[side] * (attributes["kernel_shape"][side] - 1)
        - 1
        for side in range(2)
    )
    return attributes | {"output_padding": rest}


def pair(sizes: int | tuple[int, ...]) -> tuple[int, int]:
    """Height and width; torch takes one number for both."""
    height, width = (sizes, sizes) if isinstance(sizes, int) else sizes
    return height, width
