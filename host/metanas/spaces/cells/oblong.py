"""Convolution with a kernel of unequal sides, differentiable any number of times.

A convolution is linear in the map and in the kernel. So with a weight for each output value it is
one number that is linear in three tensors, and the derivative by one of them is made of the other
two: the convolution itself and its two gradients, whatever is derived how often.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from metanas.spaces.convolution import channels_last


class _How(NamedTuple):
    stride: int
    padding: tuple[int, int]
    groups: int


def convolve_oblong(x: Tensor, weight: Tensor, *, stride: int, groups: int) -> Tensor:
    """Convolution with "same" padding.

    Args:
        x: (images, groups × channels in, height, width).
        weight: (groups × channels out, channels in, height, width), both sides odd.
        stride: of both sides.
        groups: of channels.
    """
    height, width = weight.shape[2:]
    how = _How(stride, (height // 2, width // 2), groups)
    return _third(how, None, channels_last(x), weight, None)


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
            x = channels_last(output.new_empty(shape))
        if weight is None:
            weight = output.new_empty(shape)
        return _gradient(how, x, weight, output, of_map=ctx.missing == 0)

    @staticmethod
    def backward(ctx: Any, tangent: Tensor) -> tuple[Tensor | None, ...]:
        three = list(ctx.saved_tensors)
        three[ctx.missing] = tangent if ctx.missing == 1 else channels_last(tangent)
        gradients: list[Tensor | None] = [None] * len(three)
        for place, wanted in enumerate(ctx.needs_input_grad[2:]):
            if wanted:
                others = [None if at == place else tensor for at, tensor in enumerate(three)]
                gradients[place] = _third(ctx.how, three[place].shape, *others)
        return (None, None, *gradients)


def _gradient(how: _How, x: Tensor, weight: Tensor, output: Tensor, *, of_map: bool) -> Tensor:
    """By the map or the weight, whose values do not matter."""
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
