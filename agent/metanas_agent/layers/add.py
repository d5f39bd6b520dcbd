"""AddLayer: a sum of two maps and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from metanas_agent.layer_spec import LayerSpec
from metanas_agent.layers.activation import check_activation


@dataclass(frozen=True, slots=True)
class AddLayer(LayerSpec):
    """Sum of two maps of one shape, activation, then max-pooling: the end of a residual block.

    Args:
        activation: one of `ACTIVATIONS`, or "none".
        pool: window and stride of the max-pooling (ceil) behind the activation; 1 is no pooling.
    """

    activation: str = "relu"
    pool: int = 1
    dtype: str = "float32"

    op: ClassVar[str] = "add"

    def __post_init__(self) -> None:
        super(AddLayer, self).__post_init__()
        check_activation(self.op, self.activation)

    @property
    def key(self) -> str:
        """Such as `add/64x21x21/relu/p2/float32`; the shape is that of each of the two maps."""
        return (
            f"add/{self.in_channels}x{self.height}x{self.width}/{self.activation}/p{self.pool}"
            f"/{self.dtype}"
        )

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape behind the max-pooling."""
        return (self.in_channels, -(-self.height // self.pool), -(-self.width // self.pool))

    @property
    def peak_values(self) -> int:
        """The two maps; the max-pooling behind their sum needs no more."""
        return 2 * prod(self.input_shape)
