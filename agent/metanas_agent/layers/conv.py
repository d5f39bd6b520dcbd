"""ConvLayer: a convolution and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import LayerSpec
from metanas_agent.layers.activation import check_activation


@dataclass(frozen=True, slots=True)
class ConvLayer(LayerSpec):
    """Convolution ("same" padding), folded batch-norm, activation, then max-pooling.

    Args:
        out_channels: output channels.
        kernel: odd side of the square kernel; padding is kernel // 2.
        stride: of the convolution; an output side is ceil(side / stride).
        activation: one of `ACTIVATIONS`, or "none".
        pool: window and stride of the max-pooling (ceil) behind the activation; 1 is no pooling.
    """

    out_channels: int
    kernel: int
    stride: int = 1
    activation: str = "relu"
    pool: int = 1
    dtype: str = "float32"

    op: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        super(ConvLayer, self).__post_init__()
        if self.kernel % 2 == 0:
            raise InvalidLayerError(
                f"conv layer: kernel is {self.kernel}", hint="use an odd kernel"
            )
        check_activation(self.op, self.activation)

    @property
    def key(self) -> str:
        """Such as `conv/1x28x28/c64/k3/s1/relu/p2/float32`."""
        return (
            f"conv/{self.in_channels}x{self.height}x{self.width}/c{self.out_channels}"
            f"/k{self.kernel}/s{self.stride}/{self.activation}/p{self.pool}/{self.dtype}"
        )

    @property
    def conv_shape(self) -> tuple[int, int, int]:
        """Shape between the convolution and the max-pooling."""
        return (self.out_channels, -(-self.height // self.stride), -(-self.width // self.stride))

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Shape behind the max-pooling."""
        channels, height, width = self.conv_shape
        return (channels, -(-height // self.pool), -(-width // self.pool))

    @property
    def macs(self) -> int:
        """Output pixels × kernel area × input channels × output channels."""
        channels, height, width = self.conv_shape
        return height * width * channels * self.in_channels * self.kernel**2

    @property
    def params(self) -> int:
        """Weights, bias, and batch-norm's scale and shift, as the H-Meta-NAS tables count."""
        return self.out_channels * (self.in_channels * self.kernel**2 + 3)

    @property
    def peak_values(self) -> int:
        """The convolution's input and output, or the max-pooling's."""
        convolved = prod(self.conv_shape)
        pooled = prod(self.output_shape) if self.pool > 1 else 0
        return convolved + max(prod(self.input_shape), pooled)
