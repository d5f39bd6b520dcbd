"""LayerSpec: the one vocabulary that agent, host and simulators share.

A layer is what is timed as one unit and looked up as one row of a latency table. It is a value:
frozen, hashable, and written as a stable text key that parses back to the same layer.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cache
from typing import ClassVar

from metanas_agent.errors import InvalidLayerError

ACTIVATIONS = ("relu", "elu", "selu", "sigmoid", "relu6", "leakyrelu")
"""The six searchable activations of H-Meta-NAS, appendix A; a layer may also have "none"."""

DTYPES = ("float32",)

_BYTES_PER_PARAM = {"float32": 4}


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
    @abstractmethod
    def macs(self) -> int:
        """Multiply-accumulate operations for one image (convolutions and classifier only)."""

    @property
    @abstractmethod
    def params(self) -> int:
        """Learned parameters: weights, bias, and batch-norm's scale and shift."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the input for one image."""
        return (self.in_channels, self.height, self.width)

    @property
    def size_bytes(self) -> int:
        """Bytes to store the learned parameters."""
        return self.params * _BYTES_PER_PARAM[getattr(self, "dtype", "float32")]

    def __str__(self) -> str:
        return self.key


def _check_activation(op: str, activation: str) -> None:
    if activation not in (*ACTIVATIONS, "none"):
        raise InvalidLayerError(
            f"{op} layer: unknown activation {activation!r}",
            hint=f"use one of {', '.join((*ACTIVATIONS, 'none'))}",
        )


@cache
def _sizes(layer: type[LayerSpec]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(layer) if field.type == "int")


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


@dataclass(frozen=True, slots=True)
class _Grammar:
    layer: type[LayerSpec]
    pattern: re.Pattern[str]

    def parse(self, key: str) -> LayerSpec | None:
        match = self.pattern.fullmatch(key)
        if match is None:
            return None
        numbers_and_names = {
            name: int(text) if text.isdigit() else text for name, text in match.groupdict().items()
        }
        return self.layer(**numbers_and_names)  # type: ignore[arg-type]


_SHAPE = r"(?P<in_channels>\d+)x(?P<height>\d+)x(?P<width>\d+)"
_END = r"(?P<activation>[a-z0-9]*[a-z][a-z0-9]*)/p(?P<pool>\d+)/(?P<dtype>[a-z]+\d+)"
_GRAMMARS = {
    "conv": _Grammar(
        ConvLayer,
        re.compile(
            rf"conv/{_SHAPE}/c(?P<out_channels>\d+)/k(?P<kernel>\d+)/s(?P<stride>\d+)/{_END}",
            re.ASCII,
        ),
    ),
    "add": _Grammar(AddLayer, re.compile(rf"add/{_SHAPE}/{_END}", re.ASCII)),
    "head": _Grammar(
        HeadLayer,
        re.compile(rf"head/{_SHAPE}/n(?P<pool>\d+)/w(?P<ways>\d+)/(?P<dtype>[a-z]+\d+)", re.ASCII),
    ),
    "empty": _Grammar(EmptyLayer, re.compile(rf"empty/{_SHAPE}", re.ASCII)),
}
_LONGEST_KEY = 200


def parse_layer(key: str) -> LayerSpec:
    """Read a layer back from its key.

    Raises:
        InvalidLayerError: the text is no layer's key.
    """
    grammar = _GRAMMARS.get(key.partition("/")[0]) if len(key) <= _LONGEST_KEY else None
    layer = grammar.parse(key) if grammar else None
    if layer is None or layer.key != key:
        raise InvalidLayerError(
            f"not a layer: {key[:_LONGEST_KEY]!r}",
            hint="write one like conv/1x28x28/c64/k3/s1/relu/p2/float32",
        )
    return layer
