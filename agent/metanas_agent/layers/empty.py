"""EmptyLayer: the call alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from metanas_agent.layer_spec import LayerSpec


@dataclass(frozen=True, slots=True)
class EmptyLayer(LayerSpec):
    """A graph that does nothing: what calling the runtime costs by itself."""

    op: ClassVar[str] = "empty"

    @property
    def key(self) -> str:
        """Such as `empty/16x4x4`."""
        return f"empty/{self.in_channels}x{self.height}x{self.width}"

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """The input's."""
        return self.input_shape

    @property
    def peak_values(self) -> int:
        """The input, which is the output too."""
        return prod(self.input_shape)
