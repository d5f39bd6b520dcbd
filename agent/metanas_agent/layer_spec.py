"""LayerSpec: what every kind of layer answers, whatever it computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from math import prod
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError

DTYPES = ("float32", "int8")
"""What layers may compute in. An int8 layer has weights of int8 with a scale a channel, and reads
and gives maps of one byte a value; only a network's image and logits are float32."""

_BYTES_PER_VALUE = {"float32": 4, "int8": 1}


@dataclass(frozen=True, slots=True)
class LayerSpec(ABC):
    """What every kind of layer answers. Shapes are (channels, height, width) of one image.

    Raises:
        InvalidLayerError: a size is not a positive integer, or a name is unknown.
    """

    in_channels: int
    height: int
    width: int

    op: ClassVar[str]

    def __post_init__(self) -> None:
        for name in _sizes(type(self)):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InvalidLayerError(
                    f"{self.op} layer: {name} is {value!r}",
                    hint="use an integer of 1 or more",
                )
        dtype = getattr(self, "dtype", "float32")
        if dtype not in DTYPES:
            raise InvalidLayerError(
                f"{self.op} layer: unknown dtype {dtype!r}", hint=f"use one of {', '.join(DTYPES)}"
            )

    @property
    @abstractmethod
    def key(self) -> str:
        """The stable text key; `parse_layer(layer.key) == layer`."""

    @property
    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output for one image."""

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations for one image (convolutions and classifier only)."""
        return 0

    @property
    def params(self) -> int:
        """Learned parameters: weights, bias, and batch-norm's scale and shift."""
        return 0

    @property
    @abstractmethod
    def peak_values(self) -> int:
        """Most numbers in the maps that live at one moment while the layer runs for one image.

        Each operator reads whole maps and writes a new one; activations and sums work in place.
        A map is given up as soon as no operator of the layer needs it any more.
        """

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the input for one image."""
        return (self.in_channels, self.height, self.width)

    @property
    def size_bytes(self) -> int:
        """Bytes to store the learned parameters."""
        return self.params * self._bytes_per_value

    @property
    def peak_bytes(self) -> int:
        """Bytes of the maps of `peak_values`."""
        return self.peak_values * self._bytes_per_value

    @property
    def memory_bytes(self) -> int:
        """Most bytes that the layer needs by itself: its parameters and its maps."""
        return self.size_bytes + self.peak_bytes

    @property
    def input_bytes(self) -> int:
        """Bytes of the input map of one image."""
        return prod(self.input_shape) * self._bytes_per_value

    @property
    def output_bytes(self) -> int:
        """Bytes of the output of one image."""
        return prod(self.output_shape) * self._bytes_per_value

    @property
    def _bytes_per_value(self) -> int:
        return _BYTES_PER_VALUE[getattr(self, "dtype", "float32")]

    def __str__(self) -> str:
        return self.key


def dtypes_of(layers: Iterable[LayerSpec]) -> set[str]:
    """What these layers compute in; an empty graph computes nothing."""
    return {layer.dtype for layer in layers if hasattr(layer, "dtype")}


@cache
def _sizes(layer: type[LayerSpec]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(layer) if field.type == "int")
