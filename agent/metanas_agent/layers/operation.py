"""OperationLayer: an operation of a cell, which is a few convolutions or a pooling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar, Literal, NamedTuple

from metanas_agent.errors import InvalidLayerError
from metanas_agent.layer_spec import LayerSpec

Kind = Literal["conv", "halves", "maxpool", "avgpool"]


class Stage(NamedTuple):
    """A convolution without bias, or a pooling, with "same" padding: one part of an operation.

    Args:
        name: of its parameters within the operation; empty for a pooling.
        kind: `conv`; `halves`, which is two 1 x 1 convolutions of stride 2 side by side, the second
            of which reads the pixels one row and column further (where a side is odd: the same
            ones); `maxpool`; or `avgpool`, whose mean leaves the padding out.
        kernel: (height, width), both odd.
        relu: whether the input is read through a ReLU.
        norm: whether batch-norm stands behind it.
        depthwise: whether each channel has a filter of its own.
        dilation: of the kernel.
        stride: of both sides; an output side is ceil(side / stride).
        input_shape: (channels, height, width).
        output_shape: (channels, height, width).
    """

    name: str
    kind: Kind
    kernel: tuple[int, int]
    relu: bool
    norm: bool
    depthwise: bool
    dilation: int
    stride: int
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    @property
    def groups(self) -> int:
        """Of the convolution's channels."""
        return self.input_shape[0] if self.depthwise else 1

    @property
    def padding(self) -> tuple[int, int]:
        """At both ends of (height, width)."""
        height, width = self.kernel
        return (height // 2 * self.dilation, width // 2 * self.dilation)

    @property
    def weight_shape(self) -> tuple[int, int, int, int] | None:
        """(channels out, channels in of a group, height, width); None for a pooling.

        Of `halves` the first channels out, rounded down, are those of the first convolution.
        """
        if self.kind not in ("conv", "halves"):
            return None
        return (self.output_shape[0], self.input_shape[0] // self.groups, *self.kernel)

    @property
    def shift(self) -> tuple[int, int]:
        """Rows and columns that the second of `halves` reads further."""
        _, height, width = self.input_shape
        return (1 - height % 2, 1 - width % 2)

    @property
    def macs(self) -> int:
        """Output pixels × weights."""
        weights = self.weight_shape
        return prod(weights) * prod(self.output_shape[1:]) if weights else 0

    @property
    def params(self) -> int:
        """Weights, and batch-norm's scale and shift."""
        weights = self.weight_shape
        return (prod(weights) if weights else 0) + 2 * self.norm * self.output_shape[0]


class _Part(NamedTuple):
    """A stage before its shapes are known; see `Stage`."""

    name: str
    kind: Kind = "conv"
    kernel: tuple[int, int] = (1, 1)
    relu: bool = False
    norm: bool = False
    depthwise: bool = False
    dilation: int = 1


_SEPARABLE = (
    _Part("depth0", kernel=(3, 3), relu=True, depthwise=True),
    _Part("point0", norm=True),
)

_PARTS: dict[str, tuple[_Part, ...]] = {
    "maxpool3x3": (_Part("", "maxpool", (3, 3)),),
    "avgpool3x3": (_Part("", "avgpool", (3, 3)),),
    "conv1x5-5x1": (
        _Part("row", kernel=(1, 5), relu=True),
        _Part("column", kernel=(5, 1), norm=True),
    ),
    "conv3x3": (_Part("conv", kernel=(3, 3), relu=True, norm=True),),
    "sepconv3x3": (*_SEPARABLE, *(part._replace(name=part.name[:-1] + "1") for part in _SEPARABLE)),
    "dilconv3x3": (
        _Part("depth", kernel=(3, 3), relu=True, depthwise=True, dilation=2),
        _Part("point", norm=True),
    ),
    "halves1x1": (_Part("conv", "halves", relu=True, norm=True),),
    "conv1x1": (_Part("conv", relu=True, norm=True),),
    "stem3x3": (_Part("conv", kernel=(3, 3), norm=True),),
}
"""The first part has the operation's stride, the last one its output channels."""

OPERATIONS = tuple(_PARTS)
"""Those of METANAS (section 5.1) but for the skip, which does nothing; `halves1x1`, its skip over a
stride of 2; `conv1x1`, by which a cell reads other cells; and `stem3x3`, which reads the image."""

_CHANGE_CHANNELS = frozenset({"halves1x1", "conv1x1", "stem3x3"})


@dataclass(frozen=True, slots=True)
class OperationLayer(LayerSpec):
    """An operation of a cell: its `stages` one behind the other, batch-norm folded.

    Args:
        out_channels: output channels; most operations give as many as they read.
        operation: one of `OPERATIONS`.
        stride: of the first stage, 1 or 2; `halves1x1` has 2.
    """

    out_channels: int
    operation: str
    stride: int = 1
    dtype: str = "float32"

    op: ClassVar[str] = "operation"

    def __post_init__(self) -> None:
        super(OperationLayer, self).__post_init__()
        if self.operation not in OPERATIONS:
            raise InvalidLayerError(
                f"operation layer: unknown operation {self.operation!r}",
                hint=f"use one of {', '.join(OPERATIONS)}",
            )
        if self.out_channels != self.in_channels and self.operation not in _CHANGE_CHANNELS:
            raise InvalidLayerError(
                f"operation layer: {self.operation} from {self.in_channels} to "
                f"{self.out_channels} channels",
                hint="it gives as many as it reads",
            )
        if self.operation == "halves1x1" and (self.stride != 2 or self.out_channels < 2):
            raise InvalidLayerError(
                f"operation layer: halves1x1 of stride {self.stride} to {self.out_channels} "
                "channels",
                hint="use a stride of 2 and at least 2 channels",
            )
        if self.stride > 2:
            raise InvalidLayerError(
                f"operation layer: stride is {self.stride}", hint="use a stride of 1 or 2"
            )
        if self.dtype != "float32":
            raise InvalidLayerError(f"operation layer: dtype is {self.dtype}", hint="use float32")

    @property
    def key(self) -> str:
        """Such as `operation/28x14x14/c28/sepconv3x3/s1/float32`."""
        return (
            f"operation/{self.in_channels}x{self.height}x{self.width}/c{self.out_channels}"
            f"/{self.operation}/s{self.stride}/{self.dtype}"
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What it does, in order."""
        return _stages(self)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """That of the last stage."""
        return self.stages[-1].output_shape

    @property
    def macs(self) -> int:
        """Of all stages."""
        return sum(stage.macs for stage in self.stages)

    @property
    def params(self) -> int:
        """Of all stages."""
        return sum(stage.params for stage in self.stages)

    @property
    def peak_values(self) -> int:
        """A stage's input and output.

        A ReLU is applied as the map is read, and takes no map of its own. The two halves are maps
        of their own until they lie behind each other in a third.
        """
        joined = 2 * prod(self.output_shape) if self.operation == "halves1x1" else 0
        return max(
            joined, *(prod(stage.input_shape) + prod(stage.output_shape) for stage in self.stages)
        )


@lru_cache(maxsize=4096)
def _stages(layer: OperationLayer) -> tuple[Stage, ...]:
    stages: list[Stage] = []
    shape, stride = layer.input_shape, layer.stride
    parts = _PARTS[layer.operation]
    for part in parts:
        channels = layer.out_channels if part is parts[-1] else layer.in_channels
        _, height, width = shape
        given = (channels, -(-height // stride), -(-width // stride))
        stages.append(Stage(*part, stride=stride, input_shape=shape, output_shape=given))
        shape, stride = given, 1
    return tuple(stages)
