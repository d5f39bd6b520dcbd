"""The kinds of layers: the one vocabulary that agent, host and simulators share.

A layer is what is timed as one unit and looked up as one row of a latency table. It is a value:
frozen, hashable, and written as a stable text key that parses back to the same layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import DTYPES, LayerSpec, dtypes_of

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "AddLayer",
    "ConvLayer",
    "EmptyLayer",
    "HeadLayer",
    "LayerSpec",
    "dtypes_of",
    "parse_layer",
]

ACTIVATIONS = ("relu", "elu", "selu", "sigmoid", "relu6", "leakyrelu")
"""The six searchable activations of H-Meta-NAS, appendix A; a layer may also have "none"."""


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
        _check_activation(self.op, self.activation)

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
        _check_activation(self.op, self.activation)

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
    def macs(self) -> int:
        """None: additions are not counted."""
        return 0

    @property
    def params(self) -> int:
        """None."""
        return 0

    @property
    def peak_values(self) -> int:
        """The two maps; the max-pooling behind their sum needs no more."""
        return 2 * prod(self.input_shape)


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
    def macs(self) -> int:
        """None."""
        return 0

    @property
    def params(self) -> int:
        """None."""
        return 0

    @property
    def peak_values(self) -> int:
        """The input, which is the output too."""
        return prod(self.input_shape)


def _check_activation(op: str, activation: str) -> None:
    if activation not in (*ACTIVATIONS, "none"):
        raise InvalidLayerError(
            f"{op} layer: unknown activation {activation!r}",
            hint=f"use one of {', '.join((*ACTIVATIONS, 'none'))}",
        )


_PARTS: dict[str, tuple[type[LayerSpec], tuple[str, ...]]] = {
    "conv": (ConvLayer, ("c", "k", "s", "", "p", "")),
    "add": (AddLayer, ("", "p", "")),
    "head": (HeadLayer, ("n", "w", "")),
    "empty": (EmptyLayer, ()),
}
"""Of each kind of layer, what the parts of its key behind the shape begin with: a letter and then
a number, or nothing and then a name. They stand in the order of the layer's fields."""

_LONGEST_KEY = 200


def parse_layer(key: str) -> LayerSpec:
    """Read a layer back from its key.

    Raises:
        InvalidLayerError: the text is no layer's key.
    """
    if len(key) > _LONGEST_KEY:
        raise _no_layer(key)
    try:
        op, shape, *rest = key.split("/", 2)
        return _PARTS[op][0](*_shape(shape), *_values(op, *rest))
    except (KeyError, ValueError) as error:
        raise _no_layer(key) from error


def _no_layer(key: str) -> InvalidLayerError:
    return InvalidLayerError(
        f"not a layer: {key[:_LONGEST_KEY]!r}",
        hint="write one like conv/1x28x28/c64/k3/s1/relu/p2/float32",
    )


@lru_cache(maxsize=4096)  # thousands of keys have a few dozen shapes
def _shape(text: str) -> tuple[int, int, int]:
    channels, height, width = map(_number, text.split("x"))
    return (channels, height, width)


@lru_cache(maxsize=4096)  # and behind them a hundred different texts
def _values(op: str, *rest: str) -> tuple[int | str, ...]:
    parts = rest[0].split("/") if rest else ()
    return tuple(_part(*pair) for pair in zip(_PARTS[op][1], parts, strict=True))


def _part(prefix: str, text: str) -> int | str:
    if not prefix:
        return text
    if not text.startswith(prefix):
        raise ValueError(text)
    return _number(text[len(prefix) :])


def _number(text: str) -> int:
    """A number that is written as it would be printed."""
    number = int(text)
    if str(number) != text:
        raise ValueError(text)
    return number
