"""Convolution: what an accelerator does of a layer, as its simulators see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metanas.errors import InvalidLayerError, UnsupportedError
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec

LARGEST_MACS = 2**40
"""More work than this a layer is refused, so that counts of cycles stay exact integers."""

Counts = NDArray[np.int64]
"""One number a convolution, shape (convolutions,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """A convolution of one image without further padding; a classifier is one of 1x1 output.

    Args:
        name: of the layer, for messages; two convolutions of one work are equal.
        height: of the input, padding included.
        width: of the input, padding included.
        kernel_height: of the filters.
        kernel_width: of the filters.
        in_channels: of the input.
        out_channels: of the output, which is the number of filters.
        stride: both ways. What does not fill a whole stride at the end gives no output.

    Raises:
        InvalidLayerError: a size is impossible; the message names the layer and the field.
    """

    name: str = field(compare=False)
    height: int
    width: int
    kernel_height: int
    kernel_width: int
    in_channels: int
    out_channels: int
    stride: int = 1

    def __post_init__(self) -> None:
        for size in fields(self)[1:]:
            value: Any = getattr(self, size.name)
            if type(value) is not int or value < 1:
                raise self._invalid(size.name, "use an integer of 1 or more")
        for side, kernel in (("height", "kernel_height"), ("width", "kernel_width")):
            if getattr(self, kernel) > getattr(self, side):
                raise self._invalid(
                    kernel, f"it must fit into the padded input's {side} of {getattr(self, side)}"
                )
        if self.macs > LARGEST_MACS:
            raise InvalidLayerError(
                f"{self.name}: {self.macs:.3g} multiply-accumulates",
                hint=f"give layers of at most {LARGEST_MACS:.3g}",
            )

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height - self.kernel_height) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width - self.kernel_width) // self.stride + 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        pixels = self.out_height * self.out_width
        taps = self.kernel_height * self.kernel_width * self.in_channels
        return pixels * taps * self.out_channels

    def _invalid(self, name: str, hint: str) -> InvalidLayerError:
        return InvalidLayerError(f"{self.name}: {name} is {getattr(self, name)!r}", hint=hint)


class Sizes(NamedTuple):
    """Sizes of many convolutions, each of shape (convolutions,)."""

    out_height: Counts
    out_width: Counts
    kernel_height: Counts
    kernel_width: Counts
    in_channels: Counts
    out_channels: Counts


def sizes(convolutions: Iterable[Convolution]) -> Sizes:
    """The sizes of many convolutions as arrays."""
    rows = [
        (
            each.out_height,
            each.out_width,
            each.kernel_height,
            each.kernel_width,
            each.in_channels,
            each.out_channels,
        )
        for each in convolutions
    ]
    return Sizes(*np.array(rows, np.int64).reshape(-1, len(Sizes._fields)).T)


def ceil_div(dividends: Counts, divisors: Counts | int) -> Counts:
    """How many rounds of so much each it takes."""
    return -(-dividends // divisors)


def convolution_of(layer: LayerSpec) -> Convolution | None:
    """What of a layer is a convolution; None for an empty graph or a sum, which have none.

    The padding of a convolutional layer is what its output size takes. A head's classifier is a
    convolution whose kernel is the whole pooled map.

    Raises:
        UnsupportedError: no accelerator here computes such a layer.
    """
    if isinstance(layer, ConvLayer):
        _, height, width = layer.conv_shape
        return Convolution(
            name=layer.key,
            height=(height - 1) * layer.stride + layer.kernel,
            width=(width - 1) * layer.stride + layer.kernel,
            kernel_height=layer.kernel,
            kernel_width=layer.kernel,
            in_channels=layer.in_channels,
            out_channels=layer.out_channels,
            stride=layer.stride,
        )
    if isinstance(layer, HeadLayer):
        return Convolution(
            name=layer.key,
            height=layer.pool,
            width=layer.pool,
            kernel_height=layer.pool,
            kernel_width=layer.pool,
            in_channels=layer.in_channels,
            out_channels=layer.ways,
        )
    if isinstance(layer, EmptyLayer | AddLayer):
        return None
    raise UnsupportedError(
        f"no simulated accelerator computes {layer.key}", hint="give convolutions and heads"
    )
