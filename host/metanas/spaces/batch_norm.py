"""Batch-norm by the batch's own statistics, with a short second derivative.

PyTorch composes its second derivative of a dozen passes over the map. As every term of it is the
map, a gradient or a constant times a factor a channel, two fused passes and one sum do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from metanas.spaces.convolution import channels_last

NORM_EPSILON = 1e-5


def batch_norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Each channel of (images, channels, height, width) normalised, scaled and shifted.

    It can be differentiated twice.

    Args:
        x: the map.
        scale: (channels,).
        shift: (channels,).
    """
    return _batch_norm(channels_last(x), scale, shift)


class _BatchNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        y, mean, gain = torch.native_batch_norm(
            x, scale, shift, None, None, True, 0.0, NORM_EPSILON
        )
        ctx.save_for_backward(x, scale, mean, gain)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _backward(channels_last(gradient), *ctx.saved_tensors)


class _Backward(Function):
    """The gradients by map, scale and shift: of `gradient`, the map and the scale.

    `gain` is 1 / the standard deviation. With h = (x - mean) * gain, the normalised map, and means
    over a channel, they are

        by_x = scale * gain * (gradient - mean(gradient) - h * mean(gradient * h))
        by_scale = sum(gradient * h)
        by_shift = sum(gradient)
    """

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, scale: Tensor, mean: Tensor, gain: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_x, by_scale, by_shift = _fused(gradient, x, scale, mean, gain)
        ctx.save_for_backward(gradient, x, scale, mean, gain, by_scale, by_shift)
        return by_x, by_scale, by_shift

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_x: Tensor, to_scale: Tensor, to_shift: Tensor) -> Any:
        """Of `to_x * by_x + to_scale * by_scale + to_shift * by_shift`, summed."""
        gradient, x, scale, mean, gain, gradient_h, gradient_1 = ctx.saved_tensors
        to_x = channels_last(to_x)
        pixels = x.numel() // len(mean)
        # by_x is the same function of the gradient as its own transpose is of to_x.
        of_gradient, to_x_h, to_x_1 = _fused(to_x, x, scale, mean, gain)
        slope = to_scale * gain
        of_gradient += _affine((x, slope), constant=to_shift - slope * mean)

        product = (to_x * gradient).sum((0, 2, 3))
        of_scale = gain * (product - (to_x_1 * gradient_1 + to_x_h * gradient_h) / pixels)
        # What h is multiplied with in the sum: gradient * a + to_x * b.
        a = to_scale - to_x_h * scale * gain / pixels
        b = -gradient_h * scale * gain / pixels
        slope = -(gain**2) * (a * gradient_h + b * to_x_h + scale * of_scale) / pixels
        constant = -gain * (a * gradient_1 + b * to_x_1) / pixels - slope * mean
        of_x = _affine((gradient, gain * a), (to_x, gain * b), (x, slope), constant=constant)
        return of_gradient, of_x, of_scale, None, None


def _fused(
    gradient: Tensor, x: Tensor, scale: Tensor, mean: Tensor, gain: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    by_x, by_scale, by_shift = torch.ops.aten.native_batch_norm_backward(
        gradient, x, scale, None, None, mean, gain, True, NORM_EPSILON, [True] * 3
    )
    return by_x, by_scale, by_shift


def _affine(*terms: tuple[Tensor, Tensor], constant: Tensor) -> Tensor:
    """Sum of maps, each times a factor a channel, and of a constant a channel."""
    (first, factor), *others = terms
    total = torch.addcmul(constant.view(-1, 1, 1), first, factor.view(-1, 1, 1))
    for term, factor in others:
        total.addcmul_(term, factor.view(-1, 1, 1))
    return total


_batch_norm: Callable[[Tensor, Tensor, Tensor], Tensor] = _BatchNorm.apply
_backward: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Backward.apply
