"""Patches: what the windows of a layer meet, place by place, and the way back."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.windows import Windowed, backward_window, pair, window
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value


class Patches:
    """Patches of a map, each of its channels by itself: (images * channels, places, *sides).

    To cut a map into patches is a convolution with a filter for each place of the window, which is
    one there and zero elsewhere; to add patches up where they came from is that one backwards.

    Args:
        writer: gets the operations.
        node: a convolution or a pooling.
    """

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        assert isinstance(node.layer, Windowed)
        self._writer, self._node = writer, node
        self._window = window(node.layer)
        self._kernel = self._window["kernel_shape"]
        self.places, self.sides = prod(self._kernel), node.output_shape[1:]

    def cut(self, x: Value) -> Value:
        """Of a map, (images, channels, height, width); beyond it are zeros."""
        _, *sides = self._node.input_shape
        apart = self._writer.add("Reshape", x, self._writer.ints(-1, 1, *sides))
        return self._writer.add("Conv", apart, self._each_place(), **self._window)

    def add_up(self, patches: Value) -> Value:
        """The map whose pixels are the sums of what patches have of them."""
        return self._backwards(patches, self._each_place())

    def spread(self, x: Value) -> Value:
        """The same where all places of a patch have one number."""
        return self._backwards(x, self._writer.constant(np.ones((1, 1, *self._kernel))))

    def one_each(self, x: Value) -> Value:
        """A map of the layer's output as one number a patch, (images * channels, 1, *sides)."""
        return self._writer.add("Reshape", x, self._writer.ints(-1, 1, *self.sides))

    def inside(self) -> NDArray[np.bool_]:
        """Which places meet a pixel and not the padding, (places, *sides)."""
        layer, (_, *sides) = self._node.layer, self._node.input_shape
        assert isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)
        pixels = torch.ones(1, 1, *sides)
        found = F.unfold(pixels, pair(layer.kernel_size), 1, layer.padding, layer.stride)
        return found.view(self.places, *self.sides).bool().numpy()

    def _each_place(self) -> Value:
        filters = np.eye(self.places).reshape(self.places, 1, *self._kernel)
        return self._writer.constant(filters)

    def _backwards(self, patches: Value, filters: Value) -> Value:
        window = backward_window(self._node)
        pixels = self._writer.add("ConvTranspose", patches, filters, **window)
        return self._writer.add("Reshape", pixels, self._writer.ints(-1, *self._node.input_shape))
