"""ConcatLayer: maps laid behind each other by their channels."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import LayerSpec


@dataclass(frozen=True, slots=True)
class ConcatLayer(LayerSpec):
    """Maps of one shape become one map with the channels of them all: the end of a cell.

    Args:
        maps: how many there are, 2 or more.
    """

    maps: int
    dtype: str = "float32"

    op: ClassVar[str] = "concat"

    def __post_init__(self) -> None:
        super(ConcatLayer, self).__post_init__()
        if self.maps < 2:
            raise InvalidLayerError(f"concat layer: maps is {self.maps}", hint="use 2 or more")
        if self.dtype != "float32":
            raise InvalidLayerError(f"concat layer: dtype is {self.dtype}", hint="use float32")

    @property
    def key(self) -> str:
        """Such as `concat/28x7x7/n3/float32`; the shape is that of each of the maps."""
        return f"concat/{self.in_channels}x{self.height}x{self.width}/n{self.maps}/{self.dtype}"

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """The maps' shape with all their channels."""
        return (self.maps * self.in_channels, self.height, self.width)

    @property
    def peak_values(self) -> int:
        """The maps, and the one that they become."""
        return self.maps * prod(self.input_shape) + prod(self.output_shape)
