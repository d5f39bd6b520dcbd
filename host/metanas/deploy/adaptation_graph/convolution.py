"""A convolution and its two gradients as ONNX operations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from torch import nn

from metanas.deploy.adaptation_graph.structure import Node
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

_FEW_CHANNELS = 8
_SMALL = 2**15
"""Numbers an image, of all the parts of the input that the places of a kernel meet. Below it, or
with few channels, one matrix product is quicker than one a place, which waits less for memory."""


def convolve(
    writer: GraphWriter, node: Node, x: Value, weight: Value, bias: Value | None = None
) -> Value:
    """The output of a convolution whose kernel is odd and whose padding is half of it."""
    kernel, stride = _sizes(node)
    inputs = [x, weight] if bias is None else [x, weight, bias]
    return writer.add(
        "Conv",
        *inputs,
        kernel_shape=(kernel, kernel),
        pads=(kernel // 2,) * 4,
        strides=(stride, stride),
    )


def input_gradient(writer: GraphWriter, node: Node, weight: Value, gradient: Value) -> Value:
    """From the gradient at the output, that at the input: the convolution transposed."""
    kernel, stride = _sizes(node)
    beyond = [
        side - ((out - 1) * stride + kernel - 2 * (kernel // 2))
        for side, out in zip(node.input_shape[1:], node.output_shape[1:], strict=True)
    ]
    return writer.add(
        "ConvTranspose",
        gradient,
        weight,
        kernel_shape=(kernel, kernel),
        pads=(kernel // 2,) * 4,
        strides=(stride, stride),
        output_padding=beyond,
    )


def weight_gradient(writer: GraphWriter, node: Node, x: Value, gradient: Value) -> Value:
    """From the gradient at the output, that of the weight.

    Each of the kernel's places meets a part of the input: a matrix product of that part with the
    gradient, over all images and pixels. A runtime's own convolution of the two, as wide as the
    map, is several times slower. A stride reads single pixels, of which the channels had better
    lie together; without one, whole rows of a channel are read.
    """
    kernel, stride = _sizes(node)
    in_channels, (out_channels, rows, columns) = node.input_shape[0], node.output_shape
    last = stride > 1
    order = (0, 2, 3, 1) if last else (1, 0, 2, 3)
    parts = list(_parts(writer, node, writer.add("Transpose", x, perm=order), last=last))
    few = in_channels < _FEW_CHANNELS
    if few or kernel**2 * in_channels * rows * columns <= _SMALL:
        parts = [writer.add("Concat", *parts, axis=3 if last else 0)]
    flat = _matrix(writer, writer.add("Transpose", gradient, perm=order), out_channels, last=last)
    width = kernel**2 * in_channels // len(parts)
    turned = {"transA": 1} if last else {"transB": 1}
    products = [
        writer.add("Gemm", flat, _matrix(writer, part, width, last=last), **turned)
        for part in parts
    ]
    weight = writer.add("Concat", *products, axis=1)
    shaped = writer.ints(out_channels, kernel, kernel, in_channels)
    return writer.add("Transpose", writer.add("Reshape", weight, shaped), perm=(0, 3, 1, 2))


def _parts(writer: GraphWriter, node: Node, x: Value, *, last: bool) -> Iterator[Value]:
    """What each of the kernel's places meets, row by row; x has its channels first or last."""
    kernel, stride = _sizes(node)
    rows = 1 if last else 2
    half = kernel // 2
    spans = [(out - 1) * stride for out in node.output_shape[1:]]
    if half:
        margins = [0] * rows + [half, half] + [0] * (2 - rows)
        x = writer.add("Pad", x, writer.ints(*margins, *margins))
    axes, steps = writer.ints(rows, rows + 1), writer.ints(stride, stride)
    for row, column in product(range(kernel), repeat=2):
        ends = writer.ints(row + spans[0] + 1, column + spans[1] + 1)
        yield writer.add("Slice", x, writer.ints(row, column), ends, axes, steps)


def _matrix(writer: GraphWriter, x: Value, channels: int, *, last: bool) -> Value:
    """A map with its channels first or last, by (channels, pixels) or (pixels, channels)."""
    return writer.add("Reshape", x, writer.ints(*((-1, channels) if last else (channels, -1))))


def _sizes(node: Node) -> tuple[int, int]:
    assert isinstance(node.layer, nn.Conv2d)
    return int(node.layer.kernel_size[0]), int(node.layer.stride[0])
