"""How a network's convolutions are computed: as tiles of register-sized sums, over packed weights.

A convolution with what is fused behind it (bias, residual, activation) is one kernel of three
stages, whose loops `network_schedule` arranges:

    padded[c, y, x]               a copy of the input with its border, where it has one
    accumulate[m, a, b, y, x, i]  sums of tile m of the output channels and (a, b) of the map
    convolution[0, c, y, x]       the sums as NCHW; all that follows is inlined into this stage

Weights are packed once, while building, as [m][input channel][window row][window column][i], so
that the innermost loop reads them in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tvm
from tvm import te, tirx

from metanas.native.network_geometry import ConvolutionShape, tile_size
from metanas.native.targets import Target

PADDED = "padded"
ACCUMULATE = "accumulate"
_FUSES_ELEMENTWISE_BEHIND = 4  # TVM's OpPatternKind::kOutEWiseFusable


def convolution_shape(call: Any) -> ConvolutionShape | None:
    """Read a `relax.nn.conv2d` call; None where it is batched, grouped, dilated or not NCHW."""
    (batch, in_channels, *size), (out_channels, _, *kernel) = (
        [int(extent) for extent in argument.ty.shape] for argument in call.args
    )
    attributes = call.attrs
    if (
        batch != 1
        or int(attributes.groups) != 1
        or any(int(step) != 1 for step in attributes.dilation)
        or (attributes.data_layout, attributes.kernel_layout) != ("NCHW", "OIHW")
        or call.args[0].ty.dtype != "float32"
    ):
        return None
    top, left, bottom, right = map(int, attributes.padding)
    down, across = map(int, attributes.strides)
    return ConvolutionShape(
        in_channels=in_channels,
        size=(size[0], size[1]),
        out_channels=out_channels,
        kernel=(kernel[0], kernel[1]),
        stride=(down, across),
        before=(top, left),
        after=(bottom, right),
    )


def convolution_legalizer(target: Target) -> Callable[[Any, Any], Any]:
    """What `relax.transform.LegalizeOps` calls for each `relax.nn.conv2d`.

    Convolutions of other kinds get TVM's own definition, which is right, and slow.
    """

    def legalize(builder: Any, call: Any) -> Any:
        shape = convolution_shape(call)
        if shape is None:
            return tvm.ir.Op.get("relax.nn.conv2d").get_attr("FLegalize")(builder, call)
        image, weights = call.args
        packed = builder.call_te(_pack, weights, target.channel_block, primfunc_name_hint="pack")
        return builder.call_te(
            lambda image, packed: _convolve(image, packed, shape, target),
            image,
            builder.emit(packed),
            primfunc_name_hint="convolution",
            primfunc_attrs={"op_pattern": _FUSES_ELEMENTWISE_BEHIND},
        )

    return legalize


def _pack(weights: Any, block: int) -> Any:
    """OIHW to [m][I][H][W][i]; the channels that the last tile lacks are zeros."""
    out_channels, in_channels, height, width = map(int, weights.shape)

    def element(m: Any, c: Any, dy: Any, dx: Any, i: Any) -> Any:
        channel = m * block + i
        value = weights[channel, c, dy, dx]
        return tirx.if_then_else(channel < out_channels, value, tirx.const(0, "float32"))

    tiles = -(-out_channels // block)
    return te.compute((tiles, in_channels, height, width, block), element, name="packed")


def _convolve(image: Any, packed: Any, shape: ConvolutionShape, target: Target) -> Any:
    """The three stages; image (1, channels, rows, columns) gives (1, channels, rows, columns)."""
    rows, columns = shape.out_size
    output_shape = (1, shape.out_channels, rows, columns)
    if target.short_vectors or not shape.is_pointwise:
        sums = _accumulate(lambda c, y, x: image[0, c, y, x], packed, shape, target)
        return te.compute(output_shape, lambda _, c, y, x: sums(c, y, x), name="convolution")
    # As one long row of pixels: the last tile of a row is wasted in part, so fewer rows are better.
    one_row = replace(shape, size=(1, math.prod(shape.size)))
    sums = _accumulate(
        lambda c, _, x: image[0, c, x // columns, x % columns], packed, one_row, target
    )
    return te.compute(
        output_shape, lambda _, c, y, x: sums(c, 0, y * columns + x), name="convolution"
    )


_Map = Callable[[Any, Any, Any], Any]
"""A map's value at (channel, row, column)."""


def _accumulate(source: _Map, packed: Any, shape: ConvolutionShape, target: Target) -> _Map:
    (rows, columns), (down, across), block = shape.out_size, shape.stride, target.channel_block
    height, width = tile_size(shape, target)
    tiles = (-(-rows // height), -(-columns // width))
    pixel = _with_border(
        source,
        shape,
        height=(tiles[0] * height - 1) * down + shape.kernel[0],
        width=(tiles[1] * width - 1) * across + shape.kernel[1],
    )
    channel = te.reduce_axis((0, shape.in_channels), name="channel")
    dy, dx = (te.reduce_axis((0, extent), name="window") for extent in shape.kernel)

    def total(m: Any, a: Any, b: Any, y: Any, x: Any, i: Any) -> Any:
        row, column = (a * height + y) * down + dy, (b * width + x) * across + dx
        product = pixel(channel, row, column) * packed[m, channel, dy, dx, i]
        return te.sum(product, axis=[channel, dy, dx])

    sums = te.compute((packed.shape[0], *tiles, height, width, block), total, name=ACCUMULATE)
    return lambda c, y, x: sums[
        c // block, y // height, x // width, y % height, x % width, c % block
    ]


def _with_border(source: _Map, shape: ConvolutionShape, *, height: int, width: int) -> _Map:
    """The input with zeros around it, at least height x width; a copy only where it needs them."""
    (rows, columns), (top, left) = shape.size, shape.before
    if (top, left) == (0, 0) and height <= rows and width <= columns:
        return source

    def element(c: Any, y: Any, x: Any) -> Any:
        inside = tirx.all(y >= top, y < rows + top, x >= left, x < columns + left)
        return tirx.if_then_else(inside, source(c, y - top, x - left), tirx.const(0, "float32"))

    padded = te.compute((shape.in_channels, height, width), element, name=PADDED)
    return lambda c, y, x: padded[c, y, x]
