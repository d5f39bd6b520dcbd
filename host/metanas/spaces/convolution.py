"""Convolution whose derivatives of every order are the library's forward and backward kernels.

A convolution is linear in the map and in the kernel. So with a weight for each output value it is
one number that is linear in three tensors, and the derivative by one of them is made of the other
two: the convolution itself and its two gradients, whatever is derived how often. PyTorch's own
second derivative is a convolution whose kernel is a map, which is slow on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

_MAP, _WEIGHT = 0, 1
"""Places among the three tensors; the output is the last."""


class _How(NamedTuple):
    stride: int
    padding: tuple[int, int]
    groups: int


def convolve(x: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """Convolution with "same" padding, differentiable any number of times.

    Args:
        x: (images, groups × channels in, height, width).
        weight: (groups × channels out, channels in, height, width), both sides odd.
        stride: of both sides.
        groups: of channels.
    """
    height, width = weight.shape[2:]
    if height == width == 1 and stride > 1:
        # oneDNN's gradient of this, channels-last, corrupts the heap.
        x, stride = x[..., ::stride, ::stride], 1
    how = _How(stride, (height // 2, width // 2), groups)
    return _third(how, None, channels_last(x), weight, None)


def channels_last(x: Tensor) -> Tensor:
    """The same map in the layout that a CPU is fastest with; on other devices as it is.

    Strided gradients take a fifth of the time in it, max-pooling a twentieth, batch-norm a quarter.
    """
    if x.device.type != "cpu":
        return x
    if x.stride(1) == 1 and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.clone(memory_format=torch.channels_last)  # `contiguous` leaves one channel as it is


class _Third(Function):
    """Of map, weight and output the one that is None, which has the shape."""

    @staticmethod
    def forward(ctx: Any, how: _How, shape: Any, *three: Any) -> Tensor:
        ctx.how = how
        ctx.missing = next(place for place, tensor in enumerate(three) if tensor is None)
        ctx.save_for_backward(*three)
        x, weight, output = three
        if output is None:
            return F.conv2d(x, weight, None, how.stride, how.padding, groups=how.groups)
        if x is None:
            cpu = output.device.type == "cpu"
            layout = torch.channels_last if cpu else torch.contiguous_format
            x = torch.empty(shape, dtype=output.dtype, device=output.device, memory_format=layout)
        if weight is None:
            weight = output.new_empty(shape)
        return _gradient(how, x, weight, output, of_map=ctx.missing == _MAP)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, ...]:
        three = list(ctx.saved_tensors)
        three[ctx.missing] = tangent if ctx.missing == _WEIGHT else channels_last(tangent)
        gradients: list[Tensor | None] = [None] * len(three)
        for place, wanted in enumerate(ctx.needs_input_grad[2:]):
            if wanted:
                others = [None if at == place else tensor for at, tensor in enumerate(three)]
                gradients[place] = _third(ctx.how, three[place].shape, *others)
        return (None, None, *gradients)


def _gradient(how: _How, x: Tensor, weight: Tensor, output: Tensor, *, of_map: bool) -> Tensor:
    """By the map or the weight, of which only the shape matters."""
    by_x, by_weight, _ = torch.ops.aten.convolution_backward(
        output,
        x,
        weight,
        None,
        [how.stride] * 2,
        list(how.padding),
        [1, 1],
        False,
        [0, 0],
        how.groups,
        [of_map, not of_map, False],
    )
    result: Tensor = by_x if of_map else by_weight
    return result


_third: Callable[..., Tensor] = _Third.apply
