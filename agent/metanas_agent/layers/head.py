"""HeadLayer: pooling and the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import LayerSpec


@dataclass(frozen=True, slots=True)
class HeadLayer(LayerSpec):
    """Average-pooling to an n x n map, then the linear classifier.

    Args:
        pool: n, the side of the map that the classifier sees; at most the input's sides.
        ways: number of classes.
    """

    pool: int
    ways: int
    dtype: str = "float32"

    op: ClassVar[str] = "head"

    def __post_init__(self) -> None:
        super(HeadLayer, self).__post_init__()
        if self.pool > min(self.height, self.width):
            raise InvalidLayerError(
                f"head layer: cannot pool {self.height}x{self.width} to {self.pool}x{self.pool}",
                hint="pool to a smaller map",
            )

    @property
    def key(self) -> str:
        """Such as `head/64x2x2/n1/w5/float32`."""
        return (
            f"head/{self.in_channels}x{self.height}x{self.width}/n{self.pool}/w{self.ways}"
            f"/{self.dtype}"
        )

    @property
    def pool_stride(self) -> tuple[int, int]:
        """Stride of the average-pooling that gives exactly n x n."""
        return (self.height // self.pool, self.width // self.pool)

    @property
    def pool_window(self) -> tuple[int, int]:
        """Window of the average-pooling that gives exactly n x n and leaves no pixel out."""
        rows, columns = self.pool_stride
        return (self.height - (self.pool - 1) * rows, self.width - (self.pool - 1) * columns)

    @property
    def features(self) -> int:
        """Length of the classifier's input."""
        return self.in_channels * self.pool**2

    @property
    def output_shape(self) -> tuple[int]:
        """One logit a class."""
        return (self.ways,)

    @property
    def macs(self) -> int:
        """Features × classes."""
        return self.features * self.ways

    @property
    def params(self) -> int:
        """Weights and bias."""
        return (self.features + 1) * self.ways

    @property
    def peak_values(self) -> int:
        """The average-pooling's input and output, or the classifier's."""
        pooled_from = prod(self.input_shape) if self.pool_window != (1, 1) else 0
        return self.features + max(pooled_from, self.ways)
